"""Served models for the page's tests: one of each shape of form and answer."""

from __future__ import annotations

from shipway.spec.manifest import LinearFormula
from shipway.spec.reference import BundleId
from shipway.spec.served import ServedModel
from shipway.spec.signature import Column, Label, Method, Signature

DIGEST = "sha256:" + "4f0c9a7b" * 8


def linear() -> ServedModel:
    signature = Signature(
        (Column("age", "float64", example=0.5), Column("bmi", "float64", example=1.5)),
        (Method("predict", (Column("predict", "float64"),)),),
    )
    formula = LinearFormula(((-10.0, 50.0),), (100.0,), ("progression",))
    return ServedModel(BundleId("diabetes", 3, DIGEST), signature, "LinearRegression", compiled=True, formula=formula)


def classifier(
    *,
    column: str = "contract",
    categories: tuple[str, ...] = ("monthly", "yearly"),
    classes: tuple[Label, ...] = ("stays", "leaves"),
    kind: str = "Pipeline(ColumnTransformer, HistGradientBoostingClassifier)",
) -> ServedModel:
    inputs = (
        Column("months", "int64", example=9007199254740993),
        Column("charge", "float64", nullable=True),
        Column(column, "string", kind="category", categories=categories),
        Column("paperless", "bool", example=True),
        Column("remark", "string", kind="text", nullable=True),
    )
    probabilities = Method("predict_proba", (Column("predict_proba", "float64", (len(classes),)),), classes=classes)
    methods = (Method("predict", (Column("predict", "string"),)), probabilities)
    return ServedModel(BundleId("churn", 12, DIGEST), Signature(inputs, methods), kind, compiled=False)


def tensors() -> ServedModel:
    run = Method("run", (Column("logits", "float32", (4,)), Column("top", "int64")))
    signature = Signature((Column("input", "float32", (2, 2), kind="tensor"),), (run,))
    return ServedModel(BundleId("net", 1, DIGEST), signature, "ONNX graph", compiled=True)
