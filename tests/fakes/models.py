"""Loaded models that do as they are told: a real predictor each, of a few lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from shipway.errors import ModelError
from shipway.serving.engine.engine import LoadedModel
from shipway.serving.engine.warmup import Cost
from shipway.spec.reference import BundleId
from shipway.spec.served import ServedModel
from shipway.spec.signature import Column, Columns, Method, Signature, row_count

DIGEST = "sha256:" + "5" * 64
INLINE = Cost(call=1e-5, row=1e-8)
DEAR = Cost(call=1.0, row=1.0)

PREDICT = Method("predict", (Column("predict", "float64"),))
SUM = Signature((Column("a", "float64"), Column("b", "float64")), (PREDICT,))
CLASSIFIER = Signature(
    (Column("a", "float64", nullable=True), Column("city", "string", kind="category", categories=("Bonn", "Ulm"))),
    (
        Method("predict", (Column("predict", "string"),), ("no", "yes")),
        Method("predict_proba", (Column("predict_proba", "float64", (2,)),), ("no", "yes")),
    ),
)


@dataclass(frozen=True)
class FakePredictor:
    """A predictor whose one function answers each method."""

    signature: Signature
    answer: Callable[[str, Columns], Columns]

    def call(self, method: str, columns: Columns, parameters: Mapping[str, object]) -> Columns:
        return self.answer(method, columns)


def loaded(
    name: str, signature: Signature, answer: Callable[[str, Columns], Columns], cost: Cost = INLINE
) -> LoadedModel:
    served = ServedModel(BundleId(name, 3, DIGEST), signature, "Fake", compiled=True)
    return LoadedModel(served, FakePredictor(signature, answer), cost)


def adding(name: str = "sum", cost: Cost = INLINE) -> LoadedModel:
    """A model that adds its two columns."""
    return loaded(name, SUM, lambda _, columns: {"predict": columns["a"] + columns["b"]}, cost)


def sleeping(seconds: float, name: str = "slow") -> LoadedModel:
    """A model that adds its two columns, after a while."""

    def answer(_: str, columns: Columns) -> Columns:
        time.sleep(seconds)
        return {"predict": columns["a"] + columns["b"]}

    return loaded(name, SUM, answer, Cost(call=seconds, row=seconds))


def classifying(name: str = "city") -> LoadedModel:
    """A classifier: yes, where the city is Ulm."""

    def answer(method: str, columns: Columns) -> Columns:
        yes = columns["city"] == "Ulm"
        if method == "predict":
            return {"predict": np.where(yes, "yes", "no").astype(object)}
        return {"predict_proba": np.column_stack([~yes, yes]).astype(np.float64)}

    return loaded(name, CLASSIFIER, answer)


def raising(cause: Exception, name: str = "broken") -> LoadedModel:
    """A model that fails."""

    def answer(_: str, columns: Columns) -> Columns:
        raise ModelError("the model raised") from cause

    return loaded(name, SUM, answer)


def losing_rows(name: str = "losing") -> LoadedModel:
    """A model that gives one row fewer than it was given."""
    return loaded(name, SUM, lambda _, columns: {"predict": np.zeros(row_count(columns) - 1)})
