"""Everything that is said of an app's folder before it goes anywhere: what cannot work, what is risky, what to know."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from shipway.apps.choose import choose
from shipway.apps.distributions import distribution_of, installed
from shipway.apps.dockerfile import DockerfileFacts, read_dockerfile
from shipway.apps.files import AppFiles, find_secrets, list_files
from shipway.apps.find import Candidate, find_candidates
from shipway.apps.imports import find_imports
from shipway.apps.review.answers import check_answers
from shipway.apps.review.django import check_django
from shipway.apps.review.dockerfile import DOCKERFILE, app_ports, check_dockerfile
from shipway.apps.review.facts import FolderFacts, ModelFile
from shipway.apps.review.finding import Finding, Severity, order
from shipway.apps.review.inside import ModelInside, check_inside, find_model
from shipway.apps.review.manifests import check_manifests
from shipway.apps.review.models import check_models, read_models
from shipway.apps.review.paths import check_paths
from shipway.apps.review.program import Program, program_of
from shipway.apps.review.requirements import check_requirements, try_requirements
from shipway.apps.review.source import check_source, code_ports
from shipway.apps.source import parse_all
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

_READ = (".py", ".toml", ".yaml", ".yml")
_LISTS = (".in", ".txt")
_NO_APP = "no-app"


def examine(folder: Path, wanted: str | None = None, include: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Reads a folder and reviews it; nothing of it is run.

    Args:
        folder: the app's.
        wanted: `module:object` that the user named.
        include: files that go although they are ignored or look like secrets.

    Raises:
        UsageError: `folder` is no folder, or `include` names a file that is not there.
    """
    try:
        files = list_files(folder, include)
    except ArtefactError as error:
        return (Finding("folder", ".", error.message, error.fix, "error"),)
    secrets = [_secret(path, what) for path, what in find_secrets(files, include)]
    return tuple(sorted([*secrets, *review(read_facts(files, folder.as_posix(), wanted))], key=order))


def read_facts(files: AppFiles, name: str, wanted: str | None = None) -> FolderFacts:
    """Reads what a review looks at.

    Args:
        files: of the folder.
        name: of the folder, as its owner would type it.
        wanted: `module:object` that the user named.
    """
    texts = {path: text for path in files.kept if _is_read(path) and (text := files.text(path)) is not None}
    requirements, _ = try_requirements(texts)
    names = {one.name for one in requirements.listed} | {distribution_of(one.module) for one in find_imports(texts)}
    versions = {one: version for one in {*names, "scikit-learn"} if (version := installed(one)) is not None}
    return FolderFacts(
        name=name,
        files=frozenset(files.kept),
        texts=texts,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        today=datetime.now(UTC).date(),
        left_out=files.left_out,
        models=tuple(read_models(files)),
        installed=versions,
        wanted=wanted,
    )


def review(facts: FolderFacts) -> tuple[Finding, ...]:
    """Says what will not work, what is risky and what is worth knowing of a folder; by file and line."""
    docker = read_dockerfile(facts.texts[DOCKERFILE]) if DOCKERFILE in facts.texts else None
    program, found = _program(facts, docker)
    python = _python(facts)
    named = docker.requirement_files[0] if docker and docker.requirement_files else None
    requirements, refused = try_requirements(facts.texts, named)
    ports = code_ports(program)
    lines = {path: text.splitlines() for path, text in python.items()}
    checks: list[Callable[[], Iterable[Finding]]] = [
        lambda: check_answers(program, lines),
        lambda: check_source(program),
        lambda: check_django(program),
        lambda: check_paths(program, facts, docker),
        lambda: refused or check_requirements(requirements, python, facts),
        lambda: check_models(requirements, facts),
        lambda: check_manifests(facts.texts, _bundle_name(facts), app_ports(docker, ports)),
        lambda: check_inside(program, facts),
    ]
    if docker is not None:
        checks.append(lambda: check_dockerfile(docker, program, facts, ports))
    everything = {*found, *(finding for check in checks for finding in _bounded(check))}
    return tuple(sorted(everything, key=order))


def model_inside(facts: FolderFacts) -> ModelInside | None:
    """Gives the model that is all of the app: Shipway would serve its file by itself, faster."""
    docker = read_dockerfile(facts.texts[DOCKERFILE]) if DOCKERFILE in facts.texts else None
    return find_model(_program(facts, docker)[0], facts)


def _program(facts: FolderFacts, docker: DockerfileFacts | None) -> tuple[Program, tuple[Finding, ...]]:
    """Gives the app's source, and what keeps it from being one."""
    python = _python(facts)
    modules, unreadable = parse_all(python)
    found = [
        Finding("syntax", f"{one.file}:{one.line}", f"does not parse: {one.why}", f"mend line {one.line}", "error")
        for one in unreadable
    ]
    app: Candidate | None = None
    try:
        app = choose(find_candidates(python), python, facts.wanted, docker.target if docker else None, facts.files)
    except (ArtefactError, UsageError) as error:
        if not unreadable:
            found.append(_no_app(error))
    return program_of(modules, app), tuple(found)


def _secret(path: str, what: str) -> Finding:
    fix = f"name it in .shipwayignore; packed all the same with --include {path}"
    return Finding("folder", path, f"looks like {what}: it must not go into an image", fix, "error")


def _no_app(error: ShipwayError) -> Finding:
    return Finding(_NO_APP, ".", error.message, error.fix, "error")


def _is_read(path: str) -> bool:
    """Whether a review reads a file: data files are left alone, lists of requirements lie where they are looked for."""
    listed = path.endswith(_LISTS) and ("/" not in path or "requirements" in path)
    return listed or path.endswith(_READ) or path.rpartition("/")[2] == DOCKERFILE


def _python(facts: FolderFacts) -> dict[str, str]:
    return {path: text for path, text in facts.texts.items() if path.endswith(".py")}


def _bundle_name(facts: FolderFacts) -> str:
    return facts.name.rstrip("/").rpartition("/")[2].strip(".") or "NAME"


def _bounded(check: Callable[[], Iterable[Finding]]) -> Sequence[Finding]:
    """Gives what a check finds; of source that is nested too deep to follow, what it found before."""
    found: list[Finding] = []
    with contextlib.suppress(RecursionError):
        found.extend(check())
    return found
