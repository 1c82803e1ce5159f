"""Routes: an HTTP method and a path to a handler. Fixed paths are found by one look-up, others by their segments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from shipway.errors import MethodNotAllowed, ShipwayError, UnknownRoute
from shipway.serving.http.message import HttpRequest, HttpResponse

__all__ = ["Exchange", "ExchangeHandler", "Protocol", "Route", "Router"]


@dataclass(slots=True)
class Exchange:
    """One request on its way; what the log and the metrics will say of it is noted here as it becomes known.

    Attributes:
        request: what came.
        id: the caller's `X-Request-Id`, or one of ours.
        started: on the event loop's clock.
        deadline: until when an answer is of use, on the same clock.
        parameters: the values of the path's `{name}` segments.
    """

    request: HttpRequest
    id: str
    started: float
    deadline: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    version: str = ""
    digest: str = ""
    method: str = ""
    rows: int = 0


ExchangeHandler = Callable[[Exchange], Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """What the routes of one protocol share.

    Attributes:
        name: as the metrics' label has it.
        error_body: an error in the protocol's own shape, given the request's id.
    """

    name: str
    error_body: Callable[[ShipwayError, str], bytes]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` may hold `{name}` segments; `public` needs no API key."""

    http_method: str
    path: str
    handler: ExchangeHandler
    protocol: Protocol
    public: bool = False


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._open: list[tuple[tuple[str, ...], dict[str, Route]]] = []
        for route in routes:
            if "{" not in route.path:
                self._fixed.setdefault(route.path, {})[route.http_method] = route
                continue
            segments = tuple(route.path.split("/"))
            known = next((methods for pattern, methods in self._open if pattern == segments), None)
            if known is None:
                known = {}
                self._open.append((segments, known))
            known[route.http_method] = route

    def find(self, http_method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Gives the route, and the values of its open segments.

        Raises:
            UnknownRoute: no such path.
            MethodNotAllowed: the path does not take that method; names those that it takes.
        """
        methods, parameters = self._methods(path)
        route = methods.get("GET" if http_method == "HEAD" else http_method)
        if route is None:
            allow = tuple(sorted([*methods, "HEAD"] if "GET" in methods else methods))
            raise MethodNotAllowed(f"{path} does not take {http_method}", allow=allow, fix=f"use {' or '.join(allow)}")
        return route, parameters

    def protocol_of(self, path: str) -> Protocol | None:
        """Gives the protocol that a path belongs to, whatever its HTTP method and though it be unknown, or None.

        An unknown path is its protocol's whose root it lies under: that protocol's client will read the error.
        """
        try:
            methods: Mapping[str, Route] | None = self._methods(path)[0]
        except UnknownRoute:
            methods = self._fixed.get("/" + path.strip("/").partition("/")[0])
        return next(iter(methods.values())).protocol if methods else None

    def _methods(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        segments = path.split("/")
        for pattern, methods in self._open:
            if len(pattern) == len(segments):
                parameters = {}
                for want, have in zip(pattern, segments, strict=True):
                    if want.startswith("{") and have:
                        parameters[want[1:-1]] = have
                    elif want != have:
                        break
                else:
                    return methods, parameters
        if path.endswith("/") and len(path) > 1:
            return self._methods(path.rstrip("/") or "/")
        listed = "GET /openapi.json lists them" if "/openapi.json" in self._fixed else ""
        raise UnknownRoute(f"no such path: {path[:200]}", fix=listed or f"here are {', '.join(sorted(self._fixed))}")
