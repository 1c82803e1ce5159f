"""From words to an exit code: help, misuse, failure, bugs, interrupts; and nothing heavy on the way to a help text."""

from __future__ import annotations

import errno
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from fakes.shell import Shell
from shipway._version import __version__
from shipway.cli.entry import VERBS, Verbs, shipway

HEAVY = (
    "sklearn",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "pandas",
    "joblib",
    "httpx",
    "zstandard",
    "numpy",
    "uvicorn",
    "yaml",
)


def commands() -> Iterator[tuple[str, ...]]:
    context = click.Context(shipway)
    for verb in VERBS:
        command = shipway.get_command(context, verb)
        assert command is not None
        yield (verb,)
        if isinstance(command, click.Group):
            yield from ((verb, name) for name in command.commands)


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A list whose error the verb `list` raises."""
    errors: list[BaseException] = []

    @click.command("list")
    @click.option("--verbose", is_flag=True)
    def command(verbose: bool) -> None:
        raise errors[0]

    monkeypatch.setattr(Verbs, "get_command", lambda self, ctx, name: command)
    return errors


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_help_ends_with_an_example_that_begins_with_the_command(shell: Shell, words: tuple[str, ...]) -> None:
    ran = shell(*words, "--help")
    assert (ran.code, ran.err) == (0, "")
    example = ran.out.partition("Example:\n")[2].strip().splitlines()
    assert example
    assert all(" ".join(("shipway", *words)) in line for line in example)


@pytest.mark.parametrize("words", [words for words in commands() if words not in (("keys",), ("store",))], ids=" ".join)
def test_examples_name_options_that_there_are(words: tuple[str, ...]) -> None:
    command: click.Command | None = shipway
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    for line in str(command.epilog).splitlines():
        own = line.split(" | ")[0]
        assert {word for word in shlex.split(own) if word.startswith("--")} <= known | {"--help"}


def test_every_verb_has_quiet_verbose_and_config() -> None:
    for words in commands():
        command = shipway.get_command(click.Context(shipway), words[0])
        if isinstance(command, click.Group):
            command = command.commands[words[1]] if len(words) == 2 else None
        if command is not None:
            assert {"quiet", "verbose", "config"} <= {parameter.name for parameter in command.params}, words


def test_help_of_shipway_lists_every_verb_in_order(shell: Shell) -> None:
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", shell("--help").out, re.MULTILINE)
    assert listed == list(VERBS)


def test_the_version_is_told(shell: Shell) -> None:
    assert shell("--version").out == f"shipway {__version__}\n"


@pytest.mark.parametrize("words", [("--help",), ("pack", "--help"), ("predict", "--help"), ("serve", "--help")])
def test_a_help_text_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code = (
        "import sys; from shipway.cli.entry import run; run(sys.argv[1:]);"
        f"print(sorted(set(sys.modules) & {set(HEAVY)!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("words", [(), ("store",), ("keys",)])
def test_without_a_verb_the_help_is_shown_and_it_counts_as_misuse(shell: Shell, words: tuple[str, ...]) -> None:
    ran = shell(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Usage: {' '.join(('shipway', *words))}")
    assert "error:" not in ran.err


@pytest.mark.parametrize(
    ("words", "error", "fix"),
    [
        (("pak",), "did you mean 'pack'?", "shipway --help"),
        (("frobnicate",), "no verb 'frobnicate'", "shipway --help"),
        (("--frobnicate",), "--frobnicate", "shipway --help"),
        (("list", "--jsn"), "'--json'", "shipway list --help"),
        (("show",), "Missing argument", "shipway show --help"),
        (("show", "a", "b"), "b", "shipway show --help"),
        (("pack", "m.joblib"), "--name", "shipway pack --help"),
        (("store", "chek"), "'check'", "shipway store --help"),
        (("serve", "a", "--port", "70000"), "70000", "shipway serve --help"),
        (("completion", "tcsh"), "bash", "shipway completion --help"),
        (("predict", "a", "--data", "-", "--format", "xml"), "csv", "shipway predict --help"),
    ],
)
def test_misuse_is_said_with_the_help_that_mends_it(shell: Shell, words: tuple[str, ...], error: str, fix: str) -> None:
    said = shell(*words).refusal(2)
    assert error in said
    assert said.endswith(f"fix: {fix}")


@pytest.mark.parametrize("other", ["ls", "inspect", "rm"])
def test_verbs_have_the_names_that_people_try(shell: Shell, other: str) -> None:
    assert shell(other, "--help").code == 0


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "there"), 1, "no space is left for there"),
        (PermissionError(errno.EACCES, "Permission denied", "there"), 1, "there: Permission denied"),
        (OSError("odd"), 1, "odd"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero"),
    ],
)
def test_what_nobody_foresaw_is_an_error_with_a_fix(
    shell: Shell, raising: list[BaseException], error: BaseException, code: int, words: str
) -> None:
    raising.append(error)
    assert words in shell("list").refusal(code)


def test_verbose_shows_where_a_bug_is(shell: Shell, raising: list[BaseException]) -> None:
    raising.append(ZeroDivisionError("by zero"))
    ran = shell("list", "--verbose")
    assert "Traceback" in ran.err
    assert "error: ZeroDivisionError: by zero" in ran.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_ends_with_130(shell: Shell, raising: list[BaseException], error: BaseException) -> None:
    raising.append(error)
    ran = shell("list")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "interrupted")


def test_colours_are_for_terminals_that_want_them(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    coloured = shell("pak").err
    assert coloured.startswith("\x1b[31merror:\x1b[0m ")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shell("pak").err
    assert plain == re.sub(r"\x1b\[[0-9]+m", "", coloured)
