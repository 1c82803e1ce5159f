"""Paths that the source says in literals, however it puts them together."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Mapping

from shipway.apps.review.program import walk
from shipway.apps.source import Module

__all__ = ["literal_path", "once_assigned"]

_DEPTH = 20


def once_assigned(module: Module) -> dict[str, ast.expr]:
    """Gives the values of the names that are assigned once in a file, whether in a function or not."""
    found: dict[str, ast.expr | None] = {}
    for node in walk(module.tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                found[name] = None if name in found else value
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) if name not in found or isinstance(
                node, ast.arg
            ):
                found.setdefault(name, None)
            case _:
                pass
    return {name: value for name, value in found.items() if value is not None}


def literal_path(module: Module, node: ast.expr | None, names: Mapping[str, ast.expr], depth: int = 0) -> str | None:
    """Gives the path that an expression is, relative to the folder; None where the source does not say it.

    The folder is the working folder, so that `data.csv` and `Path(__file__).parent / "data.csv"` are the same.

    Args:
        module: that it stands in.
        node: the expression.
        names: from `once_assigned`.
        depth: of names and calls that led here.
    """
    if depth > _DEPTH or node is None:
        return None

    def inner(one: ast.expr) -> str | None:
        return literal_path(module, one, names, depth + 1)

    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.Name(id="__file__"):
            return module.file
        case ast.Name(id=name) if name in names:
            return inner(names[name])
        case ast.Attribute(value=value, attr="parent"):
            path = inner(value)
            return None if path is None else posixpath.dirname(path) or "."
        case ast.BinOp(left=left, right=right, op=ast.Div() | ast.Add() as operator):
            before, after = inner(left), inner(right)
            if before is None or after is None:
                return None
            return posixpath.join(before, after) if isinstance(operator, ast.Div) else before + after
        case ast.Call(func=ast.Name(id="str"), args=[value]):
            return inner(value)
        case ast.Call(func=ast.Attribute(value=value, attr="resolve" | "absolute"), args=[]):
            return inner(value)
        case ast.Call(func=function, args=args):
            return _called(module.meaning(function), [inner(one) for one in args])
        case _:
            return None


def _called(meaning: str, parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None
    if meaning in ("os.getcwd", "pathlib.Path.cwd") and not known:
        return "."
    if not known:
        return None
    if meaning in ("os.path.join", "pathlib.Path", "pathlib.PurePath"):
        return posixpath.join(*known)
    if meaning == "os.path.dirname":
        return posixpath.dirname(known[0]) or "."
    return known[0] if meaning in ("os.path.abspath", "os.path.realpath", "os.path.normpath", "os.fspath") else None
