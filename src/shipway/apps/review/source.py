"""What the source does that is otherwise in production than on its author's machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from shipway.apps.review.finding import Finding, place
from shipway.apps.review.program import Program, argument, at_import, calls, functions, text, walk
from shipway.apps.source import Module, text_of

__all__ = ["check_source", "code_ports"]

_RUN_WORDS = frozenset({"debug", "host", "port", "reload", "ssl_context", "threaded", "use_reloader", "workers"})
_RUNNERS = frozenset({"bottle.run", "hypercorn.run", "uvicorn.run", "waitress.serve", "werkzeug.serving.run_simple"})
_STARTERS = {
    "multiprocessing.Process": "a process",
    "os.fork": "a process",
    "os.system": "a program",
    "subprocess.Popen": "a program",
    "subprocess.run": "a program",
    "threading.Thread": "a thread",
    "threading.Timer": "a thread",
}
_STARTED = frozenset({"multiprocessing.Process", "threading.Thread", "threading.Timer"})
_PATCHERS = re.compile(r"(?:gevent\.monkey\.patch_\w+|eventlet\.(?:patcher\.)?monkey_patch)")
_SECRET = re.compile(r"(?:.*_)?(?:secret|secret_key|password|passwd|api_key|apikey|token|access_key)", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"(?:<.*>|x+|\.+|\W*|.*\s.*)")
_AWS = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_LEAST = 6


def check_source(program: Program) -> Iterator[Finding]:
    """Finds what runs otherwise here, what runs at import, and what should not stand in source."""
    for module in program.modules:
        runs = tuple(_runs(module, program))
        yield from (finding for _, finding in runs)
        yield from _debug(module, program, {finding.where for _, finding in runs})
        yield from _bodies(module)
        yield from _at_import(module)
        yield from _secrets(module)
        yield from _cors(module)


def code_ports(program: Program) -> tuple[int, ...]:
    """Gives the ports that the source starts a server on by itself, as far as it says them in literals."""
    found = [
        word.value.value
        for module in program.modules
        for call, _ in _runs(module, program)
        for word in call.keywords
        if word.arg == "port" and isinstance(word.value, ast.Constant) and isinstance(word.value.value, int)
    ]
    return tuple(dict.fromkeys(found))


def _runs(module: Module, program: Program) -> Iterator[tuple[ast.Call, Finding]]:
    """Gives the calls that start a server of the framework's own."""
    live, early = set(walk(module.tree)), set[ast.AST](at_import(module))
    for call in ast.walk(module.tree):
        if not isinstance(call, ast.Call) or not _is_run(module, call, program):
            continue
        where = place(module.file, call.lineno)
        if call in early:
            what = f"{text_of(call)} runs when the module is imported, and never comes back"
            yield call, Finding("run-at-import", where, what, 'indent it below if __name__ == "__main__":', "error")
            continue
        words = [word.arg for word in call.keywords if word.arg is not None and word.arg in _RUN_WORDS]
        why = "it is never called here" if call in live else "it stands below __main__, which does not run here"
        taken = f"; its {_list(words)} {'is' if len(words) == 1 else 'are'} not taken over" if words else ""
        yield (
            call,
            Finding("run", where, f"{text_of(call)}: {why}{taken}", "nothing to do: Shipway serves the app", "note"),
        )


def _is_run(module: Module, call: ast.Call, program: Program) -> bool:
    if module.meaning(call.func) in _RUNNERS:
        return True
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "run"):
        return False
    name = program.app.object if program.app else "app"
    named = isinstance(call.func.value, ast.Name) and call.func.value.id == name
    return named or len({word.arg for word in call.keywords} & {"host", "port", "debug"}) > 1


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _debug(module: Module, program: Program, known: set[str]) -> Iterator[Finding]:
    for where in program.app.debug if program.app else ():
        if where.rpartition(":")[0] == module.file and where not in known:
            what = "debug mode is switched on: it shows source and runs code for whoever asks, and is off here"
            yield Finding("debug", where, what, "set it to False; Shipway does so anyway", "note")


def _bodies(module: Module) -> Iterator[Finding]:
    """Finds JSON that is read without thought for callers who do not say that they send any."""
    for function in functions(module):
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Attribute(attr="get_json") as method, args=[], keywords=[]):
                    call = text_of(node)
                case ast.Attribute(attr="json") as method if not isinstance(method.ctx, ast.Store):
                    call = text_of(node)
                case _:
                    continue
            if module.meaning(method.value) == "flask.request":
                what = f"{call} answers 415 to a caller who does not say Content-Type: application/json"
                fix = "say so to callers, or write request.get_json(force=True)"
                yield Finding("content-type", place(module.file, node.lineno), what, fix, "note")
                break


