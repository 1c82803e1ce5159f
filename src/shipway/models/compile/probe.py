"""Rows on which a compiled form has to agree with its original: typical ones, random ones, and those on the edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from shipway.spec.signature import Array, Column, Columns, Signature, numpy_dtype, row_count

__all__ = ["probe_rows"]

_RANDOM_ROWS = 500
_THRESHOLD_ROWS = 2_000
_ONE_BY_ONE = 400  # most rows of a set that changes one cell a row
_UNKNOWN = "no category of any model"
_FAR = (1e6, -1e6, 1e3, -1e3)  # times the column's spread
# For trees only: they compare, while others lose all their digits to rounding there, the original too.
_NASTY = (-0.0, 5e-324, -5e-324, 1e-45, -1e-45, 1.1754944e-38, 3.4028234663852886e38, -3.4028234663852886e38, 1e39,
          -1e39, 1.7976931348623157e308, -1.7976931348623157e308)  # fmt: skip


def probe_rows(
    signature: Signature, sample: Columns | None, thresholds: Mapping[int, Array] | None = None, seed: int = 0
) -> Mapping[str, Columns]:
    """Gives rows by the name of what they try; the same arguments give the same rows.

    Args:
        signature: of the model. Where a cell is an array, only the sample is tried.
        sample: typical rows, as the signature's columns; None: drawn.
        thresholds: of a tree ensemble, by the position of the column; empty or None for other models.
        seed: of the generator.

    Returns:
        Some thousands of rows at most.
    """
    if sample is not None and any(column.shape for column in signature.inputs):
        return {"sample": {column.name: sample[column.name] for column in signature.inputs}}
    drawer = _Drawer(signature, sample, thresholds or {}, np.random.default_rng(seed))
    sets: dict[str, Columns] = {} if sample is None else {"sample": {name: sample[name] for name in signature.names}}
    sets |= {
        "resampled": drawer.resampled(_RANDOM_ROWS),
        "random": drawer.random(_RANDOM_ROWS),
        "thresholds": drawer.on_thresholds(),
        "zeros": drawer.zeros(),
        "extremes": drawer.one_by_one(drawer.extremes),
        "missing": drawer.one_by_one(drawer.missing),
        "often missing": drawer.often_missing(_RANDOM_ROWS // 2),
        "categories": drawer.one_by_one(drawer.categories),
    }
    return {name: columns for name, columns in sets.items() if row_count(columns)}


class _Drawer:
    """Draws rows for one signature."""

    def __init__(
        self,
        signature: Signature,
        sample: Columns | None,
        thresholds: Mapping[int, Array],
        generator: np.random.Generator,
    ) -> None:
        self._columns = signature.inputs
        self._thresholds = thresholds
        self._generator = generator
        self._known = [
            _known(column, None if sample is None else sample[column.name], thresholds.get(index), generator)
            for index, column in enumerate(signature.inputs)
        ]

    def resampled(self, rows: int) -> Columns:
        """Cells that were seen in their column, in new company."""
        return self._build(lambda index: self._generator.choice(self._known[index], rows))

    def random(self, rows: int) -> Columns:
        """Numbers anywhere in their column's range and a bit beyond; text that was seen."""

        def draw(index: int) -> Array:
            if self._columns[index].dtype in ("string", "bool"):
                return self._generator.choice(self._known[index], rows)
            low, high = self._range(index)
            return self._generator.uniform(low - (high - low) / 8, high + (high - low) / 8, rows)

        return self._build(draw)

    def on_thresholds(self) -> Columns:
        """Each threshold and its neighbours among the floats of both sizes, in about half of a row's cells."""
        near = {index: _neighbours(points) for index, points in self._thresholds.items()}
        rows = min(max(map(len, near.values()), default=0), _THRESHOLD_ROWS)

        def draw(index: int) -> Array:
            cells = self._generator.choice(self._known[index], rows)
            if index not in near or not self._columns[index].dtype.startswith("float"):
                return cells
            every = near[index][np.linspace(0, len(near[index]) - 1, min(rows, len(near[index]))).astype(int)]
            order = self._generator.permutation(np.resize(every, rows))
            return np.where(self._generator.random(rows) < 0.5, order, cells)

        return self._build(draw)

    def zeros(self) -> Columns:
        """A row of zeros, and one of negative zeros."""

        def draw(index: int) -> Array:
            return self._known[index][:1].repeat(2) if self._columns[index].dtype == "string" else np.array([0.0, -0.0])

        return self._build(draw)

    def often_missing(self, rows: int) -> Columns:
        """Rows with about a third of the cells that may be missing, missing."""
        if not any(map(_may_be_missing, self._columns)):
            return {}

        def draw(index: int) -> Array:
            column, cells = self._columns[index], self._generator.choice(self._known[index], rows)
            if _may_be_missing(column):
                cells[self._generator.random(rows) < 1 / 3] = None if column.dtype == "string" else np.nan
            return cells

        return self._build(draw)

    def one_by_one(self, cells: Callable[[int], Sequence[object]]) -> Columns:
        """Typical rows with one cell each taken from `cells` of its column."""
        changes = [(index, cell) for index in range(len(self._columns)) for cell in cells(index)]
        chosen = np.unique(np.linspace(0, len(changes) - 1, min(len(changes), _ONE_BY_ONE)).astype(int))
        changes = [changes[place] for place in chosen] if changes else []

        def draw(index: int) -> Array:
            column_cells = self._generator.choice(self._known[index], len(changes))
            for row, (changed, cell) in enumerate(changes):
                if changed == index:
                    column_cells[row] = cell
            return column_cells

        return self._build(draw)

    def extremes(self, index: int) -> Sequence[object]:
        """Numbers far outside of the column's range; for trees the largest and the smallest that there are."""
        if not self._columns[index].dtype.startswith("float"):
            return ()
        low, high = self._range(index)
        far = [factor * max(high - low, abs(high), 1e-3) for factor in _FAR]
        return [*far, *_NASTY] if self._thresholds else far

    def missing(self, index: int) -> Sequence[object]:
        """The missing cell, where there may be one."""
        column = self._columns[index]
        if not _may_be_missing(column):
            return ()
        return (None,) if column.dtype == "string" else (np.nan,)

    def categories(self, index: int) -> Sequence[object]:
        """Each known category, and one that is none."""
        column = self._columns[index]
        if column.dtype == "string":
            return [*np.unique([cell for cell in self._known[index] if cell is not None]), _UNKNOWN, ""]
        if not column.categories:
            return ()
        numbers = [float(category) for category in column.categories]
        return numbers if column.dtype == "bool" else [*numbers, max(numbers) + 1, min(numbers) - 1]

    def _range(self, index: int) -> tuple[float, float]:
        numbers = np.asarray(self._known[index], dtype=np.float64)
        finite = numbers[np.isfinite(numbers)]
        return (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 1.0)

    def _build(self, draw: Callable[[int], Array]) -> Columns:
        return {column.name: _cast(column, draw(index)) for index, column in enumerate(self._columns)}


