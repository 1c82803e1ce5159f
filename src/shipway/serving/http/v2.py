"""The Open Inference Protocol, V2, over REST with JSON tensors, as its specification and its clients have it.

A table of numbers of one dtype is one tensor `input` [-1, columns]; tensors named as its columns are taken too. Mixed
columns are one tensor each. Outputs are named after the methods; asking for an output asks the method. Tensor models
keep the names of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from shipway.errors import InvalidInput, MalformedBody, ShipwayError, UnsupportedMediaType
from shipway.serving.engine.engine import Engine
from shipway.serving.engine.request import Request
from shipway.serving.http.body import decode_json, off_loop_if_large, read_body
from shipway.serving.http.message import HttpResponse
from shipway.serving.http.routing import Exchange, Protocol, Route
from shipway.serving.state import State
from shipway.spec.paths import V2_LIVE, V2_READY
from shipway.spec.rows import array_of, check_row_count
from shipway.spec.served import ServedModel
from shipway.spec.settings import Limits
from shipway.spec.signature import Array, Column, Columns, DType, Matrix, Signature
from shipway.spec.words import did_you_mean

__all__ = ["V2", "v2_health_routes", "v2_routes"]

_DTYPES: dict[str, DType] = {
    "BOOL": "bool", "BYTES": "string", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
}  # fmt: skip
_DATATYPES = {dtype: datatype for datatype, dtype in _DTYPES.items()}
_MATRIX = "input"


class InputTensor(msgspec.Struct):
    """`data` may be nested or flat; the shape says how it is meant."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None


class RequestedOutput(msgspec.Struct):
    """An output that the caller wants."""

    name: str