def _at_import(module: Module) -> Iterator[Finding]:
    for call in at_import(module):
        where, meaning = place(module.file, call.lineno), module.meaning(call.func)
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("fit", "fit_transform"):
            what = f"{text_of(call)} trains when the module is imported: at each start, in each process"
            fix = "train in a script of its own, save with joblib.dump, and load the file here"
            yield Finding("train-at-import", where, what, fix, "note")
        elif _PATCHERS.fullmatch(meaning):
            what = f"{text_of(call)} replaces Python's sockets and threads, which the server needs: it never gets ready"
            yield Finding("monkey-patch", where, what, "remove it: Shipway calls the app on threads", "error")
        elif meaning in _STARTERS and (meaning not in _STARTED or _is_started(module, call)):
            what = f"{text_of(call)} starts {_STARTERS[meaning]} when the module is imported: once in each process"
            fix = "start it in a deployment of its own, or at the framework's start-up event"
            yield Finding("starts-at-import", where, what, fix, "warning")
        elif (
            isinstance(call.func, ast.Attribute) and call.func.attr == "start" and "scheduler" in text_of(call).lower()
        ):
            what = f"{text_of(call)} starts a scheduler when the module is imported: once in each process"
            fix = "run its jobs in a deployment of their own (a CronJob)"
            yield Finding("starts-at-import", where, what, fix, "warning")


def _is_started(module: Module, made: ast.Call) -> bool:
    """Whether a thread or process is started at import too: `Thread(…).start()`, or by the name that it is given."""
    names = {
        target.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign) and node.value is made
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in at_import(module):
        match call.func:
            case ast.Attribute(value=value, attr="start"):
                if value is made or (isinstance(value, ast.Name) and value.id in names):
                    return True
            case _:
                pass
    return False


def _secrets(module: Module) -> Iterator[Finding]:
    """Finds secrets; what they are is never said."""
    for node in walk(module.tree):
        key = _key(text(node) or "")
        if key and isinstance(node, ast.Constant):
            what = f"{key} stands in the source, and so in the image"
            fix = "revoke it, and read the new one from the environment: os.environ[…]"
            yield Finding("secret", place(module.file, node.lineno), what, fix, "error")
        for name, literal in _named(node):
            word = text(literal) or ""
            long = len(word) >= _LEAST and not _PLACEHOLDER.fullmatch(word)
            if _SECRET.fullmatch(name) and long and not _key(word):
                fix = f'read it from the environment: os.environ["{name.upper()}"]'
                what = f"{name} is a secret that stands in the source, and so in the image"
                yield Finding("secret", place(module.file, literal.lineno), what, fix, "warning")


def _key(value: str) -> str:
    """Gives what kind of key a text is by its form; empty for none."""
    return "an AWS key" if _AWS.search(value) else "a private key" if _PRIVATE.search(value) else ""


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Gives the names under which a statement or call keeps values."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                match target:
                    case (
                        ast.Name(id=name)
                        | ast.Attribute(attr=name)
                        | ast.Subscript(slice=ast.Constant(value=str() as name))
                    ):
                        yield name, value
                    case _:
                        pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Call(keywords=keywords):
            yield from ((word.arg, word.value) for word in keywords if word.arg)
        case _:
            pass


def _cors(module: Module) -> Iterator[Finding]:
    for call, meaning in calls(module):
        if meaning == "flask_cors.CORS":
            open_, names = argument(call, None, "origins") is None, ("origins", "supports_credentials")
        elif any(module.meaning(argument(call, 0)).endswith(end) for end in (".CORSMiddleware",)):
            open_, names = False, ("allow_origins", "allow_credentials")
        else:
            continue
        origins, credentials = (argument(call, None, name) for name in names)
        open_ = open_ or (origins is not None and any(text(node) == "*" for node in ast.walk(origins)))
        if open_ and isinstance(credentials, ast.Constant) and credentials.value is True:
            what = "every site may call it with its visitors' cookies: any origin, and credentials allowed"
            fix = f'name the sites: {names[0]}=["https://www.example.org"]'
            yield Finding("cors", place(module.file, call.lineno), what, fix, "warning")
