"""The docs say what the code does: commands, options, settings, routes, metrics and errors; links lead somewhere."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from shipway._version import __version__
from shipway.cli.entry import VERBS, shipway
from shipway.errors import EDGE
from shipway.monitor.metrics import Metrics
from shipway.serving.engine.engine import Engine
from shipway.serving.http.operations import health_routes, information_routes
from shipway.serving.http.plain import plain_routes
from shipway.serving.http.v2 import v2_health_routes, v2_routes
from shipway.serving.state import State
from shipway.spec.settings import ENVIRONMENT_PREFIX, ModelSettings, Settings, resolve

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
COMMON = frozenset({"--json", "--config", "--quiet", "-q", "--verbose", "-v", "--help"})


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str) -> Iterator[list[str]]:
    """Gives the cells of each row of each table, without the lines of dashes."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Gives what stands below a heading of the second level, up to the next one; nothing where there is none."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def commands() -> dict[str, click.Command]:
    """Gives each verb, those of a group by both of their words."""
    context, found = click.Context(shipway), dict[str, click.Command]()
    for verb in VERBS:
        command = shipway.get_command(context, verb)
        assert command is not None
        inner: Mapping[str, click.Command] = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{verb} {name}": one for name, one in inner.items()} or {verb: command}
    return found


def options(command: click.Command) -> set[str]:
    found = (one for one in command.params if isinstance(one, click.Option))
    return {name for one in found for name in (*one.opts, *one.secondary_opts)} - COMMON


@pytest.mark.parametrize("verb", commands())
def test_every_verb_has_a_section_with_exactly_its_options_and_an_example(verb: str) -> None:
    text = section(read("docs/cli.md"), f"shipway {verb}")
    assert text, f"docs/cli.md has no section 'shipway {verb}'"
    documented = {code.split()[0] for row in rows(text) for code in codes(row[0]) if code.startswith("-")}
    assert documented == options(commands()[verb])
    assert f"shipway {verb}" in text.rpartition("```console")[2]


def test_the_options_of_every_verb_are_documented_once() -> None:
    text = section(read("docs/cli.md"), "Every verb")
    assert {code.split()[0] for row in rows(text) for code in codes(row[0])} == COMMON


def test_docs_of_the_command_line_tell_of_no_verb_that_is_not_there() -> None:
    told = set(re.findall(r"^## shipway (.+)$", read("docs/cli.md"), re.MULTILINE))
    assert told == set(commands())


def test_every_setting_is_documented_with_its_default() -> None:
    defaults = {key: value for key, value, _ in resolve({}, {}, {}).items()}
    defaults |= {f"models.NAME.{key}": value for key, value in msgspec.to_builtins(ModelSettings()).items()}
    text = read("docs/settings.md").partition("## Not settings")[0]
    table = {codes(row[0])[0]: row[1] for row in rows(text) if codes(row[0])}
    assert {key: default.strip("`") for key, default in table.items()} == {
        key: shown(value) for key, value in defaults.items()
    }


def shown(value: Any) -> str:
    """Gives a default as TOML has it; an empty text is an empty cell."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=name_of)
def test_settings_in_the_docs_are_settings(page: Path) -> None:
    for text in blocks(page, "toml"):
        resolve({}, {}, tomllib.loads(text))


def shell_commands(text: str) -> Iterator[list[str]]:
    """Gives the words of each `shipway …` that the prompts of a console block have, without what a shell does."""
    for line in text.splitlines():
        if not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|;&<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|;&<>()$"):
                words = [one for one in words if not one.startswith(ENVIRONMENT_PREFIX)]
                if words[:1] == ["shipway"] and "…" not in words:
                    yield words[1:]
                words = []
            else:
                words.append(word)


def test_shell_lines_are_taken_apart_as_a_shell_does() -> None:
    lines = (
        "$ SHIPWAY_STORE=x shipway list -q | wc  # why\n$ make demo\nout\n$ shipway show 'a b' > out && shipway config"
    )
    assert list(shell_commands(lines)) == [["list", "-q"], ["show", "a b"], ["config"]]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=name_of)
def test_commands_in_the_docs_are_commands(page: Path) -> None:
    context = click.Context(shipway)
    for words in (words for text in blocks(page, "console") for words in shell_commands(text)):
        command = shipway.get_command(context, words[0])
        assert command is not None, words
        rest = words[1:]
        if isinstance(command, click.Group):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context("shipway", list(rest))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]
    for link in found:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Gives the anchors of a page's headings as its hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_route_is_documented_and_no_other() -> None:
    settings, state = Settings(), State()
    engine = Engine((), Metrics(), waiting=1)
    routes = [
        *health_routes(state),
        *v2_health_routes(state),
        *information_routes((), Metrics(), version=__version__, auth=False),
        *plain_routes(engine, settings),
        *v2_routes(engine, state, settings.limits, __version__),
    ]
    told = {code for row in rows(section(read("docs/http.md"), "Routes")) for code in codes(row[0])}
    assert told == {f"{route.http_method} {route.path}" for route in routes}


def test_every_metric_is_documented() -> None:
    told = {code for row in rows(section(read("docs/http.md"), "Metrics")) for code in codes(row[0])}
    assert told == set(re.findall(r"^# TYPE (\w+) ", Metrics().exposition().decode(), re.MULTILINE))


def test_the_table_of_errors_is_the_codes_own() -> None:
    text = section(read("docs/architecture.md"), "Errors")
    told = {codes(row[0])[0]: tuple(row[1:]) for row in rows(text) if codes(row[0])}
    assert told == {cls.__name__: (str(edge.http), edge.grpc, str(edge.exit)) for cls, edge in EDGE.items()}
    statuses = {row[0] for row in rows(section(read("docs/http.md"), "Errors")) if row[0].isdigit()}
    assert statuses == {str(edge.http) for edge in EDGE.values()}


def test_every_room_is_in_the_architecture() -> None:
    told = {code for row in rows(section(read("docs/architecture.md"), "Rooms")) for code in codes(row[0])}
    parts = (ROOT / "src" / "shipway").iterdir()
    assert told == {part.stem for part in parts if part.is_dir() or part.suffix == ".py"} - {
        "__init__", "__main__", "__pycache__", "_version",
    }  # fmt: skip
