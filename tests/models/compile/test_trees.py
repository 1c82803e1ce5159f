"""A forest that is read from a model gives the model's own scores, without any runtime in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from shipway.errors import NotCompilable
from shipway.models.compile.trees import is_tree_model, read_trees
from shipway.spec.signature import Array

IRIS, IRIS_LABELS = load_iris(return_X_y=True)
DIABETES, DIABETES_TARGETS = load_diabetes(return_X_y=True)


def with_holes(matrix: Array) -> Array:
    holes = np.random.default_rng(0).random(matrix.shape) < 0.2
    return np.where(holes, np.nan, matrix)


@pytest.mark.parametrize("matrix", [DIABETES, with_holes(DIABETES)], ids=["whole", "missing"])
@pytest.mark.parametrize(
    "targets", [DIABETES_TARGETS, np.c_[DIABETES_TARGETS, DIABETES_TARGETS**2]], ids=["one", "two"]
)
def test_regression_forest_gives_the_predictions(matrix: Array, targets: Array) -> None:
    model = ExtraTreesRegressor(5, random_state=0).fit(matrix, targets)
    scores = read_trees(model).forest.evaluate(matrix)
    np.testing.assert_array_equal(scores.reshape(targets.shape), model.predict(matrix))


def test_classification_forest_gives_the_probabilities_in_the_order_of_the_classes() -> None:
    model = RandomForestClassifier(5, random_state=0).fit(IRIS, IRIS_LABELS)
    read = read_trees(model)
    np.testing.assert_array_equal(read.forest.evaluate(IRIS), model.predict_proba(IRIS))
    assert read.head.classes is not None
    np.testing.assert_array_equal(read.head.classes, model.classes_)


def test_boosting_gives_the_decisions() -> None:
    model = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(IRIS, IRIS_LABELS)
    np.testing.assert_array_equal(read_trees(model).forest.evaluate(IRIS), model.decision_function(IRIS))


def test_histogram_boosting_gives_the_decisions_with_missing_values_and_infinities() -> None:
    model = HistGradientBoostingClassifier(max_iter=5).fit(with_holes(IRIS), IRIS_LABELS)
    rows = np.vstack([with_holes(IRIS), np.full((1, 4), np.inf), np.full((1, 4), -np.inf), np.full((1, 4), np.nan)])
    np.testing.assert_array_equal(read_trees(model).forest.evaluate(rows), model.decision_function(rows))


def test_categories_keep_their_raw_values_and_their_columns() -> None:
    generator = np.random.default_rng(0)
    matrix = np.c_[generator.normal(size=400), generator.choice([3.0, 5.5, 9.0, 11.0], 400)]
    model: Any = HistGradientBoostingRegressor(categorical_features=[1], max_iter=5)
    model.fit(matrix, (matrix[:, 1] == 5.5) + 0.1 * matrix[:, 0])
    read = read_trees(model)
    assert {column: values.tolist() for column, values in read.categories.items()} == {1: [3.0, 5.5, 9.0, 11.0]}
    coded = np.c_[matrix[:, 0], np.searchsorted(read.categories[1], matrix[:, 1])]
    np.testing.assert_array_equal(read.forest.evaluate(coded)[:, 0], model.predict(matrix))
    unknown = np.c_[matrix[:9, 0], np.full(9, 4.0)]
    missing = np.c_[matrix[:9, 0], np.full(9, np.nan)]
    np.testing.assert_array_equal(read.forest.evaluate(missing)[:, 0], model.predict(unknown))


def test_a_tree_of_one_leaf_has_no_nodes() -> None:
    model = DecisionTreeRegressor().fit(DIABETES, np.full(len(DIABETES), 3.5))
    forest = read_trees(model).forest
    assert len(forest.trees[0].feature) == 0
    assert forest.evaluate(DIABETES[:2]).tolist() == [[3.5], [3.5]]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (RandomForestClassifier(2).fit(IRIS, np.c_[IRIS_LABELS, IRIS_LABELS]), "multi-output"),
        (
            GradientBoostingClassifier(n_estimators=2, init=RandomForestClassifier(2)).fit(IRIS, IRIS_LABELS),
            "starts from a model of its own",
        ),
        (RandomForestClassifier(2), "cannot be read"),
        (LinearRegression(), "no ensemble of trees"),
    ],
    ids=["multi-output", "own first model", "not fitted", "not a tree"],
)
def test_what_cannot_be_read_says_why(model: object, reason: str) -> None:
    with pytest.raises(NotCompilable, match=reason):
        read_trees(model)


def test_a_class_that_only_looks_like_a_forest_is_none() -> None:
    class RandomForestRegressor:
        pass

    assert not is_tree_model(RandomForestRegressor())
