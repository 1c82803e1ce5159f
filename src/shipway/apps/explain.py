"""Says in words what went wrong in an app, where, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from shipway.apps.distributions import distribution_of
from shipway.apps.imports import find_imports
from shipway.apps.requirements import REQUIREMENTS
from shipway.apps.source import parse_all
from shipway.apps.target import Target
from shipway.errors import ArtefactError, ShipwayError, UsageError

__all__ = ["Failure", "explain", "mend", "stopped"]

_MAIN = "put it under if __name__ == '__main__':, for Shipway starts the server itself"
_STAGES = {
    "start": "is started",
    "import": "is imported",
    "lifespan": "starts up (its lifespan)",
    "sample": "answers the sample",
}
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_UNKNOWN_TYPE = re.compile(
    r"Object of type (\w+) is not JSON serializable|<class '(?:[\w.]+\.)?(\w+)'>|'(?:numpy|pandas)\.(\w+)' object"
)
_TYPES = {
    "ndarray": ".tolist() on the array",
    "Series": ".tolist() on the series",
    "DataFrame": ".to_dict(orient='records') on the table",
    "Tensor": ".tolist() on the tensor",
    "datetime": ".isoformat() on the time",
    "bytes": ".decode() on the bytes",
    "set": "list(…) around the set",
}  # fmt: skip
_SCALAR = re.compile(r"(bool|u?int\d+|float\d+|str)_?\d*")


class Failure(msgspec.Struct, frozen=True):
    """What the child says of an error.

    Attributes:
        kind: `raises`, `exits`, `misses` (a module), `variable` (of the environment), `forks`, `binds`, `no app`,
            `lifespan`, `several`.
        message: of the error, or what was tried.
        type: of the error.
        file: relative POSIX path of the app's last line that it went through; empty where there is none.
        line: in it.
        code: its text.
        name: of the module, the variable or the file that is missing.
    """

    kind: str
    message: str
    type: str = ""
    file: str = ""
    line: int = 0
    code: str = ""
    name: str = ""

    @property
    def where(self) -> str:
        """`file:line: `, or nothing."""
        return f"{self.file}:{self.line}: " if self.file else ""


def explain(failure: Failure, target: Target, folder: Path, path: str | None = None) -> ShipwayError:
    """Gives the error of an app that cannot be confirmed.

    Args:
        failure: what the child says.
        target: what was imported.
        folder: the app's.
        path: that the sample asked, where that failed; None for the import.
    """
    place = f"line {failure.line} of {failure.file}" if failure.file else f"{target}"
    words = ": ".join(part for part in (failure.type, failure.message) if part) or "without a word"
    when = "when it is imported" if path is None else f"when {path} is asked"
    match failure.kind:
        case "several":
            first = failure.message.split(", ")[0]
            return UsageError(
                f"the sample does not say for which path it is: {failure.message}",
                fix=f'write {{"path": "{first}", "json": …}} into the sample',
            )
        case "exits":
            return ArtefactError(f"{failure.where}the app ends its process {when}: {words}", fix=f"take {place} away")
        case "forks":
            return ArtefactError(
                f"{failure.where}the app forks when it is imported",
                fix="start processes when a request comes, or not at all",
            )
        case "binds":
            return ArtefactError(f"{failure.where}the app opens port {failure.message} when it is imported", fix=_MAIN)
        case "misses" if failure.name:
            return _missing(failure, target, folder, when)
        case "variable":
            return ArtefactError(
                f"{failure.where}the variable {failure.name} is not set",
                fix=f"write ENV {failure.name}=… into the Dockerfile, or set it here",
            )
        case "no app":
            return ArtefactError(
                f"{target} is a {failure.type}, which takes neither what WSGI nor what ASGI gives",
                fix="name the app itself: --app module:object",
            )
        case "lifespan":
            return ArtefactError(
                f"{failure.where}the app does not start up: {words.splitlines()[-1]}",
                fix=mend(failure) or f"mend {place}",
            )
        case _ if failure.type == "AttributeError" and not failure.file and path is None:
            return UsageError(f"there is no {target}: {failure.message}", fix="name the app: --app module:object")
        case _:
            return ArtefactError(f"{failure.where}the app raises {words} {when}", fix=mend(failure) or f"mend {place}")


def mend(failure: Failure) -> str:
    """Gives what mends an error that is well known; empty where it is not."""
    place = f"on line {failure.line} of {failure.file}" if failure.file else "on what the app answers"
    kind = next((group for match in _UNKNOWN_TYPE.finditer(failure.message) for group in match.groups() if group), "")
    if (failure.type == "TypeError" and "JSON serializable" in failure.message) or "serialize" in failure.message or (
        failure.type == "ValueError" and "object is not iterable" in failure.message
    ):  # fmt: skip
        if kind in _TYPES:
            return f"write {_TYPES[kind]} {place}"
        if _SCALAR.fullmatch(kind):
            return f"write .item() on the number {place}"
    if "vars() argument must have __dict__ attribute" in failure.message:  # FastAPI does not say which value
        return f"answer plain values {place}: .tolist() on an array, .item() on a number"
    if "Expected 2D array" in failure.message:
        return f"give the model rows, a list of lists, {place}: model.predict([values])"
    if failure.type == "FileNotFoundError" and failure.name:
        if Path(failure.name).is_absolute():
            return f"copy {failure.name} into the folder, and open it by a relative name {place}"
        return f"copy {failure.name} into the folder"
    shadow = re.search(r"partially initialized module '(\w+)'", failure.message)
    if shadow and failure.file == f"{shadow[1]}.py":
        return f"rename {failure.file}: it hides the package {shadow[1]}"
    return ""


def stopped(
    how: Literal["itself", "time", "output"],
    stage: str,
    code: int,
    trace: str,
    output: str,
    seconds: float,
    folder: Path,
) -> ArtefactError:
    """Gives the error of a child that did not come to its end.

    Args:
        how: why it ended.
        stage: in which.
        code: its exit status; negative for a signal.
        trace: as `faulthandler` writes it.
        output: the end of what it printed.
        seconds: that it had.
        folder: the app's.
    """
    where = next(_own_lines(trace, folder), "")
    doing = _STAGES.get(stage, "is asked")
    place = f"{where}: " if where else ""
    mended = (
        f"mend line {where.rpartition(':')[2]} of {where.rpartition(':')[0]}"
        if where
        else "mend what the app does then"
    )
    if how == "time":
        return ArtefactError(
            f"{place}the app is not done after {seconds:g} s when it {doing}",
            fix=f"{mended}, or give it time: shipway pack --timeout SECONDS",
        )
    if how == "output":
        return ArtefactError(f"{place}the app prints without end when it {doing}", fix=mended)
    words = next(iter(reversed(output.strip().splitlines())), "")
    status = f"signal {-code}" if code < 0 else f"status {code}"
    said = f": {words[:200]}" if words else ""
    return ArtefactError(f"{place}the app ends its process when it {doing}, with {status}{said}", fix=mended)


def _missing(failure: Failure, target: Target, folder: Path, when: str) -> ShipwayError:
    top = failure.name.split(".")[0]
    if not failure.file and target.module.startswith(failure.name):
        return UsageError(f"the folder has no module {failure.name}", fix="name the app: --app module:object")
    places = [*folder.glob(f"*/{top}.py"), *folder.glob(f"*/{top}/__init__.py")]
    inner = min((path.relative_to(folder).parts[0] for path in places), default="")
    if inner:
        moved = f", with {REQUIREMENTS} in it" if (folder / REQUIREMENTS).is_file() else ""
        return ArtefactError(
            f"{failure.where}there is no module {top} {when}: it lies in {inner}/",
            fix=f"pack that folder{moved}: shipway pack {folder.name}/{inner}, or write from {inner} import {top}",
        )
    line = find_imports(parse_all({"line.py": failure.code}))
    module = next((one.module for one in line if f"{one.module}.".startswith(f"{failure.name}.")), top)
    name = distribution_of(module)
    return ArtefactError(
        f"{failure.where}the module {module} is not installed here",
        fix=f"pip install {name}, and write {name} into requirements.txt"
        if name
        else f"install what brings {module}, and write it into requirements.txt",
    )


def _own_lines(trace: str, folder: Path) -> Iterator[str]:
    """Gives the app's own lines of the main thread, innermost first; it is the last that `faulthandler` writes."""
    for match in _FRAME.finditer(re.split(r"^(?:Current )?[Tt]hread 0x", trace, flags=re.MULTILINE)[-1]):
        path = Path(match["file"])
        if path.is_relative_to(folder) and "site-packages" not in path.parts:
            yield f"{path.relative_to(folder).as_posix()}:{match['line']}"
