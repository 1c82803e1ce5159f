"""Deterministic layers: the same files give the same bytes, whoever builds them, wherever and whenever.

All that varies is fixed: names are sorted with parents first and a folder's files before its folders (so that who
streams a bundle's layer meets its manifest before the files that it lists), times are `EPOCH`, the owner is root, modes
are 0644 and 0755, and the gzip header has neither name nor time. The compressed bytes also depend on the zlib that
Python was built with (`COMPRESSOR`); the diff_id does not.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from shipway.errors import ArtefactError
from shipway.image.cache import Cache
from shipway.oci.descriptor import LAYER_TAR_GZIP, Descriptor
from shipway.oci.files import file_errors

__all__ = [
    "COMPRESSOR",
    "EPOCH",
    "Layer",
    "Link",
    "Source",
    "build_layer",
    "gzip_chunks",
    "key_of",
    "read_source",
    "tar_chunks",
]

EPOCH = 315532800
"""1980-01-01: the time of every file in a layer, in seconds of Unix; the earliest that zip files can hold too."""

_LEVEL = 6
COMPRESSOR = f"zlib {zlib.ZLIB_RUNTIME_VERSION} level {_LEVEL}"
"""What the bytes of a compressed layer depend on beside its files."""

_FORMAT = "3"
"""Part of every cache key: change it with anything here that changes the bytes."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link.

    Attributes:
        target: what it points at, as it is written in the layer.
    """

    target: str


Source = bytes | Path | Link | Callable[[], bytes]
"""Where the bytes of a file come from: themselves, a file, or a function that reads or makes them; or a link."""


class Layer(msgspec.Struct, frozen=True):
    """One layer of an image.

    Attributes:
        title: what it holds, for people: `dependencies`.
        descriptor: of its stored bytes.
        diff_id: digest of its uncompressed tar.
        unpacked: size of the tar in bytes; 0 where it is not known.
    """

    title: str
    descriptor: Descriptor
    diff_id: str
    unpacked: int = 0


def build_layer(title: str, key: str, files: Callable[[], Mapping[str, Source]], cache: Cache) -> Layer:
    """Gives the layer of `files`; its bytes are in the cache's layout afterwards.

    Args:
        title: what it holds.
        key: names all that the files depend on; the files are only asked for where the cache has no layer of that key.
        files: gives the sources of the files by path in the image, relative and POSIX.
        cache: where layers are kept.

    Raises:
        ArtefactError: a path cannot be in a layer.
        DiskFull, StoreError: the cache cannot be written.
    """
    layout, found = cache.layout(), cache.recall(Layer, _FORMAT, COMPRESSOR, str(EPOCH), title, key)
    if found and layout.is_intact(found.descriptor.digest):
        return found
    hasher, size = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for chunk in tar_chunks(files()):
            hasher.update(chunk)
            size += len(chunk)
            yield chunk

    content = layout.put_stream(gzip_chunks(hashed()))
    descriptor = Descriptor(LAYER_TAR_GZIP, content.digest, content.size)
    layer = Layer(title, descriptor, f"sha256:{hasher.hexdigest()}", size)
    cache.remember(layer, _FORMAT, COMPRESSOR, str(EPOCH), title, key)
    return layer


def key_of(files: Mapping[str, bytes | Path | Link]) -> str:
    """Gives a key that names the paths and bytes of `files`.

    Raises:
        StoreError: a file cannot be read.
    """
    hasher = hashlib.sha256()
    for path, source in sorted(files.items()):
        if isinstance(source, Link):
            content = f"-> {source.target}\0"
        elif isinstance(source, bytes):
            content = hashlib.sha256(source).hexdigest()
        else:
            with file_errors(source), source.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        hasher.update(f"{content} {path}\0".encode())
    return hasher.hexdigest()


def read_source(source: Source) -> bytes:
    """Gives the bytes of a source; of a link, none.

    Raises:
        StoreError: the file cannot be read.
    """
    if isinstance(source, Link):
        return b""
    if isinstance(source, Path):
        with file_errors(source):
            return source.read_bytes()
    return source if isinstance(source, bytes) else source()


def tar_chunks(files: Mapping[str, Source]) -> Iterator[bytes]:
    """Gives the tar of `files` in pieces: parents first, files before folders, PAX headers only where a name needs one.

    Raises:
        ArtefactError: a path is absolute, leaves the root, hides another one, or is a file and a folder at once.
        StoreError: a file cannot be read.
    """
    folders = _folders(files)

    def place(path: str) -> list[tuple[bool, str]]:
        *parents, name = path.split("/")
        return [*((True, parent) for parent in parents), (path in folders, name)]

    for path in sorted(folders | files.keys(), key=place):
        info = tarfile.TarInfo(path)
        info.mtime = EPOCH
        if path in folders:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
            continue
        source = files[path]
        if isinstance(source, Link):
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, source.target
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
            continue
        info.mode = 0o644
        yield from _file_chunks(info, source)
    yield bytes(2 * tarfile.BLOCKSIZE)


def gzip_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Gives the pieces compressed, with a header that has no time and no name, whatever Python's gzip would write."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum, size = 0, 0
    yield b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # magic, deflate, no flags, no time, no extra flags, unknown system
    for chunk in chunks:
        checksum, size = zlib.crc32(chunk, checksum), size + len(chunk)
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush() + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def _file_chunks(info: tarfile.TarInfo, source: Source) -> Iterator[bytes]:
    if isinstance(source, Path):
        with file_errors(source), source.open("rb") as stream:
            info.size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
            left = info.size
            while left:
                chunk = stream.read(min(left, _CHUNK))
                if not chunk:
                    raise OSError(f"{source} became shorter while it was read")
                left -= len(chunk)
                yield chunk
    else:
        data = read_source(source)
        info.size = len(data)
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
        yield data
    yield bytes(-info.size % tarfile.BLOCKSIZE)


def _folders(files: Mapping[str, Source]) -> set[str]:
    """Gives all parents of the files."""
    folders: set[str] = set()
    for path in files:
        pure = PurePosixPath(path)
        if pure.is_absolute() or str(pure) != path or ".." in pure.parts or "\0" in path or not pure.name:
            raise ArtefactError(f"{path!r} cannot be in a layer: not a plain relative path", fix="rename the file")
        if any(part.startswith(".wh.") for part in pure.parts):
            raise ArtefactError(f"{path!r} cannot be in a layer: such a name hides another file", fix="rename the file")
        folders.update(str(parent) for parent in pure.parents if parent.name)
    if clash := folders & files.keys():
        raise ArtefactError(f"{min(clash)!r} is a file and a folder at once", fix="rename one of them")
    return folders
