"""The proof fails where it must, and tries the rows that find disagreements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fakes.agreement import Compiled, columns_of, compiled_form
from shipway.errors import ModelError, NotCompilable
from shipway.models.compile.parity import Parity, probe_rows, prove, split_points, tolerance_of
from shipway.models.onnx import load_compiled
from shipway.spec.signature import Array, Column, Columns, Method, Signature, row_count

IRIS, SPECIES = load_iris(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
NUMBERS = Signature(
    (Column("a", "float64", nullable=True), Column("b", "float64")),
    (Method("predict", (Column("predict", "float64"),)),),
)


def forest() -> Compiled:
    return compiled_form(RandomForestRegressor(5, random_state=0).fit(DIABETES, PROGRESS), columns_of(DIABETES[:60]))


def changed(form: Compiled, attribute: str, change: Callable[[Array], Array]) -> Compiled:
    """The same, with a tensor of the compiled trees changed."""
    model = onnx.load_from_string(form.data)
    (node,) = (node for node in model.graph.node if node.op_type == "TreeEnsemble")
    (tensor,) = (entry.t for entry in node.attribute if entry.name == attribute)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), tensor.name))
    return form._replace(compiled=load_compiled(model.SerializeToString(), form.signature))


def first_moved(array: Array, to: Callable[[Any], Any]) -> Array:
    array[0] = to(array[0])
    return array


def test_a_leaf_that_is_off_by_more_than_the_tolerance_is_found_and_its_row_shown() -> None:
    with pytest.raises(NotCompilable, match=r"predict gives [\d.]+ and the compiled form [\d.]+ \(.+\) for x0="):
        changed(forest(), "leaf_weights", lambda leaves: leaves * (1 + 1e-11)).prove()


def test_a_leaf_that_is_off_by_less_than_the_tolerance_is_let_pass_and_counted() -> None:
    parity = changed(forest(), "leaf_weights", lambda leaves: leaves * (1 + 1e-14)).prove()
    assert 0 < parity.max_difference["predict"] <= 1e-12
    assert parity.bit_equal < 1


def test_a_threshold_that_is_off_by_one_float32_is_found() -> None:
    form = forest()
    with pytest.raises(NotCompilable, match=r"\(thresholds\)"):
        changed(
            form, "nodes_splits", lambda splits: first_moved(splits, lambda at: at - 1e-7 * max(abs(at), 0.1))
        ).prove()


def test_a_missing_direction_that_is_turned_is_found() -> None:
    holes = np.where(np.random.default_rng(0).random(IRIS.shape) < 0.2, np.nan, IRIS)
    form = compiled_form(RandomForestClassifier(5, random_state=0).fit(holes, SPECIES), columns_of(holes[:60]))
    model = onnx.load_from_string(form.data)
    (node,) = (node for node in model.graph.node if node.op_type == "TreeEnsemble")
    (tracks,) = (entry for entry in node.attribute if entry.name == "nodes_missing_value_tracks_true")
    tracks.ints[:] = [1 - way for way in tracks.ints]
    with pytest.raises(NotCompilable, match=r"missing|sample"):
        form._replace(compiled=load_compiled(model.SerializeToString(), form.signature)).prove()


@dataclass(frozen=True)
class Computed:
    """A predictor that computes its one method's answer."""

    answer: Callable[[Columns], Array]
    signature: Signature = NUMBERS

    def call(self, method: str, columns: Columns, parameters: Mapping[str, object]) -> Columns:
        return {method: self.answer(columns)}


def total(columns: Columns) -> Array:
    return np.asarray(columns["a"] + columns["b"])


def constant(value: float) -> Computed:
    return Computed(lambda columns: np.array([value]))


def refusing_missing(columns: Columns) -> Array:
    if np.isnan(columns["a"]).any():
        raise ModelError("NaN")
    return total(columns)


def rows(*cells: tuple[float, float]) -> Mapping[str, Columns]:
    matrix = np.array(cells)
    return {"given": {"a": matrix[:, 0], "b": matrix[:, 1]}}


def test_rows_that_the_original_refuses_are_left_out_one_by_one() -> None:
    given = rows((1, 2), (np.nan, 1), (3, 4), (np.nan, np.nan), (5, 6))
    answers_anything = Computed(lambda columns: np.nan_to_num(total(columns)))
    assert prove(Computed(refusing_missing), answers_anything, given, 0.0).rows == 3


def test_rows_that_only_the_compiled_form_refuses_are_a_disagreement() -> None:
    with pytest.raises(NotCompilable, match="refuses rows"):
        prove(Computed(total), Computed(refusing_missing), rows((np.nan, 1.0)), 0.0)


