"""Rows: every form that a person may write gives the same columns; what does not fit names its column and row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import InvalidInput, TooLarge
from shipway.spec.rows import RowReader, cells_of, records_of
from shipway.spec.signature import Column, DType, Method, Signature


def signature_of(*columns: Column) -> Signature:
    return Signature(columns, (Method("predict", (Column("predict", "float64"),)),))


TABLE = signature_of(Column("age", "float64"), Column("bmi", "float64"), Column("bp", "float64"))
MIXED = signature_of(
    Column("age", "float64", nullable=True),
    Column("city", "string", kind="category", nullable=True),
    Column("rooms", "int64"),
    Column("new", "bool"),
)
ONE = signature_of(Column("text", "string", kind="text"))
PICTURE = signature_of(Column("pixels", "float32", (2, 3), kind="tensor"))

finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
tables = st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=5)


@given(tables)
def test_every_form_of_a_table_gives_the_same_columns(rows: list[list[float]]) -> None:
    reader = RowReader(TABLE)
    names = TABLE.names
    expected = np.array(rows, dtype=np.float64)
    forms: list[Any] = [
        rows,
        [dict(zip(names, row, strict=True)) for row in rows],
        {name: [row[index] for row in rows] for index, name in enumerate(names)},
    ]
    for form in forms:
        read = reader.read(form)
        assert not read.single
        assert list(read.columns) == list(names)
        np.testing.assert_array_equal(np.column_stack(list(read.columns.values())), expected)


@given(st.lists(finite, min_size=3, max_size=3))
def test_a_record_and_a_flat_list_are_one_row(row: list[float]) -> None:
    reader = RowReader(TABLE)
    for form in (dict(zip(TABLE.names, row, strict=True)), dict(zip(TABLE.names[::-1], row[::-1], strict=True)), row):
        read = reader.read(form)
        assert read.single
        assert [array.tolist() for array in read.columns.values()] == [[float(value)] for value in row]


def test_a_flat_list_is_rows_for_a_model_of_one_column() -> None:
    read = RowReader(ONE).read(["a", "b"])
    assert not read.single
    assert read.columns["text"].tolist() == ["a", "b"]
    assert RowReader(ONE).read({"text": "a"}).single
    assert RowReader(ONE).read([["a"], ["b"]]).columns["text"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "rows", "single"),
    [
        ([[1, 2, 3], [4, 5, 6]], 1, True),
        ([[[1, 2, 3], [4, 5, 6]]], 1, False),
        ({"pixels": [[1, 2, 3], [4, 5, 6]]}, 1, True),
        ({"pixels": [[[1, 2, 3], [4, 5, 6]]] * 2}, 2, False),
        ([{"pixels": [[1, 2, 3], [4, 5, 6]]}], 1, False),
        ([[[[1, 2, 3], [4, 5, 6]]]] * 3, 3, False),
    ],
)
def test_depth_tells_a_cell_from_rows_of_cells(value: Any, rows: int, single: bool) -> None:
    read = RowReader(PICTURE).read(value)
    assert read.columns["pixels"].shape == (rows, 2, 3)
    assert read.columns["pixels"].dtype == np.float32
    assert read.single is single


def test_mixed_columns_keep_their_dtypes_and_missing_values() -> None:
    rows = [{"age": None, "city": None, "rooms": 3.0, "new": True}, {"age": 4, "city": "Ulm", "rooms": 2, "new": 0}]
    columns = RowReader(MIXED).read(rows).columns
    assert math.isnan(columns["age"][0])
    assert columns["city"].tolist() == [None, "Ulm"]
    assert columns["rooms"].dtype == np.int64
    assert columns["new"].tolist() == [True, False]


GOOD = {"age": 1.0, "city": "Ulm", "rooms": 2, "new": True}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"age": "1.0"}, "age", "expected a number or null, got the text '1.0'"),
    ({"age": True}, "age", "got true"),
    ({"age": 1e999}, "age", "within float64's range"),
    ({"age": 10**400}, "age", "a number of 401 digits"),
    ({"age": [1]}, "age", "holds a list"),
    ({"age": {}}, "age", "got an object"),
    ({"city": 3}, "city", "expected text or null, got the number 3"),
    ({"rooms": 2.5}, "rooms", "a whole number"),
    ({"rooms": None}, "rooms", "got null"),
    ({"rooms": 2**63}, "rooms", "within int64's range"),
    ({"rooms": True}, "rooms", "a whole number"),
    ({"new": "yes"}, "new", "true or false"),
    ({"new": None}, "new", "true or false"),
    ({"nwe": True}, "nwe", "unknown column"),
]


@pytest.mark.parametrize(("change", "column", "words"), WRONG)
def test_what_does_not_fit_names_the_column(change: dict[str, Any], column: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        RowReader(MIXED).read(GOOD | change)
    assert caught.value.column == column


@pytest.mark.parametrize(("change", "column", "words"), [case for case in WRONG if "holds a list" not in case[2]])
def test_what_does_not_fit_names_the_row(change: dict[str, Any], column: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        RowReader(MIXED).read([GOOD, GOOD, GOOD | change])
    assert (caught.value.column, caught.value.row) == (column, 2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "empty"),
        ({}, "missing column 'age'"),
        (None, "got null"),
        ("text", "got the text"),
        ([[1, 2], [3, 4]], "row 0 has 2 values; the model takes 3"),
        ([[1, 2, 3], [1, 2]], "row 1 has 2 values"),
        ([[1, 2, 3], 4], "row 1: expected a list"),
        ([{"age": 1, "bmi": 2, "bp": 3}, 4], "row 1: expected an object"),
        ({"age": [1, 2], "bmi": [1], "bp": [1, 2]}, "'bmi' has 1 rows"),
        ({"age": [1, 2], "bmi": 1, "bp": [1, 2]}, "holds a list"),
        ({"age": 1, "bmi": 2}, "missing column 'bp'"),
    ],
)
def test_malformed_tables_are_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        RowReader(TABLE).read(value)


def test_a_misspelt_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInput) as caught:
        RowReader(TABLE).read({"age": 1, "bim": 2, "bp": 3})
    assert caught.value.fix == "did you mean 'bmi'?"


def test_extra_columns_are_ignored_only_where_asked() -> None:
    row = {"age": 1, "bmi": 2, "bp": 3, "id": 7}
    assert list(RowReader(TABLE, ignore_extra=True).read(row).columns) == ["age", "bmi", "bp"]
    with pytest.raises(InvalidInput, match="unknown column 'id'"):
        RowReader(TABLE).read(row)


@pytest.mark.parametrize(
    "cell",
    [[[1, 2, 3]], [[1, 2], [3, 4]], [[1, 2, 3], [4, 5]], [[1, 2, "3"], [4, 5, 6]], [[1, 2, 1e39], [4, 5, 6]], 1, [[]]],
)
def test_tensor_cells_of_other_shape_or_content_are_refused(cell: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        RowReader(PICTURE).read([{"pixels": cell}])
    assert caught.value.column == "pixels"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["age", "bmi", "bp", "x"]), inner),
    max_leaves=12,
)


@given(st.sampled_from([TABLE, MIXED, ONE, PICTURE]), json_values)
def test_any_json_value_is_read_or_refused_and_never_raises_otherwise(signature: Signature, value: Any) -> None:
    try:
        read = RowReader(signature).read(value)
    except InvalidInput:
        return
    assert set(read.columns) == set(signature.names)
    assert len({len(array) for array in read.columns.values()}) == 1


def test_what_json_has_no_word_for_becomes_null() -> None:
    assert cells_of(np.array([1.0, math.nan, math.inf])) == [1.0, None, None]
    assert cells_of(np.array([[1.0, -math.inf]])) == [[1.0, None]]
    assert records_of({"a": np.array([1, 2]), "b": np.array(["x", None], dtype=object)}) == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": None},
    ]


@pytest.mark.parametrize("value", [{"a": [], "b": []}, [], {"a": []}])
def test_no_rows_at_all_are_refused(value: Any) -> None:
    names = tuple(value) if isinstance(value, dict) else ("a",)
    signature = Signature(tuple(Column(name, "float64") for name in names), ())
    with pytest.raises(InvalidInput, match="empty"):
        RowReader(signature).read(value)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("form", ["records", "lists", "columns"])
def test_rows_over_the_limit_are_refused_before_they_are_looked_at(form: str, columns: int) -> None:
    names = ("a", "b")[:columns]
    wrong: dict[str, Any] = {
        "records": [dict.fromkeys(names, "no number")] * 4,
        "lists": [["no number"] * columns] * 4,
        "columns": {name: ["no number"] * 4 for name in names},
    }
    signature = Signature(tuple(Column(name, "float64") for name in names), ())
    with pytest.raises(TooLarge, match="limit of 3"):
        RowReader(signature, most_rows=3).read(wrong[form])
    with pytest.raises(InvalidInput):
        RowReader(signature, most_rows=4).read(wrong[form])


def test_a_name_of_any_length_is_refused_in_few_words() -> None:
    reader = RowReader(Signature((Column("abc", "float64"),), ()))
    with pytest.raises(InvalidInput) as caught:
        reader.read({"abc" * 1_000_000: 1})
    assert len(caught.value.message) < 500
    assert "did you mean" not in caught.value.fix


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_number_past_a_narrow_dtypes_range_is_refused(dtype: DType) -> None:
    with pytest.raises(InvalidInput, match=f"within {dtype}'s range"):
        RowReader(Signature((Column("a", dtype),), ())).read({"a": 1e39})
