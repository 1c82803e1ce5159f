"""Everything that is said of an app's folder before it goes anywhere: what cannot work, what is risky, what to know."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from shipway.apps.choose import choose
from shipway.apps.distributions import distribution_of, installed
from shipway.apps.dockerfile import DOCKERFILE, DockerfileFacts, read_dockerfile, started
from shipway.apps.files import AppFiles, find_secrets, list_files
from shipway.apps.find import Candidate, find_candidates
from shipway.apps.imports import find_imports
from shipway.apps.requirements import Requirements, requirements_of
from shipway.apps.review.answers import check_answers
from shipway.apps.review.django import check_django
from shipway.apps.review.dockerfile import app_ports, check_dockerfile
from shipway.apps.review.facts import FolderFacts, ModelFile
from shipway.apps.review.finding import Finding, Severity, order
from shipway.apps.review.inside import ModelInside, check_inside, find_model
from shipway.apps.review.manifests import check_manifests
from shipway.apps.review.models import check_models, read_models
from shipway.apps.review.paths import check_paths
from shipway.apps.review.program import Program, program_of
from shipway.apps.review.requirements import check_requirements, refusal
from shipway.apps.review.source import check_source, code_ports
from shipway.apps.source import Source
from shipway.apps.versions import versions_here
from shipway.errors import ArtefactError, ShipwayError, UsageError

__all__ = [
    "Finding",
    "FolderFacts",
    "ModelFile",
    "ModelInside",
    "Severity",
    "examine",
    "model_inside",
    "read_facts",
    "review",
]

_MANIFESTS = (".yaml", ".yml")


def examine(folder: Path, wanted: str | None = None, include: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Reads a folder and reviews it; nothing of it is run.

    Args:
        folder: the app's.
        wanted: `module:object` that the user named.
        include: files that go although they are ignored or look like secrets.

    Raises:
        UsageError: `folder` is no folder, or `include` names what is not there.
    """
    try:
        files = list_files(folder, include)
    except ArtefactError as error:
        return (Finding("folder", ".", error.message, error.fix, "error"),)
    secrets = [_secret(path, what) for path, what in find_secrets(files, include)]
    found = review(read_facts(files, files.source(), folder.as_posix(), wanted))
    return tuple(sorted([*secrets, *found], key=order))


def read_facts(files: AppFiles, source: Source, name: str, wanted: str | None = None) -> FolderFacts:
    """Reads what a review looks at.

    Args:
        files: of the folder.
        source: its Python.
        name: of the folder, as its owner would type it.
        wanted: `module:object` that the user named, or that was chosen.
    """
    docker = read_dockerfile(files.text(DOCKERFILE) or "") if DOCKERFILE in files.kept else None
    requirements, refused = _requirements(files, docker or DockerfileFacts())
    return FolderFacts(
        name=name,
        files=frozenset(files.kept),
        source=source,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        today=datetime.now(UTC).date(),
        manifests={path: text for path in files.kept if path.endswith(_MANIFESTS) and (text := files.text(path))},
        docker=docker,
        requirements=requirements,
        refused=refused,
        started=started(docker or DockerfileFacts(), files.text("Procfile")),
        left_out=files.left_out,
        models=tuple(read_models(files)),
        installed=_installed(source, requirements),
        wanted=wanted,
    )


def review(facts: FolderFacts) -> tuple[Finding, ...]:
    """Says what will not work, what is risky and what is worth knowing of a folder; by file and line."""
    docker = facts.docker
    program, found = _program(facts)
    ports = code_ports(program)
    lines = {path: text.splitlines() for path, text in facts.source.texts.items()}
    checks: list[Callable[[], Iterable[Finding]]] = [
        lambda: check_answers(program, lines),
        lambda: check_source(program),
        lambda: check_django(program),
        lambda: check_paths(program, facts, docker),
        lambda: facts.refused or check_requirements(facts),
        lambda: check_models(facts),
        lambda: check_manifests(facts.manifests, _bundle_name(facts), app_ports(docker, ports)),
        lambda: check_inside(program, facts),
    ]
    if docker is not None:
        checks.append(lambda: check_dockerfile(docker, program, facts, ports))
    everything = {*found, *(finding for check in checks for finding in _bounded(check))}
    return tuple(sorted(everything, key=order))


def model_inside(facts: FolderFacts) -> ModelInside | None:
    """Gives the model that is all of the app: Shipway would serve its file by itself, faster."""
    return find_model(_program(facts)[0], facts)


def _program(facts: FolderFacts) -> tuple[Program, tuple[Finding, ...]]:
    """Gives the app's source, and what is to be said of the choice of the app."""
    source = facts.source
    found = [
        Finding("syntax", f"{one.file}:{one.line}", f"does not parse: {one.why}", f"mend line {one.line}", "error")
        for one in source.unreadable
    ]
    app: Candidate | None = None
    try:
        choice = choose(find_candidates(source), source, facts.wanted, facts.started, facts.files)
        app = choice.app
        found += [_another(other, app) for other in choice.others]
    except (ArtefactError, UsageError) as error:
        if not source.unreadable:
            found.append(_no_app(error))
    return program_of(source.modules, app), tuple(found)


def _requirements(files: AppFiles, docker: DockerfileFacts) -> tuple[Requirements, tuple[Finding, ...]]:
    try:
        return requirements_of(files, docker), ()
    except ArtefactError as error:
        return Requirements(), (refusal(error),)


def _installed(source: Source, requirements: Requirements) -> dict[str, str]:
    """Gives the versions here of what is imported or asked for, and of what opens most models."""
    names = {distribution_of(one.module) for one in find_imports(source)} | {"scikit-learn"}
    found = {name: version for name in names if name and (version := installed(name)) is not None}
    return found | versions_here(requirements)


def _secret(path: str, what: str) -> Finding:
    fix = f"name it in .shipwayignore; packed all the same with --include {path}"
    return Finding("folder", path, f"looks like {what}: it must not go into an image", fix, "error")


def _another(other: Candidate, app: Candidate) -> Finding:
    what = f"{other.object} is an app too; served is {app.target}, whose name or place is the usual one"
    return Finding("another-app", other.where, what, f"to serve it instead: --app {other.target}", "note")


def _no_app(error: ShipwayError) -> Finding:
    return Finding("no-app", ".", error.message, error.fix, "error")


def _bundle_name(facts: FolderFacts) -> str:
    return facts.name.rstrip("/").rpartition("/")[2].strip(".") or "NAME"


def _bounded(check: Callable[[], Iterable[Finding]]) -> Sequence[Finding]:
    """Gives what a check finds; of source that is nested too deep to follow, what it found before."""
    found: list[Finding] = []
    with contextlib.suppress(RecursionError):
        found.extend(check())
    return found
