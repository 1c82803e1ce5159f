"""A compiled forest of 100 trees against scikit-learn's own call, one row a call, in one process on one thread.

    PYTHONPATH=src python benchmarks/forest.py

Prints microseconds a call and the ratio for classification and regression; the goal is a ratio of 100 or more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression

from shipway.models.onnx import load_compiled
from shipway.models.sklearn import SklearnAdapter


def microseconds(call: Callable[[], object], seconds: float = 2.0) -> float:
    """Gives the median time of a call, from at least 20 rounds in about `seconds`."""
    call()
    start = time.perf_counter()
    call()
    per_round = max(1, int(seconds / 20 / max(time.perf_counter() - start, 1e-7)))
    rounds = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(per_round):
            call()
        rounds.append((time.perf_counter() - start) / per_round)
    return float(np.median(rounds)) * 1e6


def compare(name: str, model: Any, row: Any, method: str) -> None:
    """Prints one line: scikit-learn's call, the compiled form behind its signature, the runtime alone."""
    adapter = SklearnAdapter()
    signature = adapter.describe(model, None, None)
    compiled = load_compiled(adapter.compile(model, signature), signature)
    columns = {column: row[:, index].copy() for index, column in enumerate(signature.names)}
    answer = compiled.call(method, columns, {})[method]
    np.testing.assert_allclose(answer, getattr(model, method)(row), rtol=1e-12)
    original = microseconds(lambda: getattr(model, method)(row))
    ours = microseconds(lambda: compiled.call(method, columns, {}))
    bare = microseconds(lambda: compiled.session.run([method], {"input": row}))
    print(f"{name:34s} {original:9.1f} us  {ours:7.1f} us  {original / ours:6.1f}x   runtime alone {bare:6.1f} us")


def main() -> None:
    """Prints the table."""
    breast, malignant = load_breast_cancer(return_X_y=True)
    diabetes, progress = load_diabetes(return_X_y=True)
    print(f"{'one row a call':34s} {'scikit-learn':>12s}  {'compiled':>10s}  {'ratio':>7s}")
    forest = RandomForestClassifier(100, random_state=0).fit(breast, malignant)
    compare("forest classifier, predict", forest, breast[:1], "predict")
    compare("forest classifier, predict_proba", forest, breast[:1], "predict_proba")
    regressor = RandomForestRegressor(100, random_state=0).fit(diabetes, progress)
    compare("forest regressor, predict", regressor, diabetes[:1], "predict")
    compare("linear regression, predict", LinearRegression().fit(diabetes, progress), diabetes[:1], "predict")


if __name__ == "__main__":
    main()
