"""A base: whatever form it comes in, it is checked, and what it has is found out without running it."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard

from fakes.images import PYTHON_ROOT, add_image, tar_of
from shipway.errors import CorruptBlob, ShipwayError, UsageError
from shipway.image import root
from shipway.image.base import BaseImage, read_base
from shipway.image.cache import Cache
from shipway.image.root import File, Folder, Root, read_root
from shipway.oci.archive import write_archive
from shipway.oci.descriptor import LAYER_TAR, LAYER_TAR_GZIP, LAYER_TAR_ZSTD, Descriptor
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout
from shipway.spec.image import ImageReference, Platform

AMD64 = Platform("amd64", "linux")
Files = Mapping[str, bytes | str]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "base")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def no_pull(reference: ImageReference, platform: Platform, layout: Layout) -> Descriptor:
    raise AssertionError(f"asked for {reference}")


def read(reference: object, cache: Cache, platform: Platform = AMD64) -> BaseImage:
    return read_base(str(reference), platform, cache, no_pull)


def base_of(layout: Layout, cache: Cache, *layers: Files, env: tuple[str, ...] = ()) -> BaseImage:
    add_image(layout, layers, env=env)
    return read(layout.path, cache)


def without(*names: str) -> dict[str, bytes | str]:
    return {name: content for name, content in PYTHON_ROOT.items() if name not in names}


def root_of(layout: Layout, *layers: Files | bytes) -> Root:
    tars = [layer if isinstance(layer, bytes) else tar_of(layer) for layer in layers]
    parts = [(Descriptor(LAYER_TAR, *layout.put_bytes(tar)), sha256_bytes(tar)) for tar in tars]
    return read_root(parts, layout, re.compile("keep/.*"))


def test_all_that_a_builder_must_know_is_found(layout: Layout, cache: Cache) -> None:
    base = base_of(layout, cache, PYTHON_ROOT)
    assert (base.facts.python, base.facts.python_version) == ("/usr/bin/python3", "3.11")
    assert (base.facts.glibc, base.facts.distribution, base.facts.missing) == ((2, 36), "debian 12", ())
    assert base.target.tag == "x86_64-manylinux_2_36"


def test_a_python_of_its_own_prefix_is_found_by_the_search_path(layout: Layout, cache: Cache) -> None:
    files = {
        **PYTHON_ROOT,
        "opt/py/bin/python3": "-> python",
        "opt/py/bin/python": b"",
        "opt/py/lib/python3.12/os.py": b"",
    }
    base = base_of(layout, cache, files, env=("PATH=/opt/py/bin:/usr/bin",))
    assert (base.facts.python, base.facts.python_version) == ("/opt/py/bin/python3", "3.12")


def test_an_old_glibc_is_known_by_its_files_name(layout: Layout, cache: Cache) -> None:
    files = {**without("usr/lib/x86_64-linux-gnu/libc.so.6"), "lib/x86_64-linux-gnu/libc-2.31.so": b""}
    assert base_of(layout, cache, files).facts.glibc == (2, 31)


@pytest.mark.parametrize(
    "files",
    [
        without("usr/bin/python3", "usr/bin/python3.11"),
        without("usr/bin/python3.11"),  # a link to nowhere
        {**without("usr/bin/python3.11"), "usr/bin/python3": "-> python3"},
        {**without("usr/bin/python3.11", "usr/bin/python3"), "usr/bin/python3.9": b""},
        {},
    ],
    ids=["none", "dangling", "loop", "old", "empty"],
)
def test_a_base_without_a_python_of_use_is_refused(layout: Layout, cache: Cache, files: Files) -> None:
    with pytest.raises(UsageError) as caught:
        base_of(layout, cache, files)
    assert "slim" in caught.value.fix


@pytest.mark.parametrize("name", ["usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libstdc++.so.6"])
def test_a_base_that_wheels_cannot_run_in_is_refused(layout: Layout, cache: Cache, name: str) -> None:
    base = base_of(layout, cache, without(name))
    with pytest.raises(UsageError):
        _ = base.target


def test_what_is_known_of_a_base_is_found_out_once(layout: Layout, cache: Cache) -> None:
    base = base_of(layout, cache, PYTHON_ROOT)
    layout.blob(base.manifest.layers[0].digest).unlink()
    assert read(layout.path, cache).facts == base.facts


def test_a_tag_chooses_among_images_and_is_needed_where_there_are_several(layout: Layout, cache: Cache) -> None:
    one = add_image(layout, [PYTHON_ROOT], tag="one")
    assert read(layout.path, cache).digest == one.digest
    two = add_image(layout, [PYTHON_ROOT, {"x": b""}], tag="two")
    assert read(f"oci:{layout.path}:two", cache).digest == two.digest
    for reference in (f"oci:{layout.path}", f"oci:{layout.path}:three"):
        with pytest.raises(UsageError, match="one, two"):
            read(reference, cache)


def test_the_image_of_the_platform_is_taken(layout: Layout, cache: Cache) -> None:
    add_image(layout, [PYTHON_ROOT])
    arm = add_image(layout, [PYTHON_ROOT, {"x": b""}], platform=Platform("arm64", "linux"))
    base = read(layout.path, cache, Platform.parse("arm64"))
    assert base.digest == arm.digest
    assert base.target.tag == "aarch64-manylinux_2_36"


def test_an_archive_is_a_base_too(layout: Layout, cache: Cache, tmp_path: Path) -> None:
    entry = add_image(layout, [PYTHON_ROOT])
    blobs = {f"sha256:{path.name}": path for path in (layout.path / "blobs" / "sha256").iterdir()}
    with (tmp_path / "base.tar").open("wb") as stream:
        write_archive(stream, (entry,), blobs, "base:1")
    assert read(tmp_path / "base.tar", cache).digest == entry.digest


def test_a_name_is_asked_of_its_registry_and_stands_in_the_base(layout: Layout, cache: Cache) -> None:
    asked: list[str] = []

    def pull(reference: ImageReference, platform: Platform, into: Layout) -> Descriptor:
        asked.append(f"{reference} {platform}")
        return add_image(into, [PYTHON_ROOT])

    base = read_base("registry.test/python:3.11", AMD64, cache, pull)
    assert asked == ["registry.test/python:3.11 linux/amd64"]
    assert base.name == "registry.test/python:3.11"


@pytest.mark.parametrize("reference", ["./missing", "missing.tar", "/no/where", "python:3.11", "", "A B"])
def test_what_is_nowhere_is_said(reference: str, cache: Cache) -> None:
    with pytest.raises(ShipwayError) as caught:
        read(reference, cache)
    assert caught.value.fix


def test_a_damaged_layer_is_found(layout: Layout, cache: Cache) -> None:
    entry = add_image(layout, [PYTHON_ROOT])
    blob = layout.blob(layout.manifest(entry).layers[0].digest)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptBlob):
        read(layout.path, cache)
    blob.unlink()
    with pytest.raises(CorruptBlob):
        read(layout.path, cache)


# The layers' own rules.


def test_whiteouts_hide_what_lies_lower_and_nothing_else(layout: Layout) -> None:
    seen = root_of(
        layout,
        {"a/x": b"", "a/y": b"", "b/x": b"", "c/x": b"", "d": b""},
        {"a/.wh.x": b"", "b/.wh..wh..opq": b"", "b/new": b"", ".wh.c": b"", "c/new": b"", ".wh.missing": b""},
    )
    assert (seen.names("/"), seen.names("a"), seen.names("b"), seen.names("c")) == (
        ["a", "b", "c", "d"],
        ["y"],
        ["new"],
        ["new"],
    )


def test_the_upper_layer_counts(layout: Layout) -> None:
    seen = root_of(layout, {"keep/a": b"1", "f/x": b"", "d": b""}, {"keep/a": b"2", "f": b"", "d/": b"", "keep/": b""})
    assert seen.find("keep/a") == File(b"2")
    assert isinstance(seen.find("f"), File)
    assert isinstance(seen.find("d"), Folder)


def test_links_stay_within_the_root(layout: Layout) -> None:
    seen = root_of(
        layout,
        {"keep/a": b"1", "up": "-> ../../../keep/a", "abs": "-> /keep", "dir": "-> keep/..", "hard": "=> keep/a",
         "loop": "-> loop", "lib": "-> usr/lib", "usr/lib/x": b""},
        {"lib/y": b""},
    )  # fmt: skip
    assert seen.find("up") == seen.find("abs/a") == seen.find("dir/keep/a") == seen.find("hard") == File(b"1")
    assert seen.resolve("abs/../up") == "/keep/a"
    assert seen.find("loop") is None
    assert seen.find("keep/a/b") is None
    assert seen.names("usr/lib") == ["x", "y"]
    assert seen.find("../..") == seen.folder


@pytest.mark.parametrize(
    ("media_type", "pack"),
    [(LAYER_TAR, bytes), (LAYER_TAR_GZIP, gzip.compress), (LAYER_TAR_ZSTD, zstandard.compress)],
)
def test_every_compression_is_read(layout: Layout, media_type: str, pack: object) -> None:
    tar = tar_of({"keep/a": b"1"})
    packed: bytes = pack(tar)  # type: ignore[operator]
    part = Descriptor(media_type, *layout.put_bytes(packed))
    assert read_root([(part, sha256_bytes(tar))], layout, re.compile("keep/.*")).find("keep/a") == File(b"1")


@pytest.mark.parametrize("media_type", [LAYER_TAR, LAYER_TAR_GZIP, LAYER_TAR_ZSTD, "some/thing"])
@pytest.mark.parametrize("data", [b"", b"text" * 300, gzip.compress(b"x" * 600)[:-9], tar_of({"a": b"b" * 600})[:900]])
def test_a_layer_that_is_none_is_refused(layout: Layout, media_type: str, data: bytes) -> None:
    part = Descriptor(media_type, *layout.put_bytes(data))
    with pytest.raises(CorruptBlob):
        read_root([(part, sha256_bytes(b"other"))], layout, re.compile("x"))


def test_a_layer_of_another_diff_id_is_refused(layout: Layout) -> None:
    part = Descriptor(LAYER_TAR, *layout.put_bytes(tar_of({"a": b""})))
    with pytest.raises(CorruptBlob, match="unpacks to"):
        read_root([(part, sha256_bytes(b"other"))], layout, re.compile("x"))


def test_a_bomb_is_not_unpacked_to_its_end(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_MAX_UNPACKED", 10 << 20)
    tar = tar_of({"big": bytes(40 << 20)})
    part = Descriptor(LAYER_TAR_GZIP, *layout.put_bytes(gzip.compress(tar, 1)))
    with pytest.raises(CorruptBlob, match="more than"):
        read_root([(part, sha256_bytes(tar))], layout, re.compile("x"))


def test_names_that_leave_the_root_make_nothing_outside(layout: Layout) -> None:
    seen = root_of(layout, {"../../x": b"", "/abs/x": b"", "a/../../../b": b"", "./dot/x": b""})
    assert isinstance(seen.find("abs/x"), File)
    assert isinstance(seen.find("dot/x"), File)


def test_devices_and_pipes_are_passed_over(layout: Layout) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in (("dev/null", tarfile.CHRTYPE), ("pipe", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            tar.addfile(info)
    assert root_of(layout, buffer.getvalue()).names("/") == ["dev", "pipe"]
