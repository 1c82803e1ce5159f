"""Reads the signature of an ONNX graph from a session: tensors keep their names, axis 0 is the rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from shipway.errors import NotAModel
from shipway.spec.signature import Array, Column, DType, Label, Method, Signature, numpy_dtype

__all__ = ["describe_session", "map_classes"]

_DTYPES: dict[str, DType] = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "string": "string",
    "bool": "bool",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
}
_TENSOR = re.compile(r"tensor\((\w+)\)")
_MAPS = re.compile(r"seq\(map\((string|int64),\s*tensor\(float\)\)\)")


def describe_session(session: Any) -> Signature:
    """Gives the signature: the graph's inputs, and `predict` with the graph's outputs.

    A batch of any size, or of exactly one row, is taken. What a graph does not tell of its outputs (their rank, the
    classes of a classifier that answers mappings) is read from its answer to one row of zeros.

    Raises:
        NotAModel: an input or output has no axis of rows, another fixed batch, or a type that Shipway does not serve.
    """
    inputs = tuple(_column(entry) for entry in session.get_inputs())
    answers = _probe(session, inputs)
    outputs = []
    classes: tuple[Label, ...] | None = None
    for entry in session.get_outputs():
        answer = answers.get(entry.name)
        if _MAPS.fullmatch(entry.type):
            if not isinstance(answer, list) or not answer:
                raise NotAModel(f"the graph does not tell the classes of its output {entry.name!r}")
            classes = map_classes(answer)
            outputs.append(Column(entry.name, "float32", (len(classes),), kind="tensor"))
        elif not entry.shape and isinstance(answer, np.ndarray) and answer.ndim:
            outputs.append(_make(entry.name, _dtype(entry), (-1,) * (answer.ndim - 1)))
        else:
            outputs.append(_column(entry))
    return Signature(inputs, (Method("predict", tuple(outputs), classes),))


def map_classes(answer: list[dict[Any, float]]) -> tuple[Label, ...]:
    """Gives the classes of a classifier's mappings, in order."""
    return tuple(sorted(answer[0]))


def _column(entry: Any) -> Column:
    shape = list(entry.shape)
    if not shape:
        raise NotAModel(f"the graph's tensor {entry.name!r} has no axis of rows", fix="export with a batch axis")
    if isinstance(shape[0], int) and shape[0] > 1:
        raise NotAModel(
            f"the graph takes exactly {shape[0]} rows at a time ({entry.name!r})",
            fix="export with a batch axis that varies (dynamic_axes or dynamic_shapes)",
        )
    sizes = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in shape[1:])
    return _make(entry.name, _dtype(entry), sizes)


def _make(name: str, dtype: DType, shape: tuple[int, ...]) -> Column:
    if shape:
        return Column(name, dtype, shape, kind="tensor")
    return Column(name, dtype, kind="text" if dtype == "string" else "number")


def _dtype(entry: Any) -> DType:
    found = _TENSOR.fullmatch(entry.type)
    if found is None or found[1] not in _DTYPES:
        raise NotAModel(f"the graph's {entry.name!r} is a {entry.type}, which Shipway does not serve")
    return _DTYPES[found[1]]


def _probe(session: Any, inputs: tuple[Column, ...]) -> dict[str, Any]:
    """Gives the outputs for one row of zeros, or none where the graph does not take that."""
    names = [entry.name for entry in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, {column.name: _zeros(column) for column in inputs}), strict=True))
    except Exception:  # the runtime's errors have no common root; a graph may well refuse zeros
        return {}


def _zeros(column: Column) -> Array:
    shape = (1, *(1 if size == -1 else size for size in column.shape))
    return np.full(shape, "", object) if column.dtype == "string" else np.zeros(shape, numpy_dtype(column.dtype))
