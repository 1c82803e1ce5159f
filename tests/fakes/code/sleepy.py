"""A user's own module: a step of a pipeline that takes its time."""

from __future__ import annotations

import time
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin


class Sleepy(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Passes rows on after a while."""

    def __init__(self, seconds: float = 0.5) -> None:
        self.seconds = seconds

    def fit(self, rows: Any, target: Any = None) -> Sleepy:
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows: Any) -> Any:
        time.sleep(self.seconds)
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return True