class InferRequest(msgspec.Struct):
    """Body of `infer`; unknown members are ignored, as every server does."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None


def _error_body(error: ShipwayError, request_id: str) -> bytes:  # noqa: ARG001
    # tritonclient reads `error` as one text, for any status but 200.
    return msgspec.json.encode({"error": str(error)})


V2 = Protocol("v2", _error_body)


def v2_health_routes(state: State) -> list[Route]:
    """Gives V2's health routes, which are answered while models still load."""

    async def live(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        return HttpResponse(200, b'{"live":true}')

    async def ready(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        is_ready = state.is_ready
        return HttpResponse(200 if is_ready else 503, b'{"ready":true}' if is_ready else b'{"ready":false}')

    return [
        Route("GET", V2_LIVE, live, V2, public=True),
        Route("GET", V2_READY, ready, V2, public=True),
    ]


def v2_routes(engine: Engine, state: State, limits: Limits, version: str) -> list[Route]:
    """Gives the routes of V2."""
    v2 = _V2(engine, state, limits, version)
    routes = [
        Route("GET", "/v2", v2.server, V2),
        Route("GET", "/v2/models", v2.models, V2),
    ]
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route("GET", path, v2.metadata, V2),
            Route("GET", f"{path}/ready", v2.model_ready, V2, public=True),
            Route("POST", f"{path}/infer", v2.infer, V2),
        ]
    return routes


class _V2:
    def __init__(self, engine: Engine, state: State, limits: Limits, version: str) -> None:
        self._engine = engine
        self._state = state
        self._limits = limits
        self._version = version
        self._encode = msgspec.json.Encoder().encode

    async def server(self, exchange: Exchange) -> HttpResponse:  # noqa: ARG002
        # Clients switch features on by these strings: what is not served is not announced.
        return self._json({"name": "shipway", "version": self._version, "extensions": []})

    async def models(self, exchange: Exchange) -> HttpResponse:  # noqa: ARG002
        return self._json({"models": [model.id.name for model in self._engine.models]})

    async def model_ready(self, exchange: Exchange) -> HttpResponse:
        model = self._find(exchange)
        return HttpResponse(
            200 if self._state.is_ready else 503,
            self._encode({"name": model.id.name, "ready": self._state.is_ready}),
        )

    async def metadata(self, exchange: Exchange) -> HttpResponse:
        model = self._find(exchange)
        signature = model.signature
        inputs = (
            [Column(_MATRIX, signature.inputs[0].dtype, (len(signature.inputs),))]
            if _is_matrix(signature)
            else signature.inputs
        )
        outputs = [output for method in signature.methods for output in method.outputs]
        return self._json(
            {
                "name": model.id.name,
                "versions": [str(model.id.version)],
                "platform": f"shipway_{'onnx' if model.compiled else 'python'}",
                "inputs": [_tensor_metadata(column) for column in inputs],
                "outputs": [_tensor_metadata(column) for column in outputs],
            }
        )

    async def infer(self, exchange: Exchange) -> HttpResponse:
        model = self._find(exchange)
        if b"inference-header-content-length" in exchange.request.headers:
            raise UnsupportedMediaType(
                "binary tensors are not read here", fix="send the tensors as JSON (tritonclient: binary_data=False)"
            )
        body = await read_body(exchange.request, self._limits.body_bytes, exchange.deadline)
        request, methods, columns, rows = await off_loop_if_large(
            body, lambda content: _read(content, model.signature, self._limits.rows)
        )
        exchange.method, exchange.rows = next(iter(methods)), rows
        outputs: list[dict[str, Any]] = []
        for method, names in methods.items():
            call = Request(
                model.id.name,
                method,
                columns,
                rows,
                exchange.deadline,
                outputs=tuple(names),
                gone=exchange.request.gone,
            )
            answer = await self._engine.submit(call)
            outputs += [_output_tensor(name, array) for name, array in answer.items()]
        return self._json(
            {
                "model_name": model.id.name,
                "model_version": str(model.id.version),
                "id": request.id or exchange.id,
                "outputs": outputs,
            }
        )

    def _find(self, exchange: Exchange) -> ServedModel:
        model = self._engine.find(exchange.parameters["model"], exchange.parameters.get("version"))
        exchange.model, exchange.version, exchange.digest = model.id.name, str(model.id.version), model.id.digest
        return model

    def _json(self, value: Any) -> HttpResponse:
        return HttpResponse(200, self._encode(value))


def _read(
    body: bytes, signature: Signature, most_rows: int
) -> tuple[InferRequest, Mapping[str, list[str]], Columns, int]:
    """Gives a request, the outputs that it wants of each method, its columns and how many rows they have."""
    try:
        request = msgspec.convert(decode_json(body), InferRequest)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"the body is no inference request: {error}") from error
    methods = _wanted(signature, request.outputs)
    columns, rows = _columns(signature, request.inputs, most_rows)
    return request, methods, columns, rows


def _is_matrix(signature: Signature) -> bool:
    return signature.is_numeric_table and signature.inputs[0].kind != "tensor"


def _tensor_metadata(column: Column) -> dict[str, Any]:
    return {"name": column.name, "datatype": _DATATYPES[column.dtype], "shape": [-1, *column.shape]}


def _wanted(signature: Signature, requested: Sequence[RequestedOutput] | None) -> dict[str, list[str]]:
    """Gives which outputs of which methods are wanted, in the request's order; all, where none is named."""
    owners = {output.name: method.name for method in signature.methods for output in method.outputs}
    methods: dict[str, list[str]] = {}
    for name in [output.name for output in requested or ()] or owners:
        if name not in owners:
            raise MalformedBody(
                f"unknown output {name!r}", fix=did_you_mean(name, owners) or f"it has {', '.join(owners)}"
            )
        methods.setdefault(owners[name], []).append(name)
    return methods


def _columns(signature: Signature, tensors: Sequence[InputTensor], most_rows: int) -> tuple[Columns, int]:
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) < len(tensors):
        raise MalformedBody("two inputs have the same name")
    rows = _common_rows(tensors, most_rows)
    if _is_matrix(signature) and len(tensors) == 1 and (_MATRIX in given or len(tensors[0].shape) == 2):
        return _matrix_columns(signature, tensors[0], rows), rows
    known = signature.names
    for name in given:
        if name not in known:
            raise InvalidInput(
                f"unknown input {name!r}",
                column=name,
                fix=did_you_mean(name, known) or f"it takes {', '.join(known[:12])}",
            )
    for name in known:
        if name not in given:
            raise InvalidInput(f"missing input {name!r}", column=name)
    return {column.name: _cells(column, given[column.name]) for column in signature.inputs}, rows


