"""From a model's scores to what its methods answer: shared by forests and linear models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile.graph import Graph, Tensor
from shipway.spec.signature import Array

__all__ = ["Head", "Link", "emit_head", "emit_labels"]

Link = Literal["identity", "exp", "probability", "logistic", "logistic_of_double", "softmax", "one_vs_rest"]
"""From scores to numbers or probabilities. `probability`: they are. `one_vs_rest`: logistic, then normalised."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What the scores of a model stand for.

    Attributes:
        link: from scores to numbers or probabilities; None where a classifier has no probabilities.
        classes: the labels [classes], or None for a regressor.
        zero_is_positive: with one score for two classes, whether a score of exactly 0 is the second class.
        flat: whether a regressor's single output is [rows], and not [rows, 1].
    """

    link: Link | None
    classes: Array | None = None
    zero_is_positive: bool = False
    flat: bool = True


def emit_head(graph: Graph, scores: Tensor, head: Head, methods: Sequence[str]) -> dict[str, Tensor]:
    """Adds what turns `scores` [rows, k] into the answers of `methods`.

    Raises:
        NotCompilable: a method is none that the head knows; names it.
    """
    return {method: _answer(graph, scores, head, method) for method in methods}


def emit_labels(graph: Graph, index: str, classes: Array) -> Tensor:
    """Adds the choice of a label by its `index`, int64 [rows].

    Raises:
        NotCompilable: the labels are neither numbers, truth values nor text.
    """
    if classes.dtype.kind in "iu":
        return Tensor(graph.node("Gather", graph.constant(classes.astype(np.int64)), index), "int64", ())
    if classes.dtype.kind == "f":
        return Tensor(graph.node("Gather", graph.constant(classes.astype(np.float64)), index), "float64", ())
    if classes.dtype.kind == "b":
        return Tensor(graph.node("Gather", graph.constant(classes), index), "bool", ())
    if all(isinstance(label, str) for label in classes):
        return Tensor(graph.node("Gather", graph.constant(classes), index), "string", ())
    raise NotCompilable("its labels are neither numbers nor text")


def _answer(graph: Graph, scores: Tensor, head: Head, method: str) -> Tensor:
    if method == "predict":
        return _values(graph, scores, head) if head.classes is None else _labels(graph, scores, head, head.classes)
    if head.classes is not None:
        if method == "decision_function" and head.link != "probability":
            return _flat(graph, scores) if scores.shape == (1,) else scores
        if method == "predict_proba" and head.link is not None:
            return Tensor(_probabilities(graph, scores, head.link), "float64", (len(head.classes),))
        if method == "predict_log_proba" and head.link is not None:
            logarithm = graph.node("Log", _probabilities(graph, scores, head.link))
            return Tensor(logarithm, "float64", (len(head.classes),))
    raise NotCompilable(f"its method {method} has no compiled form")


def _values(graph: Graph, scores: Tensor, head: Head) -> Tensor:
    values = scores if head.link == "identity" else Tensor(graph.node("Exp", scores.name), "float64", scores.shape)
    return _flat(graph, values) if head.flat and values.shape == (1,) else values


def _flat(graph: Graph, tensor: Tensor) -> Tensor:
    return Tensor(graph.node("Squeeze", tensor.name, graph.constant(np.array([1]))), tensor.dtype, ())


def _labels(graph: Graph, scores: Tensor, head: Head, classes: Array) -> Tensor:
    if scores.shape == (1,) and head.link != "probability":
        compare = "GreaterOrEqual" if head.zero_is_positive else "Greater"
        positive = graph.node(compare, _flat(graph, scores).name, graph.constant(0.0))
        index = graph.cast(positive, "int64")
    else:
        index = graph.node("ArgMax", scores.name, axis=1, keepdims=0)
    return emit_labels(graph, index, classes)


def _probabilities(graph: Graph, scores: Tensor, link: Link) -> str:
    if link == "probability":
        return scores.name
    if link == "softmax":
        return graph.node("Softmax", scores.name, axis=1)
    score = graph.node("Add", scores.name, scores.name) if link == "logistic_of_double" else scores.name
    positive = graph.node("Sigmoid", score)
    if scores.shape == (1,):
        return graph.node("Concat", graph.node("Sub", graph.constant(1.0), positive), positive, axis=1)
    total = graph.node("ReduceSum", positive, graph.constant(np.array([1])), keepdims=1)
    # Where every class is impossible, scikit-learn calls them equally likely.
    impossible = graph.node("Equal", total, graph.constant(0.0))
    shares = graph.node("Div", positive, total)
    return graph.node("Where", impossible, graph.constant(1.0 / scores.shape[0]), shares)
