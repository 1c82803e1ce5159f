"""Small real models, one a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


@pytest.fixture(scope="session")
def diabetes() -> LinearRegression:
    features, target = load_diabetes(return_X_y=True, as_frame=True)
    return LinearRegression().fit(features, target)


@pytest.fixture(scope="session")
def iris() -> LogisticRegression:
    features, target = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=500).fit(features, np.array(["setosa", "versicolor", "virginica"])[target])


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [30.0, 41.0, np.nan, 25.0, 60.0, 52.0],
            "city": ["Rome", "Oslo", "Rome", "Bern", "Oslo", "Bern"],
            "bought": [0, 1, 0, 1, 1, 0],
        }
    )


@pytest.fixture(scope="session")
def mixed(people: pd.DataFrame) -> Pipeline:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(people[["age", "city"]], people["bought"])


@pytest.fixture(scope="session")
def spam() -> Pipeline:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["buy now", "hello friend"], ["spam", "ham"])


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Saves a model by joblib and gives the file."""

    def save(model: Any, name: str = "model.joblib", **options: Any) -> Path:
        joblib.dump(model, tmp_path / name, **options)
        return tmp_path / name

    return save


def affine(batch: str | int | None = "N", width: int = 3) -> onnx.ModelProto:
    """A graph that doubles its float32 input [batch, width]."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, width])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, producer_name="tests")


@pytest.fixture
def affine_model() -> Any:
    return affine
