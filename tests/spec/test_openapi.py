from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from shipway.errors import InvalidInput
from shipway.spec.example import example_cell, example_record, takes_null
from shipway.spec.openapi import document
from shipway.spec.reference import BundleId
from shipway.spec.rows import RowReader
from shipway.spec.schema import answer_schema, body_schema, record_schema
from shipway.spec.served import ServedModel
from shipway.spec.signature import Column, Kind, Label, Method, Signature

PREDICT = Method("predict", (Column("predict", "float64"),))
PROBA = Method("predict_proba", (Column("predict_proba", "float64", (3,)),), classes=("a", "b", "c"))
HOUSES = Signature(
    inputs=(
        Column("area", "float64", example=71.5),
        Column("floor", "int8", nullable=True),
        Column("city", "string", kind="category", categories=("Zürich", "Bern")),
        Column("note", "string", kind="text", nullable=True),
        Column("age", "float32", nullable=True),
    ),
    methods=(PREDICT, PROBA),
)
PICTURE = Signature((Column("pixels", "float32", (2, -1), kind="tensor"),), (Method("run", PROBA.outputs),))
NAMES = st.text(max_size=6)
SCALARS: tuple[tuple[Any, Kind], ...] = (
    ("float64", "number"), ("float32", "number"), ("int64", "number"), ("uint8", "number"), ("bool", "category"),
    ("string", "text"), ("string", "category"),
)  # fmt: skip


def served(name: str, signature: Signature) -> ServedModel:
    return ServedModel(BundleId(name, 3, "sha256:" + "a" * 64), signature, "Pipeline(Scaler, Ridge)", compiled=True)


def fits(schema: dict[str, object], value: object) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def body_of(signature: Signature) -> dict[str, object]:
    return body_schema(signature, record_schema(signature))


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    dtype, kind = draw(st.sampled_from(SCALARS))
    categories: tuple[Label, ...] | None = None
    if kind == "category":
        categories = (True, False) if dtype == "bool" else tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
    return Column(name, dtype, kind=kind, nullable=draw(st.booleans()), categories=categories)


@st.composite
def tables(draw: st.DrawFn) -> Signature:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return Signature(tuple(draw(columns(name)) for name in names), (PREDICT,))


CELLS = st.sampled_from([None, True, 0, 3, -1, 300, 1.5, "x", [], [1]])


@pytest.mark.parametrize("auth", [True, False])
def test_the_document_is_valid_openapi(auth: bool) -> None:
    models = [served("houses", HOUSES), served("picture-net", PICTURE)]
    made = document(models, version="0.1.0", auth=auth)
    OpenAPIV31SpecValidator(json.loads(json.dumps(made))).validate()


def test_a_server_without_models_has_a_valid_document() -> None:
    made = document([], version="0.1.0", auth=False)
    OpenAPIV31SpecValidator(json.loads(json.dumps(made))).validate()
    assert "post" not in made["paths"]["/"]  # type: ignore[index]


@given(signature=tables(), method=NAMES)
@settings(max_examples=5, deadline=None)
def test_any_names_make_a_valid_document_with_each_method_on_its_own_path(signature: Signature, method: str) -> None:
    odd = Signature(signature.inputs, (PREDICT, Method("_" + method, PROBA.outputs)))
    made = document([served("default", odd), served("page", odd)], version="1", auth=True)
    OpenAPIV31SpecValidator(json.loads(json.dumps(made))).validate()
    assert sum(path.startswith("/models/default/") for path in made["paths"]) == 2  # type: ignore[attr-defined]


@given(signature=tables())
@settings(max_examples=60, deadline=None)
def test_the_example_is_taken_by_the_reader_and_by_the_schema_in_every_form(signature: Signature) -> None:
    record = example_record(signature)
    values = list(record.values())
    columns_form = {name: [value, value] for name, value in record.items()}
    flat = values * 2 if len(values) == 1 else values
    schema = body_of(signature)
    for body in (record, [record, record], [values, values], columns_form, flat):
        RowReader(signature).read(body)
        assert fits(schema, body)


@given(signature=tables(), data=st.data())
@settings(max_examples=50, deadline=None)
def test_what_the_schema_takes_the_reader_takes(signature: Signature, data: st.DataObject) -> None:
    cells = [st.just(example_cell(column)) | CELLS for column in signature.inputs]
    record = st.fixed_dictionaries(dict(zip(signature.names, cells, strict=True)))
    row = st.tuples(*cells).map(list)
    body = data.draw(
        record | row | st.lists(record, max_size=2) | st.lists(row, max_size=2) | st.lists(CELLS, max_size=2)
    )
    if fits(body_of(signature), body):
        RowReader(signature).read(body)


@pytest.mark.parametrize(
    "change",
    [
        {"area": "71.5"}, {"area": None}, {"floor": 128}, {"floor": None}, {"floor": 1.5}, {"city": 3}, {"city": None},
        {"note": 1}, {"extra": 1},
    ],
)  # fmt: skip
def test_what_the_reader_refuses_the_schema_refuses(change: dict[str, object]) -> None:
    record = {**example_record(HOUSES), **change}
    with pytest.raises(InvalidInput):
        RowReader(HOUSES).read(record)
    assert not fits(body_of(HOUSES), record)


