"""Docker and Podman as programs: which is found, and what one that hangs comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from shipway.errors import MachineError, MissingDependency
from shipway.oci.engine import Engine, Program, find_engine, run_program


def installed(*tools: str, code: int = 0) -> Program:
    """Gives what runs these programs, all of which end with `code`."""

    def program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if command[0] not in tools:
            raise MissingDependency("it is not installed")
        return subprocess.CompletedProcess(command, code, "", "the daemon sleeps\n")

    return program


@pytest.mark.parametrize(("tools", "found"), [(("docker", "podman"), "docker"), (("podman",), "podman")])
def test_the_first_that_answers_is_taken(tools: tuple[str, ...], found: str) -> None:
    assert find_engine(program=installed(*tools)).tool == found


def test_one_that_is_not_installed_is_told_from_one_that_does_not_answer() -> None:
    with pytest.raises(MissingDependency):
        find_engine(program=installed())
    with pytest.raises(MachineError, match="daemon does not answer"):
        find_engine(program=installed("docker", code=1))


def test_one_that_does_not_answer_is_passed_over_and_named() -> None:
    def program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, command[0] == "docker", "", "")

    engine = find_engine(program=program)
    assert (engine.tool, engine.silent) == ("podman", ("docker",))


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are of POSIX")
@pytest.mark.parametrize(
    ("content", "mode"), [("#!/bin/sh\n", 0o644), ("no program", 0o755), ("#!/not-there\n", 0o755)]
)
def test_a_file_that_is_no_program_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, mode: int
) -> None:
    (tmp_path / "docker").write_text(content)
    (tmp_path / "docker").chmod(mode)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as caught:
        find_engine()
    assert caught.value.fix


@pytest.mark.parametrize(
    ("tool", "form"), [("docker", "{{.Server.Os}}/{{.Server.Arch}}"), ("podman", "{{.Server.OsArch}}")]
)
def test_each_is_asked_for_its_platform_in_its_own_words(tool: str, form: str) -> None:
    def program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, command != [tool, "version", "--format", form], "linux/arm64\n", "")

    assert Engine(tool, program).platform() == "linux/arm64"


def test_a_command_that_fails_says_so_in_its_own_last_words() -> None:
    with pytest.raises(MachineError, match="docker save failed: the daemon sleeps"):
        Engine("docker", installed("docker", code=1)).call("save", "x")


def test_a_program_that_hangs_is_an_error_of_ours() -> None:
    with pytest.raises(MachineError, match=r"did not end within 0 s"):
        run_program([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.3)


_INTERRUPTED = """
import sys
from shipway.oci.engine import run_program
try:
    run_program(sys.argv[1:])
except KeyboardInterrupt:
    print("interrupted")
"""

_TOOL = """#!{python}
import signal, sys, time
def say(word):
    with open({record!r}, "a") as record:
        print(word, file=record)
def end(number, frame):
    say(signal.Signals(number).name)
    sys.exit(1)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
say("begun")
time.sleep({seconds})
say("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("verb", "seconds", "presses", "story"),
    [
        ("stop", 1.0, 1, ["begun", "done"]),
        ("stop", 60.0, 2, ["begun", "SIGTERM"]),
        ("pull", 60.0, 1, ["begun", "SIGTERM"]),
    ],
    ids=["a change comes to its end", "a second time ends it", "anything else is ended"],
)
def test_ctrl_c_does_not_reach_the_engine(
    tmp_path: Path, verb: str, seconds: float, presses: int, story: list[str]
) -> None:
    record, tool = tmp_path / "record", tmp_path / "docker"
    tool.write_text(_TOOL.format(python=sys.executable, record=str(record), seconds=seconds))
    tool.chmod(0o755)
    shipway = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, str(tool), verb], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 20
    while not record.exists() or not record.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    for _ in range(presses):
        os.killpg(shipway.pid, signal.SIGINT)  # as a terminal does
        time.sleep(0.4)
    out, _ = shipway.communicate(timeout=20)
    assert out == "interrupted\n"
    assert record.read_text().split() == story


def test_a_line_without_an_end_is_cut() -> None:
    program = "import sys; sys.stdout.write('x' * 1_000_000 + chr(10) + 'y' + chr(10))"
    with Engine("x", run_program).lines([sys.executable, "-c", program]) as stream:
        lines = list(stream)
    assert [len(line) < 70_000 for line in lines] == [True, True]
    assert lines[0].endswith("x…\n")
    assert lines[1] == "y\n"
