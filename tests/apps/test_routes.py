"""Routes are read from the source as far as they stand there in letters."""

from __future__ import annotations

from textwrap import dedent

import pytest

from shipway.apps.routes import WEBSOCKET, routes_of
from shipway.apps.source import parse_all


@pytest.mark.parametrize(
    ("text", "path", "methods", "function"),
    [
        ("@app.route('/')\ndef f(): ...", "/", ("GET",), "f"),
        ("@app.route('/x', methods=['POST', 'GET'])\ndef f(): ...", "/x", ("GET", "POST"), "f"),
        ("@app.post('/x')\nasync def f(): ...", "/x", ("POST",), "f"),
        ("@app.api_route(path='/x', methods=('put',))\ndef f(): ...", "/x", ("PUT",), "f"),
        ("@app.websocket('/x')\nasync def f(): ...", "/x", (WEBSOCKET,), "f"),
        ("app.add_url_rule('/x', view_func=f, methods=['POST'])", "/x", ("POST",), "f"),
        ("from starlette.routing import Route\nr = [Route('/x', f, methods=['POST'])]", "/x", ("POST",), "f"),
        ("from starlette.routing import WebSocketRoute\nr = WebSocketRoute('/x', f)", "/x", (WEBSOCKET,), "f"),
        (
            "from fastapi import APIRouter\nr = APIRouter(prefix='/v1')\n@r.get('/x')\ndef f(): ...",
            "/v1/x",
            ("GET",),
            "f",
        ),
        ("from bottle import post\n@post('/x')\ndef f(): ...", "/x", ("POST",), "f"),
        ("from bottle import route\n@route('/x', method='POST')\ndef f(): ...", "/x", ("POST",), "f"),
        ("from django.urls import path\nurlpatterns = [path('metrics', f)]", "/metrics", (), "f"),
    ],
)
def test_a_route_is_found_in_every_form(text: str, path: str, methods: tuple[str, ...], function: str) -> None:
    (route,) = routes_of(parse_all({"app.py": text}).modules)
    assert (route.path, route.methods, route.function) == (path, methods, function)


@pytest.mark.parametrize(
    "text",
    [
        "client.get('/x')",
        "requests.post('/x')",
        "@app.route(PATH)\ndef f(): ...",
        "@app.errorhandler('/x')\ndef f(): ...",
        "def (",
    ],
)
def test_what_asks_a_path_or_has_none_in_letters_is_no_route(text: str) -> None:
    assert routes_of(parse_all({"app.py": text}).modules) == ()


def test_routes_come_in_the_order_of_file_and_line() -> None:
    text = dedent("""
        @app.get('/b')
        def b(): ...

        @app.get('/a')
        def a(): ...
        """)
    routes = routes_of(parse_all({"z.py": text, "a.py": text}).modules)
    assert [(route.file, route.line, route.path) for route in routes] == [
        ("a.py", 2, "/b"), ("a.py", 5, "/a"), ("z.py", 2, "/b"), ("z.py", 5, "/a"),
    ]  # fmt: skip
