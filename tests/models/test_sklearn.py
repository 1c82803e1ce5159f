"""scikit-learn's adapter: what it finds, opens, refuses, describes and answers."""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shipway.errors import (
    DangerousPickle,
    MissingSymbol,
    ModelError,
    NotAModel,
    SampleMismatch,
    UsageError,
    VersionMismatch,
)
from shipway.models.adapter import Opening
from shipway.models.sklearn import SklearnAdapter
from shipway.spec.signature import Columns

ADAPTER = SklearnAdapter()


def columns_of(frame: pd.DataFrame) -> Columns:
    """The sample as the readers of files give it."""
    return {str(name): frame[name].to_numpy(object if frame[name].dtype.kind not in "fib" else None) for name in frame}


def answer(model: Any, columns: Columns, method: str = "predict", sample: Columns | None = None) -> Any:
    signature = ADAPTER.describe(model, sample, None)
    return ADAPTER.predictor(model, signature).call(method, columns, {})[method]


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_joblib_files_are_found_and_opened_however_packed(saved: Any, iris: Any, compress: Any) -> None:
    path = saved(iris, "any.name", compress=compress)
    detection = ADAPTER.detect(path)
    assert detection is not None
    assert detection.pickled
    assert detection.evidence == "pickle of sklearn.linear_model._logistic.LogisticRegression"
    opened: Any = ADAPTER.open(path, Opening())
    assert (opened.coef_ == iris.coef_).all()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_every_protocol_are_opened(tmp_path: Path, mixed: Any, protocol: int) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(mixed, protocol=protocol))
    assert ADAPTER.detect(path) is not None
    assert type(ADAPTER.open(path, Opening())).__name__ == "Pipeline"


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("xz", 3)])
def test_a_cut_file_is_not_a_model(saved: Any, iris: Any, compress: Any) -> None:
    path = saved(iris, compress=compress)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(NotAModel, match="cut short"):
        ADAPTER.detect(path)


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    from shipway.models import payload

    monkeypatch.setattr(payload, "_FREE_BYTES", 1024**2)
    path = tmp_path / "bomb.joblib"
    path.write_bytes(zlib.compress(b"\x80\x04B" + b"\0" * (16 * 1024**2), 9))
    with pytest.raises(NotAModel, match="unpacks"):
        ADAPTER.detect(path)


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"(text", b"BZip", b"x = 1\n", b"\x1f\x8b\x08junk", b"\x89PNG"]
)
def test_other_files_are_not_found(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert ADAPTER.detect(path) is None


def test_packed_twice_is_not_opened(saved: Any, iris: Any) -> None:
    import bz2

    path = saved(iris, compress=("bz2", 3))
    path.write_bytes(bz2.compress(path.read_bytes()))
    assert ADAPTER.detect(path) is None
    with pytest.raises(NotAModel):
        ADAPTER.open(path, Opening())


class Evil(BaseEstimator):  # type: ignore[misc]
    def __reduce__(self) -> Any:
        return (exec, ("import builtins; builtins.shipway_was_here = True",))


def test_a_dangerous_pickle_is_refused_unopened_and_shown_unless_trusted(saved: Any) -> None:
    import builtins

    path = saved(Evil())
    assert ADAPTER.detect(path) is not None
    with pytest.raises(DangerousPickle, match=r"builtins\.exec") as caught:
        ADAPTER.open(path, Opening())
    assert "--trust" in caught.value.fix
    assert not hasattr(builtins, "shipway_was_here")
    try:
        ADAPTER.open(path, Opening(trust=True))
        assert hasattr(builtins, "shipway_was_here")
    finally:
        del builtins.shipway_was_here  # type: ignore[attr-defined]


def test_a_function_of_an_installed_package_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"cpytest\nmain\n(]tR.")
    with pytest.raises(DangerousPickle, match="pytest"):
        ADAPTER.open(path, Opening())


MODULE = """
from sklearn.base import BaseEstimator, TransformerMixin
class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self
    def transform(self, X):
        return X * 2
"""


