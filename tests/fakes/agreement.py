"""A fitted model on its way to a compiled form: described, compiled, loaded and proved, with the real parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from shipway.models.adapter import Predictor
from shipway.models.compile.parity import Parity, probe_rows, prove, split_points, tolerance_of
from shipway.models.onnx import load_compiled
from shipway.models.sklearn import SklearnAdapter
from shipway.spec.signature import Columns, Signature


class Compiled(NamedTuple):
    """All that came up on the way."""

    signature: Signature
    original: Predictor
    data: bytes
    compiled: Predictor
    rows: Mapping[str, Columns]
    tolerance: float

    def prove(self) -> Parity:
        return prove(self.original, self.compiled, self.rows, self.tolerance)


def compiled_form(model: Any, sample: Columns) -> Compiled:
    """Takes a fitted model as far as its proof."""
    adapter = SklearnAdapter()
    signature = adapter.describe(model, sample, None)
    data = adapter.compile(model, signature)
    rows = probe_rows(signature, sample, split_points(model, signature))
    return Compiled(
        signature,
        adapter.predictor(model, signature),
        data,
        load_compiled(data, signature),
        rows,
        tolerance_of(model),
    )


def columns_of(matrix: Any) -> Columns:
    """Gives a matrix as columns x0, x1, …"""
    return {f"x{index}": np.asarray(column, dtype=np.float64) for index, column in enumerate(np.asarray(matrix).T)}
