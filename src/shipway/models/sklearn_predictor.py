"""Calls a fitted scikit-learn estimator: columns to what it was fitted on, and its answers to columns.

An estimator fitted on named columns gets a DataFrame. A plain matrix would be five times faster (one linear row: 134 us
against 789), but scikit-learn warns then, once a call, and the only ways to silence it change the whole process or the
caller's model. It is the compiled form that is meant to be fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shipway.errors import MissingDependency, ModelError
from shipway.spec.signature import Array, Column, Columns, Method, Signature, numpy_dtype, row_count

__all__ = ["InputMaker", "SklearnPredictor", "dense", "feature_names", "input_maker", "label_array", "takes_texts"]

InputMaker = Callable[[Columns], Any]
"""Gives named columns as the one argument of an estimator's methods."""


@dataclass(frozen=True, slots=True)
class SklearnPredictor:
    """A fitted estimator behind its signature. Safe to call from threads, as its methods only read it.

    Attributes:
        model: the estimator.
        signature: of it.
        make_input: gives it its argument.
    """

    model: Any
    signature: Signature
    make_input: InputMaker

    def call(self, method: str, columns: Columns, parameters: Mapping[str, object]) -> Columns:  # noqa: ARG002
        """Calls the estimator's method of that name; see `Predictor.call`."""
        found = self.signature.method(method)
        assert found is not None, method
        try:
            answer = dense(getattr(self.model, method)(self.make_input(columns)))
        except Exception as error:
            raise ModelError(f"{type(self.model).__name__}.{method} failed: {error}") from error
        return {found.outputs[0].name: _typed(answer, found, row_count(columns))}


def input_maker(model: Any, inputs: tuple[Column, ...]) -> InputMaker:
    """Chooses how the model takes its rows.

    Returns:
        A function that gives a DataFrame for a model that was fitted on named columns, a list of texts for one that
        takes texts, else a matrix [rows, columns]: float64, or object where a column is text.

    Raises:
        MissingDependency: a DataFrame is needed and pandas is not installed.
    """
    names = tuple(column.name for column in inputs)
    texts = frozenset(column.name for column in inputs if column.dtype == "string")
    if feature_names(model) is not None:
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependency("pandas is not installed", fix='pip install "shipway[sklearn]"') from error
        index = pd.Index(names)
        if not texts:
            return lambda columns: pd.DataFrame(_matrix(columns, names), columns=index, copy=False)
        return lambda columns: pd.DataFrame(
            {name: _missing_as_nan(columns[name]) if name in texts else columns[name] for name in names}
        )
    if not texts:
        return lambda columns: _matrix(columns, names)
    if len(names) == 1 and takes_texts(model):
        return lambda columns: columns[names[0]].tolist()
    return lambda columns: np.stack(
        [_missing_as_nan(columns[name]) if name in texts else columns[name].astype(object) for name in names], axis=1
    )


def feature_names(model: Any) -> tuple[str, ...] | None:
    """Gives the names of the columns that the model was fitted on, where they had names."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)


def takes_texts(model: Any) -> bool:
    """Whether the model's rows are texts and not rows of a table."""
    return feature_names(model) is None and getattr(model, "n_features_in_", None) is None


def dense(answer: Any) -> Array:
    """Gives an answer as an array; sparse matrices and DataFrames too."""
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)


def label_array(labels: Array) -> Array:
    """Gives labels of text as an object array of `str`; None stays."""
    flat = [None if label is None else str(label) for label in labels.ravel().tolist()]
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(labels.shape)


def _matrix(columns: Columns, names: tuple[str, ...]) -> Array:
    """Gives float64 [rows, columns], rows contiguous."""
    if len(names) == 1:
        return columns[names[0]].reshape(-1, 1)
    return np.stack([columns[name] for name in names], axis=1)


def _missing_as_nan(texts: Array) -> Array:
    """Gives missing text as NaN, which is how tables that are read from files have it, and what imputers look for."""
    missing = np.array([text is None for text in texts])
    return np.where(missing, math.nan, texts) if missing.any() else texts


def _typed(answer: Array, method: Method, rows: int) -> Array:
    output = method.outputs[0]
    if len(answer) != rows:
        raise ModelError(f"{method.name} gave {len(answer)} rows for {rows}")
    if output.dtype == "string":
        return label_array(answer)
    return answer.astype(numpy_dtype(output.dtype), copy=False)
