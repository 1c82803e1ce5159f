"""From an app's folder to what its bundle holds: list, find, confirm, and say what it needs."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipway.apps.choose import choose
from shipway.apps.confirm import Confirmed, confirm
from shipway.apps.dockerfile import DockerfileFacts, command_target, read_dockerfile
from shipway.apps.files import AppFiles, collect
from shipway.apps.find import Candidate, find_candidates
from shipway.apps.imports import find_imports, unlisted
from shipway.apps.requirements import REQUIREMENTS, installed_versions, misspelt, read_requirements
from shipway.apps.sample import read_sample
from shipway.errors import ArtefactError
from shipway.spec.app import APP_FOLDER, AppManifest
from shipway.spec.manifest import File

__all__ = ["AppRequest", "Needs", "PackedApp", "inspect_app", "needs_of", "taken_over"]

_TEXTS = (".txt", ".in", ".toml", ".cfg")
_PORT = 8000
_DEBUG = re.compile(r"(FLASK_|DJANGO_|APP_)?(DEBUG|ENV)|FLASK_RUN_\w+|.*_RELOAD|RELOAD")
_BUILD = re.compile(
    r"PATH|HOME|LANG|LC_\w+|VIRTUAL_ENV|DEBIAN_FRONTEND|PORT|HOST"
    r"|PYTHON(DONTWRITEBYTECODE|UNBUFFERED|HASHSEED|FAULTHANDLER|PATH)|(PIP|UV|POETRY|CONDA|WEB|GUNICORN|UVICORN)_\w+"
)
_SECRET = re.compile(r".*(PASSWORD|PASSWD|SECRET|TOKEN(?!I[SZ])|API_?KEY|PRIVATE_?KEY|CREDENTIALS?).*", re.IGNORECASE)
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AppRequest:
    """What to pack.

    Attributes:
        folder: the app's.
        app: `module:object` where the user names it.
        sample: a file with a request in JSON (see `sample.parse_sample`).
        include: paths that go although they are ignored or look like secrets.
        seconds: limit of the import and the sample request, of the wall clock.
    """

    folder: Path
    app: str | None = None
    sample: Path | None = None
    include: Sequence[str] = ()
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class PackedApp:
    """What its bundle holds.

    Attributes:
        manifest: with the digests of all files.
        files: by path in the bundle (below `artefact/`), where their bytes lie.
        notes: what was detected, left out and taken over, for people; one sentence each.
        source: the folder as it was read, for a review of it.
    """

    manifest: AppManifest
    files: Mapping[str, Path | bytes]
    notes: tuple[str, ...]
    source: AppFiles


@dataclass(frozen=True, slots=True)
class Needs:
    """What an app needs.

    Attributes:
        requirements: one a line (PEP 508), sorted.
        versions: what is installed here for them.
        notes: one sentence each.
    """

    requirements: tuple[str, ...]
    versions: Mapping[str, str]
    notes: tuple[str, ...]


def inspect_app(request: AppRequest, say: Step = lambda _: None) -> PackedApp:
    """Finds the app of a folder, confirms it, and says what its bundle holds. Nothing is written.

    Args:
        request: what to pack.
        say: told what is done, a line each.

    Raises:
        UsageError: several apps, or a wrong `--app`, `--sample` or `--include`.
        ArtefactError: there is no app, or it cannot be served as it stands; with file and line.
    """
    sample = None if request.sample is None else read_sample(request.sample)
    files = collect(request.folder, request.include)
    facts = read_dockerfile(files.text("Dockerfile") or "")
    candidate = _choose(files, facts, request.app)
    say(f"found {candidate.target} ({candidate.where}): {candidate.evidence}")
    environment, dropped = taken_over(facts.environment)
    needs = needs_of(files, facts)
    say("importing it in a process of its own" + (" and sending it the sample" if sample else ""))
    confirmed = confirm(
        files.folder, candidate.target, seconds=request.seconds, sample=sample, environment=environment
    )  # fmt: skip
    framework = candidate.framework if confirmed.framework == "callable" else confirmed.framework
    stored = {f"{APP_FOLDER}/{path}": place for path, place in files.kept.items()}
    manifest = AppManifest(
        framework=framework,
        interface=confirmed.interface,
        target=candidate.target,
        python=".".join(platform.python_version_tuple()[:2]),
        requirements=needs.requirements,
        versions=dict(needs.versions),
        files=tuple(_file(path, place) for path, place in sorted(stored.items())),
        workdir=facts.workdir if facts.workdir not in ("", "/") else "/app",
        port=facts.ports[0] if facts.ports else _PORT,
        environment=environment,
        owns=confirmed.owns,
        websockets=candidate.websockets and confirmed.interface == "asgi",
        sample=confirmed.answer.request if confirmed.answer else None,
    )
    notes = (*_notes(manifest, candidate, files, confirmed), *dropped, *needs.notes)
    return PackedApp(manifest, stored, notes, files)


def taken_over(environment: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Gives the variables of a Dockerfile that go with the app, and why the others do not.

    Args:
        environment: that its `ENV` sets.
    """
    kept, notes = {}, []
    for name, value in sorted(environment.items()):
        if _SECRET.fullmatch(name):
            notes.append(f"{name} of the Dockerfile looks like a secret and stays out: set it where the app runs")
        elif _DEBUG.fullmatch(name) and value.lower() not in ("", "0", "false", "production"):
            notes.append(f"{name}={value} of the Dockerfile stays out: debug modes are for development")
        elif not _BUILD.fullmatch(name):
            kept[name] = value
    return kept, tuple(notes)


