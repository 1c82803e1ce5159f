"""Finds the web app in a folder by reading its source, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shipway.apps.routes import WEBSOCKET, routes_of
from shipway.apps.source import Module, Source, at_import, text_of
from shipway.errors import ArtefactError
from shipway.spec.app import Interface

__all__ = ["Candidate", "find_candidates"]

_DASH = "dash.Dash"
_CONSTRUCTORS: Mapping[str, tuple[str, Interface]] = {
    "apiflask.APIFlask": ("flask", "wsgi"),
    "bottle.Bottle": ("bottle", "wsgi"),
    "bottle.app": ("bottle", "wsgi"),
    "bottle.default_app": ("bottle", "wsgi"),
    "channels.routing.ProtocolTypeRouter": ("django", "asgi"),
    _DASH: (_DASH, "wsgi"),
    "django.core.asgi.get_asgi_application": ("django", "asgi"),
    "django.core.wsgi.get_wsgi_application": ("django", "wsgi"),
    "falcon.API": ("callable", "wsgi"),
    "falcon.App": ("callable", "wsgi"),
    "falcon.asgi.App": ("callable", "asgi"),
    "fastapi.FastAPI": ("fastapi", "asgi"),
    "fastapi.applications.FastAPI": ("fastapi", "asgi"),
    "flask.Flask": ("flask", "wsgi"),
    "flask_openapi3.OpenAPI": ("flask", "wsgi"),
    "litestar.Litestar": ("callable", "asgi"),
    "quart.Quart": ("quart", "asgi"),
    "starlette.applications.Starlette": ("starlette", "asgi"),
}
_ROUNDS = 8
"""Names are followed from file to file this often: an app passed on through more files than that is not found."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One object of the source that a server could call.

    Attributes:
        module: dotted, as it is imported from the folder.
        object: its name in the module; may have dots, and ends with `()` where it is a function that makes the app.
        framework: `flask`, `fastapi`, `starlette`, `django`, `bottle`, `quart`, or `callable`.
        interface: how it is called.
        file: relative POSIX path of the source.
        line: where it is made.
        evidence: what in the source says so: `app = Flask(__name__)`.
        origin: what it is another name of: the same for all candidates that are the same app.
        websockets: whether the source opens WebSockets.
        debug: places (`app.py:14`) where a debug mode is switched on.
    """

    module: str
    object: str
    framework: str
    interface: Interface
    file: str
    line: int
    evidence: str
    origin: str
    websockets: bool = False
    debug: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """How gunicorn, uvicorn and `--app` name it: `module:object`."""
        return f"{self.module}:{self.object}"

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


def find_candidates(source: Source) -> tuple[Candidate, ...]:
    """Finds every object that a server could call, in the order of file and line.

    Raises:
        ArtefactError: there is none, and a file does not parse; with its line.
    """
    modules = source.modules
    known: dict[str, Candidate] = {}
    for _ in range(_ROUNDS):
        before = dict(known)
        for module in modules:
            if module.name:
                known |= {f"{one.module}.{one.object.removesuffix('()')}": one for one in _of_module(module, known)}
        if known == before:
            break
    if not known and source.unreadable:
        first = source.unreadable[0]
        raise ArtefactError(
            f"{first.file}:{first.line} does not parse: {first.why}", fix=f"mend line {first.line} of {first.file}"
        )
    websockets, debug = _uses_websockets(modules), tuple(_debug_places(modules))
    found = (
        replace(one, websockets=websockets and one.interface == "asgi", debug=debug)
        for one in known.values()
        if one.framework != _DASH
    )
    return tuple(sorted(found, key=lambda one: (one.file, one.line, one.object)))


def _of_module(module: Module, known: Mapping[str, Candidate]) -> Iterator[Candidate]:
    for name, meaning in module.names.items():
        if meaning in known and known[meaning].module != module.name:
            line = next(_import_lines(module.tree, name), 1)
            yield _named(module, name, known[meaning], line, f"{known[meaning].object} of {known[meaning].file}")
    for statement in at_import(module.tree.body):
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _assigned(module, target, value, known)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _assigned(module, target, value, known)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _function(module, statement, known)
            case _:
                pass


def _named(module: Module, name: str, other: Candidate, line: int, evidence: str) -> Candidate:
    """Gives another name of a candidate; a factory's stays one."""
    suffix = "()" if other.object.endswith("()") else ""
    return replace(other, module=module.name, object=name + suffix, file=module.file, line=line, evidence=evidence)


def _assigned(module: Module, target: ast.expr, value: ast.expr, known: Mapping[str, Candidate]) -> Iterator[Candidate]:
    if not isinstance(target, ast.Name):
        return
    name, meaning = target.id, module.meaning(value)
    evidence = f"{name} = {text_of(value)}"
    if meaning.endswith(".server") and known.get(meaning.removesuffix(".server")):
        dash = known[meaning.removesuffix(".server")]
        if dash.framework == _DASH:
            yield replace(dash, object=name, framework="flask", line=value.lineno, evidence=evidence)
    elif meaning in known:
        yield _named(module, name, known[meaning], value.lineno, evidence)
    elif isinstance(value, ast.Call):
        made = _made(module, value, known)
        if made is not None:
            origin = made.origin or f"{module.name}.{name}"
            yield replace(made, object=name, line=value.lineno, evidence=evidence, origin=origin)


