"""Tells an ONNX file by its bytes: the top-level fields of its protobuf message, without parsing what is in them.

The message is `ModelProto` of onnx.proto: 1 ir_version (varint), 7 graph (bytes), 8 opset_import (bytes), and others.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from shipway.errors import NotAModel

__all__ = ["is_onnx"]

_VARINT, _BYTES = 0, 2
# Field numbers with their wire types, as onnx.proto has them today.
_FIELDS = {
    1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES, 8: _BYTES,
    14: _BYTES, 20: _BYTES, 25: _BYTES, 26: _BYTES,
}  # fmt: skip
_IR_VERSION, _GRAPH = 1, 7
_MAX_IR_VERSION = 1000


def is_onnx(path: Path) -> bool:
    """Whether the file is an ONNX model.

    Raises:
        NotAModel: it begins as one and is cut short, or cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _walk(file, size, path.name)
    except OSError as error:
        raise NotAModel(
            f"{path} cannot be read: {error.strerror or error}", fix="check the path and its permissions"
        ) from error


def _walk(file: BinaryIO, size: int, name: str) -> bool:
    seen: set[int] = set()
    while file.tell() < size:
        tag = _varint(file)
        if tag is None:
            break
        field, wire = tag >> 3, tag & 7
        if _FIELDS.get(field) != wire:
            return False
        value = _varint(file)
        if value is None:
            break
        if field == _IR_VERSION and not 0 < value <= _MAX_IR_VERSION:
            return False
        seen.add(field)
        if wire == _BYTES:
            if file.tell() + value > size:
                break
            file.seek(value, 1)
    else:
        return {_IR_VERSION, _GRAPH} <= seen
    if _IR_VERSION in seen:
        raise NotAModel(f"{name} is an ONNX model that is cut short", fix="export or copy the model again")
    return False


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
