"""What an app's requirements leave out, leave open or get wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from shipway.apps.distributions import distribution_of
from shipway.apps.imports import Import, find_imports, unlisted
from shipway.apps.requirements import (
    REQUIREMENTS,
    Listed,
    Requirements,
    installed_versions,
    misspelt,
    read_requirements,
)
from shipway.apps.review.facts import FolderFacts
from shipway.apps.review.finding import Finding
from shipway.errors import ArtefactError

__all__ = ["check_requirements", "try_requirements"]

_SKLEARN = "scikit-learn"

# Named by settings, command lines or other packages, and never imported by an app.
_TOOLS = frozenset({
    "daphne", "django-cors-headers", "gunicorn", "httptools", "hypercorn", "itsdangerous", "jinja2", "lxml",
    "mysqlclient", "openpyxl", "pip", "psycopg", "psycopg2", "psycopg2-binary", "pyarrow", "python-multipart",
    "setuptools", "uvicorn", "uvloop", "waitress", "werkzeug", "wheel", "whitenoise",
})  # fmt: skip


def try_requirements(texts: Mapping[str, str], name: str | None = None) -> tuple[Requirements, tuple[Finding, ...]]:
    """Reads the requirements; what cannot be read is a finding.

    Args:
        texts: of the folder's files.
        name: of the file to begin with.
    """
    try:
        return read_requirements(texts, name), ()
    except ArtefactError as error:
        where = re.match(r"[^\s:]+:\d+", error.message)
        place = where[0] if where else name or REQUIREMENTS
        what = error.message.removeprefix(place).lstrip(": ")
        return Requirements(), (Finding("requirement", place, what, error.fix, "error"),)


def check_requirements(requirements: Requirements, python: Mapping[str, str], facts: FolderFacts) -> Iterator[Finding]:
    """Finds what is missing, unpinned, superfluous or misspelt.

    Args:
        requirements: that could be read.
        python: texts of the Python files.
        facts: of the folder.
    """
    imports = find_imports(python)
    if not requirements.files:
        yield from _no_file(imports, facts)
        return
    wrong = dict(misspelt(requirements))
    for one, name in wrong.items():
        what = f"{one.name} is not the name of a distribution that is known here: did you mean {name}?"
        yield Finding("requirement-typo", one.where, what, f"write {name}", "error")
    for found, name in unlisted(imports, requirements):
        if name not in wrong.values():
            file = requirements.files[0]
            what = f"imports {found.module}, which no line of {file} brings"
            yield Finding("not-listed", found.where, what, f"add {_pin(name, facts)} to {file}", "error")
    used = {distribution_of(one.module) for one in imports} | {_SKLEARN for model in facts.models if model.versions}
    for one in requirements.listed:
        if one in wrong:
            continue
        if not one.pinned:
            what = f"{one.text} is not pinned: a build of another day is another program"
            yield Finding("unpinned", one.where, what, f"write {_pin(one.name, facts, _extras(one))}", "warning")
        needs = {one.name, *installed_versions([one.text])}
        if one.name in facts.installed and one.name not in _TOOLS and not used & needs:
            what = f"{one.name} is listed, and nothing imports it"
            yield Finding("not-imported", one.where, what, "remove the line, where nothing else needs it", "note")


def _no_file(imports: tuple[Import, ...], facts: FolderFacts) -> Iterator[Finding]:
    if REQUIREMENTS in facts.files:
        what = "cannot be read: it is no text in UTF-8 or UTF-16"
        yield Finding("requirement", REQUIREMENTS, what, "save it as UTF-8", "error")
        return
    needed = [one for one in imports if not one.optional]
    if needed:
        lines = " ".join(dict.fromkeys(_pin(distribution_of(one.module), facts) for one in needed))
        what = f"there is none, and the source imports {', '.join(one.module for one in needed)}"
        yield Finding("no-requirements", REQUIREMENTS, what, f"write {REQUIREMENTS} with: {lines}", "error")


def _extras(one: Listed) -> str:
    extras = re.match(r"[\w.-]+(\[[^\]]*\])", one.text)
    return extras[1] if extras else ""


def _pin(name: str, facts: FolderFacts, extras: str = "") -> str:
    """Gives a requirement of the version that saved the folder's models, else of the one that is installed here."""
    saved = {version for model in facts.models for version in model.versions} if name == _SKLEARN else set()
    version = saved.pop() if len(saved) == 1 else facts.installed.get(name, "VERSION")
    return f"{name}{extras}=={version}"
