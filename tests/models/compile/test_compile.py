"""Compiled scikit-learn models agree with their originals: trees to the last bit or nearly, others within 1e-9."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from fakes.agreement import columns_of, compiled_form
from shipway.errors import ModelError, NotCompilable
from shipway.models.compile import MISSING_TEXT, compile_sklearn
from shipway.models.compile.parity import TREE_TOLERANCE
from shipway.models.onnx import load_compiled
from shipway.models.sklearn import SklearnAdapter
from shipway.spec.signature import Array, Column, Method, Signature

SEED: dict[str, Any] = {"random_state": 0}
IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versi color", "vïrginica"])[SPECIES]
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
TWO = np.c_[PROGRESS, PROGRESS**2]
BREAST, MALIGNANT = (part[:300, :6] if part.ndim == 2 else part[:300] for part in load_breast_cancer(return_X_y=True))
COUNTS = np.random.default_rng(0).integers(0, 4, (200, 3)).astype(float)


def with_holes(matrix: Array) -> Array:
    return np.where(np.random.default_rng(0).random(matrix.shape) < 0.15, np.nan, matrix)


def categories() -> tuple[Array, Array]:
    """Numbers, 40 categories and 5, with holes."""
    generator = np.random.default_rng(1)
    matrix = np.c_[generator.normal(size=500), generator.integers(0, 40, 500) * 3.5, generator.integers(0, 5, 500)]
    targets = np.sin(matrix[:, 1]) + (matrix[:, 2] == 2) + 0.3 * matrix[:, 0]
    return with_holes(matrix), targets


CATEGORIES, CATEGORY_TARGETS = categories()

TREES = {
    "decision tree": (DecisionTreeClassifier(**SEED), IRIS, SPECIES),
    "decision tree, missing, text labels": (DecisionTreeClassifier(**SEED), with_holes(IRIS), NAMES),
    "decision tree, truth labels": (DecisionTreeClassifier(**SEED), BREAST, MALIGNANT.astype(bool)),
    "decision tree, one leaf": (DecisionTreeClassifier(min_samples_leaf=100, **SEED), IRIS, NAMES),
    "decision tree, one class": (DecisionTreeClassifier(**SEED), IRIS, np.zeros(150, int)),
    "extra tree": (ExtraTreeClassifier(**SEED), IRIS, NAMES),
    "regression tree, missing": (DecisionTreeRegressor(**SEED), with_holes(DIABETES), PROGRESS),
    "regression extra tree": (ExtraTreeRegressor(**SEED), DIABETES, PROGRESS),
    "forest, two classes": (RandomForestClassifier(8, **SEED), BREAST, MALIGNANT),
    "forest, missing, text labels": (RandomForestClassifier(8, **SEED), with_holes(IRIS), NAMES),
    "forest, shallow": (RandomForestClassifier(8, max_depth=2, class_weight="balanced", **SEED), IRIS, NAMES),
    "forest, even number of trees that tie": (RandomForestClassifier(2, **SEED), IRIS[:, :2], NAMES),
    "extra trees": (ExtraTreesClassifier(8, **SEED), with_holes(IRIS), NAMES),
    "regression forest": (RandomForestRegressor(8, **SEED), with_holes(DIABETES), PROGRESS),
    "regression forest, two outputs": (RandomForestRegressor(8, **SEED), DIABETES, TWO),
    "regression extra trees": (ExtraTreesRegressor(8, **SEED), DIABETES, PROGRESS),
    "boosting, two classes": (GradientBoostingClassifier(n_estimators=8, **SEED), BREAST, MALIGNANT),
    "boosting, exponential": (
        GradientBoostingClassifier(n_estimators=8, loss="exponential", **SEED), BREAST, MALIGNANT,
    ),
    "boosting, three classes": (GradientBoostingClassifier(n_estimators=8, **SEED), IRIS, NAMES),
    "boosting from zero": (GradientBoostingClassifier(n_estimators=8, init="zero", **SEED), IRIS, NAMES),
    "boosting regression": (GradientBoostingRegressor(n_estimators=8, **SEED), DIABETES, PROGRESS),
    "boosting regression, quantile": (
        GradientBoostingRegressor(n_estimators=8, loss="quantile", **SEED), DIABETES, PROGRESS,
    ),
    "histogram, two classes": (HistGradientBoostingClassifier(max_iter=8, **SEED), BREAST, MALIGNANT),
    "histogram, three classes, missing": (HistGradientBoostingClassifier(max_iter=8, **SEED), with_holes(IRIS), NAMES),
    "histogram regression, missing": (
        HistGradientBoostingRegressor(max_iter=8, **SEED), with_holes(DIABETES), PROGRESS,
    ),
    "histogram regression, poisson": (
        HistGradientBoostingRegressor(max_iter=8, loss="poisson", **SEED), DIABETES, PROGRESS,
    ),
    "histogram regression, categories": (
        HistGradientBoostingRegressor(max_iter=8, categorical_features=[1, 2], **SEED), CATEGORIES, CATEGORY_TARGETS,
    ),
    "histogram, category in the middle": (
        HistGradientBoostingClassifier(max_iter=8, categorical_features=[1], **SEED),
        CATEGORIES,
        np.digitize(CATEGORY_TARGETS, [0, 1]),
    ),
    "scaler and forest": (make_pipeline(StandardScaler(), RandomForestClassifier(8, **SEED)), IRIS, NAMES),
    "search over forests": (GridSearchCV(RandomForestClassifier(3, **SEED), {"max_depth": [2]}, cv=2), IRIS, NAMES),
}  # fmt: skip
OTHERS = {
    "linear": (LinearRegression(), DIABETES, PROGRESS),
    "linear, two outputs": (LinearRegression(), DIABETES, TWO),
    "linear, no intercept": (LinearRegression(fit_intercept=False), DIABETES, PROGRESS[:, None]),
    "ridge": (Ridge(), DIABETES, TWO),
    "lasso": (Lasso(), DIABETES, PROGRESS),
    "elastic net": (ElasticNet(), DIABETES, PROGRESS),
    "poisson": (PoissonRegressor(max_iter=500), DIABETES, PROGRESS),
    "tweedie": (TweedieRegressor(power=1.5, alpha=0.1, max_iter=500), DIABETES, PROGRESS),
    "logistic, two classes": (LogisticRegression(max_iter=5000), BREAST, MALIGNANT),
    "logistic, three classes": (LogisticRegression(max_iter=500), IRIS, NAMES),
    "logistic, liblinear": (LogisticRegression(solver="liblinear"), BREAST, MALIGNANT),
    "one against the rest": (SGDClassifier(loss="log_loss", **SEED), IRIS, NAMES),
    "ridge classifier": (RidgeClassifier(), IRIS, NAMES),
    "linear support vectors": (LinearSVC(), IRIS, SPECIES),
    "discriminant analysis": (LinearDiscriminantAnalysis(), IRIS, NAMES),
    "support vectors, two classes": (SVC(), BREAST, MALIGNANT),
    "support vectors, three classes": (SVC(kernel="poly"), IRIS, NAMES),
    "support vectors, break ties": (SVC(kernel="sigmoid", gamma=0.05, break_ties=True), IRIS, NAMES),
    "support vectors, pairs": (SVC(kernel="linear", decision_function_shape="ovo"), IRIS, NAMES),
    "support vector regression": (SVR(), DIABETES, PROGRESS),
    "naive Bayes": (GaussianNB(), IRIS, NAMES),
    "perceptron": (MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", tol=1.0, **SEED), DIABETES, PROGRESS / 100),
    "neighbours": (KNeighborsRegressor(3), DIABETES, PROGRESS),
    "polynomial, scaled": (
        make_pipeline(PolynomialFeatures(2), StandardScaler(), LinearRegression()),
        DIABETES,
        PROGRESS,
    ),
    "components, logistic": (make_pipeline(StandardScaler(), PCA(2), LogisticRegression()), IRIS, NAMES),
    "imputer, logistic": (make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500)), with_holes(IRIS), NAMES),
    "selection": (make_pipeline(SelectKBest(k=2), LogisticRegression()), IRIS, SPECIES),
    "encoder of numbers": (make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()), COUNTS, COUNTS.sum(axis=1)),
    "union": (make_pipeline(make_union(StandardScaler(), PCA(2)), Ridge()), DIABETES, PROGRESS),
}
TRANSFORMERS = {
    "standard": (StandardScaler(), IRIS),
    "standard, not centred": (StandardScaler(with_mean=False), IRIS),
    "range": (MinMaxScaler((-1, 2), clip=True), IRIS),
    "robust": (RobustScaler(), IRIS),
    "largest": (MaxAbsScaler(), IRIS),
    "norm l1": (Normalizer("l1"), IRIS),
    "norm l2": (Normalizer("l2"), IRIS),
    "norm max": (Normalizer("max"), IRIS),
    "binary": (Binarizer(threshold=1.5), IRIS),
    "polynomial": (PolynomialFeatures(3, interaction_only=True, include_bias=False), IRIS),
    "whitened": (PCA(2, whiten=True), IRIS),
    "median": (SimpleImputer(strategy="median", add_indicator=True), with_holes(IRIS)),
    "minus one is missing": (SimpleImputer(missing_values=-1, strategy="constant", fill_value=7), COUNTS - 1),
    "one-hot, first dropped": (OneHotEncoder(drop="first"), COUNTS),
    "ordinal": (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), with_holes(COUNTS)),
    "quantiles": (QuantileTransformer(n_quantiles=10), IRIS),
    "nothing": (FunctionTransformer(), IRIS),
}


@pytest.mark.parametrize(("model", "matrix", "targets"), TREES.values(), ids=TREES)
def test_tree_ensembles_agree_within_1e_12(model: Any, matrix: Array, targets: Array) -> None:
    form = compiled_form(model.fit(matrix, targets), columns_of(matrix[:60]))
    assert form.tolerance == TREE_TOLERANCE
    parity = form.prove()
    assert parity.rows > 1000
    # What is summed is exact; only the link functions at the end are the runtime's own.
    assert parity.max_difference.get("decision_function", 0.0) == 0.0


@pytest.mark.parametrize(("model", "matrix", "targets"), OTHERS.values(), ids=OTHERS)
def test_other_models_agree_within_1e_9(model: Any, matrix: Array, targets: Array) -> None:
    form = compiled_form(model.fit(matrix, targets), columns_of(matrix[:60]))
    parity = form.prove()
    assert parity.rows > 1000
    assert max(parity.max_difference.values()) < 1e-9


@pytest.mark.parametrize(("model", "matrix"), TRANSFORMERS.values(), ids=TRANSFORMERS)
def test_transformers_agree_within_1e_9(model: Any, matrix: Array) -> None:
    assert compiled_form(model.fit(matrix), columns_of(matrix[:60])).prove().rows > 500


def people() -> tuple[pd.DataFrame, Array]:
    generator = np.random.default_rng(0)
    table = pd.DataFrame({
        "age": generator.normal(40, 10, 200),
        "home town": np.array(["Ulm", "Köln", "Bonn"], dtype=object)[generator.integers(0, 3, 200)],
        "income": generator.lognormal(size=200),
    })  # fmt: skip
    labels = np.where((table["home town"] == "Ulm") ^ (table["age"] > 42), "yes", "no")
    table.loc[::7, "age"] = np.nan
    table.loc[::9, "home town"] = None
    return table, labels


def sample_of(table: pd.DataFrame) -> dict[str, Array]:
    texts = table["home town"].astype(object)
    return {
        "age": table["age"].to_numpy(),
        "home town": texts.where(texts.notna(), None).to_numpy(),
        "income": table["income"].to_numpy(),
    }


def mixed(final: Any, *, unknown: str = "ignore") -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown=unknown))
    columns = ColumnTransformer([("n", numbers, ["income", "age"]), ("t", texts, ["home town"])])
    return make_pipeline(columns, final)


@pytest.mark.parametrize(
    "final", [LogisticRegression(), RandomForestClassifier(8, **SEED), GaussianNB()], ids=["linear", "forest", "bayes"]
)
def test_columns_of_text_and_numbers_with_holes_agree(final: Any) -> None:
    table, labels = people()
    form = compiled_form(mixed(final).fit(table, labels), sample_of(table))
    assert {"missing", "often missing", "categories"} < set(form.rows)
    assert form.prove().rows > 1000


def test_mixed_columns_are_tensors_of_their_own_names() -> None:
    table, labels = people()
    form = compiled_form(mixed(LogisticRegression()).fit(table, labels), sample_of(table))
    graph = onnx.load_from_string(form.data).graph
    inputs = {entry.name: entry.type.tensor_type.elem_type for entry in graph.input}
    assert inputs == {
        "age": onnx.TensorProto.DOUBLE, "home town": onnx.TensorProto.STRING, "income": onnx.TensorProto.DOUBLE,
    }  # fmt: skip


def test_text_categories_of_histogram_boosting_agree() -> None:
    table, labels = people()
    table["home town"] = table["home town"].astype("category")
    model = HistGradientBoostingClassifier(max_iter=8, categorical_features=["home town"], **SEED).fit(table, labels)
    assert compiled_form(model, sample_of(table)).prove().rows > 1000


def test_a_category_that_the_original_refuses_is_refused() -> None:
    table, labels = people()
    form = compiled_form(mixed(LogisticRegression(), unknown="error").fit(table, labels), sample_of(table))
    assert form.prove().rows > 1000
    row = {"age": np.array([1.0]), "home town": np.array(["Atlantis"], dtype=object), "income": np.array([1.0])}
    for predictor in (form.original, form.compiled):
        with pytest.raises(ModelError):
            predictor.call("predict", row, {})


def test_a_table_of_numbers_is_one_tensor_and_each_method_one_output() -> None:
    model = LogisticRegression().fit(IRIS[:100], SPECIES[:100])
    graph = onnx.load_from_string(compiled_form(model, columns_of(IRIS[:100])).data).graph
    shapes = {
        entry.name: [axis.dim_value for axis in entry.type.tensor_type.shape.dim][1:]
        for entry in (*graph.input, *graph.output)
    }
    assert shapes == {"input": [4], "predict": [], "predict_proba": [2], "decision_function": []}


def test_only_the_methods_of_the_signature_are_outputs() -> None:
    model = RandomForestClassifier(3, **SEED).fit(IRIS, NAMES)
    inputs = tuple(Column(f"x{index}", "float64") for index in range(4))
    signature = Signature(inputs, (Method("predict", (Column("predict", "string", kind="category"),)),))
    graph = onnx.load_from_string(compile_sklearn(model, signature)).graph
    assert [output.name for output in graph.output] == ["predict"]


@pytest.mark.parametrize("dtype", ["int64", "float64", "bool"])
def test_other_dtypes_of_numbers_are_taken(dtype: Any) -> None:
    matrix = (COUNTS > 1).astype(dtype)
    model = RandomForestRegressor(3, **SEED).fit(matrix, COUNTS.sum(axis=1))
    signature = Signature(
        tuple(Column(f"x{index}", dtype) for index in range(3)), (Method("predict", (Column("predict", "float64"),)),)
    )
    compiled = load_compiled(compile_sklearn(model, signature), signature)
    columns = {f"x{index}": matrix[:, index] for index in range(3)}
    np.testing.assert_array_equal(compiled.call("predict", columns, {})["predict"], model.predict(matrix))


NOT_COMPILABLE = {
    "a function of Python": make_pipeline(FunctionTransformer(np.log1p), LinearRegression()).fit(IRIS, SPECIES),
    "a class without converter": VotingClassifier([("a", GaussianNB())]).fit(IRIS, SPECIES),
    "rare categories": make_pipeline(OneHotEncoder(min_frequency=60), Ridge()).fit(COUNTS, COUNTS[:, 0]),
    "a method without form": SGDClassifier(loss="modified_huber").fit(IRIS, SPECIES),
}


@pytest.mark.parametrize("model", NOT_COMPILABLE.values(), ids=NOT_COMPILABLE)
def test_what_has_no_form_says_so_in_one_sentence(model: Any) -> None:
    matrix = COUNTS if hasattr(model, "steps") and model.n_features_in_ == 3 else IRIS
    with pytest.raises(NotCompilable) as caught:
        compiled_form(model, columns_of(matrix[:20]))
    assert "\n" not in caught.value.message
    assert "http" not in caught.value.message
    assert not caught.value.message.endswith(".")


def test_a_column_with_the_name_of_a_method_is_refused() -> None:
    table = pd.DataFrame({"predict": IRIS[:, 0], "town": NAMES.astype(object)})
    encoder = ColumnTransformer([("t", OneHotEncoder(), ["town"])], remainder="passthrough")
    model = make_pipeline(encoder, LinearRegression()).fit(table, SPECIES)
    with pytest.raises(NotCompilable, match="'predict'"):
        compiled_form(model, {"predict": IRIS[:20, 0], "town": NAMES[:20].astype(object)})


def test_missing_text_is_no_character_of_any_text() -> None:
    assert len(MISSING_TEXT) == 1
    assert not MISSING_TEXT.isprintable()


_COMPILE = """
import hashlib, sys, joblib
from shipway.models.compile import compile_sklearn
for model, signature in joblib.load(sys.argv[1]):
    print(hashlib.sha256(compile_sklearn(model, signature)).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    quantiles = make_pipeline(QuantileTransformer(n_quantiles=5), MLPClassifier((4,), tol=1.0, **SEED))
    models = (
        RandomForestClassifier(5, **SEED).fit(IRIS, NAMES),
        HistGradientBoostingClassifier(max_iter=5, **SEED).fit(IRIS, NAMES),
        KNeighborsClassifier().fit(IRIS, NAMES),
        quantiles.fit(IRIS, NAMES),
    )
    pairs = [(model, SklearnAdapter().describe(model, None, None)) for model in models]
    joblib.dump(pairs, tmp_path / "pairs")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _COMPILE, str(tmp_path / "pairs")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert answer.stdout.split() == [hashlib.sha256(compile_sklearn(*pair)).hexdigest() for pair in pairs]
