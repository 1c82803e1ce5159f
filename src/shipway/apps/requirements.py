"""What an app needs, as its own files say it: `requirements.txt` as pip reads it, else `pyproject.toml`.

https://pip.pypa.io/en/stable/reference/requirements-file-format/, PEP 508, PEP 621.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shipway.apps.distributions import installed, likely_name
from shipway.errors import ArtefactError
from shipway.spec.words import normal_name

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["REQUIREMENTS", "Listed", "Requirements", "installed_versions", "misspelt", "read_requirements"]

REQUIREMENTS = "requirements.txt"
_NAMES = (REQUIREMENTS, "requirements/prod.txt", "requirements/production.txt", "requirements/base.txt")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_HASH = re.compile(r"\s--hash[= ]\S+")
_ARCHIVE = re.compile(
    r"(?:^|[/\\=])([A-Za-z][\w.]*(?:-[A-Za-z_][\w.]*)*)-(\d[\w.!+]*?)(?:-[\w.-]+\.whl|\.tar\.gz|\.zip)$"
)
_URL = re.compile(r"(?:[A-Za-z][\w+.-]*)://|^git\+|\s@\s*\S")
_DEPTH = 10
_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Listed:
    """One requirement.

    Attributes:
        name: of the distribution, normalised (PEP 503).
        text: the requirement (PEP 508), without hashes.
        file: relative POSIX path.
        line: in it; 1 in a file that has no lines of its own for requirements.
        pinned: whether it allows one version only.
    """

    name: str
    text: str
    file: str
    line: int
    pinned: bool

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Requirements:
    """All of an app's.

    Attributes:
        listed: in the order of the files.
        constraints: versions allowed of what may come with them (`-c`).
        files: that were read, relative and POSIX; empty where there are none.
        notes: options that are not taken over; one sentence each.
    """

    listed: tuple[Listed, ...] = ()
    constraints: tuple[Listed, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The requirements, one a line, sorted, each once, with the constraints on those that are listed."""
        names = {one.name for one in self.listed}
        return tuple(sorted({one.text for one in (*self.listed, *(c for c in self.constraints if c.name in names))}))


def read_requirements(files: Mapping[str, str], name: str | None = None) -> Requirements:
    """Reads `requirements.txt` and what it includes, else the dependencies of `pyproject.toml`.

    Args:
        files: texts of the folder's files by relative POSIX path.
        name: of the file to begin with, where the Dockerfile installs from another.

    Raises:
        ArtefactError: a line is no requirement, or names a URL, a path or an editable, or two lines disagree.
    """
    first = name if name in files else next((known for known in _NAMES if known in files), None)
    if first is not None:
        reader = _Reader(files)
        reader.read(first, first, constraint=False)
        found = Requirements(
            tuple(reader.listed), tuple(reader.constraints), tuple(reader.seen), tuple(dict.fromkeys(reader.notes))
        )
    elif "pyproject.toml" in files:
        found = _project(files["pyproject.toml"])
    else:
        return Requirements()
    _check_agreement([*found.listed, *found.constraints])
    return found


def installed_versions(requirements: Sequence[str]) -> dict[str, str]:
    """Gives name and version of each distribution installed here that fits the requirements, and of all that it needs.

    Args:
        requirements: as PEP 508 has them.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, str] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    done: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        version = installed(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or version is None or not requirement.specifier.contains(version, prereleases=True):
            continue
        found[normal_name(requirement.name)] = version
        for wanted in ("", *sorted(requirement.extras)):
            if (normal_name(requirement.name), wanted) not in done:
                done.add((normal_name(requirement.name), wanted))
                for text in _needs(requirement.name):
                    try:
                        waiting.append((Requirement(text), wanted))
                    except InvalidRequirement:
                        continue  # an old distribution's own affair
    return dict(sorted(found.items()))


def misspelt(requirements: Requirements) -> tuple[tuple[Listed, str], ...]:
    """Gives each requirement that is not installed and named like a module, or nearly like a known distribution.

    The likely name comes with it.
    """
    pairs = ((one, likely_name(one.name)) for one in requirements.listed)
    return tuple((one, name) for one, name in pairs if name is not None)


@dataclass(slots=True)
class _Reader:
    """A reading of requirement files that include each other."""

    files: Mapping[str, str]
    listed: list[Listed] = field(default_factory=list)
    constraints: list[Listed] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def read(self, file: str, where: str, *, constraint: bool, depth: int = 0) -> None:
        """Reads a file and those that it includes, each once."""
        if file in self.seen:
            return
        if file not in self.files:
            raise ArtefactError(f"{where} includes {file}, which is not in the folder", fix=f"add {file}, or remove it")
        if depth > _DEPTH:
            raise ArtefactError(f"{where} includes files {_DEPTH} deep", fix="write the requirements into one file")
        self.seen.append(file)
        for number, line in _lines(self.files[file]):
            if line.startswith("-"):
                self._option(line, file, number, constraint=constraint, depth=depth)
            else:
                one = _listed(_HASH.sub("", f"{line} ").strip(), file, number)
                (self.constraints if constraint else self.listed).append(one)

    def _option(self, line: str, file: str, number: int, *, constraint: bool, depth: int) -> None:
        match = re.fullmatch(r"(-[rce](?=[^-\s=])|--?[A-Za-z][\w-]*)[=\s]*(.*)", line)
        name, value = match.groups() if match else (line, "")
        if name in ("-r", "--requirement", "-c", "--constraint"):
            if _URL.search(value):
                raise _refused(f"{file}:{number}", value, "a file from the network")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(file), value.strip("\"'")))
            inner = constraint or name in ("-c", "--constraint")
            self.read(path, f"{file}:{number}", constraint=inner, depth=depth + 1)
        elif name in ("-e", "--editable"):
            raise _refused(f"{file}:{number}", value, "an editable folder")
        else:
            self.notes.append(f"{file}:{number}: {name} is not taken over: an index is named where the image is built")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Gives the lines with words, continuation lines joined and comments taken off, with the number of the first."""
    joined, start = "", 0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines()[:_LINES], 1):
        start = start or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line.removesuffix("\\")
            continue
        words = _COMMENT.sub("", joined + line).strip()
        if words:
            yield start, words
        joined, start = "", 0
    if joined.strip():
        yield start, joined.strip()


