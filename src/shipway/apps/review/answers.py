"""Answers that cannot be written as JSON: numpy's and pandas' values that go out as they are."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from shipway.apps.review.arrays import Held, Kind, Scope
from shipway.apps.review.finding import Finding, place
from shipway.apps.review.program import Function, Program, argument, functions
from shipway.apps.source import Module, text_of

__all__ = ["check_answers"]

_WRITERS = {
    "django.http.JsonResponse": "JsonResponse",
    "fastapi.responses.JSONResponse": "JSONResponse",
    "flask.json.jsonify": "jsonify",
    "flask.jsonify": "jsonify",
    "json.dumps": "json.dumps",
    "quart.jsonify": "jsonify",
    "starlette.responses.JSONResponse": "JSONResponse",
}
# An app that says itself how it is encoded knows what it does.
_ENCODERS = frozenset({"ORJSONResponse", "default_response_class", "json_encoder", "json_provider_class"})
_RETURNS = {"flask": "Flask", "quart": "Quart", "fastapi": "FastAPI", "bottle": "Bottle"}
_WHAT: dict[Kind, str] = {
    "array": "a numpy array, which cannot be written as JSON: every call that comes here fails",
    "element": "one value of a numpy array: a float64 can be written as JSON, an int64 or float32 fails",
    "integer": "a number of numpy's own type, which cannot be written as JSON: every call that comes here fails",
    "items": "a list of numpy's values: float64 can be written as JSON, int64 and arrays fail",
    "frame": "a pandas DataFrame, which cannot be written as JSON: every call that comes here fails",
    "series": "a pandas Series, which cannot be written as JSON: every call that comes here fails",
}
_CASTS: dict[Kind, str] = {"element": ".item()", "integer": ".item()", "frame": '.to_dict(orient="records")'}


def check_answers(program: Program, lines: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Finds what goes out as JSON and cannot.

    Args:
        program: of the app.
        lines: of each file, for the mended line.
    """
    if any(_has_encoder(module) for module in program.modules):
        return
    handlers = {(route.file, route.function) for route in program.routes}
    framework = program.app.framework if program.app else ""
    for module in program.modules:
        found: dict[int, list[Held]] = {}
        for function in functions(module):
            answers = framework if (module.file, function.name) in handlers else ""
            for held in _Reader(Scope(module, program.methods), answers).read(function.body):
                known = found.setdefault(held.node.lineno, [])
                if all(one.node is not held.node for one in known):
                    known.append(held)
        for line, places in found.items():
            yield _finding(module.file, line, places, lines[module.file])


class _Reader:
    """Reads one function, statement after statement."""

    def __init__(self, scope: Scope, answers: str) -> None:
        self._scope = scope
        self._answers = answers

    def read(self, body: Iterable[ast.stmt]) -> Iterator[Held]:
        """Gives what goes out and cannot be written."""
        for statement in body:
            yield from self._statement(statement)

    def _statement(self, statement: ast.stmt) -> Iterator[Held]:
        if isinstance(statement, Function | ast.ClassDef):
            return
        for field in ast.iter_child_nodes(statement):
            if isinstance(field, ast.expr):
                yield from self._written(field)
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._scope.assign(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._scope.assign(target, value)
            case ast.Return(value=ast.expr() as value) if self._answers in _RETURNS:
                yield from self._returned(value)
            case ast.For(target=target, iter=over) | ast.AsyncFor(target=target, iter=over):
                self._scope.iterate(target, over)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name() as name, attr="append"), args=[value])):
                self._scope.assign(ast.Subscript(name, ast.Constant(0), ast.Store()), value)
            case _:
                pass
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            for inner in getattr(statement, part, ()):
                yield from self.read([inner] if isinstance(inner, ast.stmt) else inner.body)

    def _written(self, expression: ast.expr) -> Iterator[Held]:
        for node in ast.walk(expression):
            if not isinstance(node, ast.Call):
                continue
            writer = _WRITERS.get(self._scope.module.meaning(node.func))
            if writer is None or any(word.arg in ("default", "cls", "encoder") for word in node.keywords):
                continue
            if writer == "jsonify":
                values = [*node.args, *(word.value for word in node.keywords)]
            else:
                value = argument(node, 0, "content", "data", "obj")
                values = [value] if value is not None else []
            for value in values:
                yield from self._scope.held(value)

    def _returned(self, value: ast.expr) -> Iterator[Held]:
        """Gives what a framework would write as JSON of what a handler gives back."""
        if self._answers in ("flask", "quart") and isinstance(value, ast.Tuple) and value.elts:
            value = value.elts[0]  # with a status and headers
        held = self._scope.held(value)
        if self._answers == "fastapi":  # which takes a frame apart by itself
            held = (one for one in held if one.kind not in ("frame", "series"))
        yield from held


def _has_encoder(module: Module) -> bool:
    for node in ast.walk(module.tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=name) if name in _ENCODERS:
                return True
            case ast.Assign(targets=[ast.Attribute(attr="json")]):
                return True
            case _:
                pass
    return False


def _finding(file: str, line: int, held: Sequence[Held], lines: Sequence[str]) -> Finding:
    kinds = [_plain(one.kind) for one in held]
    sure = [kind for kind in kinds if kind not in ("element", "items")]
    first = held[kinds.index(sure[0])] if sure else held[0]
    what = f"{text_of(first.node)} is {_WHAT[_plain(first.kind)]}"
    return Finding("numpy-answer", place(file, line), what, _mend(line, held, lines), "error" if sure else "warning")


def _plain(kind: Kind) -> Kind:
    return "array" if kind in ("floats", "table") else kind


def _mend(line: int, held: Sequence[Held], lines: Sequence[str]) -> str:
    """Gives the line as it should be, or the end of the expression where it goes over several lines."""
    text = lines[line - 1].encode() if line <= len(lines) else b""
    for one in sorted(held, key=lambda one: one.node.col_offset, reverse=True):
        node, cast = one.node, _CASTS.get(_plain(one.kind), ".tolist()")
        if node.end_lineno != line or node.end_col_offset is None or not text:
            return f"add {cast} to {text_of(node)}"
        start, end = node.col_offset, node.end_col_offset  # of UTF-8 bytes
        inner = text[start:end]
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Await | ast.NamedExpr):
            inner = b"(" + inner + b")"
        text = text[:start] + inner + cast.encode() + text[end:]
    return f"write {text.decode().strip()}"
