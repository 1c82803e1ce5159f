"""JSON schemas (2020-12) of the plain form: what a model's signature lets a caller send, and what comes back."""

from __future__ import annotations

from shipway.spec.example import example_cell, example_record, takes_null
from shipway.spec.signature import Column, Method, Signature, numpy_dtype

__all__ = ["Schema", "answer_schema", "body_schema", "cell_schema", "record_schema"]

Schema = dict[str, object]

_FORMATS = {"float32": "float", "float64": "double", "int32": "int32", "int64": "int64"}
"""The OpenAPI registry's names; other dtypes have none."""


def cell_schema(column: Column) -> Schema:
    """Gives the schema of one cell of `column`: a scalar, or an array nested as deep as its shape is long."""
    return _nested(column, _scalar_schema(column, null=takes_null(column))) | _annotations(column)


def record_schema(signature: Signature) -> Schema:
    """Gives the schema of one record: an object with exactly the signature's columns."""
    return {
        "type": "object",
        "properties": {column.name: cell_schema(column) for column in signature.inputs},
        "required": list(signature.names),
        "additionalProperties": False,
        "examples": [example_record(signature)],
    }


def body_schema(signature: Signature, record: Schema) -> Schema:
    """Gives the schema of a body of the plain form: one record, or rows.

    Args:
        signature: of the model.
        record: the schema of one record, or a reference to it.

    Returns:
        The alternatives. Where all cells are scalars a body fits exactly one of them; an empty array can be a cell
        as well as a row of cells, so models of arrays say `anyOf`. Rows as lists are offered for scalars only.
    """
    scalars = all(column.is_scalar for column in signature.inputs)
    forms = [{**record, "description": "One record"}, _list_of(record, "Rows, as records"), _columns_schema(signature)]
    if len(signature.inputs) == 1:
        forms.append(_list_of(cell_schema(signature.inputs[0]), "Rows of the only column"))
    if scalars:
        row = _row_schema(signature)
        forms.append(_list_of(row, "Rows, as lists in the signature's order"))
        if len(signature.inputs) > 1:
            forms.append({**row, "description": "One record, as a list in the signature's order"})
    return {"oneOf" if scalars else "anyOf": forms}


def answer_schema(method: Method) -> Schema:
    """Gives the schema of the answer of `method`: `prediction`, and `classes` beside it where their order matters."""
    if len(method.outputs) == 1:
        prediction = _one_or_rows(method.outputs[0])
    else:
        prediction = {
            "type": "object",
            "properties": {column.name: _one_or_rows(column) for column in method.outputs},
            "required": [column.name for column in method.outputs],
        }
    properties: Schema = {"prediction": prediction}
    required = ["prediction"]
    if method.classes is not None:
        properties["classes"] = {
            "type": "array",
            "description": "The classes, in the order in which the numbers stand",
            "examples": [list(method.classes)],
        }
        if method.name == "predict_proba":
            required.append("classes")
    return {"type": "object", "properties": properties, "required": required}


def _nested(column: Column, schema: Schema) -> Schema:
    for size in reversed(column.shape):
        schema = {"type": "array", "items": schema} | ({"minItems": size, "maxItems": size} if size >= 0 else {})
    return schema


def _scalar_schema(column: Column, *, null: bool) -> Schema:
    dtype = column.dtype
    schema: Schema
    if dtype == "string":
        schema = {"type": "string"}
    elif dtype == "bool":
        schema = {"type": "boolean"}
    elif dtype.startswith("float"):
        schema = {"type": "number"}
    else:
        bits = numpy_dtype(dtype).itemsize * 8
        low, high = (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        schema = {"type": "integer", "minimum": low, "maximum": high}
    if dtype in _FORMATS:
        schema["format"] = _FORMATS[dtype]
    if null:
        schema["type"] = [schema["type"], "null"]
    return schema


def _annotations(column: Column) -> Schema:
    """Says what binds nobody: an example, and the categories, since the model may know what to do with another."""
    notes: Schema = {}
    example = example_cell(column)
    if column.categories:
        seen = ", ".join(str(category) for category in column.categories)
        notes["description"] = f"Seen when packed: {seen}. Others are passed on to the model."
        rest = [category for category in column.categories if category != example]
        notes["examples"] = [*([] if example is None else [example]), *rest]
    elif example is not None:
        notes["examples"] = [example]
    return notes


def _row_schema(signature: Signature) -> Schema:
    width = len(signature.inputs)
    cells = [cell_schema(column) for column in signature.inputs]
    return {"type": "array", "prefixItems": cells, "items": False, "minItems": width, "maxItems": width}


def _columns_schema(signature: Signature) -> Schema:
    return {
        "type": "object",
        "description": "Rows, as columns of equal length",
        "properties": {
            column.name: {"type": "array", "items": cell_schema(column), "minItems": 1} for column in signature.inputs
        },
        "required": list(signature.names),
        "additionalProperties": False,
    }


def _list_of(items: Schema, description: str) -> Schema:
    return {"type": "array", "description": description, "items": items, "minItems": 1}


def _one_or_rows(column: Column) -> Schema:
    # A number that is not finite comes as null, for JSON has no other word for it.
    null = column.nullable or column.dtype.startswith("float")
    cell = _nested(column, _scalar_schema(column, null=null))
    return {"anyOf": [{**cell, "title": "For one record"}, {"type": "array", "title": "For rows", "items": cell}]}
