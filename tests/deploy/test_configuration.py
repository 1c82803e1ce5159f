"""The settings that travel with a release: those that differ and mean something there, as TOML that reads back."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shipway.deploy.configuration import Table, server_configuration, write_toml
from shipway.spec.settings import Limits, Settings, resolve

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
tables = st.recursive(
    st.dictionaries(texts, scalars, max_size=3), lambda inner: st.dictionaries(texts, scalars | inner, max_size=3)
)


def without_empty(table: dict[str, Any]) -> dict[str, Any]:
    found = {key: without_empty(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in found.items() if value != {}}


@settings(max_examples=200, deadline=None)
@given(table=tables)
@example(table={"a.b": {"": {"c d": 1}}, "\x7f": "\x7f\x00\n\"\\'", "é": 1e16})
def test_a_reader_of_toml_gets_back_what_went_in(table: dict[str, Any]) -> None:
    assert tomllib.loads(write_toml(table)) == without_empty(table)


def test_tables_are_sorted_and_look_as_a_person_would_write_them() -> None:
    table: Table = {
        "server": {"log": "text"},
        "limits": {"rows": 10, "body_bytes": 20},
        "models": {"a": {}, "b": {"x": 1.5}},
    }
    text = '[limits]\nbody_bytes = 20\nrows = 10\n\n[models.b]\nx = 1.5\n\n[server]\nlog = "text"\n'
    assert write_toml(table) == text


def test_defaults_do_not_travel() -> None:
    assert server_configuration(Settings(), "diabetes") == ""


FILE: dict[str, Any] = {
    "server": {
        "host": "10.0.0.1", "port": 9000, "metrics_port": 9001, "default": "other", "drain_seconds": 60,
        "log": "off", "allow_pickle": True,
    },
    "limits": {"rows": 10, "seconds": 5.0, "waiting": 3},
    "models": {"diabetes": {"extra_columns": "ignore"}, "other": {"extra_columns": "ignore"}},
    "auth": {"keys": "keys.txt"},
    "build": {"base": "oci:base"},
    "deploy": {"kubernetes": {"replicas": 9}},
}  # fmt: skip


def test_what_differs_travels_but_for_what_the_target_decides() -> None:
    found = tomllib.loads(server_configuration(resolve({}, {}, FILE).settings, "diabetes"))
    assert found == {
        "server": {"log": "off", "allow_pickle": True},
        "limits": {"rows": 10, "waiting": 3},
        "models": {"diabetes": {"extra_columns": "ignore"}},
    }


def test_what_travels_is_settings() -> None:
    text = server_configuration(resolve({}, {}, FILE).settings, "diabetes")
    there = resolve({}, {}, tomllib.loads(text)).settings
    assert there.limits == Limits(rows=10, waiting=3)


@pytest.mark.parametrize("first", [("rows", "waiting"), ("waiting", "rows")])
def test_the_order_of_the_file_makes_no_other_text(first: tuple[str, ...]) -> None:
    file = {"limits": dict.fromkeys(first, 7)}
    assert server_configuration(resolve({}, {}, file).settings, "m") == "[limits]\nrows = 7\nwaiting = 7\n"
