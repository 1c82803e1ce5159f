"""Archives of images: what other tools write is read, what we write is read by others, and what is broken is said."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from fakes.images import add_image, tar_of
from shipway.errors import CorruptBlob, ShipwayError
from shipway.image.layer import gzip_chunks
from shipway.oci.archive import read_archive, write_archive
from shipway.oci.descriptor import LAYER_TAR_GZIP, REF_NAME, Descriptor
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout

LAYER = tar_of({"etc/motd": b"hello"})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def blobs_of(layout: Layout) -> dict[str, bytes | Path]:
    return {f"sha256:{path.name}": path for path in (layout.path / "blobs" / "sha256").iterdir()}


def docker_archive(file: Path, changes: Mapping[str, bytes | str | None] = {}) -> Path:
    """Writes what `docker save` of old writes: two layers, of which one is a link to the other."""
    diff_id = sha256_bytes(LAYER)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]}}
    manifest = [{"Config": "c.json", "RepoTags": ["a:1", "b:2"], "Layers": ["one/layer.tar", "two/layer.tar"]}]
    files: dict[str, bytes | str | None] = {
        "c.json": json.dumps(config).encode(),
        "one/layer.tar": LAYER,
        "two/layer.tar": "-> ../one/layer.tar",
        "manifest.json": json.dumps(manifest).encode(),
        **changes,
    }
    file.write_bytes(tar_of({name: content for name, content in files.items() if content is not None}))
    return file


def test_what_is_written_is_read_back(layout: Layout, tmp_path: Path) -> None:
    entry = add_image(layout, [{"a": b"1"}, {"b": b"2"}], tag="v1")
    file = tmp_path / "image.tar"
    with file.open("wb") as stream:
        write_archive(stream, (entry,), blobs_of(layout), "team/model:v1")
    other = Layout.create(tmp_path / "other")
    assert read_archive(file, other, gzip_chunks) == (entry,)
    assert blobs_of(other).keys() == blobs_of(layout).keys()


def test_the_same_image_gives_the_same_bytes(layout: Layout) -> None:
    entry = add_image(layout, [{"a": b"1"}, {"b": b"2"}])
    first, second = io.BytesIO(), io.BytesIO()
    write_archive(first, (entry,), blobs_of(layout), "m:1")
    write_archive(second, (entry,), dict(reversed(blobs_of(layout).items())), "m:1")
    assert first.getvalue() == second.getvalue()


def test_both_kinds_of_reader_find_the_image(layout: Layout) -> None:
    entry = add_image(layout, [{"a": b"1"}])
    buffer = io.BytesIO()
    write_archive(buffer, (entry,), blobs_of(layout), "m:1")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        texts = {
            name: json.loads(stream.read()) for name, stream in members.items() if stream and name.endswith(".json")
        }
        (docker,) = texts["manifest.json"]
        assert docker["RepoTags"] == ["m:1"]
        assert {docker["Config"], *docker["Layers"]} <= members.keys()
        assert texts["index.json"]["manifests"][0]["digest"] == entry.digest


def test_a_docker_archive_becomes_an_image_with_compressed_layers(layout: Layout, tmp_path: Path) -> None:
    entries = read_archive(docker_archive(tmp_path / "d.tar"), layout, gzip_chunks)
    assert [entry.annotations[REF_NAME] for entry in entries] == ["a:1", "b:2"]
    assert len({entry.digest for entry in entries}) == 1
    manifest = layout.manifest(entries[0])
    assert [layer.media_type for layer in manifest.layers] == [LAYER_TAR_GZIP] * 2
    assert manifest.layers[0] == manifest.layers[1]
    assert layout.blob(manifest.layers[0].digest).read_bytes() == b"".join(gzip_chunks([LAYER]))


@pytest.mark.parametrize(
    "changes",
    [
        {"one/layer.tar": LAYER + b"more"},
        {"one/layer.tar": None},
        {"two/layer.tar": "-> ../two/layer.tar"},
        {"two/layer.tar": "-> ../../../../etc/passwd"},
        {"c.json": b"{}"},
        {"c.json": b"[" * 100_000},
        {"c.json": b"x" * (5 << 20)},
        {"manifest.json": b"{}"},
        {"manifest.json": b'[{"Config": 1, "Layers": []}]'},
        {"manifest.json": b'[{"Config": "c.json", "Layers": []}]'},
        {"manifest.json": None},
    ],
    ids=lambda changes: " ".join(f"{name}={str(content)[:30]}" for name, content in changes.items()),
)
def test_each_way_of_being_wrong_is_said(
    layout: Layout, tmp_path: Path, changes: dict[str, bytes | str | None]
) -> None:
    with pytest.raises(ShipwayError):
        read_archive(docker_archive(tmp_path / "d.tar", changes), layout, gzip_chunks)


@pytest.mark.parametrize("data", [b"", b"text", b"\x1f\x8b\x08garbage", tar_of({"a": b"b"}), LAYER[:700]])
def test_what_is_no_archive_is_refused(layout: Layout, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(CorruptBlob):
        read_archive(tmp_path / "x.tar", layout, gzip_chunks)


@pytest.mark.parametrize("break_", ["change", "remove"])
def test_a_blob_that_is_not_its_digest_is_refused(layout: Layout, tmp_path: Path, break_: str) -> None:
    entry = add_image(layout, [{"a": b"1"}])
    layer = layout.manifest(entry).layers[0].digest
    blobs = blobs_of(layout)
    if break_ == "change":
        blobs[layer] = b"x" * layout.blob(layer).stat().st_size
    else:
        del blobs[layer]
    file = tmp_path / "image.tar"
    with file.open("wb") as stream:
        write_archive(stream, (entry,), blobs, "")
    with pytest.raises(CorruptBlob):
        read_archive(file, Layout.create(tmp_path / "other"), gzip_chunks)


def test_a_manifest_that_is_missing_is_not_written(layout: Layout) -> None:
    with pytest.raises(CorruptBlob):
        write_archive(io.BytesIO(), (Descriptor(add_image(layout, [{}]).media_type, sha256_bytes(b"?"), 1),), {}, "")
