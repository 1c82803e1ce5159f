"""An example of what a model takes, for forms and documentation."""

from __future__ import annotations

import math

from shipway.spec.signature import Column, Label, Signature

__all__ = ["MAX_CELL", "Cell", "example_cell", "example_record", "takes_null"]

Cell = Label | list["Cell"] | None
"""One cell as JSON has it."""

MAX_CELL = 64
"""Numbers in a cell up to which an example of it can still be read by a person."""


def takes_null(column: Column) -> bool:
    """Whether a cell of `column` may be missing: whole numbers, truth values and arrays have no word for that."""
    return column.nullable and column.is_scalar and (column.dtype == "string" or column.dtype.startswith("float"))


def example_cell(column: Column) -> Cell:
    """Gives an example of one cell: the column's own, else its first category, else a zero of its dtype and shape.

    A size that varies counts as 1. None stands for a missing cell, and for one too large to show (`MAX_CELL`).
    """
    if column.is_scalar:
        return _scalar(column)
    sizes = [max(size, 1) if size else 0 for size in column.shape]
    if math.prod(sizes) > MAX_CELL:
        return None
    cell: Cell = _zero(column)
    for size in reversed(sizes):
        cell = [cell] * size
    return cell


def example_record(signature: Signature) -> dict[str, Cell]:
    """Gives one record: an example of each input, by its name, in the signature's order."""
    return {column.name: example_cell(column) for column in signature.inputs}


def _scalar(column: Column) -> Cell:
    example = column.example
    if example is None and column.categories:
        example = column.categories[0]
    if isinstance(example, float) and not math.isfinite(example):  # JSON has no word for it
        example = None
    return _zero(column) if example is None and not takes_null(column) else example


def _zero(column: Column) -> Label:
    match column.dtype:
        case "string":
            return ""
        case "bool":
            return False
        case "float16" | "float32" | "float64":
            return 0.0
        case _:
            return 0
