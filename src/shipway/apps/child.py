"""What runs in the child process that confirms an app: imports it, asks it in memory, and writes down what came of it.

It is started as a file, by an interpreter that need not have Shipway, so it imports the standard library only. What it
finds goes to a file that is replaced after every stage: whatever the app does to this process, the last one stands.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import inspect
import json
import logging
import os
import re
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Refused", "Watch", "describe", "framework_of", "interface_of", "load_object", "main", "place_of", "routes"]

_FRAMEWORKS = {"bottle": "bottle", "channels": "django", "django": "django", "fastapi": "fastapi", "flask": "flask",
               "quart": "quart", "starlette": "starlette"}  # fmt: skip
_OUTSIDE = ("site-packages", "dist-packages", "__pycache__")
_TEXT, _MANY = 2_000, 1_000
_FORKS = frozenset({"os.fork", "os.forkpty", "os.exec"})
_PROGRAMS = frozenset({"subprocess.Popen", "os.system", "os.posix_spawn"})
_WRITES = re.compile(r"[wax+]")
_TRACEBACK = re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+)')
Result = dict[str, Any]


def load_object(module: str, path: tuple[str, ...], *, factory: bool) -> object:
    """Imports a module by its name, so that code under `__main__` does not run, and gives an object of it.

    Args:
        module: dotted.
        path: attribute names from the module to the object.
        factory: whether to call it, and give what it gives.

    Raises:
        AttributeError: there is no such object.
    """
    found: Any = importlib.import_module(module)
    for name in path:
        found = getattr(found, name)
    return found() if factory else found


class Refused(BaseException):
    """The app does what no app may do when it is imported. No `except Exception` of its own takes it away."""


class Watch:
    """An audit hook (PEP 578): sees what the app's folder is asked for, and stops what would escape the child.

    Attributes:
        importing: whether the app is being imported, when it may not fork or open a port.
        refused: what was stopped.
        opened: files of the folder that were read.
        notes: files that were written and programs that were started, each with its place.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.importing = False
        self.refused: list[Result] = []
        self.opened: set[str] = set()
        self.notes: list[Result] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Takes one event of the interpreter."""
        if event == "open":
            self._open(*arguments)
        elif event == "sqlite3.connect":
            self._open(arguments[0], "w", 0)
        elif event in _PROGRAMS:
            self._note(
                "starts", os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            )
        elif self.importing and event in _FORKS:
            self._refuse("forks", event)
        elif self.importing and event == "socket.bind":
            self._bind(*arguments)

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or not isinstance(path, str | bytes | os.PathLike):
            return
        name = relative(os.path.abspath(os.fsdecode(path)), self.folder)  # noqa: PTH100 - a hook that makes no objects
        if name is None or (not self.importing and name.endswith(".py")):
            return
        writing = (
            bool(_WRITES.search(mode)) if isinstance(mode, str) else bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))
        )
        if writing:
            self._note("writes", name)
        elif len(self.opened) < _MANY:
            self.opened.add(name)

    def _bind(self, listener: Any, address: Any) -> None:
        caller = sys._getframe(2).f_code.co_name  # Windows makes pairs of sockets by binding one
        if listener.type == socket.SOCK_STREAM and not caller.endswith("socketpair"):
            self._refuse("binds", str(address[1] if isinstance(address, tuple) else address))

    def _refuse(self, kind: str, what: str) -> None:
        self.refused.append({"kind": kind, "message": what, **self._place()})
        raise Refused(what)

    def _note(self, kind: str, what: str) -> None:
        note = {"kind": kind, "message": what, **self._place()}
        if len(self.notes) < _MANY and note["file"] and note not in self.notes:
            self.notes.append(note)

    def _place(self) -> Result:
        frame = sys._getframe(1)
        while frame is not None:
            name = relative(frame.f_code.co_filename, self.folder)
            if name is not None:
                return {"file": name, "line": frame.f_lineno}
            frame = frame.f_back  # type: ignore[assignment]
        return {"file": "", "line": 0}


def relative(path: str, folder: str) -> str | None:
    """Gives the POSIX path of one of the app's own files in its folder; None for every other file."""
    prefix = folder.rstrip(os.sep) + os.sep
    if not path.startswith(prefix):
        return None
    name = path.removeprefix(prefix).replace(os.sep, "/")
    return None if any(part in _OUTSIDE for part in name.split("/")) else name


def place_of(error: BaseException, folder: str) -> Result:
    """Gives file, line and text of the last line of the app's own code that an error went through."""
    if isinstance(error, SyntaxError) and error.filename:
        name = relative(error.filename, folder)
        if name is not None:
            return {"file": name, "line": error.lineno or 1, "code": (error.text or "").strip()}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = relative(frame.filename, folder)
        if name is not None:
            return {"file": name, "line": frame.lineno or 0, "code": (frame.line or "").strip()}
    return {"file": "", "line": 0, "code": ""}


def describe(error: BaseException, folder: str) -> Result:
    """Gives what is to be said of an error."""
    told = {"kind": "raises", "type": type(error).__name__, "message": _words(error), **place_of(error, folder)}
    if isinstance(error, SystemExit):
        told |= {"kind": "exits"}
    elif isinstance(error, ModuleNotFoundError):
        told |= {"kind": "misses", "name": error.name or ""}
    elif isinstance(error, FileNotFoundError):
        told |= {"name": os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""}
    elif isinstance(error, KeyError) and error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if Path(last.filename).name == "os.py" or "<frozen os>" in last.filename:
            told |= {"kind": "variable", "name": str(error.args[0])}
    return told


def _words(error: BaseException) -> str:
    try:
        return str(error)[:_TEXT]
    except Exception:
        return ""  # whose __str__ raises, too


