"""What an app's requirements leave out, leave open or get wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shipway.apps.distributions import distribution_of
from shipway.apps.dockerfile import DOCKERFILE
from shipway.apps.imports import Import, find_imports, unlisted
from shipway.apps.requirements import PROJECT, REQUIREMENTS, Listed, misspelt
from shipway.apps.review.facts import FolderFacts
from shipway.apps.review.finding import Finding
from shipway.apps.versions import installed_versions
from shipway.errors import ArtefactError

__all__ = ["check_requirements", "refusal"]

_SKLEARN = "scikit-learn"

_LOCKS = {
    "Pipfile": "pipenv requirements > requirements.txt",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
    "environment.yml": f"write {REQUIREMENTS} with what the app imports",
    "pdm.lock": "pdm export --prod --without-hashes --output requirements.txt",
    "poetry.lock": "poetry export --without-hashes --output requirements.txt",
    "uv.lock": "uv export --format requirements-txt --no-dev --no-emit-project --output-file requirements.txt",
}
"""Files of other tools that say what an app needs, and how each becomes one that is read."""

# Named by settings, command lines or other packages, and never imported by an app.
_TOOLS = frozenset({
    "daphne", "django-cors-headers", "gunicorn", "httptools", "hypercorn", "itsdangerous", "jinja2", "lxml",
    "mysqlclient", "openpyxl", "pip", "psycopg", "psycopg2", "psycopg2-binary", "pyarrow", "python-multipart",
    "setuptools", "uvicorn", "uvloop", "waitress", "werkzeug", "wheel", "whitenoise",
})  # fmt: skip


def refusal(error: ArtefactError) -> Finding:
    """Gives the finding that stands for requirements that cannot be read."""
    where = re.match(r"[^\s:]+:\d+|[\w./-]+\.(?:txt|toml)(?=\s)", error.message)
    place = where[0] if where else REQUIREMENTS
    what = re.sub(r"^ and (\S+) disagree", r"disagrees with \1", error.message.removeprefix(place)).lstrip(": ")
    return Finding("requirement", place, what, error.fix, "error")


def check_requirements(facts: FolderFacts) -> Iterator[Finding]:
    """Finds what is missing, unpinned, superfluous, misspelt, not as here, or listed where nobody reads it."""
    imports, requirements = find_imports(facts.source), facts.requirements
    unread = tuple(_unread(facts))
    yield from unread
    if not requirements.files:
        yield from () if unread else _no_file(imports, facts)
        return
    wrong = dict(misspelt(requirements))
    for one, name in wrong.items():
        what = f"{one.name} is not the name of a distribution that is known here: did you mean {name}?"
        yield Finding("requirement-typo", one.where, what, f"write {name}", "error")
    for found, brought in unlisted(imports, requirements):
        if brought not in wrong.values():
            file = requirements.files[0]
            what = f"imports {found.module}, which no line of {file} brings"
            added = _pin(brought, facts) if brought else f"the distribution that has {found.module}"
            yield Finding("not-listed", found.where, what, f"add {added} to {file}", "error")
    for one in requirements.loose:
        if one not in wrong:
            what = f"{one.text} is not pinned: a build of another day is another program"
            yield Finding("unpinned", one.where, what, f"write {_pin(one.name, facts, _extras(one))}", "warning")
    yield from _unused(imports, facts, [one for one in requirements.listed if one not in wrong])
    yield from _otherwise(facts)


def _unused(imports: tuple[Import, ...], facts: FolderFacts, listed: list[Listed]) -> Iterator[Finding]:
    used = {distribution_of(one.module) for one in imports} | {_SKLEARN for model in facts.models if model.versions}
    for one in listed:
        needs = {one.name, *installed_versions([one.text])}
        if one.name in facts.installed and one.name not in _TOOLS and not used & needs:
            what = f"{one.name} is listed, and nothing imports it"
            yield Finding("not-imported", one.where, what, "remove the line, where nothing else needs it", "note")


def _otherwise(facts: FolderFacts) -> Iterator[Finding]:
    """Finds lines that refuse the version that is installed here: the app is tried with it, and its image has another.

    What wrote the folder's models is told of the models.
    """
    told = {_SKLEARN} if any(model.versions for model in facts.models) else set()
    for one, version in facts.requirements.refusing(facts.installed):
        if one.name not in told:
            what = f"{one.text}, and here is {version}: the app is tried with another version than its image has"
            yield Finding("other-version", one.where, what, f'pip install "{one.text}", then pack', "note")


def _unread(facts: FolderFacts) -> Iterator[Finding]:
    files = facts.requirements.files
    read = files[0] if files else ""
    if read not in ("", DOCKERFILE, PROJECT):
        return
    why = (
        f"{read} is, and the image has a lock of its own" if read else "what the app needs is guessed from its imports"
    )
    for name in sorted(facts.files & _LOCKS.keys()):
        if name != "Pipfile" or "Pipfile.lock" not in facts.files:
            yield Finding("lock-unread", name, f"is not read: {why}", _LOCKS[name], "warning")


def _no_file(imports: tuple[Import, ...], facts: FolderFacts) -> Iterator[Finding]:
    needed = [one for one in imports if not one.optional]
    if needed:
        names = dict.fromkeys(name for one in needed if (name := distribution_of(one.module)))
        unknown = [f"what has {one.module}" for one in needed if distribution_of(one.module) is None]
        lines = ", ".join(filter(None, [" ".join(_pin(name, facts) for name in names), *unknown]))
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