def test_code_of_ones_own_is_named_when_missing_and_found_with_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "doubling_of_tests.py").write_text(MODULE, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(code))
        import doubling_of_tests  # type: ignore[import-not-found]

        model = make_pipeline(doubling_of_tests.Doubler(), LinearRegression()).fit(np.array([[1.0], [2.0]]), [2.0, 4.0])
        path = ADAPTER.save(model, tmp_path)
    del sys.modules["doubling_of_tests"]
    with pytest.raises(MissingSymbol, match=r"doubling_of_tests\.Doubler") as caught:
        ADAPTER.open(path, Opening())
    assert "--code" in caught.value.fix
    before = list(sys.path)
    opened: Any = ADAPTER.open(path, Opening(code=(code,)))
    assert sys.path == before
    assert opened.predict(np.array([[3.0]])) == pytest.approx([6.0])
    del sys.modules["doubling_of_tests"]


def test_a_class_of_a_notebook_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02c__main__\nMine\n)\x81.")
    with pytest.raises(MissingSymbol, match="Mine"):
        ADAPTER.open(path, Opening())


@pytest.mark.parametrize("version", ["1.0.2", "99.1"])
def test_another_version_is_refused_with_the_command(saved: Any, iris: Any, version: str) -> None:
    import sklearn

    path = saved(iris)
    length = len(sklearn.__version__)
    texts = (sklearn.__version__, version.ljust(length, "0")[:length])
    old, new = (b"\x8c" + bytes([length]) + text.encode() for text in texts)
    assert path.read_bytes().count(old) == 1
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(VersionMismatch) as caught:
        ADAPTER.open(path, Opening(trust=True))
    assert caught.value.fix.startswith(f"pip install scikit-learn=={texts[1]}")


def test_a_version_that_is_a_command_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    state = b"}X\x10\x00\x00\x00_sklearn_versionX\x09\x00\x00\x001; rm -rfsb."
    path.write_bytes(b"\x80\x02csklearn.linear_model._base\nLinearRegression\n)\x81" + state)
    with pytest.raises(VersionMismatch) as caught:
        ADAPTER.open(path, Opening())
    assert "rm" not in str(caught.value)


def test_a_name_that_scikit_learn_does_not_have_is_a_version_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02csklearn.linear_model.ridge\nRidge\n)\x81.")
    with pytest.raises(VersionMismatch, match="ridge"):
        ADAPTER.open(path, Opening())


def test_saving_is_deterministic_and_reads_back(tmp_path: Path, iris: Any) -> None:
    (tmp_path / "b").mkdir()
    first, second = ADAPTER.save(iris, tmp_path), ADAPTER.save(iris, tmp_path / "b")
    assert first.name == "model.joblib"
    assert first.read_bytes() == second.read_bytes()


def test_what_cannot_be_pickled_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pickled"):
        ADAPTER.save(LinearRegression(positive=lambda: 0), tmp_path)


def test_owning_is_by_base_class() -> None:
    assert ADAPTER.owns(Ridge())
    assert not ADAPTER.owns({})


def test_a_regression_on_named_columns(diabetes: LinearRegression) -> None:
    features, _ = load_diabetes(return_X_y=True, as_frame=True)
    columns = columns_of(features)
    signature = ADAPTER.describe(diabetes, None, None)
    assert signature.names == tuple(features.columns)
    assert signature.is_numeric_table
    assert not any(column.nullable for column in signature.inputs)
    assert [method.name for method in signature.methods] == ["predict"]
    assert np.array_equal(answer(diabetes, columns), diabetes.predict(features))
    facts = ADAPTER.facts(diabetes, signature, "progression")
    assert facts.kind == "LinearRegression"
    assert set(facts.versions) == {"joblib", "numpy", "pandas", "scikit-learn", "scipy"}
    assert facts.formula is not None
    assert facts.formula.outputs == ("progression",)
    assert np.array_equal(facts.formula.coefficients[0], diabetes.coef_)


def test_a_classifier_without_names(iris: LogisticRegression) -> None:
    signature = ADAPTER.describe(iris, None, None)
    assert signature.names == ("x0", "x1", "x2", "x3")
    predict, proba, decision = signature.methods
    labels = ("setosa", "versicolor", "virginica")
    assert (predict.outputs[0].dtype, predict.outputs[0].categories) == ("string", labels)
    assert (proba.outputs[0].shape, proba.classes) == ((3,), labels)
    assert (decision.outputs[0].shape, decision.classes) == ((3,), labels)
    rows = load_iris().data
    columns = dict(zip(signature.names, rows.T, strict=True))
    assert answer(iris, columns).tolist() == iris.predict(rows).tolist()
    assert np.array_equal(answer(iris, columns, "predict_proba"), iris.predict_proba(rows))


