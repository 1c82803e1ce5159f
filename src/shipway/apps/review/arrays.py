"""Which expressions hold numpy's or pandas' values, as far as a function's own lines say it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from shipway.apps.review.program import argument, builtin, text
from shipway.apps.source import Module

__all__ = ["Held", "Kind", "Scope"]

Kind = Literal["array", "floats", "table", "element", "integer", "items", "frame", "series"]
"""An array of any dtype; one of float64 with one axis, or with two; one value of an array of any dtype; a numpy
integer; a list of such values; a DataFrame; a Series. A float64 is none of them: it is a float of Python's too."""

_PREDICTS: dict[str, Kind] = {"predict": "array", "fit_predict": "array", "decision_function": "array",
                              "predict_proba": "table", "predict_log_proba": "table"}  # fmt: skip
_SAME = frozenset({"astype", "clip", "copy", "round"})
_FLAT = frozenset({"flatten", "ravel", "reshape", "squeeze"})
_FRAME_KEEPS = frozenset({
    "assign", "copy", "describe", "drop", "dropna", "fillna", "head", "query", "rename", "reset_index", "round",
    "sample", "sort_values", "tail",
})  # fmt: skip
_NUMPY_MAKES = frozenset({
    "arange", "array", "asarray", "concatenate", "full", "hstack", "linspace", "ones", "stack", "unique", "vstack",
    "where", "zeros",
})  # fmt: skip
_NUMPY_KEEPS = frozenset(
    {"abs", "around", "clip", "exp", "expm1", "log", "log1p", "maximum", "minimum", "round", "sqrt"}
)
_NUMPY_INTEGERS = frozenset({"argmax", "argmin", "int32", "int64", "float32", "bool_"})
_PANDAS_FRAMES = frozenset({"DataFrame", "concat", "get_dummies", "merge"})
_ELEMENTS: dict[Kind, Kind | None] = {"array": "element", "floats": None, "table": "floats", "series": "element",
                                      "items": "element", "element": "element"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A value of numpy's or pandas' inside an expression.

    Attributes:
        kind: of value.
        node: the expression that gives it.
    """

    kind: Kind
    node: ast.expr


@dataclass(slots=True)
class Scope:
    """What the names of one function hold, line after line.

    Attributes:
        module: of the function.
        own: names of methods of the folder's own classes: what they give is not known.
        direct: what a name is.
        within: what a name's list or dict holds.
    """

    module: Module
    own: frozenset[str]
    direct: dict[str, Kind] = field(default_factory=dict)
    within: dict[str, tuple[Held, ...]] = field(default_factory=dict)

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """Takes note of an assignment."""
        match target:
            case ast.Name(id=name):
                kind, held = self.kind(value), tuple(self.held(value))
                self._forget(name)
                if kind is not None:
                    self.direct[name] = kind
                elif held:
                    self.within[name] = held
            case ast.Subscript(value=ast.Name(id=name)) if name not in self.direct:
                self.within[name] = (*self.within.get(name, ()), *self.held(value))
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
                if len(values) == len(targets):
                    for one, part in zip(targets, values, strict=True):
                        self.assign(one, part)
                else:
                    self._forget(*(one.id for one in targets if isinstance(one, ast.Name)))
            case _:
                pass

    def iterate(self, target: ast.expr, over: ast.expr) -> None:
        """Takes note of a loop's variable."""
        if isinstance(target, ast.Name):
            kind = self.kind(over)
            element = _ELEMENTS.get(kind) if kind else None
            self._forget(target.id)
            if element is not None:
                self.direct[target.id] = element

    def kind(self, node: ast.expr | None) -> Kind | None:
        """Gives what an expression is itself; None for anything that JSON can hold, or that is not known."""
        match node:
            case ast.Name(id=name):
                return self.direct.get(name)
            case ast.Await(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
                return self.kind(value)
            case ast.BinOp(left=left, right=right):
                return self.kind(left) or self.kind(right)
            case ast.UnaryOp(operand=operand) if not isinstance(node.op, ast.Not):
                return self.kind(operand)
            case ast.Subscript(value=value, slice=index):
                kind = self.kind(value)
                return _indexed(kind, index) if kind else None
            case ast.Attribute(value=value, attr=name):
                kind = self.kind(value)
                if name == "T":
                    return kind
                return "array" if kind in ("frame", "series") and name == "values" else None
            case ast.Call():
                return self._call(node)
            case _:
                return None

    def held(self, node: ast.expr | None) -> Iterator[Held]:
        """Gives what of numpy's or pandas' an expression is, or holds at any depth of its lists and dicts."""
        kind = self.kind(node)
        if kind is not None and node is not None:
            # `list(a)` is mended where `a` stands.
            inner = node.args[0] if kind == "items" and isinstance(node, ast.Call) else node
            yield Held(kind, inner)
            return
        match node:
            case ast.Name(id=name):
                yield from self.within.get(name, ())
            case ast.Dict(values=values):
                yield from self._each(values)
            case ast.List(elts=values) | ast.Tuple(elts=values) | ast.Set(elts=values) | ast.BoolOp(values=values):
                yield from self._each(values)
            case ast.Await(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
                yield from self.held(value)
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._each([body, orelse])
            case ast.ListComp(elt=value, generators=loops) | ast.DictComp(value=value, generators=loops):
                yield from self._comprehension(value, loops)
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
                yield from self._each([word.value for word in keywords])
            case _:
                pass

    def _each(self, nodes: Iterable[ast.expr | None]) -> Iterator[Held]:
        for node in nodes:
            yield from self.held(node)

    def _comprehension(self, value: ast.expr, loops: list[ast.comprehension]) -> Iterator[Held]:
        inside = Scope(self.module, self.own, dict(self.direct), dict(self.within))
        for loop in loops:
            inside.iterate(loop.target, loop.iter)
        yield from inside.held(value)

    def _forget(self, *names: str) -> None:
        for name in names:
            self.direct.pop(name, None)
            self.within.pop(name, None)

    def _call(self, call: ast.Call) -> Kind | None:
        first = argument(call, 0)
        meaning = self.module.meaning(call.func)
        library, _, name = meaning.rpartition(".")
        if library == "numpy":
            return _of_numpy(name, call, self.kind)
        if library == "pandas":
            return (
                "frame"
                if name in _PANDAS_FRAMES or name.startswith("read_")
                else "series"
                if name == "Series"
                else None
            )
        if isinstance(call.func, ast.Attribute):
            return self._method(call, call.func)
        kind = self.kind(first)
        match builtin(self.module, call):
            case "list" | "tuple" | "sorted" if kind in ("array", "series", "items"):
                return "items"
            case "list" | "tuple" if kind == "table":
                return "items"
            case "abs" | "round":
                return kind
            case "max" | "min" | "sum" if kind is not None:
                return _ELEMENTS.get(kind)
            case _:
                return None

    def _method(self, call: ast.Call, function: ast.Attribute) -> Kind | None:
        kind, name = self.kind(function.value), function.attr
        if kind is None:
            return _PREDICTS.get(name) if name not in self.own else None
        if kind in ("frame", "series"):
            if name in _FRAME_KEEPS:
                return kind
            return {"to_numpy": "array", "mean": "series", "sum": "series"}.get(name) if kind == "frame" else None  # type: ignore[return-value]
        if name in _SAME:
            return "array" if name == "astype" and kind in ("floats", "table") else kind
        if name in _FLAT:
            return "floats" if kind == "table" and name != "reshape" else "array" if kind != "floats" else kind
        if name in ("argmax", "argmin"):
            return "array" if call.args or call.keywords else "integer"
        if name in ("max", "min", "sum") and not call.args and not call.keywords:
            return "element" if kind == "array" else None
        return None


def _indexed(kind: Kind, index: ast.expr) -> Kind | None:
    if kind == "frame":
        return "series" if text(index) is not None else "frame" if isinstance(index, ast.List) else None
    if isinstance(index, ast.Slice):
        return kind
    if isinstance(index, ast.Tuple):
        slices = any(isinstance(part, ast.Slice) for part in index.elts)
        if kind == "table":
            return "floats" if slices else None
        return kind if slices else _ELEMENTS.get(kind)
    return _ELEMENTS.get(kind)


def _of_numpy(name: str, call: ast.Call, kind_of: Callable[[ast.expr | None], Kind | None]) -> Kind | None:
    first = argument(call, 0)
    if name in _NUMPY_MAKES:
        return "array"
    if name in _NUMPY_KEEPS:
        return kind_of(first)
    if name in _FLAT:
        return kind_of(first) and "array"
    if name in _NUMPY_INTEGERS:
        return "array" if len(call.args) > 1 or call.keywords else "integer"
    if name in ("max", "min", "sum") and len(call.args) == 1 and not call.keywords:
        kind = kind_of(first)
        return "element" if kind == "array" else None
    return None
