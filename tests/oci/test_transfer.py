"""Whole images from a layout to a registry and back: only what is missing travels, and names come last."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from fakes.images import add_image
from fakes.registry import HOST, OTHER, REPOSITORY, FakeRegistry
from shipway.errors import CorruptBlob, RemoteError, ShipwayError, UsageError
from shipway.oci.descriptor import INDEX, MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.layout import Content, Layout
from shipway.oci.registry import Registry
from shipway.oci.transfer import pull, push
from shipway.spec.image import Platform

AMD64, ARM64 = Platform("amd64", "linux"), Platform("arm64", "linux")


@pytest.fixture
def local(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "local")


@pytest.fixture
def remote(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(Layout.create(tmp_path / "remote"), {})


def registry_of(remote: FakeRegistry) -> Registry:
    return Registry(HOST, remote.client(), sleep=lambda seconds: None)


def add_index(layout: Layout, entries: tuple[Descriptor, ...]) -> Descriptor:
    return Descriptor(INDEX, *layout.put_bytes(Index(entries).to_json()))


def size_of(layout: Layout, entry: Descriptor) -> int:
    """Gives the bytes of an image with all that belongs to it."""
    return entry.size + sum(part.size for part in layout.manifest(entry).references)


def test_an_image_arrives_whole_under_each_of_its_tags(remote: FakeRegistry, local: Layout, tmp_path: Path) -> None:
    entry = add_image(local, [{"a": b"1" * 5000}, {"b": b"2"}])
    pushed = push(registry_of(remote), REPOSITORY, ("1", "latest"), entry, local)
    assert pushed.sent_bytes == size_of(local, entry) + entry.size  # the manifest once for each tag
    assert (pushed.skipped_bytes, pushed.mounted_bytes) == (0, 0)
    for tag in ("1", "latest"):
        back = Layout.create(tmp_path / tag)
        found = pull(registry_of(remote), REPOSITORY, tag, back)
        assert found.digest == entry.digest
        back.update_index(lambda index, found=found: Index((found,)))  # type: ignore[misc]
        assert back.check() == []


def test_a_push_of_an_image_of_which_one_layer_changed_sends_that_layer(remote: FakeRegistry, local: Layout) -> None:
    noise = os.urandom(50_000)
    first = add_image(local, [{"base": noise}, {"model": b"1"}])
    second = add_image(local, [{"base": noise}, {"model": b"2"}])
    push(registry_of(remote), REPOSITORY, ("1",), first, local)
    before = remote.received
    pushed = push(registry_of(remote), REPOSITORY, ("2",), second, local)
    manifest = local.manifest(second)
    changed = manifest.layers[1].size + manifest.config.size
    assert remote.received - before == changed
    assert pushed.sent_bytes == changed + second.size
    assert pushed.skipped_bytes == manifest.layers[0].size > 20 * pushed.sent_bytes


def test_a_second_push_sends_the_manifest_alone(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(local, [{"a": b"1"}])
    push(registry_of(remote), REPOSITORY, ("1",), entry, local)
    before = remote.received
    assert push(registry_of(remote), REPOSITORY, ("1",), entry, local).sent_bytes == entry.size
    assert remote.received == before


def test_what_another_repository_has_is_mounted(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(local, [{"a": b"1"}, {"b": b"2"}])
    push(registry_of(remote), OTHER, ("1",), entry, local)
    before = remote.received
    pushed = push(registry_of(remote), REPOSITORY, ("1",), entry, local, mount_from=[OTHER])
    assert (pushed.sent_bytes, remote.received) == (entry.size, before)
    assert pushed.mounted_bytes == size_of(local, entry) - entry.size


def test_the_name_comes_last(remote: FakeRegistry, local: Layout) -> None:
    entries = (add_image(local, [{"a": b"1"}]), add_image(local, [{"a": b"2"}], platform=ARM64))
    top = add_index(local, (add_index(local, entries),))
    push(registry_of(remote), REPOSITORY, ("1",), top, local)  # the fake refuses a manifest whose parts are not there
    puts = [request.url.path.rpartition("/")[2] for request in remote.calls("PUT", "/manifests/")]
    assert puts == [*(entry.digest for entry in entries), *puts[2:3], "1"]
    configs = {local.manifest(entry).config.digest for entry in entries}
    blobs = [request.url.params["digest"] for request in remote.calls("PUT", "/blobs/")]
    assert set(blobs[-2:]) == configs


def test_without_a_tag_it_is_had_by_its_digest(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(local, [{"a": b"1"}])
    push(registry_of(remote), REPOSITORY, (), entry, local)
    assert remote.tags == {}
    assert registry_of(remote).manifest(REPOSITORY, entry.digest)[0].digest == entry.digest


def test_dockers_types_are_copied_byte_for_byte(remote: FakeRegistry, local: Layout, tmp_path: Path) -> None:
    entry = add_image(local, [{"a": b"1"}], docker=True)
    push(registry_of(remote), REPOSITORY, ("1",), entry, local)
    assert remote.tags["1"].media_type == entry.media_type != MANIFEST
    back = Layout.create(tmp_path / "back")
    assert pull(registry_of(remote), REPOSITORY, "1", back).media_type == entry.media_type
    assert back.read(entry.digest) == local.read(entry.digest)


def test_a_pull_takes_all_platforms_or_one(remote: FakeRegistry, local: Layout, tmp_path: Path) -> None:
    amd, arm = add_image(local, [{"a": b"1"}]), add_image(local, [{"a": b"2"}], platform=ARM64)
    top = add_index(local, (amd, arm))
    push(registry_of(remote), REPOSITORY, ("1",), top, local)
    everything, one = Layout.create(tmp_path / "all"), Layout.create(tmp_path / "one")
    assert pull(registry_of(remote), REPOSITORY, "1", everything).digest == top.digest
    assert everything.is_intact(amd.digest)
    assert everything.is_intact(arm.digest)
    assert pull(registry_of(remote), REPOSITORY, "1", one, platform=ARM64).digest == arm.digest
    assert not one.has(amd.digest, amd.size)
    with pytest.raises(UsageError, match="linux/amd64, linux/arm64"):
        pull(registry_of(remote), REPOSITORY, "1", one, platform=Platform("s390x", "linux"))


def test_it_tells_how_far_it_is(remote: FakeRegistry, local: Layout, tmp_path: Path) -> None:
    entry = add_image(local, [{"a": os.urandom(5000)}, {"b": os.urandom(5000)}])
    total = size_of(local, entry) - entry.size
    told: list[tuple[int, int]] = []
    remote.cut_uploads, remote.cut_downloads = [1000], [2000]
    push(registry_of(remote), REPOSITORY, ("1",), entry, local, tell=lambda *both: told.append(both))
    pull(registry_of(remote), REPOSITORY, "1", Layout.create(tmp_path / "b"), tell=lambda *both: told.append(both))
    dones = [done for done, _ in told]
    half = dones.index(total) + 1
    assert {whole for _, whole in told} == {total}
    assert dones[:half] == sorted(dones[:half])
    assert dones[-1] == total >= max(dones)


def test_blobs_travel_side_by_side(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(local, [{str(number): b"1"} for number in range(8)])
    together, most, lock = 0, 0, threading.Lock()

    def slow(request: httpx.Request) -> None:
        nonlocal together, most
        if request.method == "HEAD":
            with lock:
                together += 1
                most = max(most, together)
            time.sleep(0.02)
            with lock:
                together -= 1

    remote.answer = slow
    push(registry_of(remote), REPOSITORY, ("1",), entry, local)
    assert 2 <= most <= 4


def test_the_first_failure_ends_the_push_and_nothing_gets_a_name(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(local, [{str(number): os.urandom(1000)} for number in range(30)])
    denied = local.manifest(entry).layers[3].digest
    remote.answer = lambda request: httpx.Response(403) if denied in request.url.path else None
    with pytest.raises(RemoteError, match="403"):
        push(registry_of(remote), REPOSITORY, ("1",), entry, local)
    assert remote.tags == {}
    assert len(remote.calls("HEAD")) < 30


@pytest.mark.parametrize("damage", ["missing", "other bytes"])
def test_a_damaged_layout_pushes_no_name(remote: FakeRegistry, local: Layout, damage: str) -> None:
    entry = add_image(local, [{"a": b"1"}])
    for part in local.manifest(entry).references:
        blob = local.blob(part.digest)
        blob.chmod(0o644)
        blob.unlink() if damage == "missing" else blob.write_bytes(b"x" * part.size)
    with pytest.raises(CorruptBlob):
        push(registry_of(remote), REPOSITORY, ("1",), entry, local)
    assert remote.tags == {}


def test_layers_that_nobody_may_hand_on_stay(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(local, [{"a": b"1"}])
    manifest = local.manifest(entry)
    foreign = Descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "sha256:" + "0" * 64, 9)
    text = msgspec.structs.replace(manifest, layers=(*manifest.layers, foreign)).to_json()
    remote.blobs[REPOSITORY].add(foreign.digest)  # a registry does not ask for them
    top = Descriptor(MANIFEST, *local.put_bytes(text))
    push(registry_of(remote), REPOSITORY, ("1",), top, local)
    assert remote.tags["1"].digest == top.digest


def nested(layout: Layout, depth: int) -> Descriptor:
    entry = add_image(layout, [{"a": b"1"}])
    for _ in range(depth):
        entry = add_index(layout, (entry,))
    return entry


@pytest.mark.parametrize("platform", [None, AMD64])
def test_indexes_that_nest_without_end_are_refused(
    remote: FakeRegistry, local: Layout, tmp_path: Path, platform: Platform | None
) -> None:
    top = nested(remote.layout, 9)
    remote = FakeRegistry(remote.layout, {"1": top})
    with pytest.raises(CorruptBlob, match="too deeply"):
        pull(registry_of(remote), REPOSITORY, "1", local, platform=platform)
    assert len(remote.seen) < 10
    assert local.check() == []
    with pytest.raises(CorruptBlob, match="too deeply"):
        push(registry_of(remote), OTHER, ("1",), top, remote.layout)
    assert OTHER not in remote.blobs


@pytest.mark.parametrize("platform", [None, AMD64])
def test_an_index_that_points_to_itself_is_refused(local: Layout, platform: Platform | None) -> None:
    """It cannot name its own digest; but a registry can answer to any digest with the same index."""
    text = Index((Descriptor(INDEX, "sha256:" + "1" * 64, 350),)).to_json()
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(200, content=text, headers={"Content-Type": INDEX})

    registry = Registry(HOST, httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(CorruptBlob):
        pull(registry, REPOSITORY, "1", local, platform=platform)
    assert len(seen) == 2


def test_an_index_of_endless_indexes_is_refused(local: Layout) -> None:
    """Each is as its digest says, and the registry makes them up as it is asked."""
    made: dict[Content, bytes] = {}
    for number in range(200):
        entries = tuple(Descriptor(INDEX, *there) for there in list(made)[-2:])
        text = Index(entries, annotations={"n": str(number)}).to_json()
        made[local.put_bytes(text)] = text
    remote = FakeRegistry(local, {"1": Descriptor(INDEX, *list(made)[-1])})
    with pytest.raises(CorruptBlob, match="too deeply"):
        pull(registry_of(remote), REPOSITORY, "1", local)
    assert len(remote.seen) < 10


def test_manifests_that_fill_the_memory_are_refused(
    remote: FakeRegistry, local: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shipway.oci.transfer._MAX_DOCUMENTS", 3000)
    top = add_index(remote.layout, tuple(add_image(remote.layout, [{"a": str(n).encode()}]) for n in range(9)))
    with pytest.raises(CorruptBlob, match="larger than 3000 bytes"):
        pull(registry_of(FakeRegistry(remote.layout, {"1": top})), REPOSITORY, "1", local)


def test_a_manifest_of_another_size_than_its_index_says_is_refused(remote: FakeRegistry, local: Layout) -> None:
    entry = add_image(remote.layout, [{"a": b"1"}])
    top = add_index(remote.layout, (msgspec.structs.replace(entry, size=entry.size + 1),))
    with pytest.raises(CorruptBlob, match="should have"):
        pull(registry_of(FakeRegistry(remote.layout, {"1": top})), REPOSITORY, "1", local)


def test_an_artefact_that_is_no_image_travels_too(remote: FakeRegistry, local: Layout, tmp_path: Path) -> None:
    blob = Descriptor("application/x-anything", *local.put_bytes(b"anything"))
    config = Descriptor("application/vnd.oci.empty.v1+json", *local.put_bytes(b"{}"))
    subject = Descriptor(MANIFEST, "sha256:" + "2" * 64, 5)  # need not be there
    text = OciManifest(config, (blob, blob), artifact_type="application/x", subject=subject).to_json()
    top = Descriptor(MANIFEST, *local.put_bytes(text))
    push(registry_of(remote), REPOSITORY, ("1",), top, local)
    back = Layout.create(tmp_path / "back")
    assert pull(registry_of(remote), REPOSITORY, "1", back).digest == top.digest
    assert back.read(blob.digest) == b"anything"


@pytest.mark.parametrize("text", [b"{}", b"[]", b'{"schemaVersion": 1}', b'{"mediaType": 7}'])
def test_a_manifest_that_is_none_is_refused(local: Layout, text: bytes) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=text, headers={"Content-Type": MANIFEST}))
    with pytest.raises(ShipwayError):
        pull(Registry(HOST, httpx.Client(transport=answer)), REPOSITORY, "1", local)
