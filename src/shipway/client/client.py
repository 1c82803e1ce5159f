"""`shipway.Client` and `shipway.AsyncClient`: rows in, arrays out, over HTTP.

What is sent and how an answer is read are plain functions; the two clients only carry bytes.
"""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote

import msgspec
import numpy as np

from shipway.errors import (
    InvalidInput,
    MalformedBody,
    Overloaded,
    RemoteError,
    RequestError,
    ShipwayError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownModel,
    UnsupportedMediaType,
    edge_of,
)
from shipway.spec.signature import Signature

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncClient", "Client", "rows_to_json"]

_REFUSALS: tuple[type[ShipwayError], ...] = (
    MalformedBody,
    Unauthorized,
    UnknownModel,
    TooLarge,
    UnsupportedMediaType,
    InvalidInput,
    Overloaded,
    Unavailable,
)
_ERRORS = {edge_of(kind).http: kind for kind in _REFUSALS}
# A server that ends or crashes is out of its platform's endpoints within about a second.
_WAITS = (0.1, 0.3, 0.9)
"""Seconds before a call that no server has answered is sent again: a prediction changes nothing, so it may be."""

_GRACE = 2.0
"""Seconds longer than it tells a server that a client waits: one that is well says in time that it cannot answer."""


def rows_to_json(rows: Any) -> Any:
    """Gives rows as the JSON value that the plain form takes; NaN becomes null, as JSON has no other word for it.

    Args:
        rows: a DataFrame, a dict of columns or of one record, a list of records or rows, an array [rows, columns].
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        return {str(name): _cells(rows[name]) for name in rows.columns}
    if isinstance(rows, dict):
        return {name: _plain(value) for name, value in rows.items()}
    return _plain(rows)


class _Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    retry_after: str = ""


class _Call:
    """One call: path, body, and how its answer is read."""

    def __init__(self, method: str, rows: Any, model: str | None) -> None:
        self.path = "/" if model is None and method == "predict" else f"/models/{quote(model or '', safe='')}/{method}"
        value = rows_to_json(rows)
        if _holds_infinity(value):
            raise InvalidInput(
                "a value is infinite, which JSON cannot say", fix="send finite numbers, or NaN for missing"
            )
        self.content = msgspec.json.encode(value, enc_hook=_sendable)

    @staticmethod
    def read(answer: _Answer) -> Any:
        """Gives the answer's prediction: an array for rows, a plain value for one record; of several outputs a dict.

        Raises:
            RequestError, Unavailable: the server refused; with its own words and fix.
            RemoteError: the answer is none of a Shipway server.
        """
        prediction = _part(answer, "prediction", Any)
        if isinstance(prediction, dict):
            return {name: _array(value) for name, value in prediction.items()}
        return _array(prediction)


class _Base:
    def __init__(self, url: str, api_key: str | None, timeout: float, retries: int) -> None:
        self._waits = _WAITS[:retries] if retries > 0 else ()
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json", "user-agent": "shipway-client"}
        self._headers["prefer"] = f"wait={timeout:g}"
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"


class Client(_Base):
    """Asks a Shipway server; keeps its connection; safe to use from threads.

    Args:
        url: of the server.
        api_key: where it wants one.
        timeout: seconds to wait for an answer. The server is told, and refuses what it cannot answer in that time.
        retries: how often a call is sent again, at most 3 times, when no server was met, it went away unanswered, or it
            hangs, and so does not even refuse in time.
        transport: another way to carry requests (an httpx transport), for tests.

    Raises:
        RequestError, Unavailable: the server refused; with its own words and fix.
        RemoteError: there is no server, or not one of ours.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        import httpx

        super().__init__(url, api_key, timeout, retries)
        self._http = httpx.Client(
            base_url=self._url, headers=self._headers, timeout=timeout + _GRACE, transport=transport
        )

    def predict(self, rows: Any, *, model: str | None = None) -> Any:
        """Predicts: an array for rows, a plain value for one record."""
        return self.call("predict", rows, model=model)

    def predict_proba(self, rows: Any, *, model: str | None = None) -> Any:
        """Gives the classes' probabilities, in the order of the signature's `classes`."""
        return self.call("predict_proba", rows, model=model)

    def call(self, method: str, rows: Any, *, model: str | None = None) -> Any:
        """Calls any method of a model; without its name, of the server's only one."""
        if model is None and method != "predict":
            model = _only([described["name"] for described in self.models()])
        call = _Call(method, rows, model)
        return call.read(self._send("POST", call.path, call.content))

    def models(self) -> list[dict[str, Any]]:
        """Gives what the server serves: name, version, digest, kind and signature of each model."""
        return list(_part(self._send("GET", "/models"), "models", list[dict[str, Any]]))

    def signature(self, model: str | None = None) -> Signature:
        """Gives the signature of a model, or of the only one."""
        models = {described["name"]: described for described in self.models()}
        name = model or _only(list(models))
        if name not in models:
            raise UnknownModel(f"the server has no model {name!r}", fix=f"it has {', '.join(models)}")
        return msgspec.convert(models[name]["signature"], Signature)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, http_method: str, path: str, content: bytes | None = None) -> _Answer:
        import httpx

        waits = iter(self._waits)
        while True:
            try:
                response = self._http.request(http_method, path, content=content)
                return _Answer(response.status_code, response.content, response.headers.get("retry-after", ""))
            except (httpx.RequestError, httpx.InvalidURL) as error:
                wait = next(waits, None)
                if wait is None or not _is_unanswered(error):
                    raise _unreachable(self._url, error) from error
            time.sleep(wait)


