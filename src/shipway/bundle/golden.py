"""Golden rows: inputs with the outputs that the model gave when it was packed. Replayed whenever it is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from shipway.errors import CorruptBlob, GoldenMismatch, ShipwayError
from shipway.models.adapter import Predictor
from shipway.spec.rows import array_of, cells_of
from shipway.spec.signature import Array, Column, Columns, Signature, row_count

__all__ = ["GOLDEN_ROWS", "GoldenRows", "choose_rows", "record_golden", "replay", "synthetic_rows"]

GOLDEN_ROWS = 20
_SEED = 20_000
# What another processor may differ by where nothing was proved tighter: single precision has 24 bits.
_TOLERANCE = {"f4": 1e-4, "f2": 1e-2}


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """Inputs, and for each method its outputs."""

    inputs: Columns
    outputs: Mapping[str, Columns]

    def to_json(self) -> bytes:
        """Gives the one JSON text of these rows; NaN is null."""
        table = {
            "inputs": _cells(self.inputs),
            "outputs": {method: _cells(columns) for method, columns in self.outputs.items()},
        }
        return msgspec.json.format(msgspec.json.encode(table), indent=1)

    @classmethod
    def from_json(cls, text: bytes, signature: Signature) -> GoldenRows:
        """Parses what `to_json` gave.

        Raises:
            CorruptBlob: it does not fit the signature.
        """
        try:
            table = msgspec.json.decode(text)
            outputs = {
                method.name: {
                    output.name: _lenient(output, table["outputs"][method.name][output.name])
                    for output in method.outputs
                }
                for method in signature.methods
            }
            return cls(
                {column.name: _lenient(column, table["inputs"][column.name]) for column in signature.inputs}, outputs
            )
        except (
            msgspec.DecodeError,
            UnicodeDecodeError,
            KeyError,
            TypeError,
            ShipwayError,
            RecursionError,
        ) as error:
            raise CorruptBlob(
                f"the golden rows do not fit the signature: {error}", fix="pack the model again"
            ) from error


def choose_rows(sample: Columns, signature: Signature, rows: int = GOLDEN_ROWS) -> Columns:
    """Gives rows of the sample as the signature's input columns: spread evenly, and a word of each column of text.

    One word among numbers makes a column one of text; whether the model takes that, only the row with it tells.
    """
    spread = np.unique(np.linspace(0, row_count(sample) - 1, rows).astype(int)).tolist()
    texts = [sample[column.name] for column in signature.inputs if column.dtype == "string"]
    words = [row for cells in texts for row in _first_word(cells, spread)]
    chosen = np.unique([*spread, *words])
    return {column.name: _cast(column, sample[column.name][chosen]) for column in signature.inputs}


def _first_word(cells: Array, chosen: Sequence[int]) -> list[int]:
    """Gives the first row with a text that is no number, if none of the chosen ones has one."""
    if any(_is_word(cells[row]) for row in chosen):
        return []
    return [row for row, cell in enumerate(cells) if _is_word(cell)][:1]


def _is_word(cell: object) -> bool:
    if not isinstance(cell, str):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


def synthetic_rows(signature: Signature, rows: int = GOLDEN_ROWS) -> Columns:
    """Draws rows by a seeded generator: standard normal numbers, categories in turn."""
    generator = np.random.default_rng(_SEED)
    return {column.name: _draw(column, rows, generator) for column in signature.inputs}


def record_golden(predictor: Predictor, inputs: Columns) -> GoldenRows:
    """Asks the model for the outputs of every method."""
    outputs = {method.name: dict(predictor.call(method.name, inputs, {})) for method in predictor.signature.methods}
    return GoldenRows(inputs, outputs)


def replay(predictor: Predictor, golden: GoldenRows, tolerance: float | None = None) -> None:
    """Checks that `predictor` answers the golden rows as recorded: labels equal, numbers within the tolerance.

    Args:
        predictor: the model as it is loaded now.
        golden: what it gave when it was packed.
        tolerance: largest difference, relative to 1 or to the number; by default 1e-9, and 1e-4 for float32.

    Raises:
        GoldenMismatch: it does not; says which row, what was recorded and what it gives now.
    """
    for method, expected in golden.outputs.items():
        given = predictor.call(method, golden.inputs, {})
        for name, array in expected.items():
            limit = tolerance or _TOLERANCE.get(array.dtype.str[1:], 1e-9)
            row = _first_difference(array, given[name], limit)
            if row is not None:
                raise GoldenMismatch(
                    f"{method} gives {_text(given[name], row)} for golden row {row};"
                    f" it gave {_text(array, row)} when it was packed",
                    fix="install the versions that it was packed with (shipway show), or pack it again",
                )


def _first_difference(expected: Array, given: Array, tolerance: float) -> int | None:
    if expected.shape != given.shape:
        return 0
    if expected.dtype.kind == "f" and given.dtype.kind == "f":
        finite = np.isfinite(expected) & np.isfinite(given)
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(expected - given) <= tolerance * np.maximum(1.0, np.abs(expected))
        equal = np.where(finite, near, ~np.isfinite(expected) & ~np.isfinite(given))
    else:
        equal = np.asarray(expected == given)
    rows = equal.reshape(len(equal), -1).all(axis=1)
    return None if rows.all() else int(np.argmin(rows))


def _text(array: Array, row: int) -> str:
    return str(cells_of(array[row : row + 1])[0]) if row < len(array) else f"{len(array)} rows"


def _cells(columns: Columns) -> dict[str, list[Any]]:
    return {name: cells_of(array) for name, array in columns.items()}


def _lenient(column: Column, cells: list[Any]) -> Array:
    """Reads recorded cells; null is NaN whether or not callers may send it, for a model may answer it."""
    if column.shape and column.dtype.startswith("float"):
        return np.array(_with_nan(cells), dtype=column.dtype).reshape(len(cells), *np.shape(_with_nan(cells))[1:])
    return array_of(msgspec.structs.replace(column, nullable=True), cells)


def _with_nan(cells: Any) -> Any:
    return [_with_nan(cell) for cell in cells] if isinstance(cells, list) else (np.nan if cells is None else cells)


def _cast(column: Column, array: Array) -> Array:
    """Gives a sample's cells as the column holds them: a table's single value fills a cell of shape [1]."""
    typed = array if column.dtype == "string" else array.astype(column.dtype)
    return typed.reshape(-1, *column.shape) if all(size == 1 for size in column.shape) else typed


def _draw(column: Column, rows: int, generator: np.random.Generator) -> Array:
    shape = (rows, *(4 if size == -1 else size for size in column.shape))
    if column.dtype == "string":
        words = [str(category) for category in column.categories or ("one", "two words", "and three words")]
        return np.resize(np.array(words, dtype=object), shape)
    if column.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if column.categories:
        return np.array([column.categories[row % len(column.categories)] for row in range(rows)], dtype=column.dtype)
    numbers = generator.standard_normal(shape)
    return (
        numbers.astype(column.dtype) if column.dtype.startswith("float") else np.abs(numbers * 2).astype(column.dtype)
    )
