"""What a server of an app answers itself: health and metrics, without a word of the app's framework."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shipway.errors import MethodNotAllowed, ShipwayError, UnknownRoute, edge
from shipway.monitor.metrics import METRICS_CONTENT_TYPE, Metrics
from shipway.serving.apps.asgi import Receive, Scope, Send
from shipway.serving.http.errors import error_body, error_headers
from shipway.serving.http.message import RequestIds
from shipway.serving.state import State
from shipway.spec.paths import LIVE, METRICS, READY

__all__ = ["Operations", "Reply", "send_error", "send_reply"]

_JSON = b"application/json"
Reply = tuple[int, bytes, bytes]
"""Status, content type and body."""


class Operations:
    """Answers health and metrics; an ASGI application too, for a listener of its own, without API keys.

    Args:
        state: what readiness follows.
        metrics: what `/metrics` tells.
        is_alive: whether the app can still answer anything.
    """

    def __init__(self, state: State, metrics: Metrics, is_alive: Callable[[], bool]) -> None:
        self._state = state
        self._metrics = metrics
        self._is_alive = is_alive
        self._ids = RequestIds()
        self._paths: dict[str, Callable[[], Reply]] = {
            **dict.fromkeys(LIVE, self._live),
            **dict.fromkeys(READY, self._ready),
            METRICS: self._exposition,
        }

    @property
    def is_alive(self) -> bool:
        """Whether the app can still answer anything."""
        return self._is_alive()

    def has(self, path: str) -> bool:
        """Whether the path is one of its own."""
        return path in self._paths

    def reply(self, method: str, path: str) -> Reply:
        """Gives the answer to a request.

        Raises:
            UnknownRoute: it is for none of its paths.
            MethodNotAllowed: it is, by another method than GET or HEAD.
        """
        handler = self._paths.get(path)
        if handler is None:
            raise UnknownRoute(f"no such path: {path[:200]}", fix=f"here are {', '.join(self._paths)}")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{path} does not take {method[:20]}", allow=("GET", "HEAD"))
        return handler()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answers one request of the platform."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        try:
            await send_reply(send, self.reply(scope["method"], scope["path"]))
        except ShipwayError as error:
            await send_error(send, error, self._ids.of(dict(scope["headers"])))

    def _live(self) -> Reply:
        alive = self._is_alive()
        return (200, _JSON, b'{"status":"alive"}') if alive else (503, _JSON, b'{"status":"stuck"}')

    def _ready(self) -> Reply:
        ready = self._state.is_ready and self._is_alive()
        status = self._state.phase.value if ready or not self._state.is_ready else "stuck"
        return 200 if ready else 503, _JSON, msgspec.json.encode({"status": status})

    def _exposition(self) -> Reply:
        return 200, METRICS_CONTENT_TYPE.encode(), self._metrics.exposition()


async def send_reply(send: Send, reply: Reply, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """Sends a whole answer."""
    status, content_type, body = reply
    own = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *(headers or ())]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ShipwayError, request: str, *, wants_page: bool = False) -> None:
    """Sends an error in the plain form, under the request's id."""
    headers = [*error_headers(error, wants_page=wants_page), (b"x-request-id", request.encode("ascii"))]
    await send_reply(send, (edge(error).http, _JSON, error_body(error, request)), headers)
