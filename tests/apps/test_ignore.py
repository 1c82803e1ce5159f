"""`.dockerignore` means what it means to Docker."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.apps.ignore import parse_ignore


@pytest.mark.parametrize(
    ("text", "ignored", "taken"),
    [
        ("a.txt", ["a.txt"], ["b/a.txt", "a.txt2"]),
        ("/a.txt", ["a.txt"], ["b/a.txt"]),
        ("data", ["data", "data/x", "data/y/z"], ["datas", "x/data"]),
        ("data/", ["data", "data/x"], ["x/data"]),
        ("*.csv", ["a.csv"], ["b/a.csv"]),
        ("*/*.csv", ["b/a.csv"], ["a.csv", "c/b/a.csv"]),
        ("**/*.csv", ["a.csv", "b/a.csv", "c/b/a.csv"], ["a.csvx"]),
        ("a/**", ["a/b", "a/b/c"], ["b"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("[^ab].txt", ["c.txt"], ["a.txt"]),
        ("*.md\n!README.md", ["a.md"], ["README.md"]),
        ("*\n!src\n", ["x", "x/y"], ["src", "src/y"]),
        ("!README.md\n*.md", ["README.md"], []),
        ("# a.txt\n\n  b.txt  ", ["b.txt"], ["a.txt", "# a.txt"]),
        ("\\#a", ["#a"], ["a"]),
        ("./a/../b", ["b"], ["a"]),
        ("[", ["["], ["a"]),
    ],
)
def test_a_pattern_matches_as_docker_has_it(text: str, ignored: list[str], taken: list[str]) -> None:
    ignore = parse_ignore(text, ".dockerignore")
    assert [path for path in ignored if not ignore.by(path)] == []
    assert [path for path in taken if ignore.by(path)] == []


def test_the_line_that_decides_is_told() -> None:
    assert parse_ignore("a\n\n*.csv", ".dockerignore").by("x.csv") == ".dockerignore:3"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab/*?[]!\\^-.# \n", max_size=20), st.text(alphabet="ab/.", min_size=1, max_size=10))
def test_no_pattern_breaks_it(text: str, path: str) -> None:
    parse_ignore(text, "x").by(path)