def needs_of(files: AppFiles, facts: DockerfileFacts) -> Needs:
    """Gives what an app needs: what it lists, or its Dockerfile installs; and what it imports beside that.

    Args:
        files: of the folder.
        facts: of its Dockerfile.

    Raises:
        ArtefactError: a requirement is none, cannot be locked, or has a name that is a typing error.
    """
    read = {path: files.text(path) for path in files.kept if path.endswith(_TEXTS)}
    texts = {path: text for path, text in read.items() if text is not None}
    if REQUIREMENTS in read.keys() - texts.keys():
        raise ArtefactError(f"{REQUIREMENTS} is no text in UTF-8 or UTF-16", fix="save it as UTF-8")
    named = next(
        (file.removeprefix("./") for file in facts.requirement_files if file.removeprefix("./") in texts), None
    )
    listed = read_requirements(texts, named)
    notes = list(listed.notes)
    if not listed.listed and facts.installs:
        listed = read_requirements({"Dockerfile": "\n".join(facts.installs)}, "Dockerfile")
        notes.append(f"requirements are those that the Dockerfile installs: {', '.join(listed.texts)}")
    for one, name in misspelt(listed):
        raise ArtefactError(
            f"{one.where} lists {one.name}, which is not installed here: did you mean {name}?",
            fix=f"write {name}; if {one.name} is right, pip install {one.name} first",
        )
    missing = unlisted(find_imports(files.python()), listed)
    notes += [
        f"{one.where} imports {one.module}, which no requirement brings: {name} is added" for one, name in missing
    ]
    loose = [one.text for one in listed.listed if not one.pinned]
    if loose:
        notes.append(f"without a version: {', '.join(loose)}; an image takes what is installed here, where that fits")
    requirements = tuple(sorted({*listed.texts, *(name for _, name in missing)}))
    return Needs(requirements, installed_versions(requirements), tuple(notes))


def _choose(files: AppFiles, facts: DockerfileFacts, app: str | None) -> Candidate:
    python = files.python()
    procfile = re.search(r"^web:\s*(.*)$", files.text("Procfile") or "", re.MULTILINE)
    hint = facts.target or (command_target(tuple(procfile[1].split())) if procfile else None)
    return choose(find_candidates(python), python, app, hint, files.kept)


def _notes(manifest: AppManifest, candidate: Candidate, files: AppFiles, confirmed: Confirmed) -> Iterator[str]:
    yield f"{manifest.framework} app {manifest.target} ({candidate.where}), served as {manifest.interface.upper()}"
    if candidate.debug:
        yield f"debug mode is switched on at {', '.join(candidate.debug)}; it stays off in production"
    if manifest.owns:
        yield f"the app answers {', '.join(manifest.owns)} itself, so the server does not"
    if manifest.sample is not None:
        sample = manifest.sample
        yield f"the sample, {sample.method} {sample.path}, is answered with {sample.status}"
    for one in files.left_out:
        yield f"{one.path} stays out: {one.why}"
    left = tuple(one.path for one in files.left_out)
    for path in confirmed.opened:
        if path not in files.kept and any(path == one or (one.endswith("/") and path.startswith(one)) for one in left):
            yield f"the app opens {path}, which stays out: take it with --include {path}"
    for noted in confirmed.noted:
        what = "writes into its folder, which an image has read-only" if noted.kind == "writes" else "starts a program"
        yield f"{noted.file}:{noted.line} {what}: {noted.message}"


def _file(path: str, place: Path) -> File:
    with place.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return File(path, "artefact", f"sha256:{digest}", stream.tell())
