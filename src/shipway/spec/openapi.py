"""The OpenAPI 3.1 document of a server, made from the signatures of its models."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from shipway.errors import (
    InvalidInput,
    MalformedBody,
    MethodNotAllowed,
    ModelError,
    Overloaded,
    ShipwayError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownModel,
    UnsupportedMediaType,
    edge_of,
)
from shipway.spec.schema import Schema, answer_schema, body_schema, record_schema
from shipway.spec.served import ServedModel
from shipway.spec.signature import Method

__all__ = ["document"]

_REFUSALS: tuple[type[ShipwayError], ...] = (
    MalformedBody, UnknownModel, MethodNotAllowed, TooLarge, UnsupportedMediaType, InvalidInput, Overloaded,
    ModelError, Unavailable,
)  # fmt: skip

_V2 = "Open Inference Protocol"
_OPERATIONS = "Operations"
_DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
)  # fmt: skip


def document(models: Sequence[ServedModel], *, version: str, auth: bool) -> dict[str, object]:
    """Gives the OpenAPI document of a server.

    Args:
        models: what it serves, each name once; the first is the default model, which answers `POST /`.
        version: of Shipway.
        auth: whether calls need an API key; health never does.

    Returns:
        The document as JSON values (https://spec.openapis.org/oas/v3.1.0), the same for the same arguments.
    """
    refusals = (*_REFUSALS, Unauthorized) if auth else _REFUSALS
    paths: Schema = {"/": _root_path(models, refusals)}
    for model in models:
        paths |= _model_paths(model, refusals)
    paths |= _v2_paths([model.name for model in models], refusals)
    paths |= _health_paths()
    components: Schema = {
        "schemas": {f"{model.name}.record": record_schema(model.signature) for model in models} | _shared_schemas(),
        "responses": {cls.__name__: _refusal(cls) for cls in refusals},
        "headers": {"Shipway-Bundle": _BUNDLE_HEADER, "X-Request-Id": _ID_HEADER},
    }
    result: dict[str, object] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Shipway",
            "version": version,
            "description": "Predictions of trained models, in the plain form and in the Open Inference Protocol.",
        },
        "paths": paths,
        "components": components,
    }
    if auth:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        result["security"] = [{"bearer": []}]
    return result


_BUNDLE_HEADER: Schema = {
    "description": "The bundle that gave the answer: name:version@sha256:digest",
    "schema": {"type": "string"},
}
_ID_HEADER: Schema = {"description": "The caller's own id, else a new one", "schema": {"type": "string"}}


def _root_path(models: Sequence[ServedModel], refusals: Iterable[type[ShipwayError]]) -> Schema:
    page = {
        "summary": "The page for a browser; a word of life for other callers",
        "operationId": "page",
        "tags": [_OPERATIONS],
        "responses": {
            "200": {"description": "The page, or `status`", "content": _content({}, "text/html") | _content()}
        },
    }
    if not models:
        return {"get": page}
    default = models[0]
    ask = _plain_operation(
        default, default.signature.methods[0], "default", f"Ask {default.name}, the default model", refusals
    )
    return {"get": page, "post": ask}


def _model_paths(model: ServedModel, refusals: Iterable[type[ShipwayError]]) -> Schema:
    """Gives `/models/NAME` for the first method, and one path a method."""
    base = f"/models/{model.name}"
    first = model.signature.methods[0]
    ask = f"Ask {model.name}: {first.name}"
    paths: Schema = {base: {"post": _plain_operation(model, first, f"models.{model.name}", ask, refusals)}}
    for method in model.signature.methods:
        operation = _plain_operation(
            model, method, f"models.{model.name}.{method.name}", f"Ask {model.name}: {method.name}", refusals
        )
        paths[f"{base}/{quote(method.name, safe='')}"] = {"post": operation}
    return paths


def _plain_operation(
    model: ServedModel, method: Method, operation: str, summary: str, refusals: Iterable[type[ShipwayError]]
) -> Schema:
    record: Schema = {"$ref": f"#/components/schemas/{model.name}.record"}
    form = "compiled form" if model.compiled else "original"
    return {
        "summary": summary,
        "description": f"{model.kind}, version {model.id.version}, answered by its {form}.",
        "operationId": operation,
        "tags": [model.name],
        "requestBody": {"required": True, "content": _content(body_schema(model.signature, record))},
        "responses": {
            "200": {
                "description": "One prediction for one record, a list of them for rows",
                "headers": {
                    name: {"$ref": f"#/components/headers/{name}"} for name in ("Shipway-Bundle", "X-Request-Id")
                },
                "content": _content(answer_schema(method)),
            },
            **_refused(refusals),
        },
    }


def _v2_paths(names: list[str], refusals: Iterable[type[ShipwayError]]) -> Schema:
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string"} | ({"enum": names} if names else {}),
    }
    unknown: Schema = {
        "404": {"description": "No such model", "content": _content({"$ref": "#/components/schemas/V2Error"})}
    }
    infer = {
        "summary": "Ask a model, in tensors",
        "operationId": "v2.infer",
        "tags": [_V2],
        "requestBody": {"required": True, "content": _content({"$ref": "#/components/schemas/V2Request"})},
        "responses": {
            "200": _described("The outputs", "V2Response"),
            **{status: _described("Refused", "V2Error") for status in sorted(_refused(refusals))},
        },
    }
    return {
        "/v2": _get(
            "v2.server", "What this server is", _V2, {"200": _described("Its name, version and extensions", "V2Server")}
        ),
        "/v2/health/live": _health("v2.live", "Whether the server runs", _V2),
        "/v2/health/ready": _health("v2.ready", "Whether every model answers", _V2),
        "/v2/models/{name}": {"parameters": [name]}
        | _get(
            "v2.model", "What a model takes and gives", _V2, {"200": _described("Its tensors", "V2Model"), **unknown}
        ),
        "/v2/models/{name}/ready": {"parameters": [name]}
        | _health("v2.model.ready", "Whether the model answers", _V2, unknown),
        "/v2/models/{name}/infer": {"parameters": [name], "post": infer},
    }


def _health_paths() -> Schema:
    metrics: Schema = {
        "200": {"description": "Prometheus text format", "content": _content({"type": "string"}, "text/plain")}
    }
    return {
        "/livez": _health("live", "Whether the process is alive", _OPERATIONS),
        "/readyz": _health(
            "ready", "Whether every model is loaded, warmed up and answers as when it was packed", _OPERATIONS
        ),
        "/metrics": _get("metrics", "Figures for Prometheus", _OPERATIONS, metrics),
    }


def _health(operation: str, summary: str, tag: str, more: Schema | None = None) -> Schema:
    path = _get(
        operation,
        summary,
        tag,
        {"200": {"description": "Yes"}, "503": {"description": "No, or not yet"}, **(more or {})},
    )
    return {"get": {**_as_schema(path["get"]), "security": []}}


def _get(operation: str, summary: str, tag: str, responses: Schema) -> Schema:
    return {"get": {"summary": summary, "operationId": operation, "tags": [tag], "responses": responses}}


def _as_schema(value: object) -> Schema:
    assert isinstance(value, dict)
    return value


def _refused(refusals: Iterable[type[ShipwayError]]) -> Schema:
    return {str(edge_of(cls).http): {"$ref": f"#/components/responses/{cls.__name__}"} for cls in refusals}


def _refusal(cls: type[ShipwayError]) -> Schema:
    meaning = (inspect.getdoc(cls) or cls.__name__).partition("\n")[0]  # no docstrings under -OO
    response: Schema = {"description": meaning, "content": _content({"$ref": "#/components/schemas/Error"})}
    if issubclass(cls, Unavailable):
        seconds = {"type": "integer", "minimum": 0}
        response["headers"] = {"Retry-After": {"description": "Seconds after which to ask again", "schema": seconds}}
    elif cls is MethodNotAllowed:
        response["headers"] = {
            "Allow": {"description": "The methods that the path takes", "schema": {"type": "string"}}
        }
    return response


def _content(schema: Schema | None = None, media_type: str = "application/json") -> Schema:
    return {media_type: {"schema": schema or {}}}


def _described(description: str, schema: str) -> Schema:
    return {"description": description, "content": _content({"$ref": f"#/components/schemas/{schema}"})}


def _shared_schemas() -> Schema:
    text = {"type": "string"}
    return {
        "Error": _object(
            {
                "error": _object(
                    {
                        "message": {**text, "description": "What is wrong"},
                        "fix": {**text, "description": "What mends it, where something does"},
                        "request_id": text,
                        "column": {**text, "description": "The column that is to blame"},
                        "row": {"type": "integer", "minimum": 0, "description": "The row that is to blame"},
                    },
                    required=("message", "request_id"),
                )
            },
            required=("error",),
        ),
        **_v2_schemas(),
    }


def _v2_schemas() -> Schema:
    """Gives the schemas of the Open Inference Protocol's JSON form (https://github.com/kserve/open-inference-protocol)."""
    text: Schema = {"type": "string"}
    shape = {"type": "array", "items": {"type": "integer"}}
    parameters = {"type": "object"}
    datatype = {"type": "string", "enum": list(_DATATYPES)}
    described: Schema = {"name": text, "datatype": datatype, "shape": shape}
    tensor = {**described, "parameters": parameters, "data": {"type": "array"}}
    tensors = {"type": "array", "items": _object(tensor, required=("name", "datatype", "shape", "data"))}
    metadata = {"type": "array", "items": _object(described, required=("name", "datatype", "shape"))}
    wanted = {"type": "array", "items": _object({"name": text, "parameters": parameters}, required=("name",))}
    request: Schema = {"id": text, "parameters": parameters, "inputs": {**tensors, "minItems": 1}, "outputs": wanted}
    response: Schema = {
        "model_name": text,
        "model_version": text,
        "id": text,
        "parameters": parameters,
        "outputs": tensors,
    }
    strings = {"type": "array", "items": text}
    return {
        "V2Error": _object({"error": text}, required=("error",)),
        "V2Model": _object(
            {"name": text, "versions": strings, "platform": text, "inputs": metadata, "outputs": metadata},
            required=("name", "platform", "inputs", "outputs"),
        ),
        "V2Request": _object(request, required=("inputs",)),
        "V2Response": _object(response, required=("model_name", "outputs")),
        "V2Server": _object(
            {"name": text, "version": text, "extensions": strings}, required=("name", "version", "extensions")
        ),
    }


def _object(properties: Schema, *, required: Sequence[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}
