"""The pickle in a file: read once, unpacked within bounds, so that what is scanned is what is opened.

joblib packs a pickle with zlib, gzip, bz2, lzma or xz and knows them again by their first bytes; so do we.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from shipway.errors import NotAModel

__all__ = ["MAX_BYTES", "Payload", "read_payload"]

MAX_BYTES = 2 * 1024**3
"""Most bytes that a packed file may unpack to."""

_FREE_BYTES = 64 * 1024**2
_MAX_RATIO = 200
_HEAD = 64
_CHUNK = 1024**2
# First bytes that joblib takes for a packed file; the last two are formats that it has given up or that need a package.
_PACKED: dict[bytes, Callable[[], Any] | None] = {
    b"\x78": lambda: zlib.decompressobj(),
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZ": lambda: bz2.BZ2Decompressor(),
    b"\xfd7zXZ": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    b"\x5d\x00": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE),
    b"ZF": None,
    b"\x04\x22\x4d\x18": None,
}
# Opcodes that a pickle of protocol 0 or 1 can begin with: MARK, GLOBAL, EMPTY_DICT, EMPTY_LIST.
_OLD_STARTS = b"(c}]"


class Payload(NamedTuple):
    """The bytes of a pickle.

    Attributes:
        data: unpacked.
        certain: whether its first bytes can only be a pickle's; text may begin like one of protocol 0 or 1.
    """

    data: bytes
    certain: bool


def read_payload(path: Path) -> Payload | None:
    """Reads the pickle in the file at `path`, or gives None where its first bytes are no pickle's.

    Raises:
        NotAModel: the file cannot be read, or it is packed and cut short, broken, or unpacks to too much.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            prefix = next((prefix for prefix in _PACKED if head.startswith(prefix)), None)
            if prefix is None and not _looks_pickled(head):
                return None
            data = head + file.read()
    except OSError as error:
        raise NotAModel(
            f"{path} cannot be read: {error.strerror or error}", fix="check the path and its permissions"
        ) from error
    if prefix is not None:
        make = _PACKED[prefix]
        unpacked = make and _unpack(data, make, path)
        if unpacked is None:
            return None
        data = unpacked
    return Payload(data, certain=data[:1] == b"\x80")


def _looks_pickled(head: bytes) -> bool:
    # joblib would unpack what begins like a packed file once more, and open what was not scanned.
    if any(head.startswith(prefix) for prefix in _PACKED):
        return False
    return len(head) > 1 and ((head[0] == 0x80 and head[1] <= 5) or head[0] in _OLD_STARTS)


def _unpack(packed: bytes, make: Callable[[], Any], path: Path) -> bytes | None:
    """Unpacks all of `packed`; None where no pickle is in it."""
    allowed = min(MAX_BYTES, max(_FREE_BYTES, _MAX_RATIO * len(packed)))
    parts: list[bytes] = []
    size = 0
    try:
        for part in _parts(make(), packed):
            if not parts and not _looks_pickled(part):
                return None
            parts.append(part)
            size += len(part)
            if size > allowed:
                raise NotAModel(
                    f"{path.name} unpacks from {len(packed)} bytes to more than {allowed}",
                    fix="save it without compression: joblib.dump(model, path)",
                )
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        if not parts:
            return None
        raise NotAModel(f"{path.name} is cut short or broken: {error}", fix="save or copy the model again") from error
    return b"".join(parts)


def _parts(decompressor: Any, packed: bytes) -> Any:
    """Gives the unpacked bytes in bounded parts.

    Raises:
        EOFError: the packed bytes end before the stream does.
    """
    if hasattr(decompressor, "unconsumed_tail"):
        while not decompressor.eof:
            part = decompressor.decompress(packed, _CHUNK)
            packed = decompressor.unconsumed_tail
            if part:
                yield part
            elif not packed and not decompressor.eof:
                raise EOFError("the packed stream has no end")
        return
    while not decompressor.eof:
        part = decompressor.decompress(packed, _CHUNK)
        packed = b""
        if part:
            yield part
        elif decompressor.needs_input:
            raise EOFError("the packed stream has no end")
