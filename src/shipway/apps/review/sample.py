"""What an app answered to the sample request, where that is a refusal: what it would have taken there instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from shipway.apps.review.finding import Finding
from shipway.apps.routes import Route
from shipway.spec.app import SampleRequest

__all__ = ["check_sample"]

_PARAMETER = re.compile(r"<(?:(?P<flask>\w+)(?:\([^)]*\))?:)?[^<>]*>|\{[^{}:]*(?::(?P<starlette>\w+))?\}")
_SHOWN, _BODY = 5, 200


def check_sample(request: SampleRequest, body: str, routes: Sequence[Route], file: str) -> Iterator[Finding]:
    """Finds a sample that the app refused: such an answer is no proof that it works.

    Args:
        request: as it was sent, with the status of the answer.
        body: the beginning of the answer.
        routes: that the app is known to have.
        file: name of the sample's file.
    """
    if not 400 <= request.status < 500:
        return
    path = request.path.partition("?")[0]
    there = [route for route in routes if _matches(route.path, path)]
    methods = sorted({method for route in there for method in route.methods} - {"HEAD", "OPTIONS"})
    words = " ".join(body.split())[:_BODY]
    said, fix = f": {words}" if words else "", "mend the sample; keep it where this is the answer that is meant"
    if request.status == 404 and there:
        said = f" by the route {there[0].path} ({there[0].file}:{there[0].line}){said}"
    elif request.status == 404 and routes:
        said = f": the app has {_listed(routes)}"
        fix = f'write "path": "{_likely(path, request.method, routes)}" into the sample'
    elif request.status == 405 and methods:
        said = f": the app answers {' and '.join(methods)} there"
        fix = f'write "method": "{methods[0]}" into the sample'
    elif request.status == 415:
        sent = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "")
        said = f": the app takes no {sent}" if sent else ": the app asks for a Content-Type"
        fix = 'write the body as "json": …, or name its type: "headers": {"content-type": "…"}'
    what = f"{request.method} {request.path} is answered with {request.status}{said}"
    yield Finding("sample-refused", file, what, fix, "warning")


def _matches(route: str, path: str) -> bool:
    """Whether a path is one of a route's; Flask's and Starlette's `path` parameters take slashes."""
    expression, end = "", 0
    for match in _PARAMETER.finditer(route):
        whole = "path" in (match["flask"], match["starlette"])
        expression += re.escape(route[end : match.start()]) + (".+" if whole else "[^/]+")
        end = match.end()
    return re.fullmatch(expression + re.escape(route[end:]), path) is not None


def _listed(routes: Sequence[Route]) -> str:
    lines = list(dict.fromkeys(" ".join(filter(None, ["/".join(_asked(one)), one.path])) for one in routes))
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ", ".join(lines[:_SHOWN]) + more


def _asked(route: Route) -> list[str]:
    return [method for method in route.methods if method not in ("HEAD", "OPTIONS")]


def _likely(path: str, method: str, routes: Sequence[Route]) -> str:
    """Gives the path that was meant: of the routes that take the method, the most alike."""
    paths = [one.path for one in routes if method in one.methods or not one.methods] or [one.path for one in routes]
    return difflib.get_close_matches(path, paths, 1, 0.0)[0]
