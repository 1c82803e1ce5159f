"""Errors: one root, one table, and every class has an edge."""

from __future__ import annotations

import inspect

import pytest

from shipway import errors
from shipway.errors import EDGE, ShipwayError, edge

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ShipwayError)]


def make(cls: type[ShipwayError]) -> ShipwayError:
    return cls("wrong", fix="mend", **({"allow": ("GET",)} if cls is errors.MethodNotAllowed else {}))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_shows_at_every_edge(cls: type[ShipwayError]) -> None:
    shown = edge(make(cls))
    assert 400 <= shown.http < 600
    assert shown.exit in (1, 2) or cls is errors.Interrupted  # which a shell knows by 130
    assert str(make(cls)) == "wrong; mend"


def test_what_a_caller_did_is_never_a_server_error() -> None:
    for cls in CLASSES:
        if issubclass(cls, errors.RequestError):
            assert edge(make(cls)).http < 500


def test_the_nearest_class_in_the_table_decides() -> None:
    class Special(errors.TooLarge):
        pass

    assert edge(Special("wrong")) == EDGE[errors.TooLarge]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for cls in CLASSES:
        assert cls.__name__ in (errors.__doc__ or "")
        assert cls.__name__ in errors.__all__
