"""What operators and browsers ask: health, metrics, the API's document, the page."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shipway.console.page import content_security_policy, page
from shipway.monitor.metrics import METRICS_CONTENT_TYPE, Metrics
from shipway.serving.http.message import HttpResponse
from shipway.serving.http.plain import PLAIN
from shipway.serving.http.routing import Exchange, Route
from shipway.serving.state import State
from shipway.spec.openapi import document
from shipway.spec.paths import LIVE, METRICS, READY
from shipway.spec.served import ServedModel

__all__ = ["health_routes", "information_routes", "metrics_route"]


def health_routes(state: State) -> list[Route]:
    """Gives the health routes."""

    async def live(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        return HttpResponse(200, b'{"status":"alive"}')

    async def ready(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        body = msgspec.json.encode({"status": state.phase.value})
        return HttpResponse(200 if state.is_ready else 503, body)

    return [
        Route("GET", path, handler, PLAIN, public=True)
        for handler, paths in ((live, LIVE), (ready, READY))
        for path in paths
    ]


def metrics_route(metrics: Metrics) -> Route:
    """Gives the route of the metrics."""

    async def exposition(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        return HttpResponse(200, metrics.exposition(), METRICS_CONTENT_TYPE.encode())

    return Route("GET", METRICS, exposition, PLAIN)


def information_routes(models: Sequence[ServedModel], metrics: Metrics, *, version: str, auth: bool) -> list[Route]:
    """Gives the routes of the page, the metrics and the API's document."""
    html = page(models, version=version, auth=auth, request_url=None)
    page_headers = [
        (b"content-security-policy", content_security_policy(html).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"vary", b"accept"),
    ]
    openapi = msgspec.json.encode(document(models, version=version, auth=auth))
    status = msgspec.json.encode(
        {"status": "alive", "server": f"shipway {version}", "models": [str(model.id) for model in models]}
    )

    async def root(exchange: Exchange) -> HttpResponse:
        if "text/html" in exchange.request.header(b"accept"):
            return HttpResponse(200, html, b"text/html; charset=utf-8", list(page_headers))
        return HttpResponse(200, status, headers=[(b"vary", b"accept")])

    async def docs(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        return HttpResponse(200, html, b"text/html; charset=utf-8", list(page_headers))

    async def openapi_document(exchange: Exchange) -> HttpResponse:  # noqa: ARG001
        return HttpResponse(200, openapi)

    return [
        Route("GET", "/", root, PLAIN),
        Route("GET", "/docs", docs, PLAIN),
        Route("GET", "/openapi.json", openapi_document, PLAIN),
        metrics_route(metrics),
    ]