class AsyncClient(_Base):
    """`Client` for asyncio; the same arguments and errors."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        import httpx

        super().__init__(url, api_key, timeout, retries)
        self._http = httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=timeout + _GRACE, transport=transport
        )

    async def predict(self, rows: Any, *, model: str | None = None) -> Any:
        """Predicts: an array for rows, a plain value for one record."""
        return await self.call("predict", rows, model=model)

    async def predict_proba(self, rows: Any, *, model: str | None = None) -> Any:
        """Gives the classes' probabilities, in the order of the signature's `classes`."""
        return await self.call("predict_proba", rows, model=model)

    async def call(self, method: str, rows: Any, *, model: str | None = None) -> Any:
        """Calls any method of a model; without its name, of the server's only one."""
        if model is None and method != "predict":
            model = _only([described["name"] for described in await self.models()])
        call = _Call(method, rows, model)
        return call.read(await self._send("POST", call.path, call.content))

    async def models(self) -> list[dict[str, Any]]:
        """Gives what the server serves: name, version, digest, kind and signature of each model."""
        return list(_part(await self._send("GET", "/models"), "models", list[dict[str, Any]]))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, http_method: str, path: str, content: bytes | None = None) -> _Answer:
        import asyncio

        import httpx

        waits = iter(self._waits)
        while True:
            try:
                response = await self._http.request(http_method, path, content=content)
                return _Answer(response.status_code, response.content, response.headers.get("retry-after", ""))
            except (httpx.RequestError, httpx.InvalidURL) as error:
                wait = next(waits, None)
                if wait is None or not _is_unanswered(error):
                    raise _unreachable(self._url, error) from error
            await asyncio.sleep(wait)


def _is_unanswered(error: Exception) -> bool:
    """Whether no server has answered, so that another may."""
    import httpx

    if isinstance(error, httpx.PoolTimeout):
        return False  # this client's own connections are all in use
    return isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | httpx.TimeoutException)


def _read(received: _Answer) -> dict[str, Any]:
    status = received.status
    try:
        answer = msgspec.json.decode(received.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _foreign(status) from error
    if status < 300:
        return answer
    said = answer.get("error")
    if not isinstance(said, dict):
        raise _foreign(status)
    message, fix = (
        f"{said.get('message', 'refused')} (request {said.get('request_id', 'unknown')})",
        said.get("fix", ""),
    )
    kind = _ERRORS.get(status, RequestError if status < 500 else RemoteError)
    if kind is InvalidInput:
        raise InvalidInput(message, column=said.get("column"), row=said.get("row"), fix=fix)
    if issubclass(kind, Unavailable) and received.retry_after.isdigit():
        raise kind(message, retry_after=int(received.retry_after), fix=fix)
    raise kind(message, fix=fix)


def _array(value: Any) -> Any:
    """Gives a list as an array; null is NaN among numbers, as the server has no other word for it."""
    if not isinstance(value, list):
        return value
    array = np.array(value)
    numbers = array.dtype == object and {type(cell) for cell in array.ravel()} <= {int, float, type(None)}
    return array.astype(np.float64) if numbers else array


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise UnknownModel(f"the server has {len(names)} models", fix=f"name one: model={names[0]!r}" if names else "")
    return names[0]


def _part(received: _Answer, name: str, kind: Any) -> Any:
    """Gives what an answer holds under `name`, of that kind."""
    try:
        return msgspec.convert(_read(received)[name], kind)
    except (KeyError, msgspec.ValidationError) as error:
        raise _foreign(received.status) from error


def _foreign(status: int) -> RemoteError:
    return RemoteError(f"the answer (status {status}) is none of a Shipway server", fix="check the address")


def _unreachable(url: str, error: Exception) -> RemoteError:
    return RemoteError(
        f"no answer from {url}: {str(error) or type(error).__name__}", fix="is the server running? shipway serve NAME"
    )


def _holds_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_infinity, value.values()))
    if isinstance(value, list):
        return any(map(_holds_infinity, value))
    return isinstance(value, float) and math.isinf(value)


def _cells(column: Any) -> list[Any]:
    """Gives a DataFrame's column as plain values; what is missing, in any of pandas' words, as None."""
    cells = column.to_numpy(dtype=object, na_value=None) if getattr(column, "hasnans", False) else column
    return list(cells.tolist())


def _sendable(value: Any) -> Any:
    plain = _plain(value)
    if type(plain) is type(value):
        raise InvalidInput(
            f"a {type(value).__name__} cannot be sent", fix="send numbers, texts, true and false, and None for missing"
        )
    return plain


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
