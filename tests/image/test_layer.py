"""Layers: the same files give the same bytes, and what comes out of the tar is what went in."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.errors import ArtefactError, StoreError
from shipway.image.cache import Cache
from shipway.image.layer import EPOCH, Layer, Link, Source, build_layer, gzip_chunks, key_of, tar_chunks
from shipway.oci.digest import sha256_bytes

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and not name.startswith(".wh.")
)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=4).map("/".join), st.binary(max_size=700), max_size=6
).filter(lambda tree: not any(other.startswith(f"{path}/") for path in tree for other in tree))


def tar_of(files: Mapping[str, Source]) -> bytes:
    return b"".join(tar_chunks(files))


@given(trees, st.randoms())
@settings(max_examples=40)
def test_the_same_files_in_any_order_give_the_same_bytes(tree: dict[str, bytes], random: object) -> None:
    items = list(tree.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert tar_of(dict(items)) == tar_of(tree)


@given(trees)
@settings(max_examples=40)
def test_what_comes_out_is_what_went_in(tree: dict[str, bytes]) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(tree))) as tar:
        members = tar.getmembers()
        files = {member.name: tar.extractfile(member) for member in members if member.isfile()}
        assert {name: stream.read() for name, stream in files.items() if stream} == tree
    seen: set[str] = set()
    for member in members:
        parent = member.name.rpartition("/")[0]
        assert not parent or parent in seen
        assert member.name not in seen
        seen.add(member.name)
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", EPOCH)
        assert member.mode == (0o755 if member.isdir() else 0o644)


def test_all_kinds_of_sources_give_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 3_000_000)
    os.utime(file, (1, 1))
    file.chmod(0o777)
    data = file.read_bytes()
    assert tar_of({"a/f": file}) == tar_of({"a/f": data}) == tar_of({"a/f": lambda: data})


@given(st.lists(st.binary(max_size=300), max_size=10))
@settings(max_examples=30)
def test_gzip_is_gzip_and_does_not_depend_on_how_the_bytes_come(chunks: list[bytes]) -> None:
    packed = b"".join(gzip_chunks(chunks))
    assert gzip.decompress(packed) == b"".join(chunks)
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert b"".join(gzip_chunks([b"".join(chunks)])) == packed


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../up",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "",
        ".",
        "..",
        ".wh.a",
        "a/.wh..wh..opq",
        "a/.wh.b/c",
        "a\0b",
    ],
)
def test_a_path_that_would_do_harm_is_refused(path: str) -> None:
    with pytest.raises(ArtefactError):
        tar_of({path: b""})


def test_a_file_and_a_folder_of_one_name_are_refused() -> None:
    with pytest.raises(ArtefactError):
        tar_of({"a": b"", "a/b": b""})


def test_a_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        tar_of({"a": tmp_path / "missing"})


def test_a_layer_knows_its_digests_and_its_bytes_are_in_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    layer = build_layer("t", "k", lambda: {"a/b": b"c"}, cache)
    stored = cache.layout().read(layer.descriptor.digest, layer.descriptor.size)
    assert layer.diff_id == sha256_bytes(gzip.decompress(stored)) == sha256_bytes(tar_of({"a/b": b"c"}))
    assert layer.unpacked == len(gzip.decompress(stored))


def test_an_unchanged_layer_is_not_made_again_and_a_damaged_one_is(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    asked: list[str] = []

    def build(key: str) -> Layer:
        return build_layer("t", key, lambda: asked.append(key) or {"a": key.encode()}, cache)  # type: ignore[func-returns-value]

    first = build("1")
    assert build("1") == first
    assert build("2") != first
    assert asked == ["1", "2"]
    cache.layout().blob(first.descriptor.digest).write_bytes(b"damaged")
    cache.layout().blob(first.descriptor.digest).unlink()
    assert build("1") == first
    assert asked == ["1", "2", "1"]
    assert cache.layout().is_intact(first.descriptor.digest)


def test_a_blob_damaged_in_place_is_written_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    layer = build_layer("t", "k", lambda: {"a": b"x"}, cache)
    path = cache.layout().blob(layer.descriptor.digest)
    path.write_bytes(b"\0" * layer.descriptor.size)
    assert build_layer("t", "k", lambda: {"a": b"x"}, cache) == layer
    assert cache.layout().is_intact(layer.descriptor.digest)


def test_a_key_names_paths_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    assert key_of({"a": b"1", "b": b"2"}) == key_of({"b": b"2", "a": tmp_path / "f"})
    assert (
        len({key_of({"a": b"1"}), key_of({"a": b"2"}), key_of({"b": b"1"}), key_of({}), key_of({"a": b"1", "b": b""})})
        == 5
    )


def test_a_link_is_written_as_one_and_has_a_key_of_its_own(tmp_path: Path) -> None:
    link: dict[str, Source] = {"usr/src/app": Link("/models/a/artefact"), "usr/src/file": b"1"}
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_chunks(link)))) as tar:
        member = tar.getmember("usr/src/app")
        assert member.issym()
        assert (member.linkname, member.mtime, member.mode) == ("/models/a/artefact", EPOCH, 0o777)
    assert key_of({"app": Link("/a")}) != key_of({"app": Link("/b")}) != key_of({"app": b"-> /b"})
