"""A layer's tar as it is read: decompressed while it streams, with a limit on what comes out."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from shipway.errors import CorruptBlob, MissingDependency
from shipway.oci.descriptor import LAYER_TAR, LAYER_TAR_GZIP, LAYER_TAR_ZSTD

__all__ = ["LayerStream", "open_layer"]

_CHUNK = 1 << 18


class LayerStream:
    """What a layer unpacks to, for `tarfile` to read.

    Args:
        stream: gives the unpacked bytes.
        limit: most bytes that may come out.
        what: how errors name the layer: `a layer of the base`.
        fix: what mends it.
    """

    def __init__(self, stream: IO[bytes], limit: int, what: str, fix: str) -> None:
        self._stream, self._limit, self._what, self._fix = stream, limit, what, fix
        self._size = 0

    def read(self, size: int = _CHUNK) -> bytes:
        """Gives at most `size` bytes.

        Raises:
            CorruptBlob: the layer is damaged, or more than the limit comes out.
        """
        try:
            data = self._stream.read(size)
        except Exception as error:  # each decompressor has errors of its own
            raise CorruptBlob(f"{self._what} is damaged: {error}", fix=self._fix) from error
        self._size += len(data)
        if self._size > self._limit:
            raise CorruptBlob(f"{self._what} unpacks to more than {self._limit} bytes", fix=self._fix)
        return data


@contextmanager
def open_layer(path: Path, media_type: str, what: str, fix: str) -> Iterator[BinaryIO]:
    """Opens what the layer at `path` unpacks to.

    Args:
        path: its stored bytes, already checked against their digest.
        media_type: in OCI's name.
        what: how errors name the layer.
        fix: what mends it.

    Raises:
        CorruptBlob: it is of an unknown kind.
        MissingDependency: it needs zstandard.
    """
    if media_type == LAYER_TAR:
        opened: IO[bytes] = path.open("rb")
    elif media_type == LAYER_TAR_GZIP:
        opened = cast("IO[bytes]", gzip.GzipFile(path, "rb"))
    elif media_type == LAYER_TAR_ZSTD:
        try:
            import zstandard
        except ImportError as error:
            raise MissingDependency(f"{what} is compressed with zstd", fix='pip install "shipway[build]"') from error
        opened = zstandard.open(path, "rb")
    else:
        raise CorruptBlob(f"{what} is of an unknown kind, {media_type}", fix=fix)
    with opened as stream:
        yield cast("BinaryIO", stream)
