"""Warm-up: the golden rows are replayed, and what a call costs decides how calls will run."""

from __future__ import annotations

import statistics
import time

import numpy as np

from shipway.bundle.golden import GoldenRows, replay
from shipway.models.adapter import Predictor
from shipway.spec.signature import Columns, row_count

__all__ = ["INLINE_SECONDS", "Cost", "warm_up"]

INLINE_SECONDS = 0.0005
"""The longest that a call may hold the event loop. A hand-over to a thread and back costs about 0.1 ms, so a call of
less than that gains nothing by it, and half a millisecond delays no other caller by more than the network does."""

_REPEATS = 5
_MANY = 1000


class Cost:
    """What a call of a model costs: so much for the call, so much for each row.

    Attributes:
        call: seconds for one row.
        row: seconds for each further row.
    """

    def __init__(self, call: float, row: float) -> None:
        self.call = call
        self.row = row

    @property
    def inline_rows(self) -> int:
        """The most rows that a call may have to run on the event loop; 0 if none may."""
        if self.call > INLINE_SECONDS:
            return 0
        return 1 + int((INLINE_SECONDS - self.call) / max(self.row, 1e-9))


def warm_up(predictor: Predictor, golden: GoldenRows, tolerance: float | None) -> Cost:
    """Replays the golden rows, then measures one row and many.

    Raises:
        GoldenMismatch: the answers are not those recorded.
    """
    replay(predictor, golden, tolerance)
    rows = row_count(golden.inputs)
    one = {name: array[:1] for name, array in golden.inputs.items()}
    many = {name: np.repeat(array, -(-_MANY // rows), axis=0) for name, array in golden.inputs.items()}
    # A dear model is measured once; its cost is far past the limit anyway.
    call = _seconds(predictor, one, 1)
    if call > 20 * INLINE_SECONDS:
        return Cost(call, call)
    call = _seconds(predictor, one, _REPEATS)
    return Cost(call, max(0.0, _seconds(predictor, many, 1) - call) / row_count(many))


def _seconds(predictor: Predictor, columns: Columns, repeats: int) -> float:
    method = predictor.signature.methods[0].name
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        predictor.call(method, columns, {})
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
