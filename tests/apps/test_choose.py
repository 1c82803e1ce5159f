"""Of several apps the likeliest is taken, and never by chance; a folder without one is told what it is."""

from __future__ import annotations

from textwrap import dedent

import pytest

from fakes.app_folders import FOLDERS
from shipway.apps.choose import choose
from shipway.apps.files import collect
from shipway.apps.find import find_candidates
from shipway.apps.source import parse_all
from shipway.errors import ArtefactError, UsageError

FLASK = "from flask import Flask\n"
APP = f"{FLASK}app = Flask(__name__)\n"


def chosen(
    files: dict[str, str], wanted: str | None = None, hint: str | None = None, names: tuple[str, ...] = ()
) -> str:
    texts = {name: dedent(text) for name, text in files.items()}
    source = parse_all(texts, [*texts, *names])
    return choose(find_candidates(source), source, wanted, hint, names).app.target


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"app.py": APP, "other.py": APP}, "app:app"),
        ({"app.py": f"{APP}admin = Flask('x')\n"}, "app:app"),
        ({"pkg/__init__.py": APP, "pkg/deep/er.py": APP}, "pkg:app"),
        ({"server.py": APP, "tests/app.py": APP, "test_app.py": APP}, "server:app"),
        ({"examples/app.py": APP}, "examples.app:app"),
        ({"app.py": APP, "wsgi.py": "from app import app"}, "wsgi:app"),
        ({"app.py": f"{FLASK}def create_app():\n  return Flask('x')\napp = create_app()"}, "app:app"),
        ({"app.py": f"{FLASK}def create_app():\n  return Flask('x')"}, "app:create_app()"),
        ({"app.py": APP, "main.py": f"from app import app as inner\n{APP}app.mount('/x', inner)"}, "main:app"),
        ({"hello.py": f"{FLASK}site = Flask('x')"}, "hello:site"),
    ],
)
def test_the_likeliest_is_chosen(files: dict[str, str], expected: str) -> None:
    assert chosen(files) == expected
    assert chosen(dict(reversed(files.items()))) == expected


def test_what_the_dockerfile_starts_is_chosen() -> None:
    assert chosen({"app.py": APP, "other.py": APP}, hint="other:app") == "other:app"
    assert chosen({"app.py": APP}, hint="gone:app") == "app:app"
    factory = f"{FLASK}def make():\n  return Flask('x')"
    for hint in ("b:make", "b:make()"):
        assert chosen({"a.py": factory, "b.py": factory}, hint=hint) == "b:make()"


def others(files: dict[str, str], **how: str) -> list[str]:
    source = parse_all(files)
    return [one.target for one in choose(find_candidates(source), source, **how).others]


def test_what_was_chosen_over_is_known() -> None:
    assert others({"app.py": f"{APP}admin = Flask('x')\n"}) == ["app:admin"]
    assert others({"app.py": f"{APP}application = Flask('x')\n"}) == ["app:application"]
    assert others({"app.py": APP, "other.py": APP}) == ["other:app"]
    assert others({"app.py": APP, "other.py": APP}, wanted="app:app") == []
    assert others({"app.py": APP, "other.py": APP}, hint="app:app") == []
    assert others({"app.py": APP, "wsgi.py": "from app import app"}) == []  # the same app
    assert others({"app.py": APP, "examples/app.py": APP, "test_app.py": APP}) == []
    assert others({"app.py": APP, "main.py": f"from app import app as inner\n{APP}app.mount('/x', inner)"}) == []


def test_an_app_of_a_src_layout_is_chosen_by_the_name_that_its_package_has() -> None:
    files = {"src/shop/web.py": APP, "src/shop/admin.py": APP}
    source = parse_all(files, [*files, "pyproject.toml"])
    candidates = find_candidates(source)
    for hint in ("shop.web:app", "src.shop.web:app"):
        assert choose(candidates, source, hint=hint).app.target == "shop.web:app"
    assert choose(candidates, source, "shop.admin:other").app.target == "shop.admin:other"


def test_several_as_likely_are_listed_with_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"2 apps: app:app \(app\.py:2\), main:app \(main\.py:2\)") as raised:
        chosen({"app.py": APP, "main.py": APP})
    assert raised.value.fix == "say which: --app app:app"
    assert chosen({"app.py": APP, "main.py": APP}, "main:app") == "main:app"


def test_what_the_user_names_is_taken_though_the_source_does_not_say_it() -> None:
    assert chosen({"odd.py": "app = make()['x']"}, "odd:app") == "odd:app"
    with pytest.raises(UsageError, match="no module ap;") as raised:
        chosen({"app.py": APP}, "ap:app")
    assert "app:app" in raised.value.fix
    with pytest.raises(UsageError, match="not the name of an app"):
        chosen({"app.py": APP}, "app.py app")


def test_django_is_asked_by_asgi_only_where_it_has_consumers() -> None:
    files = dict(collect(FOLDERS / "django_project").source().texts)
    assert chosen(files) == "shop.wsgi:application"
    files["polls/consumers.py"] = "from channels.generic.websocket import WebsocketConsumer\n"
    assert chosen(files) == "shop.asgi:application"


@pytest.mark.parametrize(
    ("files", "names", "says", "fix"),
    [
        ({}, (), "neither a model (.joblib, .onnx, .pickle, .pkl) nor a web app: no Python file; ", "app.py lies in"),
        ({}, ("data.csv", "README.md"), "neither a model", "name a model's file"),
        ({"a.py": "x = 1"}, (), "nor a web app: no app in its 1 Python file; looked for Flask", "--app"),
        ({}, ("model.joblib",), "a model and no web app", "shipway pack FOLDER/model.joblib"),
        ({"train.py": "x = 1"}, ("model.onnx",), "a model and no web app", "shipway pack FOLDER/model.onnx"),
        ({"ui.py": "import streamlit as st"}, (), "ui.py is a Streamlit app", "Flask"),
        ({"ui.py": "import gradio"}, (), "ui.py is a Gradio app", "mount_gradio_app"),
        ({"ui.py": "from dash import Dash\napp = Dash('x')"}, (), "Dash app", "server = app.server"),
        ({"a.py": "from bottle import route, run"}, (), "Bottle app without a name", "default_app"),
        ({"a.py": "from aiohttp import web"}, (), "neither WSGI nor ASGI", "Starlette"),
        ({"manage.py": "x('DJANGO_SETTINGS_MODULE', 'shop.settings')"}, (), "shop/wsgi.py", "get_wsgi_application"),
        ({"a.py": f"{FLASK}def create_app(config):\n  return Flask('x')"}, (), "a.py:2: create_app", "wsgi.py"),
    ],
)
def test_a_folder_without_an_app_is_told_what_it_is(
    files: dict[str, str], names: tuple[str, ...], says: str, fix: str
) -> None:
    with pytest.raises(ArtefactError) as raised:
        chosen(files, names=names)
    assert says in raised.value.message
    assert fix in raised.value.fix
