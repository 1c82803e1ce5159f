"""The plain form: rows as people write them in JSON, answered under the one key `prediction`."""

from __future__ import annotations

from typing import Any

import msgspec

from shipway.errors import UnknownModel, UnsupportedMediaType
from shipway.serving.engine.engine import Engine
from shipway.serving.engine.request import Request
from shipway.serving.http.body import decode_json, off_loop_if_large, read_body
from shipway.serving.http.errors import error_body
from shipway.serving.http.message import HttpResponse
from shipway.serving.http.routing import Exchange, Protocol, Route
from shipway.spec.reference import BundleId
from shipway.spec.rows import RowReader
from shipway.spec.served import ServedModel
from shipway.spec.settings import Settings
from shipway.spec.signature import Columns, Method, row_count
from shipway.spec.words import did_you_mean

__all__ = ["PLAIN", "plain_routes"]

# curl's -d says form-urlencoded unless told otherwise, and a form is not what its user means: the client wins.
_JSON_TYPES = frozenset({"", "application/json", "text/json", "application/x-www-form-urlencoded"})


PLAIN = Protocol("plain", error_body)


def plain_routes(engine: Engine, settings: Settings) -> list[Route]:
    """Gives the routes of the plain form."""
    plain = _Plain(engine, settings)
    paths = ("/models/{model}", "/models/{model}/{method}", "/models/{model}/versions/{version}",
             "/models/{model}/versions/{version}/{method}")  # fmt: skip
    routes = [Route("POST", path, plain.answer, PLAIN) for path in ("/", *paths)]
    routes += [Route("GET", path, plain.describe, PLAIN) for path in (paths[0], paths[2])]
    return [*routes, Route("GET", "/models", plain.list_models, PLAIN)]


class _Plain:
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._limits = settings.limits
        ignoring = {name for name, model in settings.models.items() if model.extra_columns == "ignore"}
        self._readers = {
            model.id: RowReader(model.signature, ignore_extra=model.id.name in ignoring, most_rows=settings.limits.rows)
            for model in engine.models
        }
        self._several = len(engine.models) > 1
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    async def answer(self, exchange: Exchange) -> HttpResponse:
        """Answers `POST /` and `POST /models/…`."""
        model = self._engine.find(exchange.parameters.get("model"), exchange.parameters.get("version"))
        method = _method(model, exchange.parameters.get("method"))
        _note(exchange, model.id, method)
        _check_content_type(exchange)
        body = await read_body(exchange.request, self._limits.body_bytes, exchange.deadline)
        reader = self._readers[model.id]
        columns, single = await off_loop_if_large(body, lambda content: reader.read(decode_json(content)))
        exchange.rows = rows = row_count(columns)
        gone = exchange.request.gone
        call = Request(model.id.name, method.name, columns, rows, exchange.deadline, gone=gone)
        outputs = await self._engine.submit(call)
        answer: dict[str, Any] = {"prediction": _prediction(outputs, single=single)}
        if method.classes is not None and method.name != "predict":
            answer["classes"] = method.classes
        if self._several and exchange.request.path == "/":
            answer["model"] = f"{model.id.name}:{model.id.version}"
        return HttpResponse(200, self._encode(answer))

    async def list_models(self, exchange: Exchange) -> HttpResponse:  # noqa: ARG002
        """Answers `GET /models`."""
        return HttpResponse(200, self._encode({"models": [_description(model) for model in self._engine.models]}))

    async def describe(self, exchange: Exchange) -> HttpResponse:
        """Answers `GET /models/{model}`."""
        model = self._engine.find(exchange.parameters["model"], exchange.parameters.get("version"))
        return HttpResponse(200, self._encode(_description(model)))


def _method(model: ServedModel, name: str | None) -> Method:
    if name is None:
        return model.signature.methods[0]
    method = model.signature.method(name)
    if method is None:
        names = [known.name for known in model.signature.methods]
        raise UnknownModel(
            f"{model.id.name} has no method {name!r}", fix=did_you_mean(name, names) or f"it has {', '.join(names)}"
        )
    return method


def _note(exchange: Exchange, bundle: BundleId, method: Method) -> None:
    exchange.model, exchange.version, exchange.digest = bundle.name, str(bundle.version), bundle.digest
    exchange.method = method.name


def _check_content_type(exchange: Exchange) -> None:
    content_type = exchange.request.header(b"content-type").partition(";")[0].strip().lower()
    if content_type not in _JSON_TYPES and not content_type.endswith("+json"):
        raise UnsupportedMediaType(f"content type {content_type!r} is not read here", fix="send application/json")


def _prediction(outputs: Columns, *, single: bool) -> Any:
    # msgspec writes NaN and infinities as null, which is the rule (spec/rows.py): they need no look of ours.
    cells = {name: array.tolist() for name, array in outputs.items()}
    if single:
        first = {name: rows[0] for name, rows in cells.items()}
        return next(iter(first.values())) if len(first) == 1 else first
    return next(iter(cells.values())) if len(cells) == 1 else cells


def _description(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.id.name,
        "version": model.id.version,
        "digest": model.id.digest,
        "kind": model.kind,
        "compiled": model.compiled,
        "signature": msgspec.to_builtins(model.signature),
    }
