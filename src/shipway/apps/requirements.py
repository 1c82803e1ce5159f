"""What an app needs, as its own files say it: `requirements.txt` as pip reads it, else `pyproject.toml` or Dockerfile.

https://pip.pypa.io/en/stable/reference/requirements-file-format/, PEP 508, PEP 621.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shipway.apps.distributions import likely_name
from shipway.apps.dockerfile import DOCKERFILE, DockerfileFacts
from shipway.apps.files import AppFiles
from shipway.errors import ArtefactError
from shipway.spec.words import normal_name

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

__all__ = [
    "PROJECT",
    "REQUIREMENTS",
    "Listed",
    "Requirements",
    "misspelt",
    "read_requirements",
    "requirements_of",
]

REQUIREMENTS = "requirements.txt"
PROJECT = "pyproject.toml"
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

    def allows(self, version: str) -> bool:
        """Whether a version satisfies it; any does where it is not for this Python."""
        from packaging.requirements import Requirement

        requirement = Requirement(self.text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        return not applies or requirement.specifier.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True)
class Requirements:
    """All of an app's.

    Attributes:
        listed: in the order of the files.
        constraints: versions allowed of what they bring, in the order of the files (`-c`).
        files: that were read, relative and POSIX; empty where there are none.
        notes: options that are not taken over; one sentence each.
    """

    listed: tuple[Listed, ...] = ()
    constraints: tuple[Listed, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The requirements, one a line, sorted, each once."""
        return tuple(sorted({one.text for one in self.listed}))

    @property
    def limits(self) -> tuple[str, ...]:
        """The constraints, one a line, sorted, each once."""
        return tuple(sorted({one.text for one in self.constraints}))

    @property
    def loose(self) -> tuple[Listed, ...]:
        """The requirements that neither they nor a constraint pin to one version."""
        pinned = {one.name for one in (*self.listed, *self.constraints) if one.pinned}
        return tuple(one for one in self.listed if one.name not in pinned)

    def refusing(self, versions: Mapping[str, str]) -> Iterator[tuple[Listed, str]]:
        """Gives each line that one of those versions does not satisfy, and the version.

        Args:
            versions: by normalised name of the distribution.
        """
        for one in (*self.listed, *self.constraints):
            version = versions.get(one.name)
            if version is not None and not one.allows(version):
                yield one, version


def requirements_of(files: AppFiles, docker: DockerfileFacts) -> Requirements:
    """Reads the requirements of a folder, as `read_requirements` does.

    Args:
        files: of the folder.
        docker: what its Dockerfile says.

    Raises:
        ArtefactError: as there; or `requirements.txt` is no text.
    """
    if REQUIREMENTS in files.kept and files.text(REQUIREMENTS) is None:
        raise ArtefactError(f"{REQUIREMENTS} is no text in UTF-8 or UTF-16", fix="save it as UTF-8")
    return read_requirements(files.texts, docker)


def read_requirements(files: Mapping[str, str], docker: DockerfileFacts | None = None) -> Requirements:
    """Reads `requirements.txt` and what it includes, or the files that the Dockerfile installs from instead.

    Without such a file it reads the dependencies of `pyproject.toml`, else what the Dockerfile installs by name.

    Args:
        files: texts of the folder's files by relative POSIX path.
        docker: what its Dockerfile says.

    Raises:
        ArtefactError: a line is no requirement, or names a URL, a path or an editable, or two lines disagree.
    """
    docker = docker or DockerfileFacts()
    first = _known(files, docker.requirement_files) or [name for name in _NAMES if name in files][:1]
    found = Requirements()
    if first:
        found = _read(files, first, _known(files, docker.constraint_files))
    elif PROJECT in files:
        found = _project(files[PROJECT])
    if not found.listed and docker.installs:
        listed = tuple(_listed(text, DOCKERFILE, line) for text, line in docker.installs.items())
        found = Requirements(listed, found.constraints, (DOCKERFILE, *found.files), found.notes)
    _check_agreement([*found.listed, *found.constraints])
    return found


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
    seen: dict[tuple[str, bool], None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self, file: str, where: str, *, constraint: bool, depth: int = 0) -> None:
        """Reads a file and those that it includes, each once as requirements and once as constraints."""
        if (file, constraint) in self.seen:
            return
        if file not in self.files:
            raise ArtefactError(f"{where} includes {file}, which is not in the folder", fix=f"add {file}, or remove it")
        if depth > _DEPTH:
            raise ArtefactError(f"{where} includes files {_DEPTH} deep", fix="write the requirements into one file")
        self.seen[file, constraint] = None
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
                raise ArtefactError(
                    f"{file}:{number} includes {value}, which is elsewhere tomorrow",
                    fix=f"save it in the folder, and name that file on line {number} of {file}",
                )
            path = posixpath.normpath(posixpath.join(posixpath.dirname(file), value.strip("\"'")))
            inner = constraint or name in ("-c", "--constraint")
            self.read(path, f"{file}:{number}", constraint=inner, depth=depth + 1)
        elif name in ("-e", "--editable"):
            raise _refused(f"{file}:{number}", value, "an editable folder")
        else:
            self.notes.append(f"{file}:{number}: {name} is not taken over: an index is named where the image is built")


def _known(files: Mapping[str, str], named: Sequence[str]) -> list[str]:
    """Gives the files that a Dockerfile names: by their path in the folder, else in its top, where it copied them."""
    paths = (name if (name := posixpath.normpath(one)) in files else posixpath.basename(one) for one in named)
    return [path for path in paths if path in files]


def _read(files: Mapping[str, str], names: Sequence[str], limits: Sequence[str]) -> Requirements:
    reader = _Reader(files)
    for name in names:
        reader.read(name, name, constraint=False)
    for name in limits:
        reader.read(name, name, constraint=True)
    read = dict.fromkeys(file for file, _ in reader.seen)
    return Requirements(
        tuple(reader.listed), tuple(reader.constraints), tuple(read), tuple(dict.fromkeys(reader.notes))
    )


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
    file = PROJECT
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
    """Checks that some version satisfies each two lines for one distribution.

    Raises:
        ArtefactError: none does; with both lines.
    """
    from packaging.requirements import Requirement

    by_name: dict[str, list[tuple[Listed, Requirement]]] = {}
    for one in listed:
        by_name.setdefault(one.name, []).append((one, Requirement(one.text)))
    for lines in by_name.values():
        for (one, first), (other, second) in itertools.combinations(lines, 2):
            if first.marker == second.marker and not _meet(first.specifier & second.specifier):
                raise ArtefactError(
                    f"{one.where} and {other.where} disagree: {one.text} and {other.text}",
                    fix=f"keep one of them for {one.name}",
                )


def _meet(specifier: SpecifierSet) -> bool:
    """Whether some version satisfies all parts: one of those that they name, or one just above, beyond or below."""
    from packaging.version import InvalidVersion, Version

    tried = ["0.dev0"]
    for part in specifier:
        try:
            version = Version(part.version.removesuffix(".*"))
        except InvalidVersion:
            return True  # `===` takes any word: left to whoever resolves
        *begin, last = version.release
        beyond = ".".join(map(str, [version.epoch, *begin, last + 1])).replace(".", "!", 1)
        tried += [str(version), f"{version.epoch}!{'.'.join(map(str, version.release))}.0.0.0.1", beyond]
    return any(specifier.contains(version, prereleases=True) for version in tried)