def test_mixed_columns_are_known_without_a_sample(mixed: Any, people: pd.DataFrame) -> None:
    age, city = ADAPTER.describe(mixed, None, None).inputs
    assert (age.dtype, age.nullable) == ("float64", True)
    assert (city.dtype, city.kind, city.categories) == ("string", "category", ("Bern", "Oslo", "Rome"))
    sample = columns_of(people)
    signature = ADAPTER.describe(mixed, sample, "bought")
    assert signature.inputs[1].example == "Rome"
    inputs = {name: sample[name] for name in signature.names}
    assert answer(mixed, inputs).tolist() == mixed.predict(people[["age", "city"]]).tolist()


def test_a_text_model(spam: Any) -> None:
    signature = ADAPTER.describe(spam, None, None)
    (column,) = signature.inputs
    assert (column.name, column.dtype, column.kind, column.nullable) == ("text", "string", "text", False)
    assert answer(spam, {"text": np.array(["buy", "friend"], dtype=object)}).tolist() == ["spam", "ham"]
    sample = {"body": np.array(["hello"], dtype=object), "label": np.array(["ham"], dtype=object)}
    assert ADAPTER.describe(spam, sample, "label").names == ("body",)
    with pytest.raises(SampleMismatch, match="one column of text"):
        ADAPTER.describe(spam, sample, None)


def test_text_columns_without_names_are_an_object_matrix() -> None:
    rows = np.array([["a", 1.0], ["b", 2.0]], dtype=object)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(rows, [0, 1])
    signature = ADAPTER.describe(model, None, None)
    assert [column.dtype for column in signature.inputs] == ["string", "float64"]
    columns = {"x0": np.array(["a", "b"], dtype=object), "x1": np.array([1.0, 2.0])}
    assert answer(model, columns).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "dtype"), [([0, 1], "int64"), ([False, True], "bool"), ([0.0, 1.0], "float64"), (["a", "b"], "string")]
)
def test_labels_keep_their_kind(labels: list[Any], dtype: str) -> None:
    model = RandomForestClassifier(2).fit([[0.0], [1.0]], np.array(labels))
    assert ADAPTER.describe(model, None, None).methods[0].outputs[0].dtype == dtype


def test_labels_of_numpys_own_types_become_plain() -> None:
    labels = np.empty(2, dtype=object)
    labels[:] = [np.str_("a"), np.str_("b")]  # what mapping a column by numpy's names gives
    model = RandomForestClassifier(2).fit([[0.0], [1.0]], labels)
    predict, proba = ADAPTER.describe(model, None, None).methods
    assert [type(label) for label in (*(proba.classes or ()), *(predict.outputs[0].categories or ()))] == [str] * 4


def test_several_outputs_are_cells_of_one_column() -> None:
    rows = [[0.0], [1.0], [2.0]]
    regression = LinearRegression().fit(rows, [[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]])
    signature = ADAPTER.describe(regression, None, None)
    assert signature.methods[0].outputs[0].shape == (2,)
    formula = ADAPTER.facts(regression, signature).formula
    assert formula is not None
    assert formula.outputs == ("predict0", "predict1")
    forest = RandomForestClassifier(2).fit(rows, [[0, 1], [1, 0], [1, 1]])
    assert [method.name for method in ADAPTER.describe(forest, None, None).methods] == ["predict"]


def test_clusterers_and_transformers_answer() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2))
    clusters = ADAPTER.describe(KMeans(2, n_init=1, random_state=0).fit(rows), None, None)
    assert [(m.name, m.outputs[0].dtype, m.outputs[0].shape) for m in clusters.methods] == [
        ("predict", "int64", ()),
        ("transform", "float64", (2,)),
    ]
    encoder = OneHotEncoder().fit([["a"], ["b"]])
    assert answer(encoder, {"x0": np.array(["b"], dtype=object)}, "transform").tolist() == [[0.0, 1.0]]


