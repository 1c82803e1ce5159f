"""Tars of images: what `docker save` and OCI tools write, read into a layout; and one that all of them read.

Members are looked up by name and never unpacked to the file system.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import msgspec

from shipway.errors import CorruptBlob
from shipway.oci.descriptor import (
    IMAGE_CONFIG,
    INDEXES,
    LAYER_TAR_GZIP,
    MANIFEST,
    MANIFESTS,
    MAX_MANIFEST,
    REF_NAME,
    Descriptor,
    Index,
    OciManifest,
)
from shipway.oci.files import file_errors
from shipway.oci.layout import Layout
from shipway.spec.image import ImageConfig

__all__ = ["read_archive", "write_archive"]

_CHUNK = 1 << 20
_MAX_MEMBERS = 100_000
Compress = Callable[[Iterable[bytes]], Iterable[bytes]]


def read_archive(path: Path, layout: Layout, compress: Compress) -> tuple[Descriptor, ...]:
    """Reads an image archive into `layout`.

    Args:
        path: a tar, compressed or not: with `index.json` (OCI) or else with `manifest.json` (`docker save`).
        layout: where the blobs go.
        compress: makes gzip of the layers that a Docker archive holds uncompressed.

    Returns:
        The manifests or indexes that it holds, with their tags as annotations.

    Raises:
        CorruptBlob: it is no such archive, or a part is missing or not what its digest says.
    """
    try:
        with file_errors(path), tarfile.open(path, "r:*") as tar:
            members = _Members(tar)
            if "index.json" in members.names and "oci-layout" in members.names:
                return _read_oci(members, layout)
            if "manifest.json" in members.names:
                return _read_docker(members, layout, compress)
    except (tarfile.TarError, EOFError, RecursionError) as error:
        raise CorruptBlob(
            f"{path} is no image archive: {error}", fix="make it again: docker save -o FILE IMAGE"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, IndexError) as error:
        raise CorruptBlob(f"{path} is a damaged image archive: {error}", fix="make it again") from error
    raise CorruptBlob(
        f"{path} is no image archive: it has neither index.json nor manifest.json", fix="docker save -o FILE IMAGE"
    )


def write_archive(
    stream: BinaryIO, manifests: Iterable[Descriptor], blobs: Mapping[str, bytes | Path], name: str
) -> None:
    """Writes a tar that OCI tools and Docker of any age read; the same arguments give the same bytes.

    Args:
        stream: where it goes.
        manifests: what `index.json` names; what is an image's manifest also stands in `manifest.json`.
        blobs: all blobs by digest.
        name: the image's full name with its tag, or nothing.

    Raises:
        CorruptBlob: a blob that is needed is not among `blobs`.
        DiskFull, StoreError: it cannot be written.
    """
    entries = tuple(manifests)
    docker = [_docker_entry(blobs, entry, name) for entry in entries if entry.media_type in MANIFESTS]
    files: dict[str, bytes | Path] = {_blob_name(digest): source for digest, source in blobs.items()}
    files["index.json"] = Index(entries).to_json()
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    if docker:
        files["manifest.json"] = msgspec.json.encode(docker, order="sorted")
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in ("blobs", "blobs/sha256"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for path, source in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.mode = 0o644
            if isinstance(source, bytes):
                info.size = len(source)
                tar.addfile(info, io.BytesIO(source))
            else:
                with file_errors(source), source.open("rb") as content:
                    info.size = source.stat().st_size
                    tar.addfile(info, content)


def _docker_entry(blobs: Mapping[str, bytes | Path], entry: Descriptor, name: str) -> dict[str, Any]:
    source = blobs.get(entry.digest)
    if source is None:
        raise CorruptBlob(f"{entry.digest} is missing from the image")
    manifest = OciManifest.from_json(source if isinstance(source, bytes) else source.read_bytes())
    return {
        "Config": _blob_name(manifest.config.digest),
        "RepoTags": [name] if name else [],
        "Layers": [_blob_name(layer.digest) for layer in manifest.layers],
    }


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


class _Members:
    """The files of a tar by their normal names; links are followed within the tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.names: dict[str, tarfile.TarInfo] = {}
        for member in tar:
            self.names[posixpath.normpath(member.name)] = member
            if len(self.names) > _MAX_MEMBERS:
                raise CorruptBlob(f"the archive has more than {_MAX_MEMBERS} members")

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """Opens a member; gives its stream and size."""
        name = posixpath.normpath(name)
        for _ in range(8):
            member = self.names.get(name)
            if member is None:
                break
            if member.isfile():
                stream = self._tar.extractfile(member)
                assert stream is not None
                return stream, member.size
            if member.issym():
                name = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                name = posixpath.normpath(member.linkname)
            else:
                break
        raise CorruptBlob(f"the archive lacks {name!r}", fix="make it again")

    def read(self, name: str, limit: int = MAX_MANIFEST) -> bytes:
        """Reads a small member."""
        stream, size = self.open(name)
        if size > limit:
            raise CorruptBlob(f"{name!r} in the archive is larger than {limit} bytes")
        return stream.read()

    def chunks(self, name: str) -> Iterator[bytes]:
        """Gives a member's bytes in pieces."""
        stream, _ = self.open(name)
        while chunk := stream.read(_CHUNK):
            yield chunk