def test_a_missing_column_and_no_rows_do_not_fit() -> None:
    record = example_record(HOUSES)
    del record["note"]
    assert not fits(body_of(HOUSES), record)
    assert not fits(body_of(HOUSES), [])
    assert not fits(body_of(HOUSES), [[1.0, 1, "Bern", ""]])


def test_a_category_that_was_not_seen_fits_for_the_model_may_know_what_to_do() -> None:
    assert fits(record_schema(HOUSES), {**example_record(HOUSES), "city": "Genève"})
    city = record_schema(HOUSES)["properties"]["city"]  # type: ignore[index]
    assert city["examples"] == ["Zürich", "Bern"]
    assert "Bern" in city["description"]


def test_a_nullable_column_takes_null_where_its_dtype_has_a_word_for_it() -> None:
    properties: Any = record_schema(HOUSES)["properties"]
    assert properties["age"]["type"] == ["number", "null"]
    assert properties["note"]["type"] == ["string", "null"]
    assert properties["floor"]["type"] == "integer"
    assert not takes_null(HOUSES.inputs[1])


def test_arrays_nest_as_deep_as_the_shape_and_keep_fixed_sizes() -> None:
    schema = body_of(PICTURE)
    for good in ({"pixels": [[1], [2]]}, [{"pixels": [[1, 2], [3, 4]]}], {"pixels": [[[1], [2]], [[3], [4]]]}):
        assert fits(schema, good)
        RowReader(PICTURE).read(good)
    for bad in ({"pixels": [1, 2]}, {"pixels": [[1], [2], [3]]}, {"pixels": [["1"], ["2"]]}):
        assert not fits(schema, bad)


def test_answers_are_one_or_rows_and_carry_the_classes_of_probabilities() -> None:
    assert fits(answer_schema(PREDICT), {"prediction": 206.1})
    assert fits(answer_schema(PREDICT), {"prediction": [206.1, None]})
    assert not fits(answer_schema(PREDICT), {"prediction": "206.1"})
    assert fits(answer_schema(PROBA), {"prediction": [0.1, 0.2, 0.7], "classes": ["a", "b", "c"]})
    assert fits(answer_schema(PROBA), {"prediction": [[0.1, 0.2, 0.7]] * 2, "classes": ["a", "b", "c"]})
    assert not fits(answer_schema(PROBA), {"prediction": [0.1, 0.2, 0.7]})
    assert not fits(answer_schema(PROBA), {"prediction": [0.1, 0.2], "classes": ["a", "b", "c"]})


def test_several_outputs_are_an_object_of_columns() -> None:
    both = Method("run", (Column("label", "int64"), Column("score", "float32", (2,))))
    assert fits(answer_schema(both), {"prediction": {"label": 1, "score": [0.5, 0.5]}})
    assert fits(answer_schema(both), {"prediction": {"label": [1, 2], "score": [[0.5, 0.5]] * 2}})
    assert not fits(answer_schema(both), {"prediction": {"label": 1}})


def test_every_refusal_is_told_with_what_its_caller_needs() -> None:
    made: Any = document([served("houses", HOUSES)], version="1", auth=True)
    responses = made["paths"]["/models/houses/predict"]["post"]["responses"]
    assert sorted(responses) == ["200", "400", "401", "404", "405", "413", "415", "422", "429", "500", "503"]
    assert "Retry-After" in made["components"]["responses"]["Overloaded"]["headers"]
    assert "Allow" in made["components"]["responses"]["MethodNotAllowed"]["headers"]
    error = {"error": {"message": "m", "fix": "f", "request_id": "r", "column": "area", "row": 0}}
    assert fits(made["components"]["schemas"]["Error"], error)
    assert fits(made["components"]["schemas"]["Error"], {"error": {"message": "m", "request_id": "r"}})


def test_health_needs_no_key_and_everything_else_does() -> None:
    made: Any = document([served("houses", HOUSES)], version="1", auth=True)
    paths = made["paths"]
    assert made["security"] == [{"bearer": []}]
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/{name}/ready"):
        assert paths[path]["get"]["security"] == []
    assert "security" not in paths["/"]["get"]
    for path in ("/", "/models/houses", "/models/houses/predict_proba", "/v2/models/{name}/infer"):
        assert "security" not in paths[path]["post"]
    assert "401" not in document([served("houses", HOUSES)], version="1", auth=False)["paths"]["/"]["post"]["responses"]  # type: ignore[index]


def test_an_example_can_be_read_and_written_as_json() -> None:
    assert example_cell(Column("x", "float64", example=math.nan)) == 0.0
    assert example_cell(Column("x", "float64", nullable=True, example=math.inf)) is None
    assert example_cell(Column("x", "int32", (2, -1))) == [[0], [0]]
    assert example_cell(Column("x", "float32", (3, 224, 224))) is None
