"""Chooses the app of a folder among those that were found, as its author would; never by chance."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from shipway.apps.find import Candidate
from shipway.apps.source import Module, Source, module_name
from shipway.apps.target import Target
from shipway.errors import ArtefactError, UsageError

__all__ = ["Choice", "choose"]

_OBJECTS = ("app", "application")
_ENTRIES = ("wsgi", "asgi", "main", "app", "application", "server")
"""Files that are made to be started from, best first: what imports an app there often completes it."""

_ASIDE = frozenset({"test", "tests", "testing", "example", "examples", "docs", "doc", "samples", "benchmarks"})
_MODELS = frozenset({".joblib", ".pkl", ".pickle", ".onnx"})
_OTHERS: Mapping[str, tuple[str, str]] = {
    "dash": ("a Dash app whose server has no name", "add server = app.server below app = Dash(…)"),
    "streamlit": ("a Streamlit app, which brings its own server", "write what predicts as a Flask or FastAPI app"),
    "gradio": ("a Gradio app", "mount it: app = gradio.mount_gradio_app(fastapi.FastAPI(), demo, path='/')"),
    "aiohttp": ("an aiohttp app, which is neither WSGI nor ASGI", "write it with Starlette or FastAPI"),
    "tornado": ("a Tornado app, which is neither WSGI nor ASGI", "write it with Starlette or FastAPI"),
    "bottle": ("a Bottle app without a name", "add app = bottle.default_app() at the end of its file"),
}  # fmt: skip
_LOOKED_FOR = "Flask, FastAPI, Starlette, Django, Quart, Bottle or a bare WSGI or ASGI callable"
_ASIDE_RANK = 9


@dataclass(frozen=True, slots=True)
class Choice:
    """The app to serve, and what it was chosen over.

    Attributes:
        app: it.
        others: apps that its name or its file's place spoke for less, and nothing else against.
    """

    app: Candidate
    others: tuple[Candidate, ...] = ()


def choose(
    candidates: Sequence[Candidate],
    source: Source,
    wanted: str | None = None,
    hint: str | None = None,
    names: Iterable[str] = (),
) -> Choice:
    """Chooses the one to serve.

    Args:
        candidates: from `find_candidates`.
        source: that they were found in.
        wanted: `module:object` that the user named.
        hint: `module:object` that the folder's Dockerfile or Procfile starts; of a factory with or without `()`, for
            `uvicorn --factory` and `FLASK_APP` name it without.
        names: of all files of the folder; says what it is where there is no app in it.

    Raises:
        UsageError: several are as likely; or `wanted` is not `module:object`, or names no module of the folder.
        ArtefactError: there is none.
    """
    if wanted is not None:
        return Choice(_named(candidates, source, Target.parse(wanted)))
    if not candidates:
        raise _nothing(source, names)
    started = hint.removeprefix(f"{source.root}.") if hint and source.root else hint
    hinted = next((one for one in candidates if one.target in (started, f"{started}()")), None)
    if hinted is not None:
        return Choice(hinted)
    modules = {module.file: module for module in source.modules}
    groups: dict[str, list[Candidate]] = {}
    for one in candidates:
        groups.setdefault(one.origin, []).append(one)
    parts = set(_parts(groups, modules))
    whole = [group for origin, group in groups.items() if origin not in parts] or list(groups.values())
    best = [_best(group, modules) for group in whole]
    rank = min(_rank(one) for one in best)
    likely = [one for one in best if _rank(one) == rank]
    if len({one.file for one in likely}) == 1:
        likely = [one for one in likely if one.object == _OBJECTS[0]] or likely
    if len(likely) > 1:
        listed = ", ".join(f"{one.target} ({one.where})" for one in likely)
        raise UsageError(f"the folder has {len(likely)} apps: {listed}", fix=f"say which: --app {likely[0].target}")
    chosen = likely[0]
    return Choice(chosen, tuple(one for one in best if one is not chosen and _rank(one)[0] != _ASIDE_RANK))


def _named(candidates: Sequence[Candidate], source: Source, target: Target) -> Candidate:
    for one in candidates:
        if one.target == str(target):
            return one
    modules = {module_name(file, source.root): file for file in source.texts}
    file = modules.get(target.module)
    if file is None:
        close = difflib.get_close_matches(target.module, modules, 1)
        known = [one.target for one in candidates] or [f"{name}:app" for name in close]
        raise UsageError(
            f"the folder has no module {target.module}",
            fix=f"write {' or '.join(f'--app {name}' for name in known)}"
            if known
            else "name a Python file of the folder",
        )
    text = str(target)  # what the source does not say, the import will
    return Candidate(
        target.module, text.partition(":")[2], "callable", "wsgi", file, 1, f"--app {text}", f"--app {text}"
    )  # fmt: skip


def _parts(groups: Mapping[str, list[Candidate]], modules: Mapping[str, Module]) -> Iterator[str]:
    """Gives the apps that another app mounts."""
    for origin, group in groups.items():
        own = {_full(one) for one in group}
        for other, rest in groups.items():
            if other != origin and any(_takes(modules[one.file], own, one) for one in rest if one.file in modules):
                yield origin


def _takes(module: Module, names: set[str], whole: Candidate) -> bool:
    """Whether a module hands one of `names` to a method of its own app: `app.mount("/api", api)`."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=value), args=args, keywords=keywords):
                if module.meaning(value) == _full(whole):
                    given = [*args, *(word.value for word in keywords)]
                    if any(module.meaning(argument) in names for argument in given):
                        return True
            case _:
                pass
    return False


