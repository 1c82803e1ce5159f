"""What a Dockerfile does that is old, unsafe or slow, and what of it Shipway's own image does not take over."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from datetime import date

from shipway.apps.dockerfile import DOCKERFILE, DockerfileFacts, Instruction
from shipway.apps.review.facts import FolderFacts
from shipway.apps.review.finding import Finding, place
from shipway.apps.review.program import Program
from shipway.apps.secret import secret_variable

__all__ = ["END_OF_LIFE", "app_ports", "check_dockerfile"]

END_OF_LIFE = {
    "2.7": date(2020, 1, 1),
    "3.4": date(2019, 3, 18),
    "3.5": date(2020, 9, 30),
    "3.6": date(2021, 12, 23),
    "3.7": date(2023, 6, 27),
    "3.8": date(2024, 10, 7),
    "3.9": date(2025, 10, 31),
    "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31),
    "3.12": date(2028, 10, 31),
    "3.13": date(2029, 10, 31),
    "3.14": date(2030, 10, 31),
}
"""The last day of security fixes of each Python; of a month that is only planned, its last.

https://devguide.python.org/versions/
"""

_PYTHON = re.compile(r"(?:.*/)?python:(\d+\.\d+)(?:[.-].*)?")
_PORT = re.compile(r"(?:--port[= ]|-p |--bind[= ]\S*?:|-b ?\S*?:|--http[= ]\S*?:)(\d+)")
_DEVELOPMENT = {"flask": "run", "fastapi": "dev", "quart": "run"}
_RUN_BY_HAND = frozenset({"bottle", "django", "flask", "quart"})
_MANAGERS = {
    "apk": "add",
    "apt": "install",
    "apt-get": "install",
    "dnf": "install",
    "microdnf": "install",
    "yum": "install",
}
_GIT = ".git/"


def check_dockerfile(
    docker: DockerfileFacts, program: Program, facts: FolderFacts, code: Sequence[int]
) -> Iterator[Finding]:
    """Finds what its author would want to know.

    Args:
        docker: its facts.
        program: the app's.
        facts: of the folder.
        code: ports that the source itself names.
    """
    starts = [number for number, one in enumerate(docker.instructions) if one.keyword == "FROM"]
    stage = docker.instructions[starts[-1] :] if starts else ()
    if not stage:
        yield Finding("no-base", DOCKERFILE, "has no FROM: nothing can be built from it", "begin with FROM", "error")
        return
    yield from _base(docker, stage[0], facts)
    if not docker.user:
        what, fix = "the container runs as root", "add USER 1000 above CMD; Shipway's image does not run as root"
        yield Finding("root-user", place(DOCKERFILE, stage[0].line), what, fix, "warning")
    yield from _secrets(docker, stage)
    yield from _copies(stage, facts)
    yield from _installs(docker, stage)
    yield from _command(docker, stage, program)
    yield from _ports(docker, stage, code)


def app_ports(docker: DockerfileFacts | None, code: Sequence[int]) -> frozenset[int]:
    """Gives the ports that the app is known to listen on: those of the Dockerfile, else those of the source."""
    return frozenset((docker.ports if docker else ()) or code)


def _base(docker: DockerfileFacts, first: Instruction, facts: FolderFacts) -> Iterator[Finding]:
    where, fix = place(DOCKERFILE, first.line), f"write FROM python:{facts.python}-slim"
    tag = docker.base.rpartition("/")[2]
    if docker.base != "scratch" and "@" not in tag and (":" not in tag or tag.endswith(":latest")):
        what = f"{docker.base} is another image each time it is built: it has no version"
        yield Finding("base-unpinned", where, what, fix, "warning")
    match = _PYTHON.fullmatch(docker.base)
    if match is None:
        return
    ended = END_OF_LIFE.get(match[1])
    here = f"the image that Shipway builds has Python {facts.python}, as here"
    if ended is not None and ended < facts.today:
        what = f"Python {match[1]} has had no security fixes since {ended.isoformat()}; {here}"
        yield Finding("old-base", where, what, fix, "warning")
    elif match[1] != facts.python:
        yield Finding("other-python", where, f"{docker.base} has another Python: {here}", fix, "note")


def _secrets(docker: DockerfileFacts, stage: Sequence[Instruction]) -> Iterator[Finding]:
    """Finds secrets that its variables hold; what they are is never said."""
    for name, value in docker.environment.items():
        line = next(
            (one.line for one in stage if one.keyword == "ENV" and re.search(rf"\b{re.escape(name)}\b", one.value)), 0
        )
        if line and value and secret_variable(name, value):
            what = f"{name} looks like a secret: it stands in this file, which goes with the app, and is not set"
            fix = "take it out, revoke it, and set the new one where the app runs"
            yield Finding("secret", place(DOCKERFILE, line), what, fix, "warning")


def _copies(stage: Sequence[Instruction], facts: FolderFacts) -> Iterator[Finding]:
    copy = next((number for number, one in enumerate(stage) if _is_whole(one)), None)
    if copy is None:
        return
    where = place(DOCKERFILE, stage[copy].line)
    later = next((one for one in stage[copy:] if one.keyword == "RUN" and _pip(one)), None)
    if later is not None:
        what = "copies the source before it installs: each edit of the source installs everything again"
        fix = f"first COPY requirements.txt . and line {later.line}, then {stage[copy].keyword} {stage[copy].value}"
        yield Finding("copy-order", where, what, fix, "note")
    heavy = [one.path for one in facts.left_out if one.path == _GIT or "environment" in one.why]
    if heavy and ".dockerignore" not in facts.files:
        what = f"copies {', '.join(heavy)} into the image: there is no .dockerignore"
        fix = f"write .dockerignore, one a line: {' '.join(path.rstrip('/') for path in heavy)}"
        yield Finding("no-dockerignore", where, what, fix, "warning")


def _is_whole(one: Instruction) -> bool:
    words = [word for word in one.value.split() if not word.startswith("--")]
    return one.keyword in ("COPY", "ADD") and "--from" not in one.value and words[:1] in (["."], ["./"])


def _pip(one: Instruction) -> bool:
    return re.search(r"\bpip[\d.]*\s+install\b", one.value) is not None


def _installs(docker: DockerfileFacts, stage: Sequence[Instruction]) -> Iterator[Finding]:
    for one in stage:
        if one.keyword != "RUN":
            continue
        where = place(DOCKERFILE, one.line)
        kept = "--no-cache-dir" not in one.value and "--mount=type=cache" not in one.value
        if _pip(one) and kept and "PIP_NO_CACHE_DIR" not in docker.environment:
            fix = "write pip install --no-cache-dir"
            yield Finding("pip-cache", where, "pip leaves its cache in the image", fix, "note")
        packages = tuple(_packages(one.value))
        if packages:
            what = f"installs {', '.join(packages)}: Shipway's image has none of them"
            fix = "where the app needs them, name a base that has them (shipway build --base), or build with this file"
            yield Finding("system-packages", where, what, fix, "warning")


def _packages(value: str) -> Iterator[str]:
    for command in re.split(r"&&|\|\||;|\n", value):
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        for number, word in enumerate(words):
            if posixpath.basename(word) in _MANAGERS and _MANAGERS[posixpath.basename(word)] in words[number:]:
                rest = words[words.index(_MANAGERS[posixpath.basename(word)], number) + 1 :]
                yield from (one for one in rest if re.match(r"[a-z0-9]", one))
                break


def _command(docker: DockerfileFacts, stage: Sequence[Instruction], program: Program) -> Iterator[Finding]:
    words = [posixpath.basename(word) for word in docker.command]
    last = next((one for one in reversed(stage) if one.keyword in ("CMD", "ENTRYPOINT")), None)
    if last is None or not words:
        return
    framework = program.app.framework if program.app else ""
    script = next((word for word in words if word.endswith(".py")), "")
    by_hand = script and re.match(r"python[\d.]*", words[0]) and framework in _RUN_BY_HAND
    known = any(first in words and second in words for first, second in _DEVELOPMENT.items())
    if known or by_hand or "runserver" in words or "--reload" in words:
        what = f"{' '.join(docker.command)} starts a server that is made for development"
        server = "gunicorn" if program.app is None or program.app.interface == "wsgi" else "uvicorn"
        target = program.app.target if program.app else "app:app"
        fix = f'write CMD ["{server}", "{target}"]; Shipway\'s image has a server of its own'
        yield Finding("development-server", place(DOCKERFILE, last.line), what, fix, "warning")


def _ports(docker: DockerfileFacts, stage: Sequence[Instruction], code: Sequence[int]) -> Iterator[Finding]:
    expose = next((one for one in stage if one.keyword == "EXPOSE"), None)
    said = [int(number) for number in _PORT.findall(" ".join(docker.command))]
    listens = said or ([] if docker.target else list(code))
    if expose is not None and listens and docker.ports and not set(listens) & set(docker.ports):
        what = f"exposes {docker.ports[0]}, and the app listens on {listens[0]}"
        yield Finding("port", place(DOCKERFILE, expose.line), what, f"write EXPOSE {listens[0]}", "warning")
