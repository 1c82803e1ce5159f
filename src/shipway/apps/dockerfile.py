"""Reads the facts of a Dockerfile: what its author said of the app's surroundings.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "DOCKERFILE",
    "DockerfileFacts",
    "Instruction",
    "command_target",
    "parse_dockerfile",
    "read_dockerfile",
    "started",
]

DOCKERFILE = "Dockerfile"

_KEYWORDS = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})  # fmt: skip
_VARIABLE = re.compile(
    r"\\\$|\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<sign>:?[-+])(?P<word>[^{}]*))?\})"
)
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_PAIR = re.compile(r"""(?P<key>[\w.-]+)=(?P<value>(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*)""", re.DOTALL)
_SERVERS = frozenset({"gunicorn", "uvicorn", "hypercorn", "waitress-serve", "daphne", "uwsgi"})
_TARGET = re.compile(r"[\w.]+:[\w.]+(?:\(\))?")
_LIMIT = 10_000
_WITH_VALUE = frozenset({
    "-f", "-i", "-t", "--default-timeout", "--extra-index-url", "--find-links", "--index-url",
    "--prefix", "--target", "--timeout", "--trusted-host",
})  # fmt: skip
"""Options of pip whose next word is no requirement."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        keyword: in capitals.
        value: the rest, continuation lines joined, variables as they stand.
        line: its first.
    """

    keyword: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class DockerfileFacts:
    """What the last stage says; variables are filled in.

    Attributes:
        base: image of the last `FROM`; where that is a stage, what the stage is made from. Empty for none.
        workdir: absolute; empty where it is not said.
        environment: of `ENV`.
        ports: of `EXPOSE`, TCP only; of a range its first.
        user: of `USER`; empty for root.
        command: the words of `ENTRYPOINT` and `CMD`; those of the shell form as a shell would split them.
        installs: requirements that `pip install` names in words, with their lines.
        requirement_files: that `pip install -r` names.
        constraint_files: that `pip install -c` names.
        instructions: all of them, of all stages.
    """

    base: str = ""
    workdir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    user: str = ""
    command: tuple[str, ...] = ()
    installs: Mapping[str, int] = field(default_factory=dict)
    requirement_files: tuple[str, ...] = ()
    constraint_files: tuple[str, ...] = ()
    instructions: tuple[Instruction, ...] = ()

    @property
    def target(self) -> str | None:
        """The `module:object` that the command starts, or that `FLASK_APP` names; None where it is not said."""
        return command_target(self.command) or command_target(("uvicorn", self.environment.get("FLASK_APP", "")))


@dataclass(slots=True)
class _Stage:
    """A stage while it is read."""

    base: str = ""
    workdir: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(slots=True)
class _Pip:
    """What `pip install` (uv's too) installs by name, from which files, and within which constraints."""

    installs: dict[str, int] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    limits: dict[str, None] = field(default_factory=dict)

    def read(self, value: str, line: int) -> None:
        """Reads the commands of one `RUN`."""
        for command in re.split(r"&&|\|\||;|\n", value):
            words = _split(command)
            if "install" in words and any(re.fullmatch(r"pip[\d.]*", posixpath.basename(word)) for word in words):
                self._install(words[words.index("install") + 1 :], line)

    def _install(self, words: list[str], line: int) -> None:
        rest = iter(words)
        for word in rest:
            option = re.fullmatch(r"(-[rc]|--requirement|--constraint)=?(.*)", word)
            if option:
                file = option[2] or next(rest, "")
                if file:
                    (self.limits if option[1] in ("-c", "--constraint") else self.files)[file] = None
            elif word in _WITH_VALUE:
                next(rest, "")
            elif re.match(r"[A-Za-z0-9]", word) and "/" not in word and word not in ("pip", "setuptools", "wheel"):
                self.installs.setdefault(word, line)


def parse_dockerfile(text: str) -> tuple[Instruction, ...]:
    """Gives the instructions; never fails: what is none is left out."""
    return tuple(_instructions(text.removeprefix("\ufeff").splitlines()[:_LIMIT]))


def read_dockerfile(text: str) -> DockerfileFacts:
    """Reads the facts; of what is wrong in it, nothing is said here."""
    instructions = parse_dockerfile(text)
    globals_: dict[str, str] = {}
    stages: dict[str, _Stage] = {}
    stage: _Stage | None = None
    pip = _Pip()
    for one in instructions:
        if one.keyword == "FROM":
            stage = _from(_fill(one.value, globals_), stages)
            stages[str(sum(name.isdigit() for name in stages))] = stage
            pip = _Pip()
        elif one.keyword == "ARG" and stage is None:
            _argument(one.value, globals_, globals_)
        elif stage is not None and one.keyword == "RUN":
            pip.read(_fill(one.value, stage.arguments | stage.environment), one.line)
        elif stage is not None:
            _apply(one, stage, globals_)
    stage = stage or _Stage()
    return DockerfileFacts(
        stage.base, stage.workdir, stage.environment, tuple(dict.fromkeys(stage.ports)), stage.user,
        stage.entrypoint + stage.command, pip.installs, tuple(pip.files), tuple(pip.limits), instructions,
    )  # fmt: skip


def command_target(command: tuple[str, ...]) -> str | None:
    """Gives the `module:object` that a command starts a server with; None where it starts none.

    Args:
        command: its words; one that is itself a command line (`sh -c "gunicorn app:app"`) is taken apart.
    """
    words = [part for word in command for part in _split(word)]
    programs = {posixpath.basename(word) for word in words}
    if not programs & _SERVERS:
        return None
    return next((word for word in words if _TARGET.fullmatch(word) and not word.rpartition(":")[2].isdigit()), None)


def started(docker: DockerfileFacts, procfile: str | None) -> str | None:
    """Gives the `module:object` that a Dockerfile starts, else the web process of a Procfile; None for neither.

    Args:
        docker: facts of the Dockerfile.
        procfile: text of the Procfile; None for none. https://devcenter.heroku.com/articles/procfile
    """
    web = re.search(r"^web:\s*(.*)$", procfile or "", re.MULTILINE)
    return docker.target or (command_target(tuple(web[1].split())) if web else None)


def _instructions(lines: list[str]) -> Iterator[Instruction]:
    escape = "\\"
    place = 0
    while place < len(lines):
        start, words = place, lines[place].strip()
        place += 1
        if words.startswith("#") or not words:
            directive = re.fullmatch(r"#\s*escape\s*=\s*(`|\\)", words, re.IGNORECASE)
            escape = directive[1] if directive else escape
            continue
        while words.endswith(escape) and place < len(lines):
            following = lines[place].strip()
            place += 1
            if following and not following.startswith("#"):  # comments may stand between continuation lines
                words = f"{words.removesuffix(escape).rstrip()} {following}"
        keyword, value = (*words.removesuffix(escape).split(None, 1), "", "")[:2]
        for word in _HEREDOC.findall(value) if keyword.upper() in ("RUN", "COPY", "ADD") else ():
            while place < len(lines) and lines[place].strip() != word:
                value += f"\n{lines[place]}"
                place += 1
            place += 1
        if keyword.upper() in _KEYWORDS:
            yield Instruction(keyword.upper(), value.strip(), start + 1)


def _from(value: str, stages: dict[str, _Stage]) -> _Stage:
    words = [word for word in value.split() if not word.startswith("--")]
    name = words[0] if words else ""
    before = stages.get(name.lower())
    stage = _Stage(base=name)
    if before is not None:
        stage = _Stage(before.base, before.workdir, dict(before.environment), {}, list(before.ports), before.user)
        stage.entrypoint, stage.command = before.entrypoint, before.command
    if len(words) == 3 and words[1].upper() == "AS":
        stages[words[2].lower()] = stage
    return stage


def _apply(one: Instruction, stage: _Stage, globals_: Mapping[str, str]) -> None:
    value = _fill(one.value, stage.arguments | stage.environment)
    match one.keyword:
        case "ARG":
            _argument(value, stage.arguments, globals_)
        case "ENV":
            stage.environment.update(_pairs(value))
        case "WORKDIR":
            stage.workdir = posixpath.normpath(posixpath.join(stage.workdir or "/", _unquoted(value)))
        case "EXPOSE":
            stage.ports += _ports(value)
        case "USER":
            user = _unquoted(value).partition(":")[0]
            stage.user = "" if user in ("root", "0") else user
        case "CMD":
            stage.command = _words(one.value)
        case "ENTRYPOINT":
            stage.entrypoint, stage.command = _words(one.value), ()
        case _:
            pass


def _argument(value: str, into: dict[str, str], globals_: Mapping[str, str]) -> None:
    for word in _split(value):
        name, given, default = word.partition("=")
        into[name] = default if given else globals_.get(name, "")


def _pairs(value: str) -> dict[str, str]:
    """Gives the variables of `ENV`, in its old form (`ENV NAME some words`) too."""
    name, _, rest = value.partition(" ")
    if "=" not in name:
        return {name: rest.strip()} if name else {}
    return {match["key"]: _unquoted(match["value"]) for match in _PAIR.finditer(value)}


def _ports(value: str) -> list[int]:
    found = []
    for word in _split(value):
        numbers, _, protocol = word.partition("/")
        number = numbers.partition("-")[0]
        if protocol.lower() in ("", "tcp") and number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536:
            found.append(int(number))
    return found


def _words(value: str) -> tuple[str, ...]:
    try:
        words = json.loads(value)
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    except (ValueError, RecursionError):
        pass
    return tuple(_split(value))


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def _unquoted(value: str) -> str:
    words = _split(value)
    return words[0] if len(words) == 1 else value.strip("\"' ")


def _fill(value: str, variables: Mapping[str, str]) -> str:
    """Fills in `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`."""

    def one(match: re.Match[str]) -> str:
        name = match["plain"] or match["name"]
        if name is None:
            return "$"
        known, sign, word = variables.get(name, ""), match["sign"] or "", match["word"] or ""
        if sign.endswith("-"):
            return known or word
        if sign.endswith("+"):
            return word if known else ""
        return known

    return _VARIABLE.sub(one, value)
