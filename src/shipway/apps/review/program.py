"""The part of a folder's source that runs in production: the app's module and what it imports, `__main__` left out."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shipway.apps.find import Candidate
from shipway.apps.routes import Route, routes_of
from shipway.apps.source import Module, is_main_guard

__all__ = [
    "Function",
    "Program",
    "argument",
    "at_import",
    "builtin",
    "calls",
    "functions",
    "program_of",
    "text",
    "walk",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef
# Of a Django project, settings and apps are named by texts, so that all of it counts save what is run by hand.
_BY_HAND = ("manage.py", "migrations/", "tests/", "tests.py", "setup.py", "conftest.py")


@dataclass(frozen=True, slots=True)
class Program:
    """What runs.

    Attributes:
        modules: in the order of their paths.
        routes: that they answer.
        app: the object that is served; None where the source does not say which.
        methods: names of the methods that the folder's own classes define.
    """

    modules: tuple[Module, ...]
    routes: tuple[Route, ...]
    app: Candidate | None
    methods: frozenset[str]


def program_of(modules: Sequence[Module], app: Candidate | None) -> Program:
    """Gives what of the modules runs when the app does; all of them where the app is not known."""
    if app is None:
        kept = tuple(modules)
    elif app.framework == "django":
        kept = tuple(module for module in modules if not _is_by_hand(module.file))
    else:
        names = _reached(modules, app.module)
        kept = tuple(module for module in modules if module.name in names)
    classes = [node for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    methods = {node.name for one in classes for node in one.body if isinstance(node, Function)}
    return Program(kept, routes_of(kept), app, frozenset(methods))


def walk(tree: ast.AST, *, into_functions: bool = True) -> Iterator[ast.AST]:
    """Gives the nodes that may run, in the order of the source; never those below `if __name__ == "__main__":`.

    Args:
        tree: where to begin.
        into_functions: whether bodies of functions count; without them it is what runs at import.
    """
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and is_main_guard(node):
            children = node.orelse
        elif not into_functions and isinstance(node, Function):
            children = node.decorator_list
        elif not into_functions and isinstance(node, ast.Lambda):
            children = ()
        waiting += reversed(list(children))


def calls(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """Gives the calls that may run, each with what its function stands for."""
    for node in walk(module.tree):
        if isinstance(node, ast.Call):
            yield node, module.meaning(node.func)


def at_import(module: Module) -> Iterator[ast.Call]:
    """Gives the calls that run when the module is imported."""
    return (node for node in walk(module.tree, into_functions=False) if isinstance(node, ast.Call))


def functions(module: Module) -> Iterator[Function]:
    """Gives the functions and methods that may run."""
    return (node for node in walk(module.tree) if isinstance(node, Function))


def argument(call: ast.Call, position: int | None, *names: str) -> ast.expr | None:
    """Gives an argument by its position or by one of its names."""
    for word in call.keywords:
        if word.arg in names:
            return word.value
    if position is None or position >= len(call.args) or isinstance(call.args[position], ast.Starred):
        return None
    return call.args[position]


def builtin(module: Module, call: ast.Call) -> str:
    """Gives the name of the function that a call names without a module; empty for an imported one."""
    return call.func.id if isinstance(call.func, ast.Name) and call.func.id not in module.names else ""


def text(node: ast.AST | None) -> str | None:
    """Gives the value of a literal text."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_by_hand(file: str) -> bool:
    return any(file.endswith(end) or f"/{file}".find(f"/{end}") >= 0 for end in _BY_HAND)


def _reached(modules: Sequence[Module], start: str) -> set[str]:
    """Gives the names of the folder's modules that importing `start` imports."""
    known = {module.name: module for module in modules}
    found: set[str] = set()
    waiting = list(_prefixes(start))
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            waiting += [prefix for dotted in _imported(known[name]) for prefix in _prefixes(dotted)]
    return found


def _imported(module: Module) -> Iterator[str]:
    yield from module.names.values()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _prefixes(dotted: str) -> Iterator[str]:
    parts = dotted.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))
