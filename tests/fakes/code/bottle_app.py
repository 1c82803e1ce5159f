"""A Bottle app that uses what apps use; served by gunicorn and by Shipway in tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bottle

app: Any = bottle.Bottle()


def home() -> str:
    return "home"


def json() -> Any:
    return {"got": bottle.request.json}


def away() -> None:
    bottle.redirect("/elsewhere", 307)


def cookies() -> Any:
    bottle.response.set_cookie("first", "1")
    bottle.response.set_cookie("second", "2")
    return dict(bottle.request.cookies)


def query() -> Any:
    return {"x": bottle.request.query.getall("x"), "y": bottle.request.query.y}


def path(rest: str) -> Any:
    return {"rest": rest}


def stream() -> Iterator[str]:
    for number in range(5):
        yield f"part {number}\n"


def empty() -> None:
    bottle.response.status = 204


def raises() -> None:
    bottle.abort(500, "as apps do")


def length() -> str:
    return str(sum(bottle.request.body.read()))


def form() -> Any:
    upload = bottle.request.files.get("upload")
    return {"form": dict(bottle.request.forms), "upload": len(upload.file.read()) if upload else None}


def large() -> bytes:
    return b"z" * 3_000_000


for method, rule, function in (
    ("GET", "/", home),
    ("POST", "/json", json),
    ("GET", "/redirect", away),
    ("GET", "/cookies", cookies),
    ("GET", "/query", query),
    ("GET", "/path/<rest:path>", path),
    ("GET", "/stream", stream),
    ("GET", "/empty", empty),
    ("GET", "/raises", raises),
    ("POST", "/length", length),
    ("POST", "/form", form),
    ("GET", "/large", large),
):
    app.route(rule, method, function)