def _matrix_columns(signature: Signature, tensor: InputTensor, rows: int) -> Columns:
    width = len(signature.inputs)
    if tensor.shape != [rows, width]:
        raise InvalidInput(
            f"input {tensor.name!r} has shape {tensor.shape}; expected [{rows}, {width}]", column=tensor.name
        )
    nullable = any(column.nullable for column in signature.inputs)
    column = Column(tensor.name, signature.inputs[0].dtype, (width,), nullable=nullable)
    matrix = _cells(column, tensor)
    for index, own in enumerate(signature.inputs):
        _refuse_missing(own, matrix[:, index])
    return Matrix(signature.names, matrix)


def _common_rows(tensors: Sequence[InputTensor], most_rows: int) -> int:
    counts = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors}
    if len(counts) != 1 or min(counts) < 1:
        raise InvalidInput("every input must have the same first dimension, of at least 1")
    rows = counts.pop()
    check_row_count(rows, most_rows)
    return rows


def _cells(column: Column, tensor: InputTensor) -> Array:
    """Gives a tensor as the array that the column holds."""
    dtype = _DTYPES.get(tensor.datatype)
    if dtype is None:
        raise MalformedBody(
            f"input {tensor.name!r}: unknown datatype {tensor.datatype!r}", fix=f"use one of {', '.join(_DTYPES)}"
        )
    if dtype != column.dtype and not _casts(dtype, column.dtype):
        raise InvalidInput(
            f"input {tensor.name!r} is {tensor.datatype}; expected {_DATATYPES[column.dtype]}", column=column.name
        )
    if tensor.data is None:
        raise MalformedBody(f"input {tensor.name!r} has no data")
    # One value a row may come as [rows] or as [rows, 1]: clients do both.
    shape = tensor.shape[:1] if column.is_scalar and tensor.shape[1:] == [1] else tensor.shape
    if len(shape) != 1 + len(column.shape) or any(
        want not in (-1, have) or have < 0 for want, have in zip(column.shape, shape[1:], strict=True)
    ):
        raise InvalidInput(
            f"input {tensor.name!r} has shape {tensor.shape}; expected {[-1, *column.shape]}", column=column.name
        )
    flat = _flat(tensor.data, len(tensor.shape))
    if len(flat) != math.prod(shape):
        raise InvalidInput(f"input {tensor.name!r} has {len(flat)} values for shape {tensor.shape}", column=column.name)
    values = array_of(Column(tensor.name, column.dtype, nullable=column.nullable), flat)
    return values.reshape(shape)


def _casts(given: DType, wanted: DType) -> bool:
    kinds = {"bool": "b", "string": "s"}
    order = "iuf"
    have, want = kinds.get(given, given[0]), kinds.get(wanted, wanted[0])
    return have == want or (want == "f" and have in order) or (want in "iu" and have in "iu")


def _flat(data: Any, depth: int) -> list[Any]:
    """Gives the values of lists nested as deep as the shape says; what lies deeper is no value, and is left."""
    flat: list[Any] = data if isinstance(data, list) else [data]
    for _ in range(depth - 1):
        if not any(isinstance(item, list) for item in flat):
            break
        flat = [leaf for item in flat for leaf in (item if isinstance(item, list) else [item])]
    return flat


def _refuse_missing(column: Column, cells: Array) -> None:
    if not column.nullable and cells.dtype.kind == "f" and np.isnan(cells).any():
        row = int(np.isnan(cells).argmax())
        raise InvalidInput(
            f"column {column.name!r}, row {row}: expected a number, got null", column=column.name, row=row
        )


def _output_tensor(name: str, array: Array) -> dict[str, Any]:
    datatype = _DATATYPES["string" if array.dtype.kind in "OU" else array.dtype.name]  # type: ignore[index]
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.reshape(-1).tolist()}
