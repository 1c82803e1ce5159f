"""scikit-learn's linear models, written by hand: one operator, as small and as fast as can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile.graph import Graph, Tensor
from shipway.models.compile.heads import Head, Link, emit_head

__all__ = ["emit_linear", "is_linear"]

_REGRESSORS = frozenset({
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "GammaRegressor", "HuberRegressor", "Lars",
    "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR",
    "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV",
    "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor", "PoissonRegressor",
    "QuantileRegressor", "Ridge", "RidgeCV", "SGDRegressor", "TheilSenRegressor", "TweedieRegressor",
})  # fmt: skip
_CLASSIFIERS = frozenset({
    "LinearDiscriminantAnalysis", "LinearSVC", "LogisticRegression", "LogisticRegressionCV",
    "PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier",
})  # fmt: skip


def is_linear(model: object) -> bool:
    """Whether `emit_linear` knows the class of `model`. Imports nothing to find out."""
    return type(model).__module__.startswith("sklearn.") and type(model).__name__ in _REGRESSORS | _CLASSIFIERS


def emit_linear(graph: Graph, model: Any, matrix: str, methods: Sequence[str]) -> dict[str, Tensor]:
    """Adds the answers of a fitted linear model for `matrix`, float64 [rows, features].

    Raises:
        NotCompilable: a method or a link that has no compiled form.
    """
    coefficients = np.asarray(model.coef_, dtype=np.float64)
    weights = np.atleast_2d(coefficients)
    if type(model).__name__ in _CLASSIFIERS:
        head = _classifier_head(model)
        if head.classes is None or len(weights) != (1 if len(head.classes) == 2 else len(head.classes)):
            raise NotCompilable("it predicts several classes a row (multi-label classification)")
    else:
        head = Head(_regressor_link(model), flat=coefficients.ndim == 1)
    intercept = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), len(weights))
    transposed = np.ascontiguousarray(weights.T)
    scores = graph.node("Gemm", matrix, graph.constant(transposed), graph.constant(np.ascontiguousarray(intercept)))
    return emit_head(graph, Tensor(scores, "float64", (len(weights),)), head, methods)


def _regressor_link(model: Any) -> Link:
    if type(model).__name__ in ("GammaRegressor", "PoissonRegressor"):
        return "exp"
    if type(model).__name__ == "TweedieRegressor":
        is_log = model.link == "log" or (model.link == "auto" and model.power > 0)
        return "exp" if is_log else "identity"
    return "identity"


def _classifier_head(model: Any) -> Head:
    classes = model.classes_ if isinstance(model.classes_, np.ndarray) else None
    return Head(_classifier_link(model, 0 if classes is None else len(classes)), classes)


def _classifier_link(model: Any, classes: int) -> Link | None:
    name = type(model).__name__
    if name == "LinearDiscriminantAnalysis":
        return "logistic" if classes == 2 else "softmax"
    if name == "SGDClassifier":
        if model.loss != "log_loss":
            return None
        return "logistic" if classes == 2 else "one_vs_rest"
    if not name.startswith("LogisticRegression"):
        return None
    # Releases before 1.8 have `multi_class`; there, `multinomial` doubles the score of two classes.
    scheme = getattr(model, "multi_class", "auto")
    if classes == 2:
        return "logistic_of_double" if scheme == "multinomial" else "logistic"
    return "one_vs_rest" if scheme == "ovr" or model.solver == "liblinear" else "softmax"
