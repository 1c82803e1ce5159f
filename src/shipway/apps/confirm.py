"""Confirms what the source says by importing the app in a child process, which may do its worst."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from shipway.apps import child
from shipway.apps.explain import Failure, explain, stopped
from shipway.apps.routes import Route
from shipway.apps.target import Target
from shipway.errors import ArtefactError
from shipway.spec.app import Interface, SampleRequest
from shipway.spec.paths import OPERATIONS

__all__ = ["Answer", "Confirmed", "Noted", "confirm"]

_OUTPUT = 4 * 1024 * 1024
_RESULT = 4 * 1024 * 1024
_TAIL = 2_000
_GRACE = 1.0
_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


class Noted(msgspec.Struct, frozen=True):
    """What the app did that is no error and should be known.

    Attributes:
        kind: `writes` a file of its folder, or `starts` a program.
        message: which.
        file: relative POSIX path of the source.
        line: in it.
    """

    kind: Literal["starts", "writes"]
    message: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app answered to the sample request.

    Attributes:
        request: as it was sent, with the status of the answer.
        body: the first 2,000 characters of the answer.
    """

    request: SampleRequest
    body: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the import showed.

    Attributes:
        interface: how the object is called.
        framework: as `Candidate.framework` has it.
        routes: the app's own table of them, those of its framework aside; empty where it has none to be read.
        owns: paths of the server's own that the app answers itself, sorted.
        answer: to the sample request; None where there was none.
        opened: files of the folder that were read, relative and POSIX, sorted.
        noted: what it did.
    """

    interface: Interface
    framework: str
    routes: tuple[Route, ...] = ()
    owns: tuple[str, ...] = ()
    answer: Answer | None = None
    opened: tuple[str, ...] = ()
    noted: tuple[Noted, ...] = ()


class _Answered(msgspec.Struct, frozen=True):
    path: str
    status: int
    body: str
    error: Failure | None = None


class _Found(msgspec.Struct, frozen=True):
    """What the child wrote down."""

    stage: str = "start"
    error: Failure | None = None
    interface: Interface | None = None
    framework: str = "callable"
    routes: tuple[Route, ...] = ()
    owns: tuple[str, ...] = ()
    answer: _Answered | None = None
    opened: tuple[str, ...] = ()
    notes: tuple[Noted, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ended:
    """How the child ended.

    Attributes:
        how: by itself, or because of its time or its output.
        code: its exit status.
        output: the end of what it printed.
        trace: a traceback that was written when it was stopped or crashed.
    """

    how: Literal["itself", "time", "output"]
    code: int
    output: str
    trace: str


def confirm(
    folder: Path,
    target: str,
    *,
    root: str = "",
    python: str = sys.executable,
    seconds: float = 60.0,
    sample: SampleRequest | None = None,
    environment: Mapping[str, str] | None = None,
) -> Confirmed:
    """Imports the app's object in a child process and asks it.

    Args:
        folder: the app's; the child's working folder.
        target: `module:object`.
        root: folder in it that is on Python's path too; empty for none.
        python: the interpreter.
        seconds: limit of all of it, of the wall clock.
        sample: a request; its path may be empty for the only route that takes its method.
        environment: variables for the child beside this process's own.

    Raises:
        ArtefactError: it raises, hangs, exits, forks, opens a port, prints without end, is no app, or cannot answer
            the sample; with file and line, and the mend where one is known.
        UsageError: `target` is none, or the sample does not say which of several routes it is for.
    """
    home, parsed = folder.resolve(), Target.parse(target)
    with tempfile.TemporaryDirectory(prefix="shipway-app-", ignore_cleanup_errors=True) as scratch:
        request = {
            "folder": str(home), "root": root, "module": parsed.module, "path": parsed.path, "factory": parsed.factory,
            "environment": dict(environment or {}), "own": sorted(OPERATIONS), "seconds": seconds,
            "sample": None if sample is None else msgspec.to_builtins(sample),
            "result": f"{scratch}/result.json", "trace": f"{scratch}/trace",
        }  # fmt: skip
        asked = Path(scratch) / "request.json"
        asked.write_bytes(msgspec.json.encode(request))
        ended = _run([python, "-P", "-B", str(Path(child.__file__)), str(asked)], home, seconds, Path(scratch))
        found = _read(Path(scratch) / "result.json")
    answered = found.interface is not None and found.error is None and found.stage in ("probe", "shutdown", "done")
    if found.error is not None:
        raise explain(found.error, parsed, home)
    if not answered or found.interface is None:
        raise stopped(ended.how, found.stage, ended.code, ended.trace, ended.output, seconds, home)
    if found.answer is not None and found.answer.error is not None:
        raise explain(found.answer.error, parsed, home, path=found.answer.path)
    routes = tuple(one for one in found.routes if one.file)
    answer = _answer(found.answer, sample)
    return Confirmed(found.interface, found.framework, routes, found.owns, answer, found.opened, found.notes)


def _answer(found: _Answered | None, sample: SampleRequest | None) -> Answer | None:
    """Gives the answer to the sample.

    Raises:
        ArtefactError: it is one of a server's own faults, whose reason the app keeps to itself.
    """
    if found is None or sample is None:
        return None
    if found.status >= 500 or found.status < 100:
        raise ArtefactError(
            f"the app answers the sample with {found.status}: {' '.join(found.body.split())[:200]}",
            fix=f"mend what answers {sample.method} {found.path}, or send it what it expects",
        )
    return Answer(msgspec.structs.replace(sample, path=found.path, status=found.status), found.body)


def _read(file: Path) -> _Found:
    """Reads what the child wrote down; it may have been anything that runs in there."""
    try:
        with file.open("rb") as stream:
            return msgspec.json.decode(stream.read(_RESULT), type=_Found)
    except (OSError, msgspec.DecodeError):
        return _Found()


def _run(command: list[str], folder: Path, seconds: float, scratch: Path) -> _Ended:
    """Runs the child until it ends, its time is up or it has printed too much; nothing that it started outlives it."""
    process = subprocess.Popen(  # noqa: S603 - our own file
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=sys.platform != "win32",
        creationflags=_GROUP,
    )
    output, flooded = bytearray(), threading.Event()
    reader = threading.Thread(target=_drain, args=(process, output, flooded), daemon=True)
    reader.start()
    late = False
    try:
        process.wait(seconds + _GRACE)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        _kill(process)
        code = process.wait()
        reader.join(_GRACE)
        if not reader.is_alive() and process.stdout is not None:
            process.stdout.close()
    trace = b""
    with contextlib.suppress(OSError):
        trace = (scratch / "trace").read_bytes()[:_OUTPUT]
    how: Literal["itself", "time", "output"] = "output" if flooded.is_set() else "time" if late else "itself"
    return _Ended(how, code, output[-_TAIL:].decode("utf-8", "replace"), trace.decode("utf-8", "replace"))


def _drain(process: subprocess.Popen[bytes], output: bytearray, flooded: threading.Event) -> None:
    """Reads what the child prints; a child that prints too much is asked where it is, and killed."""
    assert process.stdout is not None
    for chunk in _chunks(process):
        output += chunk
        if len(output) > _OUTPUT:
            flooded.set()
            if sys.platform != "win32":
                process.send_signal(signal.SIGUSR1)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
            _kill(process)
            return


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        while chunk := os.read(process.stdout.fileno(), 65536):
            yield chunk


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the child and what it started."""
    if sys.platform == "win32":
        subprocess.run(  # noqa: S603
            ["taskkill", "/T", "/F", "/PID", str(process.pid)],  # noqa: S607 - a program of the system
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
