"""push, pull, list and `oci://…` as REF: bundles and images between stores and a registry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import shipway
from fakes.images import build_image, make_bundle
from fakes.registry import HOST, REPOSITORY, FakeRegistry
from fakes.shell import Shell
from shipway.cli.environment import credentials_files
from shipway.cli.list import ordered
from shipway.cli.output import Output
from shipway.cli.remote import ImageFacts, inspect_image, push_images
from shipway.cli.session import Session
from shipway.errors import RemoteError, UsageError
from shipway.image.base import BaseImage
from shipway.image.output import write_archive, write_layout
from shipway.oci.descriptor import EMPTY_CONFIG, MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry
from shipway.spec.image import ImageReference, Platform

PLACE = f"{HOST}/{REPOSITORY}"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """A registry that every verb finds behind whatever host it names."""
    fake = FakeRegistry(Layout.create(tmp_path / "registry"), {})

    @contextmanager
    def open_registry(host: str, find: object, **options: object) -> Iterator[Registry]:
        yield Registry(host, fake.client())

    monkeypatch.setattr("shipway.oci.registry.open_registry", open_registry)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fake


def blobs_sent(fake: FakeRegistry) -> int:
    return len(fake.calls("GET", "/blobs/"))


def test_a_bundle_is_pushed_under_its_version_and_its_digest_is_printed(stocked: Shell, fake: FakeRegistry) -> None:
    digest = stocked("show", "diabetes", "--json").facts["digest"]
    ran = stocked("push", "diabetes", f"oci://{PLACE}")
    assert ran.out.startswith(f"pushed {PLACE}@{digest}\n  as {PLACE}:1: ")
    facts = stocked("push", "diabetes:1", f"{PLACE}:best", "--json").facts
    assert set(facts) == {"reference", "tag", "digest", "sent_bytes", "skipped_bytes", "mounted_bytes"}
    assert (facts["tag"], facts["digest"], fake.tags["1"].digest) == ("best", digest, digest)
    assert facts["skipped_bytes"] > 0


def test_pull_prints_the_reference_that_the_bundle_has_here(stocked: Shell, fake: FakeRegistry) -> None:
    stocked("push", "churn", PLACE)
    assert stocked("pull", f"{PLACE}:1").out == "model:1\n"
    assert stocked("pull", f"oci://{PLACE}:1", "--name", "churn").out == "churn:1\n"
    facts = stocked("pull", f"{PLACE}:1", "--json").facts
    assert set(facts) == {"name", "version", "digest", "new", "fetched", "kind", "source_digest"}
    assert (facts["new"], facts["fetched"], facts["kind"]) == (False, False, "bundle")
    assert "pulled" in stocked("list", "model").out
    assert f"from {PLACE}@sha256:" in stocked("show", "model").out


@pytest.mark.parametrize(
    "words",
    [("show",), ("predict", "--data", "row.json"), ("render", "--to", "kubernetes", "--image", "a/b:1")],
)
def test_every_verb_takes_what_lies_in_a_registry_and_fetches_it_once(
    stocked: Shell, fake: FakeRegistry, words: tuple[str, ...]
) -> None:
    stocked("push", "diabetes", PLACE)
    stocked.patch.setenv("SHIPWAY_STORE", str(stocked.folder / "own"))
    stocked.write("row.json", json.dumps([[0.01] * 10]))
    verb, *rest = words
    first = stocked(verb, f"oci://{PLACE}:1", *rest)
    assert first.code == 0, first.err
    assert f"pulled oci://{PLACE}:1 as model:1" in first.err
    sent = blobs_sent(fake)
    again = stocked(verb, f"oci://{PLACE}@{fake.tags['1'].digest}", *rest)
    assert again.code == 0
    assert "pulled" not in again.err
    assert (blobs_sent(fake), sent > 0) == (sent, True)


def test_the_library_loads_straight_from_a_registry(stocked: Shell, fake: FakeRegistry, tmp_path: Path) -> None:
    stocked("push", "diabetes", PLACE)
    predictor = shipway.load(f"oci://{PLACE}:1", store=tmp_path / "own")
    assert predictor.predict([[0.0] * 10]) == pytest.approx(shipway.load("diabetes").predict([[0.0] * 10]))


def test_list_says_what_lies_under_each_tag(shell: Shell, fake: FakeRegistry, tmp_path: Path) -> None:
    bundle = make_bundle(shell.store)
    for tag in ("10", "9"):
        shell("push", "tiny:1", f"{PLACE}:{tag}")
    write_archive([build_image(tmp_path / "build", bundle)], shell.folder / "i.tar", ImageReference("tiny", "", "1"))
    assert shell("push", "i.tar", f"{PLACE}:image").code == 0
    strange = OciManifest(EMPTY_CONFIG, (EMPTY_CONFIG,), artifact_type="application/vnd.example").to_json()
    fake.layout.put_bytes(strange)
    fake.tags["strange"] = Descriptor(MANIFEST, *fake.layout.put_bytes(strange))
    fake.blobs[REPOSITORY].add(fake.tags["strange"].digest)
    fake.tags["gone"] = Descriptor(MANIFEST, "sha256:" + "0" * 64, 2)
    fake.tags["sha256-" + "0" * 64 + ".sig"] = fake.tags["9"]
    facts = {fact["tag"]: fact for fact in shell("list", f"oci://{PLACE}", "--json").facts}
    assert list(facts) == ["9", "10", "gone", "image", "strange"]
    assert [fact["kind"] for fact in facts.values()] == ["bundle", "bundle", "unreadable", "image", "other"]
    assert facts["image"]["bundle"] == str(bundle.id)
    assert (facts["9"]["digest"], facts["9"]["size_bytes"] > 0) == (bundle.id.digest, True)
    head, *lines = shell("list", f"oci://{PLACE}", "--limit", "2").out.splitlines()
    assert head.split() == ["TAG", "KIND", "BUNDLE", "DIGEST", "SIZE"]
    assert [line.split()[0] for line in lines] == ["image", "strange"]
    assert "tiny:1 " + bundle.id.digest[7:19] in lines[0]
    assert [fact["tag"] for fact in shell("list", f"oci://{PLACE}:9", "--json").facts] == ["9"]


def test_numbers_in_tags_are_ordered_by_their_value() -> None:
    tags = ["v10", "v9", "latest", "10", "9", "1.10", "1.9", "sha256-" + "a" * 64]
    assert ordered(tags) == ["1.9", "1.10", "9", "10", "latest", "v9", "v10"]


def test_an_image_is_pushed_out_of_an_archive_or_a_layout_as_it_is(
    shell: Shell, fake: FakeRegistry, tmp_path: Path
) -> None:
    bundle = make_bundle(shell.store)
    images = [build_image(tmp_path / "build", bundle, Platform(name, "linux")) for name in ("amd64", "arm64")]
    top = write_layout(images, shell.folder / "layout", ImageReference("tiny", "", "7"))
    write_archive(images, shell.folder / "i.tar", ImageReference("tiny", "", "7"))
    pushed = [shell("push", source, PLACE, "--json").facts for source in ("layout", "oci:layout:7", "i.tar")]
    assert {(facts["tag"], facts["digest"]) for facts in pushed} == {("7", top.digest)}
    manifests = sum(len(one.manifest) for one in images) + top.size
    assert [facts["sent_bytes"] == manifests for facts in pushed] == [False, True, True]
    copied = shell("push", f"oci://{PLACE}:7", f"{HOST}/team/other:8", "--json").facts
    assert (copied["digest"], copied["mounted_bytes"] > 0) == (top.digest, True)
    assert copied["sent_bytes"] == manifests


def test_a_folder_of_several_images_is_asked_for_the_one(shell: Shell, fake: FakeRegistry, tmp_path: Path) -> None:
    image = build_image(tmp_path / "build", make_bundle(shell.store))
    other = build_image(tmp_path / "build", make_bundle(shell.store, b"other"))
    for tag, one in (("1", image), ("2", other)):
        write_layout([one], shell.folder / "layout", ImageReference("tiny", "", tag))
    assert "oci:layout:TAG" in shell("push", "layout", PLACE).refusal(2)
    assert shell("push", "oci:layout:2", PLACE, "--json").facts["digest"] == other.descriptor.digest


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pull", f"{PLACE}:7"), 1, "404"),
        (("pull", "team/model:1"), 2, "names no registry"),
        (("pull", f"{HOST}/Team/model:1"), 2, "is no name of an image"),
        (("pull", "oci://"), 2, "is no name of an image"),
        (("push", "diabetes", "team/model"), 2, "names no registry"),
        (("push", "diabetes", f"{PLACE}@sha256:{'0' * 64}"), 2, "not to a digest"),
        (("push", "nothing", PLACE), 1, "no model 'nothing'"),
        (("push", "oci:nowhere", PLACE), 2, "is no OCI image layout"),
        (("push", "broken.tar", PLACE), 1, "is no image archive"),
        (("push", "empty", PLACE), 2, "holds no image"),
        (("list", f"oci://{HOST}/no/such"), 1, "404"),
        (("build", "diabetes", "--tag", "diabetes:1", "--push"), 2, "names no registry"),
        (("build", "diabetes", "--tag", "diabetes:1", "--dockerfile", "d", "--push"), 2, "names no registry"),
        (("show", f"oci://{PLACE}:7"), 1, "404"),
    ],
)
def test_what_cannot_be_moved_is_said_with_what_mends_it(
    stocked: Shell, fake: FakeRegistry, words: tuple[str, ...], code: int, said: str
) -> None:
    stocked.write("broken.tar", b"no tar")
    Layout.create(stocked.folder / "empty").update_index(lambda _: Index())
    assert said in stocked(*words).refusal(code)


def test_a_pickle_that_was_pulled_is_named_as_what_it_is(stocked: Shell, fake: FakeRegistry) -> None:
    model = make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(np.eye(3), np.arange(3.0))
    shipway.pack(model, name="own", store=stocked.store)
    stocked("push", "own", PLACE)
    stocked("remove", "own")
    assert "allow_pickle = true" in stocked("pull", f"{PLACE}:1").err
    stocked.write("row.json", "[[1, 2, 3]]")
    assert "was not packed here" in stocked("predict", "model", "--data", "row.json").refusal(1)
    stocked.patch.setenv("SHIPWAY_SERVER__ALLOW_PICKLE", "true")
    assert stocked("predict", "model", "--data", "row.json").code == 0


def test_an_image_is_looked_at_without_its_layers(shell: Shell, fake: FakeRegistry, tmp_path: Path) -> None:
    bundle = make_bundle(shell.store)
    images = [build_image(tmp_path / "build", bundle, Platform(name, "linux")) for name in ("amd64", "arm64")]
    session = Session({"XDG_CACHE_HOME": str(tmp_path / "cache")}, Output(quiet=True))
    pushed = push_images(session, images, ImageReference.parse(f"{PLACE}:1"))
    sent = fake.received
    assert sent == pushed.sent_bytes - pushed.descriptor.size - sum(len(one.manifest) for one in images)
    facts = inspect_image(session, f"{PLACE}:1")
    assert facts == ImageFacts(pushed.descriptor.digest, bundle.id, ("linux/amd64", "linux/arm64"))
    assert len(fake.calls("GET", "/blobs/")) == 1  # a configuration
    with pytest.raises(RemoteError):
        inspect_image(session, f"{PLACE}:2")
    with pytest.raises(UsageError):
        inspect_image(session, "team/model:1")


def test_only_the_model_travels_when_only_it_changed_and_the_base_is_taken_over(
    shell: Shell, fake: FakeRegistry, tmp_path: Path
) -> None:
    session = Session({"XDG_CACHE_HOME": str(tmp_path / "cache")}, Output(quiet=True))
    first = build_image(tmp_path / "build", make_bundle(shell.store))
    base = BaseImage(f"{HOST}/base/python:1", "", OciManifest.from_json(first.manifest), None, None, None)  # type: ignore[arg-type]
    fake.blobs["base/python"] = {first.layers[0].descriptor.digest}
    fake.layout.put_file(first.blobs[first.layers[0].descriptor.digest])
    pushed = push_images(session, [first], ImageReference.parse(f"{PLACE}:1"), [base])
    assert pushed.mounted_bytes == first.layers[0].descriptor.size
    second = build_image(tmp_path / "build", make_bundle(shell.store, b"retrained"))
    pushed = push_images(session, [second], ImageReference.parse(f"{PLACE}:2"), [base])
    assert pushed.sent_bytes == second.layers[-1].descriptor.size + len(second.config) + len(second.manifest)


def test_credentials_are_looked_for_where_docker_and_podman_keep_them(tmp_path: Path) -> None:
    assert credentials_files({}, tmp_path) == (
        tmp_path / ".docker" / "config.json",
        tmp_path / ".config" / "containers" / "auth.json",
    )
    named = {"DOCKER_CONFIG": "/d", "REGISTRY_AUTH_FILE": "/r.json", "XDG_RUNTIME_DIR": "/run", "XDG_CONFIG_HOME": "/c"}
    found = [re.sub(r"\\", "/", str(path)) for path in credentials_files(named, tmp_path)]
    assert found == ["/d/config.json", "/r.json", "/c/containers/auth.json"]
    runtime = credentials_files({"XDG_RUNTIME_DIR": "/run"}, tmp_path)[1]
    assert runtime == Path("/run/containers/auth.json")