def interface_of(application: object) -> str | None:
    """Gives `wsgi` or `asgi` by what an object takes; None where it is neither."""
    if not callable(application):
        return None
    method = getattr(application, "__call__", None)  # noqa: B004 - a coroutine function is told by its method
    if inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(method):
        return "asgi"
    try:
        parameters = inspect.signature(application).parameters.values()
    except (TypeError, ValueError):
        return "wsgi"
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return "wsgi"
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return {2: "wsgi", 3: "asgi"}.get(len(positional))


def framework_of(application: object) -> str:
    """Gives the framework whose class an object is of; `callable` for none that is known."""
    roots = (base.__module__.partition(".")[0] for base in type(application).__mro__)
    return next((_FRAMEWORKS[root] for root in roots if root in _FRAMEWORKS), "callable")


def routes(application: Any, folder: str) -> list[Result]:
    """Gives path, methods and place of each route that the app's own table has; empty where it has none to be read."""
    with contextlib.suppress(Exception):
        return [
            {"path": path, "methods": sorted(methods), **_defined(function, folder)}
            for path, methods, function in _routes(application)
        ][:_MANY]
    return []


def _routes(application: Any, prefix: str = "") -> Iterator[tuple[str, set[str], Any]]:
    if hasattr(application, "url_map"):
        for rule in application.url_map.iter_rules():
            if not getattr(rule, "websocket", False):
                yield rule.rule, set(rule.methods or ()), application.view_functions.get(rule.endpoint)
        return
    for route in getattr(application, "routes", None) or ():
        if hasattr(route, "rule"):
            yield route.rule, {route.method}, route.callback
        elif getattr(route, "methods", None):
            yield prefix + route.path, set(route.methods), route.endpoint
        elif getattr(route, "routes", None):
            yield from _routes(route, prefix + getattr(route, "path", ""))


def _defined(function: Any, folder: str) -> Result:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    name = relative(code.co_filename, folder) if code else None
    return {"file": name or "", "line": code.co_firstlineno if code and name else 0}


class Caught:
    """Catches the errors that a framework logs and answers with 500, and those that it writes to a stream."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.error: Result | None = None

    def describe(self, error: BaseException) -> Result:
        """Gives what is to be said of an error that came through."""
        return describe(error, self.folder)

    def install(self) -> None:
        """Looks at each record that is logged from now on."""
        handle = logging.Logger.handle

        def look(logger: logging.Logger, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None and self.error is None:
                self.error = describe(record.exc_info[1], self.folder)
            handle(logger, record)

        logging.Logger.handle = look  # type: ignore[method-assign, assignment]

    def read(self, text: str) -> None:
        """Looks for a traceback in text."""
        found = [(relative(match["file"], self.folder), match["line"]) for match in _TRACEBACK.finditer(text)]
        own = [(name, int(line)) for name, line in found if name]
        last = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
        if found and last and self.error is None:
            kind, _, message = last[-1].partition(": ")
            name, line = own[-1] if own else ("", 0)
            place = {"file": name, "line": line, "code": ""}
            self.error = {"kind": "raises", "type": kind.split(".")[-1], "message": message[:_TEXT], **place}


class Report:
    """The file with what was found so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.result: Result = {"stage": "import"}

    def write(self, **found: Any) -> None:
        """Adds to it, and replaces the file in one step."""
        self.result |= found
        text = json.dumps(self.result, default=str)
        Path(f"{self.file}.new").write_text(text, encoding="utf-8", errors="backslashreplace")
        Path(f"{self.file}.new").replace(self.file)


def _watch_time(seconds: float, file: str) -> None:
    """Lets a traceback be written when the time is up, on a crash, and where the parent asks for it."""
    trace = Path(file).open("w", encoding="utf-8")  # noqa: SIM115 - stays open until the process ends
    faulthandler.enable(trace)
    faulthandler.dump_traceback_later(seconds, file=trace)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, trace)


def _import(request: Mapping[str, Any], watch: Watch, report: Report) -> Any:
    """Imports the app; None where that failed, which is in the report."""
    folder = request["folder"]
    application = error = None
    report.write()
    watch.importing = True
    try:
        application = load_object(request["module"], tuple(request["path"]), factory=request["factory"])
    except BaseException as raised:
        error = describe(raised, folder)
    watch.importing = False
    if watch.refused:
        error = watch.refused[0]
    interface = interface_of(application) if error is None else None
    if error is None and interface is None:
        error = {"kind": "no app", "type": type(application).__name__, "message": ""}
    report.write(
        error=error, interface=interface, framework=framework_of(application), routes=routes(application, folder)
    )
    return application if error is None else None


def main(file: str) -> None:
    """Does all of it.

    Args:
        file: JSON with what to import and to ask.
    """
    request = json.loads(Path(file).read_text(encoding="utf-8"))
    folder, report = request["folder"], Report(request["result"])
    _watch_time(request["seconds"], request["trace"])
    ask = _beside("ask")
    os.environ.update(request["environment"])
    sys.path[:0] = [folder, *([str(Path(folder, request["root"]))] if request["root"] else [])]
    sys.argv[:] = [request["module"]]
    watch, caught = Watch(folder), Caught(folder)
    sys.addaudithook(watch)
    caught.install()
    application = _import(request, watch, report)
    if application is not None:
        caught.error = None
        ask.ask_all(application, request, report, caught)
    report.write(stage="done", opened=sorted(watch.opened), notes=watch.notes)


def _beside(name: str) -> Any:
    """Loads a file that lies beside this one, whether or not this interpreter has Shipway."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"_shipway_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # threads of the app's that go on do not matter
