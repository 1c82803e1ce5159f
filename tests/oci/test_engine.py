"""Docker and Podman as programs: which is found, and what one that hangs comes to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from shipway.errors import MachineError, MissingDependency
from shipway.oci.engine import Engine, Program, find_engine, run_program


def installed(*tools: str, code: int = 0) -> Program:
    """Gives what runs these programs, all of which end with `code`."""

    def program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if command[0] not in tools:
            raise FileNotFoundError
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