def _made(module: Module, call: ast.Call, known: Mapping[str, Candidate]) -> Candidate | None:
    """Gives what a call makes, if that is an app: of a constructor, a factory, or something wrapped around an app."""
    meaning = module.meaning(call.func)
    factory = known.get(meaning)
    if factory is not None and factory.object.endswith("()"):
        return replace(factory, module=module.name, file=module.file)
    kind = _constructor(module, meaning)
    if kind is not None:
        framework, interface = kind
        project = f"django:{module.name.rpartition('.')[0]}" if framework == "django" else ""
        return Candidate(module.name, "", framework, interface, module.file, call.lineno, "", project)
    for argument in [*call.args, *(word.value for word in call.keywords)]:
        inner = known.get(module.meaning(argument))
        if inner is None and isinstance(argument, ast.Call):
            inner = _made(module, argument, known)
        if inner is not None and not inner.object.endswith("()") and inner.framework != _DASH:
            return replace(inner, module=module.name, file=module.file)
    return None


def _constructor(module: Module, meaning: str) -> tuple[str, Interface] | None:
    """Gives framework and interface of a class or function: one that is known, or a class of this file made from it."""
    if meaning in _CONSTRUCTORS:
        return _CONSTRUCTORS[meaning]
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and meaning == f"{module.name}.{node.name}":
            return next(_of_class(module, node), None)
    return None


def _of_class(module: Module, node: ast.ClassDef) -> Iterator[tuple[str, Interface]]:
    yield from (_CONSTRUCTORS[name] for base in node.bases if (name := module.meaning(base)) in _CONSTRUCTORS)
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name == "__call__":
            bare = _bare(inner, 1)
            if bare is not None:
                yield "callable", bare


def _function(
    module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef, known: Mapping[str, Candidate]
) -> Iterator[Candidate]:
    """Gives a function that is an app itself, or one that makes an app without being told anything."""
    interface = _bare(function, 0)
    full = f"{module.name}.{function.name}"
    if interface is not None:
        kind = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
        evidence = f"{kind} {function.name}({ast.unparse(function.args)})"
        yield Candidate(module.name, function.name, "callable", interface, module.file, function.lineno, evidence, full)
    elif isinstance(function, ast.FunctionDef) and not _required(function):
        made = _returned(module, function, known)
        if made is not None:
            evidence = f"{function.name}() gives {text_of(made[1])}"
            yield replace(
                made[0], object=f"{function.name}()", line=function.lineno, evidence=evidence,
                origin=made[0].origin or full,
            )  # fmt: skip


def _returned(
    module: Module, function: ast.FunctionDef, known: Mapping[str, Candidate]
) -> tuple[Candidate, ast.expr] | None:
    """Gives the app that a function makes and gives back, and the expression that makes it."""
    made: dict[str, tuple[Candidate, ast.expr]] = {}
    for node in _inside(function.body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                found = _made(module, call, known)
                if found is not None:
                    made[name] = (found, call)
            case ast.Return(value=ast.Name(id=name)) if name in made:
                return made[name]
            case ast.Return(value=ast.Call() as call):
                found = _made(module, call, known)
                if found is not None:
                    return found, call
            case _:
                pass
    return None


def _inside(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Gives the statements of a function, without those of functions and classes inside."""
    for statement in at_import(body):
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement


def _bare(function: ast.FunctionDef | ast.AsyncFunctionDef, skip: int) -> Interface | None:
    """Gives the interface of a function by the names that PEP 3333 and the ASGI specification give its parameters."""
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]][skip:]
    if isinstance(function, ast.AsyncFunctionDef):
        return "asgi" if names == ["scope", "receive", "send"] else None
    return "wsgi" if len(names) == 2 and names[0] in ("environ", "env") and names[1] == "start_response" else None


def _required(function: ast.FunctionDef) -> bool:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or any(default is None for default in arguments.kw_defaults)


def _import_lines(tree: ast.Module, name: str) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (node.lineno for alias in node.names if (alias.asname or alias.name) == name)


def _uses_websockets(modules: Sequence[Module]) -> bool:
    if any(WEBSOCKET in route.methods for route in routes_of(modules)):
        return True
    return any(
        isinstance(node, ast.Constant) and node.value in ("websocket", "websocket.accept")
        for module in modules
        for node in ast.walk(module.tree)
    )


def _debug_places(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(keywords=keywords) if any(
                    word.arg == "debug" and _is_true(word.value) for word in keywords
                ):
                    yield f"{module.file}:{node.lineno}"
                case ast.Assign(targets=[target], value=value) if _is_true(value) and _is_debug(target):
                    yield f"{module.file}:{node.lineno}"
                case _:
                    pass


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_debug(target: ast.expr) -> bool:
    match target:
        case ast.Name(id="DEBUG") | ast.Attribute(attr="debug") | ast.Subscript(slice=ast.Constant(value="DEBUG")):
            return True
        case _:
            return False
