"""The bundle in an image's layer: read as it streams, checked, and stored.

A layer may come from anywhere. Nothing of it is written under a name of its own: a file is looked up in the bundle's
manifest, which is checked against the bundle's digest first, and stored as a blob of the digest and size that the
manifest gives. So there is no path to leave by, and what is unpacked is never more than the manifest says.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self, cast

from shipway.bundle.folder import MANIFEST, OCI_MANIFEST, OWN_FILES, parse_own
from shipway.errors import CorruptBlob
from shipway.oci.descriptor import Descriptor
from shipway.oci.layer import LayerStream, open_layer
from shipway.oci.layout import Content, Layout
from shipway.spec.reference import BundleId

__all__ = ["unpack_bundle"]

_FOLDER = "models"
_MAX_OWN = 16 << 20
_MAX_BEFORE = 256 << 20
"""Bytes of a layer that may come before the bundle's manifest is read. Our own layers have it in front."""

_MAX_HEADER = 64 << 10
_BLOCKS = 2 * (tarfile.BLOCKSIZE + _MAX_HEADER)
_CHUNK = 1 << 18
_WHAT, _FIX = "the layer with the bundle", "build the image again, from a bundle that you trust"
_KINDS = frozenset(
    {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}
)


def unpack_bundle(blob: Path, layer: Descriptor, bundle: BundleId, layout: Layout) -> bytes:
    """Stores the bundle that a layer holds under `/models/NAME`.

    Args:
        blob: the layer's stored bytes, checked against its digest.
        layer: describes it.
        bundle: which one the image names.
        layout: where the blobs go. No entry of its index names them yet.

    Returns:
        The exact bytes of the bundle's OCI manifest, which is in `layout` with all that it names.

    Raises:
        CorruptBlob: the layer is damaged, holds something else, or more than the manifest says; blobs that it
            stored are garbage then.
        MissingDependency: it is compressed with zstd, and zstandard is not installed.
        DiskFull, StoreError: a blob cannot be stored.
    """
    root = f"{_FOLDER}/{bundle.name}"
    own = _read_own(blob, layer, root)
    found, manifest = parse_own(own, f"/{root} in the image")
    if found != bundle:
        raise _refused(f"holds {found}, and the image names {bundle}")
    files = {f"{root}/{file.path}": Content(file.digest, file.size) for file in manifest.files}
    _store_files(blob, layer, {**files, **{f"{root}/{name}": None for name in OWN_FILES}}, layout)
    for name in (OCI_MANIFEST, MANIFEST):
        layout.put_bytes(own[name])
    return own[OCI_MANIFEST]


def _read_own(blob: Path, layer: Descriptor, root: str) -> Mapping[str, bytes]:
    """Gives the bytes of the bundle's own files."""
    wanted = {f"{root}/{name}": name for name in OWN_FILES}
    own: dict[str, bytes] = {}
    with _open_tar(blob, layer, _MAX_BEFORE) as tar:
        for path, member in _members(tar):
            if path in wanted and member.isfile():
                if member.size > _MAX_OWN:
                    raise _refused(f"has {path} of {member.size} bytes, more than {_MAX_OWN}")
                own[wanted[path]] = b"".join(_chunks(tar, member))
            if len(own) == len(wanted):
                return own
    missing = next(path for path, name in wanted.items() if name not in own)
    raise _refused(f"lacks {missing}")


def _store_files(blob: Path, layer: Descriptor, expected: Mapping[str, Content | None], layout: Layout) -> None:
    """Stores the expected files; those of None are passed over. Anything else in the layer is refused."""
    folders = {str(parent) for path in expected for parent in PurePosixPath(path).parents}
    files_size = sum(content.size for content in expected.values() if content)
    limit = files_size + len(OWN_FILES) * _MAX_OWN + (len(expected) + len(folders) + 2) * _BLOCKS
    seen: set[str] = set()
    with _open_tar(blob, layer, limit) as tar:
        for path, member in _members(tar):
            if path in seen:
                raise _refused(f"has {path} twice")
            seen.add(path)
            if member.isdir() and path in folders:
                continue
            if not member.isfile() or path not in expected:
                raise _refused(f"has {path}, which is no part of the bundle")
            content = expected[path]
            if content and member.size != content.size:
                raise _refused(f"has {path} of {member.size} bytes; its manifest says {content.size}")
            if content:
                layout.put_stream(_chunks(tar, member), expect=content)
    missing = next((path for path in expected if path not in seen), None)
    if missing:
        raise _refused(f"lacks {missing}")


class _Header(tarfile.TarInfo):
    """A header of a tar: of a file, a folder, or a longer name of the next one. Anything else is refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type not in _KINDS:
            raise _refused(f"has {header.name}, which is neither a file nor a folder")
        # tarfile reads such a header whole into memory.
        if header.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE) and header.size > _MAX_HEADER:
            raise _refused(f"has a header of {header.size} bytes, more than {_MAX_HEADER}")
        return header


@contextmanager
def _open_tar(blob: Path, layer: Descriptor, limit: int) -> Iterator[tarfile.TarFile]:
    try:
        with open_layer(blob, layer.oci_type, _WHAT, _FIX) as unpacked:
            stream = cast("BinaryIO", LayerStream(unpacked, limit, _WHAT, _FIX))
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, tarinfo=_Header) as tar:
                yield tar
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise CorruptBlob(f"{_WHAT} is damaged: {error}", fix=_FIX) from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Gives the members in order, by their path without a leading `./`; the root itself is passed over."""
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every member
        if member.issparse():
            raise _refused(f"has {member.name}, which has holes")
        path = member.name.removeprefix("./").rstrip("/")
        if path not in ("", "."):
            yield path, member


def _chunks(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    stream = tar.extractfile(member)
    assert stream is not None
    while chunk := stream.read(_CHUNK):
        yield chunk


def _refused(what: str) -> CorruptBlob:
    return CorruptBlob(f"{_WHAT} {what}", fix=_FIX)