def _best(group: Sequence[Candidate], modules: Mapping[str, Module]) -> Candidate:
    """Gives the name of an app that is best to start from."""
    if group[0].framework == "django":
        sockets = any("channels" in name.split(".") for module in modules.values() for name in module.names.values())
        wanted = "asgi" if sockets else "wsgi"
        group = [one for one in group if one.interface == wanted] or group
    return min(group, key=lambda one: (_rank(one), _entry(one), one.object not in _OBJECTS, -one.line))


def _rank(one: Candidate) -> tuple[int, int]:
    """Gives how likely an app is the folder's, lower is likelier: by where it stands, then by its name."""
    path = PurePosixPath(one.file)
    conventional = path.stem in (*_ENTRIES, "__init__")
    if _ASIDE & set(path.parts[:-1]) or path.stem.startswith("test_") or path.stem == "conftest":
        place = _ASIDE_RANK
    elif conventional and len(path.parts) == 1:
        place = 0
    elif conventional and len(path.parts) == 2:
        place = 1
    else:
        place = 2 + (len(path.parts) > 1)
    name = 2 if one.object.endswith("()") else int(one.object not in _OBJECTS)
    return (place, name)


def _entry(one: Candidate) -> int:
    stem = PurePosixPath(one.file).stem
    return _ENTRIES.index(stem) if stem in _ENTRIES else len(_ENTRIES)


def _full(one: Candidate) -> str:
    return f"{one.module}.{one.object.removesuffix('()')}"


def _nothing(source: Source, names: Iterable[str]) -> ArtefactError:
    """Gives the error of a folder without an app: with what it is instead, where that can be seen."""
    modules = source.modules
    imported = {name.split(".")[0]: module.file for module in reversed(modules) for name in module.names.values()}
    for package, (what, fix) in _OTHERS.items():
        if package in imported:
            return ArtefactError(f"{imported[package]} is {what}", fix=fix)
    made = next((found for module in modules for found in _told(module)), None)
    if made is not None:
        return made
    if "manage.py" in source.texts:
        settings = re.search(r"DJANGO_SETTINGS_MODULE\W+([\w.]+)", source.texts["manage.py"])
        package = settings[1].split(".")[0] if settings else "PROJECT"
        return ArtefactError(
            f"the Django project has no {package}/wsgi.py",
            fix=f"write {package}/wsgi.py with application = django.core.wsgi.get_wsgi_application()",
        )
    count = len(source.texts)
    where = f"no app in its {count} Python file{'s' if count > 1 else ''}" if count else "no Python file"
    looked = f"{where}; looked for {_LOOKED_FOR}"
    models = sorted(name for name in names if PurePosixPath(name).suffix in _MODELS)
    if models:
        fix = f"shipway pack FOLDER/{models[0]} --name NAME"
        return ArtefactError(f"the folder holds a model and no web app: {looked}", fix=fix)
    return ArtefactError(
        f"the folder holds neither a model ({', '.join(sorted(_MODELS))}) nor a web app: {looked}",
        fix="name a model's file, or the folder that app.py lies in"
        + (", or the app itself: --app module:object" if count else ""),
    )


def _told(module: Module) -> Iterator[ArtefactError]:
    """Gives the error for each function that would make an app if it were told something."""
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef) and re.fullmatch(r"(create|make|build|get)_app(lication)?", node.name):
            call = f"{node.name}({ast.unparse(node.args)})"
            yield ArtefactError(
                f"{module.file}:{node.lineno}: {call} makes the app and wants arguments",
                fix=f"write wsgi.py with: from {module.name} import {node.name}; app = {node.name}(…)",
            )
