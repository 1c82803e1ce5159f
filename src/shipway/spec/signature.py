"""The signature of a predictor: what goes in, what comes out, by name, dtype and shape.

Data is columns: a mapping from a column's name to an array whose axis 0 is the rows. A column's `shape` is that of one
cell: `()` for a number in a table, `(3, 224, 224)` for a picture, `-1` where any size goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:  # the server of a web app reads manifests too, and needs no numpy
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Array",
    "Column",
    "Columns",
    "DType",
    "Kind",
    "Label",
    "Matrix",
    "Method",
    "Signature",
    "numpy_dtype",
    "row_count",
]

Array: TypeAlias = "npt.NDArray[Any]"
Columns = Mapping[str, Array]
"""Named columns; every array has the same length along axis 0. Text columns hold `str` or None in an object array."""


class Matrix(Mapping[str, Array]):
    """Columns of one dtype that are one array [rows, columns]; each column is a view of it.

    It saves a table of numbers from being taken apart and put together again between its reader and its model.

    Attributes:
        cells: the array.
    """

    __slots__ = ("_names", "cells")

    def __init__(self, names: tuple[str, ...], cells: Array) -> None:
        self._names = names
        self.cells = cells

    def __getitem__(self, name: str) -> Array:
        try:
            index = self._names.index(name)
        except ValueError:
            raise KeyError(name) from None
        return self.cells[:, index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


DType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "string",
]  # fmt: skip
Kind = Literal["number", "category", "text", "image", "tensor"]
Label = bool | int | float | str


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One named input or output.

    Attributes:
        name: as callers write it.
        dtype: of one cell, under numpy's name; `string` for text of any length.
        shape: of one cell; `()` for a scalar, -1 for a size that varies.
        kind: what it means to a person: decides the form field, the validation and the statistics kept of it.
        nullable: whether a cell may be missing (null in JSON, NaN in a number, None in text).
        categories: the values seen when packed, for `category`; others are still passed on, as the model may know
            what to do with them (`handle_unknown`).
        example: a value to show in forms and documentation.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...] = ()
    kind: Kind = "number"
    nullable: bool = False
    categories: tuple[Label, ...] | None = None
    example: Label | None = None

    @property
    def is_scalar(self) -> bool:
        """Whether a cell is one value and not an array."""
        return not self.shape


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing a predictor can be asked, under scikit-learn's names.

    Attributes:
        name: `predict`, `predict_proba`, `decision_function`, `transform`, …
        outputs: what it gives; a single output bears the method's name, except in tensor models, which keep theirs.
        classes: the labels in the order in which `predict_proba` or `decision_function` gives them.
    """

    name: str
    outputs: tuple[Column, ...]
    classes: tuple[Label, ...] | None = None


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Inputs and methods of a predictor.

    Attributes:
        inputs: in the order in which the model takes them.
        methods: the first is the default one.
    """

    inputs: tuple[Column, ...]
    methods: tuple[Method, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns' names, in order."""
        return tuple(column.name for column in self.inputs)

    @property
    def is_numeric_table(self) -> bool:
        """Whether all inputs are scalar numbers of one dtype: such a table is one matrix [rows, columns]."""
        return len({column.dtype for column in self.inputs}) == 1 and all(
            column.is_scalar and column.dtype != "string" for column in self.inputs
        )

    def method(self, name: str) -> Method | None:
        """Gives the method called `name`, or None."""
        return next((method for method in self.methods if method.name == name), None)


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """Gives numpy's dtype for a column's; object for `string`, so that text of any length and None fit."""
    import numpy as np

    return np.dtype(object) if dtype == "string" else np.dtype(dtype)


def row_count(columns: Columns) -> int:
    """Gives the number of rows; 0 where there are no columns."""
    if isinstance(columns, Matrix):
        return len(columns.cells)
    return next((len(array) for array in columns.values()), 0)
