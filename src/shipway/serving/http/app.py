"""The app: what stands around every protocol.

It finds the route, lets the caller in, keeps time, turns errors into
answers of the route's protocol, and tells the log and the metrics. It is built once and then does not change.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from collections.abc import Mapping, Sequence

from shipway.errors import Draining, ModelError, ShipwayError, edge
from shipway.monitor.access import AccessRecord
from shipway.monitor.metrics import Metrics
from shipway.serving.http.access import AccessLog
from shipway.serving.http.body import seconds_allowed
from shipway.serving.http.errors import error_headers
from shipway.serving.http.keys import ApiKeys
from shipway.serving.http.message import HttpRequest, HttpResponse, RequestIds
from shipway.serving.http.plain import PLAIN
from shipway.serving.http.routing import Exchange, Protocol, Route, Router
from shipway.serving.state import State

__all__ = ["App"]

_logger = logging.getLogger("shipway.http")
_GZIP_FROM = 2048
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


class App:
    """The handler that fronts call.

    Args:
        state: what readiness and the headers of a server that drains follow.
        metrics: where requests are counted.
        log: where requests are told.
        keys: who is let in; None for everyone.
        seconds: the longest that a request may take.
        health: routes that are answered from the start. Until `open` gives the others, no path is known to be wrong.
    """

    def __init__(
        self,
        state: State,
        metrics: Metrics,
        log: AccessLog,
        *,
        keys: ApiKeys | None,
        seconds: float,
        health: Sequence[Route],
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._log = log
        self._keys = keys
        self._seconds = seconds
        self._health = tuple(health)
        self._router = Router(self._health)
        self._is_open = False
        self._ids = RequestIds()

    def open(self, routes: Sequence[Route]) -> None:
        """Adds the other routes, which need the models."""
        self._router = Router([*self._health, *routes])
        self._is_open = True

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers one request; raises nothing but cancellation and ConnectionError, when the caller has gone."""
        now = asyncio.get_running_loop().time
        exchange = Exchange(
            request,
            self._ids.of(request.headers),
            started := now(),
            started + seconds_allowed(request.headers, self._seconds),
        )
        protocol, error = PLAIN, ""
        self._metrics.inflight += 1
        try:
            route, exchange.parameters = self._find(request)
            protocol = route.protocol
            if self._keys is not None and not route.public:
                self._keys.check(request.header(b"authorization"))
            response = await route.handler(exchange)
        except (ConnectionError, asyncio.CancelledError):
            self._tell(exchange, protocol, 499, now() - started, "CallerGone")
            raise
        except Exception as problem:
            protocol = self._router.protocol_of(request.path) or protocol
            response, error = _error_response(_shown(problem, exchange), exchange, protocol), type(problem).__name__
        finally:
            self._metrics.inflight -= 1
        self._finish(exchange, response)
        self._tell(exchange, protocol, response.status, now() - started, error)
        return response

    def _find(self, request: HttpRequest) -> tuple[Route, Mapping[str, str]]:
        try:
            return self._router.find(request.method, request.path)
        except ShipwayError:
            if not self._is_open:
                raise Draining("the models are still being loaded", fix="wait until /readyz answers 200") from None
            raise

    def _finish(self, exchange: Exchange, response: HttpResponse) -> None:
        headers = response.headers
        headers.append((b"x-request-id", exchange.id.encode("ascii")))
        if exchange.model:
            bundle = f"{exchange.model}:{exchange.version}@{exchange.digest}"
            headers.append((b"shipway-bundle", bundle.encode("ascii")))
        if traceparent := exchange.request.headers.get(b"traceparent"):
            headers.append((b"traceparent", traceparent))
        if not self._state.is_ready and self._state.serves:
            headers.append((b"connection", b"close"))
        if isinstance(response.body, bytes) and len(response.body) >= _GZIP_FROM:
            headers.append((b"vary", b"accept-encoding"))
            if _GZIP.search(exchange.request.header(b"accept-encoding")):
                response.body = gzip.compress(response.body, compresslevel=5, mtime=0)
                headers.append((b"content-encoding", b"gzip"))

    def _tell(self, exchange: Exchange, protocol: Protocol, status: int, seconds: float, error: str) -> None:
        request = exchange.request
        record = AccessRecord(
            request.client,
            request.method,
            request.path,
            status,
            seconds,
            exchange.id,
            protocol.name,
            exchange.model,
            exchange.version,
            exchange.method,
            exchange.rows,
            error,
        )
        self._metrics.request(record)
        self._log(record)


def _shown(problem: Exception, exchange: Exchange) -> ShipwayError:
    """Gives what the caller is told. What is not his to mend, or is in the model's own words, only the log is told."""
    if isinstance(problem, ShipwayError) and edge(problem).http != 500:
        if isinstance(problem.__cause__, ModelError):
            _logger.warning("request %s: %s", exchange.id, problem.__cause__.message)
        return problem
    _logger.error("request %s failed", exchange.id, exc_info=problem)
    return ShipwayError("the model or the server failed", fix="the server's log has the reason under this request's id")


def _error_response(error: ShipwayError, exchange: Exchange, protocol: Protocol) -> HttpResponse:
    headers = error_headers(error, wants_page="text/html" in exchange.request.header(b"accept"))
    return HttpResponse(edge(error).http, protocol.error_body(error, exchange.id), headers=headers)