def test_nan_is_allowed_where_the_model_takes_it() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    takes = HistGradientBoostingRegressor(max_iter=2).fit(rows, rows[:, 0])
    assert all(column.nullable for column in ADAPTER.describe(takes, None, None).inputs)
    refuses = LinearRegression().fit(rows, rows[:, 0])
    assert not any(column.nullable for column in ADAPTER.describe(refuses, None, None).inputs)


def test_the_formula_is_in_the_units_of_the_inputs() -> None:
    rows = np.random.default_rng(0).normal(5.0, 3.0, size=(40, 3))
    model = make_pipeline(StandardScaler(), Ridge()).fit(rows, rows @ [1.0, 2.0, 3.0])
    facts = ADAPTER.facts(model, ADAPTER.describe(model, None, None))
    assert facts.kind == "Pipeline(StandardScaler, Ridge)"
    assert facts.formula is not None
    expected = rows @ np.array(facts.formula.coefficients[0]) + facts.formula.intercepts[0]
    assert np.allclose(model.predict(rows), expected, rtol=1e-12)


def test_a_model_with_a_link_has_no_linear_formula() -> None:
    model = PoissonRegressor().fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 4.0])
    assert ADAPTER.facts(model, ADAPTER.describe(model, None, None)).formula is None


def sample_of(*names: str) -> Columns:
    return {name: np.array([1.0, 2.0]) for name in names}


def test_samples_that_do_not_fit_are_told_how(mixed: Any, iris: Any) -> None:
    people = {"age": np.array([1.0]), "city": np.array(["Rome"], dtype=object)}
    with pytest.raises(SampleMismatch, match="no column 'bougth'") as caught:
        ADAPTER.describe(mixed, {**people, "bought": np.array([1])}, "bougth")
    assert "bought" in caught.value.fix
    with pytest.raises(SampleMismatch, match="'bought'") as caught:
        ADAPTER.describe(mixed, {**people, "bought": np.array([1])}, None)
    assert "--target bought" in caught.value.fix
    with pytest.raises(SampleMismatch, match="'city'") as caught:
        ADAPTER.describe(mixed, {"age": np.array([1.0]), "citi": people["city"]}, None)
    assert "'citi'" in caught.value.fix
    with pytest.raises(SampleMismatch, match="takes 4 columns") as caught:
        ADAPTER.describe(iris, sample_of("a", "b", "c", "d", "kind"), None)
    assert "--target" in caught.value.fix
    assert ADAPTER.describe(iris, sample_of("a", "b", "c", "d"), None).names == ("a", "b", "c", "d")
    with pytest.raises(SampleMismatch, match="fails on the first row"):
        ADAPTER.describe(iris, {name: np.array(["x"], dtype=object) for name in "abcd"}, None)


@pytest.mark.parametrize("model", [LinearRegression(), make_pipeline(StandardScaler(), Ridge())])
def test_what_is_not_fitted_is_no_model(model: Any) -> None:
    with pytest.raises(NotAModel, match="not fitted"):
        ADAPTER.describe(model, None, None)


@pytest.mark.parametrize("model", [{"a": 1}, 3.0, LinearRegression])
def test_what_cannot_predict_is_no_model(model: Any) -> None:
    with pytest.raises(NotAModel, match="no predict"):
        ADAPTER.describe(model, None, None)


def test_what_the_model_raises_is_a_model_error(iris: Any) -> None:
    predictor = ADAPTER.predictor(iris, ADAPTER.describe(iris, None, None))
    with pytest.raises(ModelError, match="NaN"):
        predictor.call("predict", {f"x{i}": np.array([np.nan]) for i in range(4)}, {})


def test_opened_bytes_are_the_scanned_ones(saved: Any, iris: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = joblib.load

    def spy(source: Any) -> Any:
        loaded.append(source)
        return load(source)

    monkeypatch.setattr(joblib, "load", spy)
    ADAPTER.open(saved(iris), Opening())
    assert isinstance(loaded[0], io.BytesIO)


class Broken(BaseEstimator):  # type: ignore[misc]
    """An estimator whose attributes raise."""

    def predict(self, rows: Any) -> Any:
        return rows

    @property
    def n_features_in_(self) -> int:
        raise TypeError("broken")

    def __sklearn_is_fitted__(self) -> bool:
        return True


def test_a_class_that_raises_when_looked_at_is_no_model() -> None:
    with pytest.raises(NotAModel, match="broken"):
        ADAPTER.describe(Broken(), None, None)
