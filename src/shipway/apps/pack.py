"""From an app's folder to what its bundle holds: list, find, confirm, and say what it needs."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipway.apps.choose import Choice, choose
from shipway.apps.confirm import Confirmed, confirm
from shipway.apps.dockerfile import DOCKERFILE, DockerfileFacts, read_dockerfile, started
from shipway.apps.files import AppFiles, collect
from shipway.apps.find import find_candidates
from shipway.apps.imports import find_imports, unlisted
from shipway.apps.requirements import REQUIREMENTS, Requirements, misspelt, requirements_of
from shipway.apps.review.finding import Finding
from shipway.apps.review.sample import check_sample
from shipway.apps.routes import routes_of
from shipway.apps.sample import read_sample
from shipway.apps.secret import secret_variable
from shipway.apps.source import Source
from shipway.apps.versions import installed_versions, versions_here
from shipway.errors import ArtefactError
from shipway.spec.app import APP_FOLDER, AppManifest
from shipway.spec.manifest import File

__all__ = ["AppRequest", "Needs", "PackedApp", "inspect_app", "needs_of", "taken_over"]

_PORT = 8000
_DEBUG = re.compile(r"(FLASK_|DJANGO_|APP_)?(DEBUG|ENV)|FLASK_RUN_\w+|.*_RELOAD|RELOAD")
_BUILD = re.compile(
    r"PATH|HOME|LANG|LC_\w+|VIRTUAL_ENV|DEBIAN_FRONTEND|PORT|HOST"
    r"|PYTHON(DONTWRITEBYTECODE|UNBUFFERED|HASHSEED|FAULTHANDLER|PATH)|(PIP|UV|POETRY|CONDA|WEB|GUNICORN|UVICORN)_\w+"
)
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
        findings: what running it showed that its author should know.
        folder: the app's, as it was listed.
        source: its Python, as it was parsed.
    """

    manifest: AppManifest
    files: Mapping[str, Path | bytes]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    folder: AppFiles
    source: Source


@dataclass(frozen=True, slots=True)
class Needs:
    """What an app needs.

    Attributes:
        requirements: one a line (PEP 508), sorted.
        constraints: on what they bring, likewise.
        versions: what is installed here for them.
        notes: one sentence each.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
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
    source, docker = files.source(), read_dockerfile(files.text(DOCKERFILE) or "")
    hint = started(docker, files.text("Procfile"))
    choice = choose(find_candidates(source), source, request.app, hint, files.kept)
    candidate = choice.app
    say(f"found {candidate.target} ({candidate.where}): {candidate.evidence}")
    environment, dropped = taken_over(docker.environment)
    needs = needs_of(files, source, docker)
    say("importing it in a process of its own" + (" and sending it the sample" if sample else ""))
    confirmed = confirm(
        files.folder,
        candidate.target,
        root=source.root,
        seconds=request.seconds,
        sample=sample,
        environment=environment,
    )
    framework = candidate.framework if confirmed.framework == "callable" else confirmed.framework
    stored = {f"{APP_FOLDER}/{path}": place for path, place in files.kept.items()}
    manifest = AppManifest(
        framework=framework,
        interface=confirmed.interface,
        target=candidate.target,
        python=".".join(platform.python_version_tuple()[:2]),
        requirements=needs.requirements,
        constraints=needs.constraints,
        versions=dict(needs.versions),
        files=tuple(_file(path, place) for path, place in sorted(stored.items())),
        import_root=source.root,
        workdir=docker.workdir if docker.workdir not in ("", "/") else "/app",
        port=docker.ports[0] if docker.ports else _PORT,
        environment=environment,
        owns=confirmed.owns,
        websockets=candidate.websockets and confirmed.interface == "asgi",
        sample=confirmed.answer.request if confirmed.answer else None,
    )
    notes = (*_notes(manifest, choice, files, confirmed), *dropped, *needs.notes)
    return PackedApp(manifest, stored, notes, _findings(request, confirmed, source), files, source)


def taken_over(environment: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Gives the variables of a Dockerfile that go with the app, and why the others do not.

    Args:
        environment: that its `ENV` sets.
    """
    kept, notes = {}, []
    for name, value in sorted(environment.items()):
        if secret_variable(name, value):
            notes.append(f"{name} of the Dockerfile looks like a secret and is not set: set it where the app runs")
        elif _DEBUG.fullmatch(name) and value.lower() not in ("", "0", "false", "production"):
            notes.append(f"{name}={value} of the Dockerfile stays out: debug modes are for development")
        elif not _BUILD.fullmatch(name):
            kept[name] = value
    return kept, tuple(notes)


def needs_of(files: AppFiles, source: Source, docker: DockerfileFacts) -> Needs:
    """Gives what an app needs: what it lists, or its Dockerfile installs; and what it imports beside that.

    Args:
        files: of the folder.
        source: its Python.
        docker: facts of its Dockerfile.

    Raises:
        ArtefactError: a requirement is none, cannot be locked, or has a name that is a typing error.
    """
    listed = requirements_of(files, docker)
    for one, name in misspelt(listed):
        raise ArtefactError(
            f"{one.where} lists {one.name}, which is not installed here: did you mean {name}?",
            fix=f"write {name}; if {one.name} is right, pip install {one.name} first",
        )
    missing = unlisted(find_imports(source), listed)
    notes = list(_read_from(listed))
    for found, distribution in missing:
        then = f"{distribution} is added" if distribution else f"name it in {REQUIREMENTS}, for it is not known here"
        notes.append(f"{found.where} imports {found.module}, which no requirement brings: {then}")
    requirements = tuple(sorted({*listed.texts, *(name for _, name in missing if name)}))
    return Needs(requirements, listed.limits, installed_versions(requirements, listed.limits), tuple(notes))


def _read_from(listed: Requirements) -> Iterator[str]:
    """Says from where the requirements are, and what they leave open."""
    if listed.files and listed.files[0] != REQUIREMENTS:
        yield f"requirements are those of {listed.files[0]}: {', '.join(listed.texts) or 'none'}"
    yield from listed.notes
    if listed.loose:
        loose = ", ".join(one.text for one in listed.loose)
        yield f"without a version: {loose}; an image takes what is installed here, where that fits"
    others = [f"{one.text} (here {version})" for one, version in listed.refusing(versions_here(listed))]
    if others:
        yield f"tried here with other versions than its image has: {', '.join(others)}"


def _findings(request: AppRequest, confirmed: Confirmed, source: Source) -> tuple[Finding, ...]:
    if confirmed.answer is None or request.sample is None:
        return ()
    routes = confirmed.routes or routes_of(source.modules)
    return tuple(check_sample(confirmed.answer.request, confirmed.answer.body, routes, request.sample.name))


def _notes(manifest: AppManifest, choice: Choice, files: AppFiles, confirmed: Confirmed) -> Iterator[str]:
    candidate = choice.app
    yield f"{manifest.framework} app {manifest.target} ({candidate.where}), served as {manifest.interface.upper()}"
    for other in choice.others:
        yield f"{other.where} has another app, {other.object}; to take it instead: --app {other.target}"
    if manifest.import_root:
        yield f"{manifest.import_root}/ is on Python's path, as an installed project's packages are"
    if candidate.debug:
        yield f"debug mode is switched on at {', '.join(candidate.debug)}; it stays off in production"
    if manifest.owns:
        yield f"the app answers {', '.join(manifest.owns)} itself, so the server does not"
    sample = manifest.sample
    if sample is not None and sample.status < 400:  # a refusal is a finding
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
