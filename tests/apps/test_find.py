"""The app is found by reading alone: each framework, factories, wrappers, other names; and nothing that is none."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.app_folders import FOLDERS
from shipway.apps.files import collect
from shipway.apps.find import Candidate, find_candidates
from shipway.apps.source import parse_all
from shipway.errors import ArtefactError


def candidates(files: Mapping[str, str]) -> tuple[Candidate, ...]:
    return find_candidates(parse_all(files))


def found(text: str, file: str = "app.py", **others: str) -> list[tuple[str, str, str]]:
    files = {file: dedent(text), **{f"{name}.py": dedent(other) for name, other in others.items()}}
    return [(one.target, one.framework, one.interface) for one in candidates(files)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from flask import Flask\napp = Flask(__name__)", ("app:app", "flask", "wsgi")),
        ("import flask\nsite = flask.Flask('x')", ("app:site", "flask", "wsgi")),
        ("import flask as f\nsite: f.Flask = f.Flask('x')", ("app:site", "flask", "wsgi")),
        ("from fastapi import FastAPI as F\napi = F()", ("app:api", "fastapi", "asgi")),
        ("from starlette.applications import Starlette\napp = Starlette()", ("app:app", "starlette", "asgi")),
        ("from quart import Quart\napp = Quart('x')", ("app:app", "quart", "asgi")),
        ("import bottle\napp = bottle.default_app()", ("app:app", "bottle", "wsgi")),
        ("def hello(environ, start_response): ...", ("app:hello", "callable", "wsgi")),
        ("async def hello(scope, receive, send): ...", ("app:hello", "callable", "asgi")),
        ("from flask import Flask\nclass Mine(Flask): ...\napp = Mine('x')", ("app:app", "flask", "wsgi")),
        ("class A:\n def __call__(self, environ, start_response): ...\napp = A()", ("app:app", "callable", "wsgi")),
        ("class A:\n async def __call__(self, scope, receive, send): ...\napp = A()", ("app:app", "callable", "asgi")),
        ("from flask import Flask\nfrom x import Fix\napp = Fix(Flask('x'), 1)", ("app:app", "flask", "wsgi")),
        ("from flask import Flask\ntry:\n  app = Flask('x')\nexcept OSError: raise", ("app:app", "flask", "wsgi")),
        ("from flask import Flask\ndef make():\n  a = Flask('x')\n  return a", ("app:make()", "flask", "wsgi")),
        ("from flask import Flask\ndef make(debug=False):\n  return Flask('x')", ("app:make()", "flask", "wsgi")),
        ("from dash import Dash\ndash = Dash('x')\nserver = dash.server", ("app:server", "flask", "wsgi")),
    ],
)
def test_an_app_is_found_in_every_form(text: str, expected: tuple[str, str, str]) -> None:
    assert found(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "from flask import Flask\nif __name__ == '__main__':\n  app = Flask('x')",
        "from flask import Flask\ndef make(config):\n  return Flask('x')",
        "from flask import Flask\ndef make():\n  def inner():\n    return Flask('x')\n  return inner",
        "Flask = print\napp = Flask('x')",
        "from flask import Blueprint\napp = Blueprint('x', 'x')",
        "def hello(environ): ...",
        "def hello(scope, receive, send): ...",
        "def middleware(app):\n  def call(environ, start_response): ...\n  return call",
        "from dash import Dash\napp = Dash('x')",
        "",
    ],
)
def test_what_is_no_app_is_not_found(text: str) -> None:
    assert found(text) == []


def test_other_names_of_an_app_are_known_to_be_the_same() -> None:
    files = {
        "pkg/__init__.py": "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n",
        "wsgi.py": "from pkg import create_app\napplication = create_app()\n",
        "run.py": "from wsgi import application as app\n",
    }
    found = candidates(files)
    assert {one.target for one in found} >= {"pkg:create_app()", "wsgi:application", "run:app"}
    assert {one.origin for one in found} == {"pkg.create_app"}


def test_relative_imports_are_followed() -> None:
    files = {
        "pkg/core.py": "from fastapi import FastAPI\napi = FastAPI()",
        "pkg/main.py": "from .core import api as app",
    }
    assert {one.target for one in candidates(files)} == {"pkg.core:api", "pkg.main:app"}


def test_the_evidence_is_the_line_that_makes_it() -> None:
    (one,) = candidates({"a/b.py": "from flask import Flask\n\napp = Flask(__name__)\n"})
    assert (one.where, one.evidence) == ("a/b.py:3", "app = Flask(__name__)")


def test_websockets_are_told() -> None:
    for name, expected in (("quart_socket", True), ("fastapi_lifespan", False)):
        assert [one.websockets for one in find_candidates(collect(FOLDERS / name).source())] == [expected]


@pytest.mark.parametrize(
    "line",
    [
        "app.run(debug=True)",
        "app.debug = True",
        "app.config['DEBUG'] = True",
        "if __name__ == '__main__': app.run(debug=True)",
    ],
)
def test_debug_modes_are_told_with_their_place(line: str) -> None:
    (one,) = candidates({"app.py": f"from flask import Flask\napp = Flask('x')\n{line}"})
    assert one.debug == ("app.py:3",)
    assert candidates({"app.py": "from flask import Flask\napp = Flask('x', debug=False)"})[0].debug == ()


def test_a_syntax_error_is_told_with_its_line() -> None:
    with pytest.raises(ArtefactError, match=r"app\.py:2 does not parse") as raised:
        found("from flask import Flask\napp = Flask(\n")
    assert "line 2 of app.py" in raised.value.fix
    assert found("from flask import Flask\napp = Flask('x')", old="print 'hello'") == [("app:app", "flask", "wsgi")]


@pytest.mark.parametrize("text", ["\0", "(" * 10_000, "x = " + "-" * 100_000 + "1", "a.py: \udcff"])
def test_what_no_parser_takes_is_told(text: str) -> None:
    with pytest.raises(ArtefactError, match=r"app\.py:\d+ does not parse"):
        candidates({"app.py": text})


_WORDS = st.sampled_from(
    [
        "app",
        "=",
        "Flask",
        "(",
        ")",
        "from flask import Flask",
        "\n",
        "\n  ",
        "def f",
        ":",
        "return",
        ".",
        "app = Flask('x')",
        "if __name__ == '__main__':",
        "class A",
        "async def g(scope, receive, send): ...",
        "import app",
        "lambda",
        ",",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, max_size=25))
def test_any_text_is_answered_or_refused(words: list[str]) -> None:
    try:
        found = candidates({"app.py": " ".join(words)})
    except ArtefactError:
        return
    assert all(one.file == "app.py" and one.line >= 1 for one in found)
