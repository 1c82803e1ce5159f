"""scikit-learn's kernel machines, written by hand in float64: the runtime's own operators for them are float32."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile.graph import Graph, Tensor
from shipway.models.compile.heads import Head, emit_head, emit_labels

__all__ = ["emit_svm", "is_svm"]

_REGRESSORS = frozenset({"NuSVR", "SVR"})
_CLASSIFIERS = frozenset({"NuSVC", "SVC"})


def is_svm(model: object) -> bool:
    """Whether `emit_svm` knows the class of `model`. Imports nothing to find out."""
    return type(model).__module__.startswith("sklearn.") and type(model).__name__ in _REGRESSORS | _CLASSIFIERS


def emit_svm(graph: Graph, model: Any, matrix: str, methods: Sequence[str]) -> dict[str, Tensor]:
    """Adds the answers of a fitted kernel machine for `matrix`, float64 [rows, features].

    Raises:
        NotCompilable: a kernel that is a function of Python or a matrix, or a method without a compiled form.
    """
    kernel = _kernel(graph, model, matrix)
    classes = getattr(model, "classes_", None)
    if classes is None or len(classes) == 2:
        product = graph.node("MatMul", kernel, graph.constant(np.ascontiguousarray(model.dual_coef_.T)))
        scores = Tensor(graph.node("Add", product, graph.constant(model.intercept_)), "float64", (1,))
        head = Head("identity") if classes is None else Head(None, classes, zero_is_positive=True)
        return emit_head(graph, scores, head, methods)
    return _one_against_one(graph, model, kernel, methods)


def _kernel(graph: Graph, model: Any, matrix: str) -> str:
    """Adds the kernel of each row with each support vector: [rows, vectors]."""
    vectors = np.asarray(model.support_vectors_, dtype=np.float64)
    match model.kernel:
        case "linear":
            return _product(graph, matrix, vectors)
        case "rbf":
            return _radial(graph, model, matrix, vectors)
        case "poly":
            inner = _affine(graph, model, matrix, vectors)
            return graph.node("Pow", inner, graph.constant(float(model.degree)))
        case "sigmoid":
            return graph.node("Tanh", _affine(graph, model, matrix, vectors))
        case _:
            raise NotCompilable("its kernel is a function of Python or a matrix")


def _product(graph: Graph, matrix: str, vectors: Any) -> str:
    return graph.node("MatMul", matrix, graph.constant(np.ascontiguousarray(vectors.T)))


def _affine(graph: Graph, model: Any, matrix: str, vectors: Any) -> str:
    scaled = graph.node("Mul", _product(graph, matrix, vectors), graph.constant(float(model._gamma)))
    return graph.node("Add", scaled, graph.constant(float(model.coef0)))


def _radial(graph: Graph, model: Any, matrix: str, vectors: Any) -> str:
    """Squared distances as a product, taken from the vectors' middle so that few digits cancel."""
    middle = vectors.mean(axis=0)
    rows, vectors = graph.node("Sub", matrix, graph.constant(middle)), vectors - middle
    own = graph.node("ReduceSumSquare", rows, graph.constant(np.array([1])), keepdims=1)
    doubled = _product(graph, rows, -2.0 * vectors)
    distance = graph.node("Add", graph.node("Add", own, doubled), graph.constant((vectors**2).sum(axis=1)))
    return graph.node("Exp", graph.node("Mul", distance, graph.constant(-float(model._gamma))))


def _one_against_one(graph: Graph, model: Any, kernel: str, methods: Sequence[str]) -> dict[str, Tensor]:
    """Each pair of classes has a decision and votes for one of the two (libsvm; scikit-learn adds the confidence)."""
    count = len(model.classes_)
    pairs = list(combinations(range(count), 2))
    owner = np.repeat(np.arange(count), model.n_support_)
    weights = np.zeros((len(owner), len(pairs)))
    first, second = np.zeros((len(pairs), count)), np.zeros((len(pairs), count))
    for pair, (one, other) in enumerate(pairs):
        weights[owner == one, pair] = model.dual_coef_[other - 1, owner == one]
        weights[owner == other, pair] = model.dual_coef_[one, owner == other]
        first[pair, one] = second[pair, other] = 1.0
    product = graph.node("MatMul", kernel, graph.constant(weights))
    decision = graph.node("Add", product, graph.constant(model.intercept_))
    negative = graph.cast(graph.node("Less", decision, graph.constant(0.0)), "float64")
    moved = graph.node("MatMul", negative, graph.constant(second - first))
    votes = graph.node("Add", moved, graph.constant(first.sum(axis=0)))
    answers: dict[str, Tensor] = {}
    for method in methods:
        if method == "predict":
            scores = _with_confidence(graph, votes, decision, first - second) if model.break_ties else votes
            answers[method] = emit_labels(graph, graph.node("ArgMax", scores, axis=1, keepdims=0), model.classes_)
        elif method == "decision_function" and model.decision_function_shape == "ovr":
            answers[method] = Tensor(_with_confidence(graph, votes, decision, first - second), "float64", (count,))
        elif method == "decision_function":
            answers[method] = Tensor(decision, "float64", (len(pairs),))
        else:
            raise NotCompilable(f"the method {method} of {type(model).__name__} has no compiled form")
    return answers


def _with_confidence(graph: Graph, votes: str, decision: str, signs: Any) -> str:
    """Adds less than a third of a vote, the more the surer the decisions are."""
    total = graph.node("MatMul", decision, graph.constant(signs))
    above = graph.node("Add", graph.node("Abs", total), graph.constant(1.0))
    share = graph.node("Div", total, graph.node("Mul", above, graph.constant(3.0)))
    return graph.node("Add", votes, share)