def test_nothing_compared_is_nothing_proved() -> None:
    with pytest.raises(NotCompilable, match="answers none"):
        prove(Computed(refusing_missing), Computed(total), rows((np.nan, 1.0)), 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_must_be_the_same(value: float) -> None:
    given = rows((1.0, 2.0))
    assert prove(constant(value), constant(value), given, 0.0).bit_equal == 1.0
    for other in (3.0, 1e308, np.inf if value != np.inf else np.nan):
        with pytest.raises(NotCompilable):
            prove(constant(value), constant(other), given, 1e-9)


def test_differences_are_relative_for_large_numbers_and_absolute_for_small_ones() -> None:
    given = rows((1e6, 0.0), (1e-6, 0.0))
    off = Computed(lambda columns: total(columns) + np.array([1e-4, 1e-10]))
    assert prove(Computed(total), off, given, 1e-9).max_difference["predict"] == pytest.approx(1e-10, rel=0.1)


def test_labels_must_be_equal_whatever_the_tolerance() -> None:
    signature = Signature(NUMBERS.inputs, (Method("predict", (Column("predict", "float64", kind="category"),)),))
    one, two = (
        Computed(lambda columns: np.array([1.0]), signature),
        Computed(lambda columns: np.array([2.0]), signature),
    )
    assert prove(one, one, rows((1.0, 2.0)), 10.0).labels == 1
    with pytest.raises(NotCompilable):
        prove(one, two, rows((1.0, 2.0)), 10.0)


def test_the_figures_are_one_line() -> None:
    assert str(Parity(1234, 1234, {"predict_proba": 0.0}, 1.0)) == "labels equal, numbers equal on 1,234 rows"
    assert str(Parity(5, 0, {"predict": 3e-15}, 0.5)) == "numbers within 3.0e-15, 50.0% equal to the last bit on 5 rows"


def test_the_same_arguments_give_the_same_rows_and_another_seed_others() -> None:
    one, same, other = (probe_rows(NUMBERS, None, None, seed) for seed in (0, 0, 1))
    assert set(one) == set(same)
    for name, columns in one.items():
        for column, cells in columns.items():
            np.testing.assert_array_equal(cells, same[name][column])
    assert (one["random"]["a"] != other["random"]["a"]).any()


def test_each_threshold_and_its_neighbours_of_both_sizes_are_tried() -> None:
    points = np.linspace(-3, 3, 50)
    tried = set(probe_rows(NUMBERS, None, {0: points})["thresholds"]["a"].tolist())
    assert len(tried.intersection(np.nextafter(points, np.inf))) > 15
    assert len(tried.intersection(points.astype(np.float32).astype(float))) > 15
    assert len(tried.intersection(points)) > 15


def test_rows_stay_few_for_models_of_any_size() -> None:
    wide = Signature(tuple(Column(f"c{index}", "float64", nullable=True) for index in range(300)), NUMBERS.methods)
    many = {index: np.arange(5_000) / 7 for index in range(300)}
    assert sum(map(row_count, probe_rows(wide, None, many).values())) < 6_000


def test_only_columns_that_may_be_missing_are_tried_as_missing() -> None:
    found = probe_rows(NUMBERS, None)
    assert np.isnan(found["missing"]["a"]).any()
    assert not any(np.isnan(columns["b"]).any() for columns in found.values())


def test_rows_fit_the_dtypes_of_the_signature() -> None:
    inputs = (
        Column("flag", "bool"), Column("count", "uint8"), Column("size", "float32"), Column("big", "int64"),
        Column("town", "string", nullable=True, categories=("Ulm",)), Column("code", "int64", categories=(1, 2)),
    )  # fmt: skip
    found = probe_rows(Signature(inputs, NUMBERS.methods), None, {2: np.array([0.5])})
    for columns in found.values():
        assert [columns[column.name].dtype for column in inputs] == [
            bool,
            np.uint8,
            np.float32,
            np.int64,
            object,
            np.int64,
        ]
    towns = set(found["categories"]["town"])
    assert "Ulm" in towns
    assert len(towns) > 1
    assert {1, 2, 3} <= set(found["categories"]["code"].tolist())


def test_trees_are_held_to_more_than_other_models() -> None:
    tree = RandomForestClassifier(2).fit(IRIS, SPECIES)
    assert tolerance_of(tree) == tolerance_of(make_pipeline(StandardScaler(), tree)) == 1e-12
    assert tolerance_of(LinearRegression()) == 1e-9


def test_thresholds_are_known_only_where_the_trees_see_the_columns_as_they_come() -> None:
    tree = RandomForestClassifier(2).fit(IRIS, SPECIES)
    signature = Signature(tuple(Column(f"x{index}", "float64") for index in range(4)), NUMBERS.methods)
    assert split_points(make_pipeline("passthrough", tree), signature).keys() <= {0, 1, 2, 3}
    assert split_points(tree, signature)
    assert split_points(make_pipeline(StandardScaler(), tree), signature) == {}
    assert split_points(LinearRegression(), signature) == {}