def _read_oci(members: _Members, layout: Layout) -> tuple[Descriptor, ...]:
    index = Index.from_json(members.read("index.json"))
    waiting, seen = list(index.manifests), set[str]()
    while waiting:
        entry = waiting.pop()
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        name = _blob_name(entry.digest)
        if entry.media_type in INDEXES | MANIFESTS:
            if posixpath.normpath(name) not in members.names:
                continue  # an archive of one platform may name the others
            layout.put_stream(members.chunks(name), expect=entry)
            parse = Index.from_json if entry.media_type in INDEXES else OciManifest.from_json
            waiting += parse(layout.read(entry.digest)).references
        elif not layout.has(entry.digest, entry.size):
            layout.put_stream(members.chunks(name), expect=entry)
    return index.manifests


def _read_docker(members: _Members, layout: Layout, compress: Compress) -> tuple[Descriptor, ...]:
    found: list[Descriptor] = []
    for image in msgspec.json.decode(members.read("manifest.json")):
        data = members.read(image["Config"])
        config = ImageConfig.from_json(data)
        if len(image["Layers"]) != len(config.rootfs.diff_ids):
            raise CorruptBlob("the archive has another number of layers than its configuration says")
        layers = tuple(
            _compressed(members, name, diff_id, layout, compress)
            for name, diff_id in zip(image["Layers"], config.rootfs.diff_ids, strict=True)
        )
        content = layout.put_bytes(data)
        manifest = layout.put_bytes(OciManifest(Descriptor(IMAGE_CONFIG, *content), layers).to_json())
        for tag in image.get("RepoTags") or [""]:
            found.append(
                Descriptor(MANIFEST, *manifest, annotations={REF_NAME: tag} if tag else {}, platform=config.platform)
            )
    if not found:
        raise CorruptBlob("the archive's manifest.json names no image", fix="make it again")
    return tuple(found)


def _compressed(members: _Members, name: str, diff_id: str, layout: Layout, compress: Compress) -> Descriptor:
    """Stores a layer of a Docker archive as gzip, checked against its diff_id."""
    hasher = hashlib.sha256()
    head = next(members.chunks(name), b"")[:4]
    if head[:2] == b"\x1f\x8b":
        return Descriptor(LAYER_TAR_GZIP, *layout.put_stream(members.chunks(name)))

    def hashed() -> Iterator[bytes]:
        for chunk in members.chunks(name):
            hasher.update(chunk)
            yield chunk
        if f"sha256:{hasher.hexdigest()}" != diff_id:
            raise CorruptBlob(f"the layer {name!r} in the archive is not {diff_id}", fix="make it again")

    return Descriptor(LAYER_TAR_GZIP, *layout.put_stream(compress(hashed())))
