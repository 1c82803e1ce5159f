"""Tells an app that is nothing but a model behind a route: Shipway would serve the model itself, faster."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from shipway.apps.review.facts import FolderFacts
from shipway.apps.review.finding import Finding
from shipway.apps.review.program import Function, Program, functions
from shipway.apps.source import Module

__all__ = ["ModelInside", "check_inside", "find_model"]

_PREDICTS = frozenset({"decision_function", "predict", "predict_proba"})
# What takes JSON apart and puts it together, and does no work of its own.
_PLAIN_METHODS = frozenset({
    "append", "astype", "dict", "error", "flatten", "get", "get_json", "info", "item", "items", "json", "keys",
    "model_dump", "ravel", "reshape", "round", "to_dict", "tolist", "values",
})  # fmt: skip
_PLAIN_NAMES = frozenset({
    "HTTPException", "JSONResponse", "JsonResponse", "abort", "dict", "float", "int", "isinstance", "jsonify", "len",
    "list", "print", "round", "sorted", "str", "tuple", "zip",
})  # fmt: skip
_PLAIN_CALLS = frozenset({
    "json.dumps", "json.loads", "numpy.array", "numpy.asarray", "numpy.expand_dims", "numpy.reshape",
    "pandas.DataFrame", "pandas.Series",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelInside:
    """The model that is all of an app.

    Attributes:
        path: of its file, relative and POSIX.
        framework: as adapters are named.
        evidence: what in the file says so.
        where: the function that does nothing but predict, `app.py:9`.
    """

    path: str
    framework: str
    evidence: str
    where: str


def find_model(program: Program, facts: FolderFacts) -> ModelInside | None:
    """Gives the one model of the folder, where the app only loads it and predicts; None for every other app.

    What a handler does beside it (a loop, a call of something else) rules it out: then the app is more than the model.
    """
    known = [model for model in facts.models if model.framework]
    if len(known) != 1 or len(facts.models) != 1:
        return None
    handlers = {(route.file, route.function) for route in program.routes}
    predicting = []
    for module in program.modules:
        for function in functions(module):
            if (module.file, function.name) not in handlers:
                if not _is_idle(function):
                    return None
            elif any(_predicts(node) for node in ast.walk(function)):
                if not _is_plain(module, function, program):
                    return None
                predicting.append(f"{module.file}:{function.lineno}")
            elif any(isinstance(node, ast.Call) and not _is_simple(module, node, program) for node in _body(function)):
                return None
    if len(predicting) != 1:
        return None
    model = known[0]
    return ModelInside(model.path, model.framework, model.evidence, predicting[0])


def check_inside(program: Program, facts: FolderFacts) -> Iterator[Finding]:
    """Says that the model can be served by itself."""
    found = find_model(program, facts)
    if found is not None:
        what = f"the app only loads this model and predicts ({found.where}): Shipway serves it without the app, faster"
        fix = f"shipway pack {facts.name}/{found.path} --name {found.path.rpartition('/')[2].partition('.')[0]}"
        yield Finding("model-inside", found.path, what, fix, "note")


def _body(function: Function) -> Iterator[ast.AST]:
    for statement in function.body:
        yield from ast.walk(statement)


def _predicts(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PREDICTS


def _is_idle(function: Function) -> bool:
    """Whether a function that answers no route does no work: it loads the model, or has no calls at all."""
    names = {
        node.func.attr
        for node in _body(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return names <= {"load", "dump", "open", "run"}


def _is_plain(module: Module, function: Function, program: Program) -> bool:
    work = (
        ast.For,
        ast.AsyncFor,
        ast.While,
        ast.With,
        ast.AsyncWith,
        ast.FunctionDef,
        ast.Lambda,
        ast.Yield,
        ast.BinOp,
    )
    for node in _body(function):
        if isinstance(node, work):
            return False
        if isinstance(node, ast.Call) and not _predicts(node) and not _is_simple(module, node, program):
            return False
    return True


def _is_simple(module: Module, call: ast.Call, program: Program) -> bool:
    """Whether a call only takes JSON apart or puts it together; classes of the folder describe its JSON."""
    meaning = module.meaning(call.func)
    if meaning in _PLAIN_CALLS or meaning.rpartition(".")[2] in _PLAIN_NAMES:
        return True
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in _PLAIN_METHODS
    own = {
        f"{one.name}.{node.name}" for one in program.modules for node in one.tree.body if isinstance(node, ast.ClassDef)
    }
    return meaning in own