def _known(column: Column, sample: Array | None, thresholds: Array | None, generator: np.random.Generator) -> Array:
    """Gives cells that are typical of a column: object for text, else float64."""
    if column.dtype == "string":
        cells = list(sample) if sample is not None else []
        cells += list(column.categories or ())
        known = [cell if cell is None else str(cell) for cell in cells] or ["one", "two"]
        texts = np.empty(len(known), dtype=object)
        texts[:] = known
        return texts
    if sample is not None and len(sample):
        return np.asarray(sample, dtype=np.float64)
    if column.categories:
        return np.array([float(category) for category in column.categories])
    if column.dtype == "bool":
        return np.array([0.0, 1.0])
    if thresholds is not None and len(thresholds):
        middles = (thresholds[1:] + thresholds[:-1]) / 2
        return np.concatenate([thresholds[:1] - 1, middles, thresholds[-1:] + 1])
    return generator.standard_normal(64) * (1 if column.dtype.startswith("float") else 10)


def _neighbours(points: Array) -> Array:
    """Gives each point with the floats beside it, of 64 and of 32 bits, all float64."""
    with np.errstate(over="ignore", under="ignore"):
        single = points.astype(np.float32)
        parts = [points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)]
        parts += [
            near.astype(np.float64)
            for near in (single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf)))
        ]
    return np.unique(np.concatenate(parts))


def _may_be_missing(column: Column) -> bool:
    return column.nullable and (column.dtype == "string" or column.dtype.startswith("float"))


def _cast(column: Column, cells: Array) -> Array:
    """Gives the cells in the column's dtype; whole numbers are cut off at its range."""
    if column.dtype == "string":
        return np.asarray(cells, dtype=object)
    dtype = numpy_dtype(column.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = max(float(limits.min), -(2.0**53)), min(float(limits.max), 2.0**53)
        cells = np.clip(np.nan_to_num(np.floor(np.asarray(cells, dtype=np.float64))), low, high)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(cells, dtype=dtype)
