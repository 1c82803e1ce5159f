"""Rows as people write them (JSON values, records of a CSV file) to typed columns by the signature, and back.

What is ambiguous, the signature decides. `depth` is how many lists are nested; a scalar cell has depth 0.

- An object is one record, unless its values lie one list deeper than the columns' cells: then it is columns of rows.
- A list of objects is records, a list of lists is rows in the signature's order.
- A flat list is rows for a model of one column, and one record for others.

Numbers are checked, never guessed: text is not parsed as a number, true is not 1, null is a missing value where the
signature allows one, and infinities (also as numbers past the dtype's range) are refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shipway.errors import InvalidInput, TooLarge
from shipway.spec.signature import Array, Column, Columns, Matrix, Signature, numpy_dtype
from shipway.spec.words import LONGEST_WORD, did_you_mean

__all__ = ["RowReader", "Rows", "array_of", "cells_of", "check_row_count", "records_of"]


class Rows(NamedTuple):
    """Columns, and whether the caller wrote one record and so wants one answer."""

    columns: Columns
    single: bool


class RowReader:
    """Reads rows for one signature. Made once a model; safe to share between threads.

    Args:
        signature: the model's.
        ignore_extra: whether columns that the model does not know are ignored rather than refused.
        most_rows: how many rows are read at once; more are refused before they are looked at. None for any number.
    """

    def __init__(self, signature: Signature, *, ignore_extra: bool = False, most_rows: int | None = None) -> None:
        self._most_rows = most_rows
        self._columns = signature.inputs
        self._names = signature.names
        self._known = frozenset(self._names)
        self._ignore_extra = ignore_extra
        # A record of plain float64 numbers is what most calls are; its values come out in one C call.
        plain = signature.is_numeric_table and signature.inputs[0].dtype == "float64"
        self._plain_values = operator.itemgetter(*self._names) if plain and len(self._names) > 1 else None

    def read(self, value: Any) -> Rows:
        """Reads a decoded JSON value.

        Returns:
            Columns in the signature's order, dtypes and shapes.

        Raises:
            InvalidInput: the value does not fit; names the column and row to blame.
            TooLarge: it has more rows than are read at once.
        """
        if isinstance(value, dict):
            fast = self._read_plain_record(value)
            return fast or self._read_object(value)
        if isinstance(value, list):
            return self._read_list(value)
        raise InvalidInput(
            f"expected an object or a list of rows, got {_describe(value)}", fix=f"send {self._sketch()}"
        )

    def read_records(self, records: Sequence[Mapping[str, Any]]) -> Columns:
        """Reads records, one a row.

        Raises:
            InvalidInput: a record has a wrong, missing or unknown column.
            TooLarge: there are more than are read at once.
        """
        self._check_count(len(records))
        for row, record in enumerate(records):
            if not isinstance(record, Mapping):
                raise InvalidInput(f"row {row}: expected an object, got {_describe(record)}", row=row)
            self._check_names(record, row)
        return {column.name: array_of(column, [record[column.name] for record in records]) for column in self._columns}

    def _read_plain_record(self, record: dict[str, Any]) -> Rows | None:
        if self._plain_values is None or len(record) != len(self._names):
            return None
        try:
            values = self._plain_values(record)
        except KeyError:
            return None
        if not {float, int}.issuperset(map(type, values)):
            return None
        try:
            if not math.isfinite(sum(values)):
                return None
            matrix = np.array(values, dtype=np.float64).reshape(1, -1)
        except OverflowError:
            return None
        return Rows(Matrix(self._names, matrix), single=True)

    def _read_object(self, value: dict[str, Any]) -> Rows:
        self._check_names(value, None)
        deeper = {column.name: _depth(value[column.name]) - len(column.shape) for column in self._columns}
        if all(extra == 1 for extra in deeper.values()):
            lengths = {name: len(value[name]) for name in deeper}
            expected = next(iter(lengths.values()))
            for name, length in lengths.items():
                if length != expected:
                    raise InvalidInput(
                        f"column {name!r} has {length} rows and {self._names[0]!r} has {expected}",
                        column=name,
                        fix="give every column as many rows",
                    )
            if not expected:
                raise InvalidInput("the columns are empty", fix=f"send {self._sketch()}")
            self._check_count(expected)
            return Rows({column.name: array_of(column, value[column.name]) for column in self._columns}, single=False)
        if any(extra == 1 for extra in deeper.values()):
            one = next(name for name, extra in deeper.items() if extra == 1)
            other = next(name for name, extra in deeper.items() if extra != 1)
            raise InvalidInput(
                f"column {one!r} holds a list and {other!r} does not",
                column=one,
                fix="send one record (a value a column) or columns (a list a column)",
            )
        return Rows({column.name: array_of(column, [value[column.name]]) for column in self._columns}, single=True)

    def _read_list(self, value: list[Any]) -> Rows:
        if not value:
            raise InvalidInput("the list of rows is empty", fix=f"send {self._sketch()}")
        if isinstance(value[0], dict):
            return Rows(self.read_records(value), single=False)
        if len(self._columns) == 1:
            return self._read_one_column(value)
        if isinstance(value[0], list):
            return Rows(self._from_rows(value), single=False)
        return Rows(self._from_rows([value]), single=True)

    def _read_one_column(self, value: list[Any]) -> Rows:
        column = self._columns[0]
        extra = _depth(value) - len(column.shape)
        if extra == 2:
            return Rows(self._from_rows(value), single=False)
        cells, single = ([value], True) if extra == 0 and column.shape else (value, False)
        self._check_count(len(cells))
        return Rows({column.name: array_of(column, cells)}, single)

    def _from_rows(self, rows: list[Any]) -> Columns:
        self._check_count(len(rows))
        width = len(self._columns)
        for index, row in enumerate(rows):
            if not isinstance(row, list):
                raise InvalidInput(f"row {index}: expected a list of {width} values, got {_describe(row)}", row=index)
            if len(row) != width:
                raise InvalidInput(
                    f"row {index} has {len(row)} values; the model takes {width}: {_some(self._names)}",
                    row=index,
                    fix="send the columns in this order, or as objects with names",
                )
        return {
            column.name: array_of(column, list(cells))
            for column, cells in zip(self._columns, zip(*rows, strict=True), strict=True)
        }

    def _check_count(self, rows: int) -> None:
        if self._most_rows is not None:
            check_row_count(rows, self._most_rows)

    def _check_names(self, record: Mapping[str, Any], row: int | None) -> None:
        where = "" if row is None else f"row {row}: "
        if not self._ignore_extra and not self._known.issuperset(record):
            name = next(key for key in record if key not in self._known)[:LONGEST_WORD]
            missing = [known for known in self._names if known not in record]
            hint = did_you_mean(name, missing) or f"the model takes {_some(self._names)}"
            raise InvalidInput(f"{where}unknown column {name!r}", column=name, row=row, fix=hint)
        if not self._known.issubset(record):
            name = next(known for known in self._names if known not in record)
            raise InvalidInput(
                f"{where}missing column {name!r}", column=name, row=row, fix=f"the model takes {_some(self._names)}"
            )

    def _sketch(self) -> str:
        parts = [f'"{name}": …' for name in self._names[:3]] + (["…"] if len(self._names) > 3 else [])
        return "{" + ", ".join(parts) + "}"


def check_row_count(rows: int, most: int) -> None:
    """Checks that a request has no more rows than are read at once.

    Raises:
        TooLarge: it has more than `most`.
    """
    if rows > most:
        raise TooLarge(f"{rows} rows are over the limit of {most}", fix="send them in parts")


def array_of(column: Column, cells: Sequence[Any]) -> Array:
    """Gives the cells of one column as an array [rows, *column.shape] in the column's dtype.

    Raises:
        InvalidInput: a cell is missing, of another type, of another shape or out of range; names the row.
    """
    if column.shape:
        return _tensor(column, cells)
    if column.dtype == "string":
        return _text(column, cells)
    dtype = numpy_dtype(column.dtype)
    types = set(map(type, cells))
    if types <= _EXACT[dtype.kind]:
        try:
            with np.errstate(over="ignore"):  # what is past the range becomes infinite, and is refused below
                array = np.array(cells, dtype=dtype)
        except OverflowError:
            array = None
        if array is not None and (dtype.kind not in "f" or np.isfinite(array).all()):
            return array
    return np.array([_number(column, row, cell, dtype) for row, cell in enumerate(cells)], dtype=dtype)


_EXACT: dict[str, set[type]] = {"f": {float, int}, "i": {int}, "u": {int}, "b": {bool}}


def _text(column: Column, cells: Sequence[Any]) -> Array:
    array = np.empty(len(cells), dtype=object)
    for row, cell in enumerate(cells):
        if not isinstance(cell, str) and not (cell is None and column.nullable):
            raise _wrong(column, row, cell, "text")
        array[row] = cell
    return array


def _number(column: Column, row: int, cell: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        if cell in (0, 1) and isinstance(cell, bool | int):
            return bool(cell)
        raise _wrong(column, row, cell, "true or false")
    expected = "a number" if dtype.kind == "f" else "a whole number"
    missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
    if missing and dtype.kind == "f" and column.nullable:
        return math.nan
    if isinstance(cell, bool) or not isinstance(cell, int | float) or missing:
        raise _wrong(column, row, cell, expected)
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        if not -limit <= cell <= limit:
            raise _wrong(column, row, cell, f"a number within {column.dtype}'s range")
        return cell
    bounds = np.iinfo(dtype)
    if cell != cell // 1 or not bounds.min <= cell <= bounds.max:
        raise _wrong(column, row, cell, f"a whole number within {column.dtype}'s range")
    return int(cell)


def _tensor(column: Column, cells: Sequence[Any]) -> Array:
    dtype = numpy_dtype(column.dtype)
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "U"}[dtype.kind]
    rows: list[Array] = []
    for row, cell in enumerate(cells):
        try:
            array = np.array(cell)
        except ValueError as error:
            raise _wrong(column, row, cell, f"an array of shape {_shape(column)}", "a ragged list") from error
        fits = array.ndim == len(column.shape) and all(
            want in (-1, have) for want, have in zip(column.shape, array.shape, strict=False)
        )
        if not fits:
            raise _wrong(column, row, cell, f"an array of shape {_shape(column)}", f"shape {list(array.shape)}")
        if array.dtype.kind not in kinds and array.size:
            raise _wrong(column, row, cell, f"an array of {column.dtype}", "other values in it")
        with np.errstate(over="ignore"):
            typed = array.astype(dtype)
        if (dtype.kind == "f" and not np.isfinite(typed).all()) or (dtype.kind in "iu" and (typed != array).any()):
            raise _wrong(column, row, cell, f"values within {column.dtype}'s range", "a value past it")
        rows.append(typed)
    if len({array.shape for array in rows}) > 1:
        raise InvalidInput(
            f"column {column.name!r}: rows of one request must have one shape",
            column=column.name,
            fix="send them apart",
        )
    return np.stack(rows)


def cells_of(array: Array) -> list[Any]:
    """Gives an array's rows as plain values for JSON; NaN and infinities become None, for JSON has no other word."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        holes = array.astype(object)
        holes[~np.isfinite(array)] = None
        return list(holes.tolist())
    return list(array.tolist())


def records_of(columns: Columns) -> list[dict[str, Any]]:
    """Gives columns as records, one a row."""
    cells = {name: cells_of(array) for name, array in columns.items()}
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


def _describe(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            text = repr(value)
            return f"the number {text}" if len(text) <= 40 else f"a number of {len(text)} digits"
        case str():
            return f"the text {value!r}" if len(value) <= 40 else f"a text of {len(value)} characters"
        case list():
            return "a list"
        case _:
            return "an object"


def _shape(column: Column) -> str:
    return "[" + ", ".join("any" if size == -1 else str(size) for size in column.shape) + "]"


def _some(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _wrong(column: Column, row: int, cell: Any, expected: str, got: str = "") -> InvalidInput:
    allowed = " or null" if column.nullable else ""
    return InvalidInput(
        f"column {column.name!r}, row {row}: expected {expected}{allowed}, got {got or _describe(cell)}",
        column=column.name,
        row=row,
    )
