"""Which paths an app answers, and to which methods, as far as its source says it in literals."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shipway.apps.source import Module

__all__ = ["WEBSOCKET", "Route", "routes_of"]

WEBSOCKET = "WEBSOCKET"
"""Stands among the methods of a route that is a WebSocket."""

_VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})
_ANY = frozenset({"route", "api_route", "add_url_rule", "add_api_route", "add_route"})
_SOCKETS = frozenset({"websocket", "websocket_route", "add_websocket_route", "add_api_websocket_route"})
_CALLS = {"starlette.routing.Route": _ANY, "starlette.routing.WebSocketRoute": _SOCKETS, "django.urls.path": _ANY}
_ROUTERS = frozenset({"fastapi.APIRouter", "fastapi.routing.APIRouter", "flask.Blueprint", "quart.Blueprint"})
_PREFIXES = ("prefix", "url_prefix")


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the app.

    Attributes:
        path: as the framework writes it, with its parameters.
        methods: of HTTP, sorted; `(WEBSOCKET,)` for a WebSocket; empty where they are not said (Django).
        file: relative POSIX path of the source.
        line: of the decorator or the call that adds it.
        function: that answers, or empty where the source does not say it by name.
    """

    path: str
    methods: tuple[str, ...]
    file: str
    line: int
    function: str = ""


def routes_of(modules: Iterable[Module]) -> tuple[Route, ...]:
    """Finds the routes of modules, in the order of file and line."""
    found = [route for module in modules for route in _of_module(module)]
    return tuple(sorted(found, key=lambda route: (route.file, route.line)))


def _of_module(module: Module) -> Iterator[Route]:
    prefixes = dict(_prefixes(module))
    decorators = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call):
                    decorators.add(decorator)
                    yield from _route(module, decorator, prefixes, node.name)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and node not in decorators:
            yield from _route(module, node, prefixes, "")


def _prefixes(module: Module) -> Iterator[tuple[str, str]]:
    """Gives the literal prefix of each router by its name."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                if module.meaning(call.func) in _ROUTERS:
                    words = [_literal(word.value) for word in call.keywords if word.arg in _PREFIXES]
                    yield name, (words or [""])[0]
            case _:
                pass


def _route(module: Module, call: ast.Call, prefixes: Mapping[str, str], function: str) -> Iterator[Route]:
    meaning = module.meaning(call.func)
    kinds = _CALLS.get(meaning)
    prefix = "/" if meaning == "django.urls.path" else ""
    name = "route"
    if kinds is None:
        if not isinstance(call.func, ast.Attribute):
            if not (function and meaning.startswith("bottle.")):
                return
            name = meaning.removeprefix("bottle.")
        else:
            name = call.func.attr
            if isinstance(call.func.value, ast.Name):
                prefix = prefixes.get(call.func.value.id, "")
        if not function and not name.startswith("add_"):
            return  # `client.get("/x")` asks a path, it does not answer one
    path = _path(call)
    if path is None or not (prefix + path).startswith("/"):
        return
    methods = _methods(name, call, sockets=kinds is _SOCKETS)
    if meaning == "django.urls.path":
        methods = ()
    if methods is not None:
        yield Route(prefix + path, methods, module.file, call.lineno, function or _function(call))


def _methods(name: str, call: ast.Call, *, sockets: bool) -> tuple[str, ...] | None:
    if sockets or name in _SOCKETS:
        return (WEBSOCKET,)
    if name in _VERBS:
        return (name.upper(),)
    if name not in _ANY:
        return None
    for word in call.keywords:
        if word.arg in ("methods", "method"):
            values = word.value.elts if isinstance(word.value, ast.List | ast.Tuple | ast.Set) else [word.value]
            return tuple(sorted({_literal(value).upper() for value in values} - {""}))
    return ("GET",)


def _path(call: ast.Call) -> str | None:
    values = [*call.args[:1], *(word.value for word in call.keywords if word.arg in ("path", "rule"))]
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return None


def _function(call: ast.Call) -> str:
    names = [value.id for value in call.args[1:] if isinstance(value, ast.Name)]
    named = [word.value for word in call.keywords if word.arg in ("view_func", "endpoint", "callback")]
    return next(iter([*names, *(value.id for value in named if isinstance(value, ast.Name))]), "")


def _literal(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case _:
            return ""
