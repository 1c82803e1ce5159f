"""Source is read without running it: modules have the names by which they are imported, names what they stand for."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.apps.source import Module, Unreadable, at_import, is_main_guard, module_name, parse, parse_all, text_of


def module(text: str, file: str = "app.py") -> Module:
    parsed = parse(file, text)
    assert isinstance(parsed, Module)
    return parsed


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("app.py", "app"),
        ("a/b.py", "a.b"),
        ("a/__init__.py", "a"),
        ("__init__.py", "__init__"),
        ("v1.0/app.py", ""),
        ("a.b.py", ""),
    ],
)
def test_a_file_has_the_name_by_which_it_is_imported(file: str, name: str) -> None:
    assert module_name(file) == name


@pytest.mark.parametrize(
    ("file", "text", "expression", "meaning"),
    [
        ("app.py", "import flask", "flask.Flask", "flask.Flask"),
        ("app.py", "import flask as f", "f.Flask", "flask.Flask"),
        ("app.py", "import a.b", "a.b.c", "a.b.c"),
        ("app.py", "from flask import Flask as F", "F", "flask.Flask"),
        ("app.py", "from .core import api", "api", "core.api"),
        ("p/q/app.py", "from . import api", "api", "p.q.api"),
        ("p/q/app.py", "from ..core import api", "api", "p.core.api"),
        ("p/__init__.py", "from .core import api", "api", "p.core.api"),
        ("app.py", "", "own", "app.own"),
        ("app.py", "import a", "a().b", ""),
    ],
)
def test_a_name_means_what_it_was_imported_as(file: str, text: str, expression: str, meaning: str) -> None:
    assert module(text, file).meaning(ast.parse(expression, mode="eval").body) == meaning


def test_what_runs_on_import_is_known_and_nothing_else() -> None:
    text = """
a = 1
try:
    b = 1
except OSError:
    c = 1
finally:
    d = 1
with x:
    e = 1
def f():
    no = 1
class G:
    no = 1
if __name__ == "__main__":
    no = 1
else:
    h = 1
"""
    assigned = [text_of(one) for one in at_import(module(text).tree.body) if isinstance(one, ast.Assign)]
    assert assigned == [f"{name} = 1" for name in "abcdeh"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("__name__ == '__main__'", True),
        ("'__main__' == __name__", True),
        ("__name__ == '__main__' and x", True),
        ("__name__ != '__main__'", False),
        ("__name__ == 'app'", False),
        ("name == '__main__'", False),
        ("__name__", False),
    ],
)
def test_the_guard_of_main_is_known(test: str, expected: bool) -> None:
    (statement,) = module(f"if {test}: ...").tree.body
    assert isinstance(statement, ast.If)
    assert is_main_guard(statement) is expected


def test_what_does_not_parse_is_told_aside() -> None:
    source = parse_all({"b.py": "x = (", "a.py": "", "c.txt": "(", "d.py": "\0"})
    assert [one.file for one in source.modules] == ["a.py"]
    assert [(one.file, one.line) for one in source.unreadable] == [("b.py", 1), ("d.py", 1)]
    assert all(one.why for one in source.unreadable)
    assert [*source.texts] == ["a.py", "b.py", "d.py"]


def test_modules_of_a_src_layout_are_named_as_an_installed_project_has_them() -> None:
    files = {"src/shop/__init__.py": "", "src/shop/app.py": "from .price import ask", "tests/test_x.py": "import shop"}
    source = parse_all(files, [*files, "pyproject.toml"])
    assert source.root == "src"
    assert [one.name for one in source.modules] == ["shop", "shop.app", "tests.test_x"]
    assert source.modules[1].names == {"ask": "shop.price.ask"}


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"src/shop/app.py": ""}, ()),  # no project's file
        ({"src/app.py": ""}, ("pyproject.toml",)),  # no package
        ({"src/shop/app.py": "", "src/__init__.py": ""}, ("pyproject.toml",)),  # src is the package
        ({"src/shop/app.py": "", "main.py": "from src.shop import app"}, ("setup.py",)),
    ],
)
def test_other_folders_called_src_are_folders(files: dict[str, str], names: tuple[str, ...]) -> None:
    assert parse_all(files, [*files, *names]).root == ""


def test_a_text_is_one_line_and_short() -> None:
    assert text_of(module("f(\n  1,\n  2)").tree.body[0]) == "f(1, 2)"
    assert len(text_of(module(f"x = '{'a' * 500}'").tree.body[0])) == 80


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab.=():\n \"'\\#\0@", max_size=30))
def test_any_text_parses_or_is_told(text: str) -> None:
    assert isinstance(parse("app.py", text), Module | Unreadable)
