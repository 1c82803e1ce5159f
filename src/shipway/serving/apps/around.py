"""What stands around an app: who is let in, how much and for how long, what is counted and told. Pure ASGI.

The app's own answers pass as they are, save the headers `X-Request-Id`, `Shipway-Bundle` and `traceparent`, where it
has none, and `Connection: close` while the server drains.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from shipway.errors import Draining, Overloaded, ShipwayError, Unavailable, edge
from shipway.monitor.access import AccessRecord
from shipway.monitor.metrics import Metrics
from shipway.serving.apps.asgi import AsgiApp, Receive, Scope, Send
from shipway.serving.apps.exchange import Exchange, check_headers, too_large
from shipway.serving.apps.operations import Operations, send_error, send_reply
from shipway.serving.http.access import AccessLog
from shipway.serving.http.body import seconds_allowed
from shipway.serving.http.keys import ApiKeys
from shipway.serving.http.message import RequestIds
from shipway.serving.state import State
from shipway.spec.paths import METRICS
from shipway.spec.reference import BundleId
from shipway.spec.settings import Limits

__all__ = ["Around", "ServedApp"]

_logger = logging.getLogger("shipway.apps")
_PROTOCOL = "app"
_SWITCHING, _GONE = 101, 499


class ServedApp:
    """An app that is ready to be called.

    Attributes:
        id: of its bundle.
        app: the ASGI application.
        owns: paths of the server's own that it answers itself.
        state: of its lifespan; each request gets a copy.
    """

    __slots__ = ("app", "bundle_header", "id", "owns", "state")

    def __init__(self, bundle: BundleId, app: AsgiApp, owns: tuple[str, ...], state: dict[str, Any]) -> None:
        self.id = bundle
        self.app = app
        self.owns = frozenset(owns)
        self.state = state
        self.bundle_header = (b"shipway-bundle", str(bundle).encode("ascii"))


class Around:
    """The ASGI application that callers reach.

    Args:
        limits: of bodies, time and waiting callers.
        state: starting, ready or draining.
        metrics, log: where requests are counted and told.
        keys: who is let in; None for everyone.
        operations: answers what is the server's own.
    """

    def __init__(
        self,
        limits: Limits,
        state: State,
        metrics: Metrics,
        log: AccessLog,
        keys: ApiKeys | None,
        operations: Operations,
    ) -> None:
        self._limits = limits
        self._state = state
        self._metrics = metrics
        self._log = log
        self._keys = keys
        self._operations = operations
        self._served: ServedApp | None = None
        self._waiting = 0
        self._ids = RequestIds()

    def open(self, served: ServedApp) -> None:
        """Lets callers through to the app."""
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection of the ASGI server."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise ValueError(f"no {scope['type']} here: the app's lifespan is the server's to run")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        begun, counted, asked = asyncio.get_running_loop().time(), False, None

        def on_begin() -> None:
            if counted:
                self._waiting -= 1

        exchange = Exchange(
            receive,
            send,
            id=(identity := self._ids.of(headers)),
            wants_page=b"text/html" in headers.get(b"accept", b""),
            headers=self._headers(headers, identity),
            body_bytes=self._limits.body_bytes,
            on_begin=on_begin,
        )
        self._metrics.inflight += 1
        error, served = "", self._served
        try:
            if served is None or self._is_own(scope, served):
                await self._answer_own(scope, headers, exchange)
            else:
                self._admit(headers)
                self._waiting += 1
                counted, asked = True, served.id
                exchange.watch(begun + seconds_allowed(headers, self._limits.seconds), self._limits.seconds)
                error = await self._ask(served, scope, exchange)
        except ShipwayError as problem:
            await exchange.refuse(problem)
        except asyncio.CancelledError:
            exchange.gone = True
            raise
        finally:
            self._metrics.inflight -= 1
            if counted:
                exchange.unwatch()
                if not exchange.status:
                    self._waiting -= 1
            status = exchange.status if exchange.status and not exchange.gone else _GONE
            seconds = asyncio.get_running_loop().time() - begun
            self._tell(scope, identity, asked, status, seconds, exchange.refused or error)

    async def _ask(self, served: ServedApp, scope: Scope, exchange: Exchange) -> str:
        """Lets the app answer; gives the class of what went wrong, or an empty text."""
        try:
            await served.app(_passed_on(scope, served, exchange.id), exchange.receive, exchange.send)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # Cancelled by the watch alone, it is over; by somebody else too, it is not ours to stop.
            if not exchange.is_late or task is None or task.uncancel() > 0:
                raise
            _logger.warning("request %s: the app's answer was not there, or did not go on, in time", exchange.id)
            await exchange.settle()
            return "DeadlineExceeded"
        except (Exception, SystemExit) as problem:
            if exchange.gone or exchange.refused:
                return "CallerGone"
            _logger.error("request %s failed", exchange.id, exc_info=problem)
            await exchange.refuse(_failed())
            return type(problem).__name__
        if exchange.complete or exchange.gone or exchange.refused:
            return ""
        _logger.error("request %s: the app ended without an answer, or in the middle of it", exchange.id)
        await exchange.refuse(_failed())
        return "NoAnswer"

    def _is_own(self, scope: Scope, served: ServedApp) -> bool:
        return self._operations.has(scope["path"]) and scope["path"] not in served.owns

    async def _answer_own(self, scope: Scope, headers: Mapping[bytes, bytes], exchange: Exchange) -> None:
        path = scope["path"]
        if not self._operations.has(path):
            raise Draining("the app is still starting", fix="wait until /readyz answers 200")
        if path == METRICS:
            self._check_key(headers)
        await send_reply(exchange.send, self._operations.reply(scope["method"], path))

    def _admit(self, headers: Mapping[bytes, bytes]) -> None:
        """Lets a caller in.

        Raises:
            Unauthorized: without a key of ours.
            TooLarge: it announces a body over the limit.
            Overloaded: as many as may wait do so already.
            Unavailable: every thread hangs.
        """
        self._check_key(headers)
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)
        if self._waiting >= self._limits.waiting:
            self._metrics.rejected("queue_full")
            raise Overloaded("too many requests wait for the app", fix="[limits] waiting raises it")
        if not self._operations.is_alive:
            self._metrics.rejected("stuck")
            raise Unavailable("every thread of the app hangs", retry_after=10, fix="[apps] threads gives it more")

    def _check_key(self, headers: Mapping[bytes, bytes]) -> None:
        if self._keys is not None:
            self._keys.check(headers.get(b"authorization", b"").decode("latin-1"))

    def _headers(self, headers: Mapping[bytes, bytes], identity: str) -> list[tuple[bytes, bytes]]:
        """Gives what is added to the app's headers."""
        added = [(b"x-request-id", identity.encode("ascii"))]
        if self._served is not None:
            added.append(self._served.bundle_header)
        if traceparent := headers.get(b"traceparent"):
            added.append((b"traceparent", traceparent))
        if not self._state.is_ready and self._state.serves:
            added.append((b"connection", b"close"))
        return added

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, served = dict(scope["headers"]), self._served
        identity = self._ids.of(headers)
        begun = asyncio.get_running_loop().time()
        asked = served.id if served else None
        status, error = 403, ""  # what uvicorn answers where the app closes before it accepts

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "websocket.accept":
                given = list(message.get("headers", ()))
                check_headers(given)
                status = _SWITCHING
                message = {**message, "headers": [*given, *self._headers(headers, identity)]}
                self._tell(scope, identity, asked, status, asyncio.get_running_loop().time() - begun, "")
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.inflight += 1
        try:
            if served is None:
                raise Draining("the app is still starting", fix="wait until /readyz answers 200")
            self._check_key(headers)
            await served.app(_passed_on(scope, served, identity), receive, watched)
        except ShipwayError as problem:
            status, error = edge(problem).http, type(problem).__name__
            await _deny(scope, send, problem, identity)
        except (Exception, SystemExit) as problem:
            error = type(problem).__name__
            _logger.error("request %s failed", identity, exc_info=problem)
            if status == _SWITCHING:
                await send({"type": "websocket.close", "code": 1011})
            else:
                status = 500
                await _deny(scope, send, _failed(), identity)
        finally:
            self._metrics.inflight -= 1
            if status != _SWITCHING:
                self._tell(scope, identity, asked, status, asyncio.get_running_loop().time() - begun, error)

    def _tell(
        self, scope: Scope, identity: str, asked: BundleId | None, status: int, seconds: float, error: str
    ) -> None:
        client = scope.get("client")
        record = AccessRecord(
            client[0] if client else "",
            scope.get("method", "GET"),
            scope["path"],
            status,
            seconds,
            identity,
            _PROTOCOL,
            asked.name if asked else "",
            str(asked.version) if asked else "",
            "",
            0,
            error,
        )
        self._metrics.request(record)
        self._log(record)


def _passed_on(scope: Scope, served: ServedApp, identity: str) -> Scope:
    """Gives the scope as the app gets it: with the request's id, and the state of its lifespan."""
    named = (b"x-request-id", identity.encode("ascii"))
    others = [header for header in scope["headers"] if header[0] != b"x-request-id"]
    return {**scope, "headers": [*others, named], "state": dict(served.state)}


def _failed() -> ShipwayError:
    return ShipwayError("the app failed", fix="the server's log has the reason under this request's id")


async def _deny(scope: Scope, send: Send, error: ShipwayError, identity: str) -> None:
    """Refuses a WebSocket: with an answer of HTTP where the server can give one, else by closing it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.message})
        return

    async def as_websocket(message: Any) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await send_error(as_websocket, error, identity)
