"""Docker and Podman as programs: what images they have, and how a container of ours is started. Never their sockets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from shipway.errors import MachineError, MissingDependency
from shipway.spec.contract import Contract

__all__ = ["PROCESSES", "TOOLS", "Engine", "Lines", "Program", "find_engine", "hardening", "run_command", "run_program"]

TOOLS = ("docker", "podman")

PROCESSES = 256
"""The most processes and threads of a server's container."""

_SECONDS = 600
_END_SECONDS = 5
_LONGEST_LINE = 65_536
_CHANGES = frozenset({"create", "start", "stop", "rm", "rename", "network", "update"})
"""Commands that Ctrl-C lets come to their end: of one that dies half-way nobody knows what it has done."""

# Ctrl-C at a terminal goes to all of a process group. It is ours to say what it means for an engine's command.
_APART: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    _APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

Program = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
Lines = Callable[[Sequence[str]], AbstractContextManager[Iterator[str]]]


@contextmanager
def _lines(command: Sequence[str]) -> Iterator[Iterator[str]]:
    process = _begin(command, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        yield _cut(process.stdout)
    finally:
        _end(process)


def _cut(stream: IO[str]) -> Iterator[str]:
    """Gives the lines of a stream, of which one may be too long to be held."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE and not line.endswith("\n"):
            while (rest := stream.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
            line = f"{line}…\n"
        yield line


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the two.

    Attributes:
        tool: its program's name.
        program: how it is run.
        lines: how it is run where it goes on printing: gives the lines, and ends it with the block.
        silent: those that are installed too and come before it, but do not answer.
    """

    tool: str
    program: Program
    lines: Lines = _lines
    silent: tuple[str, ...] = ()

    def has(self, image: str) -> bool:
        """Whether it has an image of that name."""
        return self.program([self.tool, "image", "inspect", image]).returncode == 0

    def platform(self) -> str:
        """Gives the platform that its containers run on, which may be a virtual machine's: `linux/amd64`.

        Raises:
            MachineError: it does not answer.
        """
        form = "{{.Server.OsArch}}" if self.tool == "podman" else "{{.Server.Os}}/{{.Server.Arch}}"
        return self.call("version", "--format", form)

    def pull(self, image: str) -> bool:
        """Lets it fetch an image, from wherever it is set to fetch; whether it could."""
        return self.program([self.tool, "pull", "--quiet", image]).returncode == 0

    def save(self, image: str, file: Path) -> None:
        """Writes an image as an archive.

        Raises:
            MachineError: it does not.
        """
        self.call("save", "--output", str(file), image)

    def call(self, *arguments: str) -> str:
        """Runs one of its commands; gives what it printed.

        Raises:
            MachineError: it fails; with its own last words.
        """
        done = self.program([self.tool, *arguments])
        if done.returncode:
            words = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise MachineError(
                f"{self.tool} {arguments[0]} failed: {words[0]}", fix=f"check that {self.tool} runs: {self.tool} info"
            )
        return done.stdout.strip()


def find_engine(tools: Sequence[str] = TOOLS, program: Program | None = None) -> Engine:
    """Gives the first engine that answers.

    Raises:
        MissingDependency: none is installed.
        MachineError: one is installed, and cannot be run, or its daemon does not answer.
    """
    run = program or run_program
    silent: dict[str, MachineError] = {}
    for tool in tools:
        try:
            if run([tool, "version", "--format", "{{.Server.Version}}"]).returncode == 0:
                return Engine(tool, run, silent=tuple(silent))
            silent[tool] = MachineError(
                f"{tool} is installed, but its daemon does not answer", fix="start it: systemctl start docker"
            )
        except MissingDependency:
            continue
        except MachineError as error:
            silent[tool] = error
    if silent:
        raise next(iter(silent.values()))
    raise MissingDependency(
        f"neither {' nor '.join(tools)} is installed", fix="install Docker or Podman; shipway build needs neither"
    )


def run_command(
    tool: str, image: str, contract: Contract, *, port: int, host: str, name: str, environ: Mapping[str, str]
) -> list[str]:
    """Gives the command line that runs an image hardened, detached, and removed when it ends.

    Args:
        tool: `docker` or `podman`.
        image: its name or id.
        contract: port, memory and drain time.
        port: on this machine; 0 lets the engine take a free one.
        host: address on this machine.
        name: of the container.
        environ: variables for the container.
    """
    variables = [word for key, value in environ.items() for word in ("--env", f"{key}={value}")]
    return [
        tool, "run", "--detach", "--rm", "--name", name,
        "--publish", f"{host}:{port or ''}:{contract.port}",
        *hardening(f"{contract.memory_limit_mib}m"), "--cpus", "1",
        "--stop-timeout", str(contract.termination_seconds),
        *variables, image,
    ]  # fmt: skip


def hardening(memory: str, *, processes: int = PROCESSES) -> list[str]:
    """Gives the options by which a container may do no more than a server needs.

    Args:
        memory: most that it may take, as Docker writes amounts.
        processes: most processes and threads.
    """
    return [
        "--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,size=64m",  # noqa: S108 - the container's own
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--pids-limit", str(processes), "--memory", memory,
    ]  # fmt: skip


def run_program(command: Sequence[str], seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Runs a command, and gives what it wrote and how it ended.

    Ctrl-C does not reach it. One that changes containers comes to its end first, unless Ctrl-C is pressed again; any
    other is ended at once.

    Raises:
        MissingDependency: the program is not installed.
        MachineError: it cannot be run, or does not end in time.
    """
    process = _begin(command, stderr=subprocess.PIPE)
    try:
        out, complaints = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        words = " ".join(command[:2])
        raise MachineError(f"{words} did not end within {seconds:.0f} s", fix=f"{command[0]} info") from error
    except KeyboardInterrupt:
        if command[1] in _CHANGES:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=seconds)
        raise
    finally:
        _end(process)
    return subprocess.CompletedProcess(command, process.returncode, out, complaints)


def _begin(command: Sequence[str], *, stderr: int) -> subprocess.Popen[str]:
    """Starts a command where Ctrl-C does not reach it.

    Raises:
        MissingDependency: the program is not installed.
        MachineError: it cannot be run.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - the words are ours, the names checked
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            text=True, encoding="utf-8", errors="replace", **_APART,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise MissingDependency(f"{command[0]} is not installed", fix=f"install {command[0]}") from error
    except OSError as error:
        raise MachineError(
            f"{command[0]} cannot be run: {error.strerror or error}",
            fix=f"look what is called {command[0]} on the PATH, or install it again",
        ) from error


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process that has not ended by itself, the hard way where it does not listen."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
