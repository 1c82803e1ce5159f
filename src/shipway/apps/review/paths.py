"""File names in the source: what is read and not there, what is written beside the app, and other machines' folders."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shipway.apps.dockerfile import DockerfileFacts
from shipway.apps.review.facts import FolderFacts
from shipway.apps.review.finding import Finding, place
from shipway.apps.review.literals import literal_path, once_assigned
from shipway.apps.review.program import Program, argument, at_import, builtin, calls, functions, text, walk
from shipway.apps.source import Module, text_of

__all__ = ["check_paths"]

# What reads a file: the position of its name, and the parameters that may hold it.
_READERS: Mapping[str, tuple[int, str]] = {
    "joblib.load": (0, "filename"),
    "keras.models.load_model": (0, "filepath"),
    "numpy.load": (0, "file"),
    "numpy.loadtxt": (0, "fname"),
    "onnxruntime.InferenceSession": (0, "path_or_bytes"),
    "pandas.read_csv": (0, "filepath_or_buffer"),
    "pandas.read_excel": (0, "io"),
    "pandas.read_json": (0, "path_or_buf"),
    "pandas.read_parquet": (0, "path"),
    "pandas.read_pickle": (0, "filepath_or_buffer"),
    "tensorflow.keras.models.load_model": (0, "filepath"),
    "torch.jit.load": (0, "f"),
    "torch.load": (0, "f"),
}
_READING_METHODS = frozenset({"read_bytes", "read_text"})
_WRITERS: Mapping[str, tuple[int, str]] = {
    "joblib.dump": (1, "filename"),
    "logging.FileHandler": (0, "filename"),
    "logging.basicConfig": (99, "filename"),
    "logging.handlers.RotatingFileHandler": (0, "filename"),
    "logging.handlers.TimedRotatingFileHandler": (0, "filename"),
    "numpy.save": (0, "file"),
    "numpy.savetxt": (0, "fname"),
    "os.makedirs": (0, "name"),
    "os.mkdir": (0, "path"),
    "sqlite3.connect": (0, "database"),
}
_WRITING_METHODS = frozenset({"save", "savefig", "to_csv", "to_excel", "to_json", "to_parquet", "to_pickle"})
_OWN_METHODS = frozenset({"mkdir", "write_bytes", "write_text"})
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?!:memory:)(.+)")
_MACHINE = re.compile(r"(?:(?:/home/[^/<{\n]+|/Users/[^/<{\n]+|/root|/content|/kaggle)/|[A-Za-z]:[\\/])[^\n<{]+")
_PATHS = _READERS.keys() | {"os.chdir", "os.path.join", "pathlib.Path", "sys.path.append", "sys.path.insert"}
_WRITABLE = ("/tmp/", "/dev/", "/proc/")  # noqa: S108 - told, not used
_MODELS = (".h5", ".joblib", ".onnx", ".pickle", ".pkl", ".pt", ".sav")
_ADDRESS = re.compile(r"\w+://|.*[*?\[{]|:memory:")
_MEND = "write below /tmp, which is empty after a restart, or to a volume or a database"


@dataclass(frozen=True, slots=True)
class _Use:
    """A file that a call reads or writes.

    Attributes:
        at: the call that does, or the address that says so.
        path: relative to the folder or absolute; empty where the source does not say it.
        writes: whether it writes.
        node: the expression of the path.
    """

    at: ast.expr
    path: str
    writes: bool
    node: ast.expr


def check_paths(program: Program, facts: FolderFacts, docker: DockerfileFacts | None) -> Iterator[Finding]:
    """Finds files that will not be there, and writing where nothing can be written."""
    home = docker.workdir if docker else ""
    uses = {module.file: tuple(_uses(module)) for module in program.modules}
    written = {use.path for found in uses.values() for use in found if use.writes}
    for module in program.modules:
        yield from _foreign(module, home)
        early = set[ast.expr](at_import(module))
        guarded = {id(node) for one in walk(module.tree) if isinstance(one, ast.Try) for node in ast.walk(one)}
        for use in uses[module.file]:
            if use.writes:
                yield from _writing(module, use)
            elif use.path not in written:
                opens = isinstance(use.at, ast.Call) and builtin(module, use.at) == "open"
                later = use.at not in early and opens and not use.path.endswith(_MODELS)
                yield from _reading(module, use, facts, home, surely=not later and id(use.at) not in guarded)
    yield from _moved(uses, docker)


def _uses(module: Module) -> Iterator[_Use]:
    names = once_assigned(module)
    for call, meaning in calls(module):
        for node, writes in _touched(module, call, meaning, names):
            path = literal_path(module, node, names)
            if path is None and isinstance(node, ast.Name):
                node = names.get(node.id, node)
            if path is None or not _ADDRESS.match(path):
                yield _Use(call, posixpath.normpath(path) if path else "", writes, node)
    for one in walk(module.tree):
        match = _SQLITE.fullmatch(text(one) or "")
        if match is not None and isinstance(one, ast.Constant):
            yield _Use(one, match[1].partition("?")[0], True, one)


def _touched(
    module: Module, call: ast.Call, meaning: str, names: Mapping[str, ast.expr]
) -> Iterator[tuple[ast.expr, bool]]:
    """Gives the expressions of the files that a call reads or writes."""
    if builtin(module, call) == "open" or meaning in ("io.open", "codecs.open"):
        mode = text(argument(call, 1, "mode")) or "r"
        node = argument(call, 0, "file", "filename")
        if node is not None:
            yield node, bool(set(mode) & set("wax+"))
        return
    for table, writes in ((_READERS, False), (_WRITERS, True)):
        if meaning in table:
            position, name = table[meaning]
            node = argument(call, position, name)
            if node is not None and not (isinstance(node, ast.Call) and builtin(module, node) == "open"):
                yield node, writes
            return
    if isinstance(call.func, ast.Attribute):
        node = argument(call, 0)
        if call.func.attr in _WRITING_METHODS and node is not None and literal_path(module, node, names):
            yield node, True
        elif call.func.attr in _READING_METHODS | _OWN_METHODS and literal_path(module, call.func.value, names):
            yield call.func.value, call.func.attr in _OWN_METHODS


def _reading(module: Module, use: _Use, facts: FolderFacts, home: str, *, surely: bool) -> Iterator[Finding]:
    path = use.path
    if home and path.startswith(f"{home.rstrip('/')}/"):
        path = path[len(home.rstrip("/")) + 1 :]
    if not path or path == "." or path.startswith("..") or _MACHINE.fullmatch(path):
        return
    where = place(module.file, use.at.lineno)
    if path.startswith("/"):
        if not path.startswith((*_WRITABLE, "/etc/", "/sys/", "/usr/")):
            what = f"{path} is outside of the folder: it will not be there"
            yield Finding("path-outside", where, what, "copy it into the folder and name it relative to that", "error")
    elif path not in facts.files and not any(file.startswith(f"{path}/") for file in facts.files):
        left = next(
            (one for one in facts.left_out if path == one.path or path.startswith(one.path.rstrip("/") + "/")), None
        )
        why = f"is left out ({left.why})" if left else "is not in the folder"
        fix = (
            f"add --include {path}, or change {left.why.partition(':')[0]}" if left else f"copy {path} into the folder"
        )
        yield Finding("file-missing", where, f"reads {path}, which {why}", fix, "error" if surely else "warning")


def _writing(module: Module, use: _Use) -> Iterator[Finding]:
    path = use.path
    shown = path or text_of(use.node)
    if (
        path.startswith(_WRITABLE)
        or _MACHINE.fullmatch(path)
        or (not path and re.search("te?mp", shown, re.IGNORECASE))
    ):
        return
    where = place(module.file, use.at.lineno)
    yield Finding("writes", where, f"writes to {shown}: the container's files are read-only", _MEND, "warning")


def _foreign(module: Module, home: str) -> Iterator[Finding]:
    """Finds folders of the author's own machine; what only looks like one, as routes do, is told by how it is used."""
    aside = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for one in functions(module):
        aside |= {id(node) for decorator in one.decorator_list for node in ast.walk(decorator)}
    joined = {id(word) for call, meaning in calls(module) if meaning in _PATHS for word in call.args}
    for node in walk(module.tree):
        path = text(node)
        if path is None or id(node) in aside or not isinstance(node, ast.Constant) or not _MACHINE.fullmatch(path):
            continue
        name = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
        if not (path[1] == ":" or "." in name or id(node) in joined):
            continue
        if not home or not f"{path}/".startswith(f"{home.rstrip('/')}/"):
            what = f"{path} is a path of its author's machine: it will not be there"
            fix = f"copy it into the folder and name it relative to that: {name!r}"
            yield Finding("path-outside", place(module.file, node.lineno), what, fix, "error")


def _moved(uses: Mapping[str, tuple[_Use, ...]], docker: DockerfileFacts | None) -> Iterator[Finding]:
    """Says where the Dockerfile copies the folder to another place than its working folder."""
    relative = next(
        ((file, use) for file, found in uses.items() for use in found if use.path and not use.path.startswith("/")),
        None,
    )
    if docker is None or relative is None:
        return
    workdir = "/"
    for one in docker.instructions:
        words = [word for word in one.value.split() if not word.startswith("--")]
        if one.keyword == "WORKDIR":
            workdir = posixpath.normpath(posixpath.join(workdir, one.value.strip("\"'")))
        elif one.keyword in ("COPY", "ADD") and len(words) == 2 and words[0] in (".", "./"):
            target = posixpath.normpath(posixpath.join(workdir, words[1]))
            if docker.workdir and target != docker.workdir and "$" not in target + docker.workdir:
                file, use = relative
                what = f"{use.path} is relative to the app's folder here, and to {docker.workdir} in its Dockerfile"
                fix = f"copy the folder to {docker.workdir} (Dockerfile:{one.line}), or name files relative to __file__"
                yield Finding("workdir", place(file, use.at.lineno), what, fix, "note")
                return