def _listed(text: str, file: str, line: int) -> Listed:
    from packaging.requirements import InvalidRequirement, Requirement

    where = f"{file}:{line}"
    if _URL.search(text):
        raise _refused(where, text, "a URL")
    if re.match(r"[./~\\]|[A-Za-z]:[\\/]", text) or re.search(r"\.(whl|tar\.gz|zip)$", text):
        raise _refused(where, text, "a path")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise ArtefactError(
            f"{where}: {text!r} is no requirement: {why}", fix=f"mend line {line} of {file}, as in flask>=3.0"
        ) from error
    return Listed(normal_name(requirement.name), str(requirement), file, line, _pinned(requirement))


def _refused(where: str, text: str, what: str) -> ArtefactError:
    name = re.search(r"#egg=([\w.-]+)|^([\w.-]+)\s*@|/([\w.-]+?)(?:\.git)?(?:@[^/]*)?$", text)
    known = next((group for group in name.groups() if group), "NAME") if name else "NAME"
    archive = _ARCHIVE.search(text)
    pin = f"{normal_name(archive[1])}=={archive[2]}" if archive else f"{known}==1.0"
    return ArtefactError(
        f"{where} installs {what}, which no lock can vouch for: {text}",
        fix=f"write a released version ({pin}), or copy its modules into the folder and remove the line",
    )


def _pinned(requirement: Requirement) -> bool:
    exact = ("==", "===")
    return any(one.operator in exact and not one.version.endswith("*") for one in requirement.specifier)


def _project(text: str) -> Requirements:
    file = "pyproject.toml"
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ArtefactError(f"{file} is no TOML: {error}", fix=f"mend {file}") from error
    project, tool = table.get("project"), table.get("tool")
    if isinstance(project, dict) and isinstance(project.get("dependencies"), list):
        words = [word for word in project["dependencies"] if isinstance(word, str)]
        return Requirements(tuple(_listed(word, file, _line_of(word, text)) for word in words), (), (file,))
    if isinstance(tool, dict) and isinstance(tool.get("poetry"), dict) and "dependencies" in tool["poetry"]:
        raise ArtefactError(
            f"{file} lists its dependencies in Poetry's own form",
            fix="poetry export --without-hashes --output requirements.txt",
        )
    return Requirements()


def _line_of(word: str, text: str) -> int:
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if f'"{word}"' in line or f"'{word}'" in line), 1)


def _check_agreement(listed: Sequence[Listed]) -> None:
    """Checks that no version that one line pins is refused by another.

    Raises:
        ArtefactError: two lines disagree; with both.
    """
    from packaging.requirements import Requirement

    for one in listed:
        first = Requirement(one.text)
        versions = [
            part.version for part in first.specifier if part.operator == "==" and not part.version.endswith("*")
        ]
        for other in listed:
            second = Requirement(other.text)
            apart = other.name != one.name or first.marker != second.marker
            if not apart and not all(second.specifier.contains(version, prereleases=True) for version in versions):
                raise ArtefactError(
                    f"{one.where} and {other.where} disagree: {one.text} and {other.text}",
                    fix=f"keep one of them for {one.name}",
                )


def _needs(name: str) -> list[str]:
    from importlib import metadata

    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
