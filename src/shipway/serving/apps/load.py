"""From a folder and `module:object` to the app's object in this process, as its usual server would import it.

The code runs under its module's name, never as `__main__`, so that `app.run(…)` below such a guard does not run. What
switches a framework's debug mode on is taken back: its pages show source and variables, and some run what they are
sent.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipway.apps.child import describe
from shipway.apps.target import Target
from shipway.errors import ArtefactError

__all__ = ["LoadedApp", "load_app"]

_DEBUG_VARIABLES = ("FLASK_DEBUG", "FLASK_ENV", "PYTHONASYNCIODEBUG", "QUART_DEBUG", "QUART_ENV", "WERKZEUG_RUN_MAIN")
_DEBUG_CLASSES = frozenset({"flask.app.Flask", "quart.app.Quart", "starlette.applications.Starlette"})
_DEBUGGER = "werkzeug.debug.DebuggedApplication"
# Where Django answers in debug mode although no host is allowed.
_DJANGO_DEBUG_HOSTS = (".localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app's object.

    Attributes:
        app: callable as its interface says.
        said: what was changed, for the log, a sentence each.
    """

    app: Callable[..., Any]
    said: tuple[str, ...]


def load_app(folder: Path, target: str, environ: MutableMapping[str, str], root: str = "") -> LoadedApp:
    """Imports an app with its folder as working directory and first on the path.

    Args:
        folder: the app's.
        target: `module:object` or `module:create_app()`.
        environ: of this process; what switches debug mode on is taken out.
        root: folder among the app's that is on the path too; empty for none.

    Raises:
        ArtefactError: the import raised, says where; or there is no such object, or it cannot be called.
    """
    said = [f"{name} is not passed on to the app: debug mode is off" for name in _DEBUG_VARIABLES if name in environ]
    for name in _DEBUG_VARIABLES:
        environ.pop(name, None)
    os.chdir(folder)
    path = [str(folder), *([str(folder / root)] if root else [])]
    if sys.path[: len(path)] != path:
        sys.path[:0] = path
    parsed = Target.parse(target)
    try:
        app = parsed.load()
    except (Exception, SystemExit) as error:
        raise import_error(error, folder, target) from error
    if not callable(app):
        raise ArtefactError(
            f"{target} is of type {type(app).__name__} and cannot be called, so it is no app",
            fix="name the app's object: --app module:object",
        )
    module = sys.modules.get(parsed.module)
    said += _debug_off([app, *(vars(module).values() if module else ())])
    if _kind(app) == _DEBUGGER:
        app = app.app  # type: ignore[attr-defined]
        said.append("werkzeug's debugger around the app is left out: it runs what it is sent")
    return LoadedApp(app, tuple(said))


def import_error(error: BaseException, folder: Path, target: str) -> ArtefactError:
    """Says what an import raised, and in which line of the app's own files."""
    where = _line_of(error, folder)
    name = type(error).__name__
    text = " ".join(str(error).split())[:500]
    if isinstance(error, ModuleNotFoundError) and error.name:
        fix = f"add the distribution that has {error.name.partition('.')[0]!r} to requirements.txt, and install it"
    elif isinstance(error, SystemExit):
        fix = "move what ends the process under if __name__ == '__main__':"
    elif isinstance(error, ValueError) and "signal only works in main thread" in text:
        fix = "move signal handlers under if __name__ == '__main__': the server answers signals here"
    elif describe(error, str(folder))["kind"] == "variable":
        fix = f"write ENV {error.args[0]}=… into the app's Dockerfile and pack it anew, or set it where it is served"
    elif isinstance(error, OSError) and error.errno == errno.EROFS:
        fix = "write below /tmp, which is empty after a restart, or to a volume or a database"
    elif isinstance(error, FileNotFoundError):
        fix = "put the file into the app's folder, and name it relative to the folder or to __file__"
    else:
        fix = "see that it can be imported: " + f"python -c 'import {Target.parse(target).module}'"
    return ArtefactError(f"{where or target}: importing the app failed: {name}: {text}".rstrip(": "), fix=fix)


def _line_of(error: BaseException, folder: Path) -> str:
    """Gives `file:line` of the app's own code that is nearest to the error; empty where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(Path(error.filename), folder)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return f"{_shown(Path(own[-1].filename), folder)}:{own[-1].lineno}" if own else ""


def _shown(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _debug_off(values: Iterable[object]) -> list[str]:
    """Switches debug mode off on apps and in Django's settings; says what was on."""
    said = []
    for value in values:
        kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__}
        if kinds & _DEBUG_CLASSES and getattr(value, "debug", False):
            value.debug = False  # type: ignore[attr-defined]
            said.append(f"debug mode of the {type(value).__name__} app was on; it is off here")
    settings = getattr(sys.modules.get("django.conf"), "settings", None)
    if settings is not None and settings.configured and settings.DEBUG:
        settings.DEBUG = False
        said.append("DEBUG was on in Django's settings; it is off here")
        if not settings.ALLOWED_HOSTS:
            settings.ALLOWED_HOSTS = list(_DJANGO_DEBUG_HOSTS)
            said.append("ALLOWED_HOSTS is empty: only localhost is answered; name the hosts of the app there")
    return said
