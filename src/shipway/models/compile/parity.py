"""The proof that a compiled form agrees with its original, row by row."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shipway.errors import InvalidInput, ModelError, NotCompilable
from shipway.models.adapter import Predictor
from shipway.models.compile.probe import probe_rows
from shipway.models.compile.trees import is_tree_model, read_trees
from shipway.spec.rows import cells_of
from shipway.spec.signature import Array, Columns, Signature, row_count

__all__ = ["TOLERANCE", "TREE_TOLERANCE", "Parity", "probe_rows", "prove", "split_points", "tolerance_of"]

TREE_TOLERANCE = 1e-12
TOLERANCE = 1e-9
_MAX_REFUSED = 64  # rows of a set that are sought out one by one before the rest of a refused part is left out
_SHOWN_CELLS = 30
Answers = Mapping[str, Columns]
"""Outputs by the name of the method that gave them."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How well a compiled form agrees.

    Attributes:
        rows: on which both were compared.
        labels: how many labels were compared; all are equal.
        max_difference: for each method that gives numbers, the largest difference, relative to 1 or to the number,
            whichever is larger.
        bit_equal: share of the numbers that are equal to the last bit; 1 where there are none.
    """

    rows: int
    labels: int
    max_difference: Mapping[str, float]
    bit_equal: float

    def __str__(self) -> str:
        parts = ["labels equal"] if self.labels else []
        largest = max(self.max_difference.values(), default=0.0)
        if self.max_difference and largest == 0.0:
            parts.append("numbers equal")
        elif self.max_difference:
            parts.append(f"numbers within {largest:.1e}, {self.bit_equal:.1%} equal to the last bit")
        return f"{', '.join(parts)} on {self.rows:,} rows"


def tolerance_of(model: object) -> float:
    """Gives the largest difference that a compiled number may have, relative to 1 or to the number."""
    return TREE_TOLERANCE if is_tree_model(_last(model)) else TOLERANCE


def split_points(model: object, signature: Signature) -> Mapping[int, Array]:
    """Gives the thresholds of a tree ensemble, sorted, by the position of the input column; nothing for other models.

    A pipeline has them only where nothing before the trees changes the columns.
    """
    last = _last(model)
    if not is_tree_model(last) or _has_preprocessing(model):
        return {}
    points = read_trees(last).forest.split_points()
    return {index: values for index, values in points.items() if signature.inputs[index].dtype != "string"}


def prove(original: Predictor, compiled: Predictor, rows: Mapping[str, Columns], tolerance: float) -> Parity:
    """Compares the two on `rows`: labels must be equal, numbers within `tolerance` of 1 or of the original's number.

    Rows that the original refuses are left out.

    Args:
        original: what is to be agreed with.
        compiled: of the same signature.
        rows: by the name of what they try.
        tolerance: see `tolerance_of`.

    Raises:
        NotCompilable: they disagree; shows the first row on which they do, with both answers. Or nothing could be
            compared.
    """
    tally = _Tally(tolerance)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, columns in rows.items():
            for part, answers in _answered(original, columns):
                _compare(original.signature, answers, compiled, name, part, tally)
    if not tally.rows:
        raise NotCompilable("the original answers none of the rows that were tried", fix="give a sample with --sample")
    share = tally.equal / tally.numbers if tally.numbers else 1.0
    return Parity(tally.rows, tally.labels, dict(tally.largest), share)


class _Tally:
    """Counts while sets are compared."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.rows = self.labels = self.numbers = self.equal = 0
        self.largest: dict[str, float] = {}

    def add(self, method: str, difference: Array) -> None:
        self.numbers += difference.size
        self.equal += int((difference == 0).sum())
        self.largest[method] = max(self.largest.get(method, 0.0), float(difference.max(initial=0.0)))


def _compare(
    signature: Signature, answers: Answers, compiled: Predictor, name: str, columns: Columns, tally: _Tally
) -> None:
    """Compares on rows that the original answers with `answers`, and counts."""
    for method in signature.methods:
        try:
            given = compiled.call(method.name, columns, {})
        except ModelError as error:
            raise NotCompilable(
                f"the compiled form refuses rows ({name}) that the original answers: {error.message}"
            ) from error
        for output in method.outputs:
            wanted, got = np.asarray(answers[method.name][output.name]), np.asarray(given[output.name])
            if wanted.shape != got.shape:
                raise NotCompilable(f"the compiled {method.name} has shape {got.shape}, not {wanted.shape}")
            is_label = wanted.dtype.kind != "f" or output.kind == "category"
            difference = _unequal(wanted, got) if is_label else _difference(wanted, got)
            wrong = difference.reshape(len(wanted), -1).max(axis=1, initial=0.0) > (0 if is_label else tally.tolerance)
            if wrong.any():
                raise _disagreement(method.name, name, columns, wanted, got, int(np.argmax(wrong)))
            if is_label:
                tally.labels += wanted.size
            else:
                tally.add(method.name, difference)
    tally.rows += row_count(columns)


def _unequal(wanted: Array, got: Array) -> Array:
    return np.asarray(wanted.astype(object) != got.astype(object), dtype=np.float64)


def _difference(wanted: Array, got: Array) -> Array:
    """Gives the differences relative to 1 or to the number wanted; equal infinities and two NaN differ by nothing."""
    if got.dtype.kind not in "fiub":
        return np.full(wanted.shape, np.inf)
    same = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
    distance = np.abs(wanted - got) / np.maximum(1.0, np.abs(wanted))
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


def _disagreement(method: str, name: str, columns: Columns, wanted: Array, got: Array, row: int) -> NotCompilable:
    cells = [f"{column}={_cell(array, row)!r}" for column, array in columns.items()]
    shown = ", ".join(cells[:_SHOWN_CELLS]) + (", …" if len(cells) > _SHOWN_CELLS else "")
    return NotCompilable(
        f"{method} gives {_cell(wanted, row)!r} and the compiled form {_cell(got, row)!r} ({name}) for {shown}"
    )


def _cell(array: Array, row: int) -> Any:
    return cells_of(array[row : row + 1])[0]


def _answered(original: Predictor, columns: Columns) -> Iterator[tuple[Columns, Answers]]:
    """Gives the rows that the original answers, in all of its methods, in parts, with its answers."""
    waiting, refused = [np.arange(row_count(columns))], 0
    while waiting:
        rows = waiting.pop()
        part = {name: array[rows] for name, array in columns.items()}
        answers = _answers(original, part)
        if answers is not None:
            yield part, answers
        elif rows.size == 1:
            refused += 1
        elif refused < _MAX_REFUSED:
            waiting += np.array_split(rows, 2)[::-1]


def _answers(original: Predictor, columns: Columns) -> Answers | None:
    try:
        return {method.name: original.call(method.name, columns, {}) for method in original.signature.methods}
    except (ModelError, InvalidInput):
        return None


def _last(model: Any) -> Any:
    """Gives the estimator that answers: the last of a pipeline, the best of a search."""
    while True:
        if type(model).__name__ == "Pipeline":
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return model


def _has_preprocessing(model: Any) -> bool:
    if hasattr(model, "best_estimator_"):
        return _has_preprocessing(model.best_estimator_)
    if type(model).__name__ != "Pipeline":
        return False
    before = [step for _, step in model.steps[:-1]]
    return any(step not in (None, "passthrough") for step in before) or _has_preprocessing(model.steps[-1][1])
