"""Docker and Podman as programs: what images they have, and how a container of ours is started. Never their sockets."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shipway.errors import MachineError, MissingDependency
from shipway.spec.contract import Contract

__all__ = ["TOOLS", "Engine", "Lines", "Program", "find_engine", "hardening", "run_command", "run_program"]

TOOLS = ("docker", "podman")
_SECONDS = 600
Program = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
Lines = Callable[[Sequence[str]], AbstractContextManager[Iterator[str]]]


@contextmanager
def _lines(command: Sequence[str]) -> Iterator[Iterator[str]]:
    process = subprocess.Popen(  # noqa: S603 - the words are ours, the names checked
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield iter(process.stdout)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the two.

    Attributes:
        tool: its program's name.
        program: how it is run.
        lines: how it is run where it goes on printing: gives the lines, and ends it with the block.
    """

    tool: str
    program: Program
    lines: Lines = _lines

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
        MachineError: one is installed, and its daemon does not answer.
    """
    run = program or run_program
    silent = []
    for tool in tools:
        try:
            if run([tool, "version", "--format", "{{.Server.Version}}"]).returncode == 0:
                return Engine(tool, run)
            silent.append(tool)
        except FileNotFoundError:
            continue
    if silent:
        raise MachineError(
            f"{silent[0]} is installed, but its daemon does not answer", fix="start it: systemctl start docker"
        )
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


def hardening(memory: str, *, processes: int = 256) -> list[str]:
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

    Raises:
        FileNotFoundError: the program is not installed.
        MachineError: it does not end in time.
    """
    try:
        return subprocess.run(  # noqa: S603 - the words are ours, the names checked
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        words = " ".join(command[:2])
        raise MachineError(f"{words} did not end within {seconds:.0f} s", fix=f"{command[0]} info") from error
