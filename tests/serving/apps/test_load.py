"""From a folder to the app's object: as its usual server imports it, and never in debug mode."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from shipway.errors import ArtefactError
from shipway.serving.apps.load import load_app

_numbers = itertools.count()


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A module's name that no other test has; what importing it changes in this process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return f"app_of_test_{next(_numbers)}"


def load(folder: Path, name: str, source: str, target: str = "app", environ: dict[str, str] | None = None) -> Any:
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return load_app(folder, f"{name}:{target}", {} if environ is None else environ)


def test_the_folder_is_the_working_folder_and_first_on_the_path(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}_beside.py").write_text("VALUE = 7")
    (tmp_path / "model.txt").write_text("trained")
    source = f"import pathlib, {name}_beside\nmodel = pathlib.Path('model.txt').read_text()\ndef app(): pass\n"
    loaded = load(tmp_path, name, source)
    module = sys.modules[loaded.app.__module__]
    assert (module.model, Path(module.__file__ or "").parent) == ("trained", tmp_path)


def test_a_folder_of_it_may_be_on_the_path_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "src" / name).mkdir(parents=True)
    (tmp_path / "src" / name / "web.py").write_text(f"import {name}_beside\ndef app(): pass")
    (tmp_path / f"{name}_beside.py").write_text("")
    for _ in range(2):
        load_app(tmp_path, f"{name}.web:app", {}, "src")
    assert Path.cwd() == tmp_path
    assert [sys.path.count(str(folder)) for folder in (tmp_path, tmp_path / "src")] == [1, 1]


def test_what_runs_only_as_a_program_does_not_run(tmp_path: Path, name: str) -> None:
    source = "def app(): pass\nif __name__ == '__main__':\n    raise SystemExit('app.run(debug=True)')"
    loaded = load(tmp_path, name, source)
    assert loaded.app.__module__ == name


def test_an_app_that_a_function_makes(tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, name, "def create_app():\n    def made(): pass\n    return made", "create_app()")
    assert loaded.app.__name__ == "made"


FAILING = [
    ("x = 1\nimport no_such_package.part\n", ":2", "no_such_package", "requirements.txt"),
    ("def app(:\n", ":1", "SyntaxError", ""),
    ("\n\nmodel = open('no-such.joblib')\n", ":3", "FileNotFoundError", "relative"),
    ("raise SystemExit(1)\n", ":1", "SystemExit", "__main__"),
    ("import os\nos.environ['NO_SUCH']\n", ":2", "KeyError: 'NO_SUCH'", "ENV NO_SUCH=…"),
    ("raise KeyError('NO_SUCH')\n", ":1", "KeyError: 'NO_SUCH'", "python -c"),
    ("import errno\nraise OSError(errno.EROFS, 'Read-only file system')\n", ":2", "Read-only", "/tmp"),
    ("def load():\n    raise ValueError('bad\\nmodel')\nload()\n", ":2", "ValueError: bad model", ""),
]


@pytest.mark.parametrize(("source", "line", "said", "fix"), FAILING)
def test_an_import_that_fails_says_the_line_and_the_mend(
    tmp_path: Path, name: str, source: str, line: str, said: str, fix: str
) -> None:
    with pytest.raises(ArtefactError) as caught:
        load(tmp_path, name, source)
    assert caught.value.message.startswith(f"{name}.py{line}: ")
    assert said in caught.value.message
    assert fix in caught.value.fix


@pytest.mark.parametrize("source", ["app = 3", "other = len"])
def test_what_is_no_app_is_said(tmp_path: Path, name: str, source: str) -> None:
    with pytest.raises(ArtefactError):
        load(tmp_path, name, source)


@pytest.mark.parametrize(
    "source",
    [
        "from flask import Flask\napp = Flask(__name__)\napp.debug = True",
        "from quart import Quart\napp = Quart(__name__)\napp.debug = True",
        "from fastapi import FastAPI\napp = FastAPI(debug=True)",
        "from starlette.applications import Starlette\napp = Starlette(debug=True)",
    ],
)
def test_debug_mode_is_off_whatever_the_source_says(tmp_path: Path, name: str, source: str) -> None:
    loaded = load(tmp_path, name, source)
    assert loaded.app.debug is False
    assert "debug mode" in loaded.said[0]


def test_debug_mode_is_off_inside_a_wrapper_and_the_debugger_is_left_out(tmp_path: Path, name: str) -> None:
    source = (
        "from flask import Flask\nfrom werkzeug.debug import DebuggedApplication\ninner = Flask(__name__)\n"
        "inner.debug = True\napp = DebuggedApplication(inner, evalex=True)"
    )
    loaded = load(tmp_path, name, source)
    assert type(loaded.app).__name__ == "Flask"
    assert loaded.app.debug is False


def test_variables_that_switch_debug_mode_on_do_not_reach_the_app(tmp_path: Path, name: str) -> None:
    environ = {"FLASK_DEBUG": "1", "QUART_DEBUG": "1", "OTHER": "kept"}
    loaded = load(tmp_path, name, "def app(): pass", environ=environ)
    assert environ == {"OTHER": "kept"}
    assert len(loaded.said) == 2
