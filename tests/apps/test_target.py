"""Targets are what gunicorn and uvicorn take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fakes.app_folders import write_folder
from shipway.apps.target import Target
from shipway.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app", Target("app", ("app",), False)),
        ("a.b:c.d", Target("a.b", ("c", "d"), False)),
        ("a:make()", Target("a", ("make",), True)),
        ("my-app:app", Target("my-app", ("app",), False)),
    ],
)
def test_it_is_parsed_and_written_again(text: str, expected: Target) -> None:
    target = Target.parse(text)
    assert target == expected
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    "text", ["", ":", "a:", ":app", "a b:app", "a:app(1)", "a/b.py", "a..b:c", "a:1x", "a:app\n", "a:make()()"]
)
def test_nothing_else_is_taken(text: str) -> None:
    with pytest.raises(UsageError, match="is not the name of an app"):
        Target.parse(text)


def test_the_object_is_imported_and_never_as_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(
        tmp_path,
        {"shipway_tried.py": "class A: x = __name__\ndef make(): return 7\nif __name__ == '__main__': 1 / 0\n"},
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert Target.parse("shipway_tried:A.x").load() == "shipway_tried"
        assert Target.parse("shipway_tried:make()").load() == 7
        with pytest.raises(AttributeError):
            Target.parse("shipway_tried:gone").load()
    finally:
        sys.modules.pop("shipway_tried", None)
