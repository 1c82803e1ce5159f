"""What an image must have, and how that becomes a lock: uv resolves it for the base's Python and platform.

A model's image has exactly the versions that it was packed with. An app says what it needs in its own words; of what
those allow, the versions that are installed here are taken where they fit together, else the newest that do.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import msgspec

from shipway.apps.dockerfile import DOCKERFILE, read_dockerfile
from shipway.apps.files import Texts
from shipway.apps.requirements import read_requirements
from shipway.bundle.bundle import Bundle
from shipway.errors import ArtefactError, MissingDependency, RemoteError, UsageError
from shipway.image.cache import Cache
from shipway.image.conflict import explain, without_wheels
from shipway.image.lock import Lock, Target, check_lock
from shipway.image.uv import Run, find_uv, run_uv
from shipway.spec.app import APP_FOLDER, AppManifest
from shipway.spec.manifest import Manifest
from shipway.spec.words import normal_name

__all__ = ["APP_SERVER", "SERVER", "Needs", "needs_of", "pins_of", "resolve"]

SERVER = ("click", "httptools", "msgspec", "numpy", "prometheus-client", "uvicorn")
"""The distributions that the server of models imports. httpx and filelock are for the client and the store."""

APP_SERVER = ("click", "httptools", "msgspec", "prometheus-client", "uvicorn")
"""Those that the server of apps imports."""

_WEBSOCKETS = "websockets"
_MOST_SOURCES = 10


@dataclass(frozen=True, slots=True)
class Needs:
    """What an image must have.

    Attributes:
        requirements: PEP 508, one each.
        pins: exact versions that the lock must have of some distributions, in their normal names.
        constraints: PEP 508, one each: versions allowed of what comes with the requirements.
        preferred: versions that are taken where they fit.
        where: of a requirement or constraint, the file and line where its author wrote it.
        sources: whether a source archive may stand for a wheel.
    """

    requirements: tuple[str, ...]
    pins: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    preferred: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    sources: bool = False

    @classmethod
    def exactly(cls, pins: Mapping[str, str]) -> Needs:
        """Gives the needs that are those versions and no others."""
        return cls(tuple(f"{name}=={version}" for name, version in pins.items()), pins)

    def moved(self, lock: Lock) -> tuple[str, ...]:
        """Gives what the lock has in another version than was preferred, a few words each."""
        return tuple(
            f"{wheel.name} {wheel.version} (here {self.preferred[wheel.name]})"
            for wheel in lock.wheels
            if self.preferred.get(wheel.name, wheel.version) != wheel.version
        )


def needs_of(bundle: Bundle) -> Needs:
    """Gives what an image of the bundle must have.

    Raises:
        MissingDependency: this installation lacks a distribution of the server.
    """
    app = bundle.app
    if app is None:
        return Needs.exactly(pins_of(bundle.model))
    names = (*APP_SERVER, _WEBSOCKETS) if app.websockets and app.interface == "asgi" else APP_SERVER
    server = tuple(text for text in _own_requirements() if _name(text) in names)
    rest = tuple(name for name in names if name not in {_name(text) for text in server})
    here = {name: version for name in names if (version := _installed(name))}
    packed = {normal_name(name): version for name, version in app.versions.items()}
    return Needs(
        (*app.requirements, *server, *rest),
        constraints=app.constraints,
        preferred=here | packed,
        where=_places(bundle, app),
        sources=True,
    )


def pins_of(manifest: Manifest) -> dict[str, str]:
    """Gives what an image of a model must have, with exact versions: the model's as packed, the server's as here.

    Raises:
        MissingDependency: this installation lacks a distribution of the server.
    """
    pins = {normal_name(name): version for name, version in manifest.runtime_versions.items()}
    for name in SERVER:
        version = _installed(name)
        if not version:
            raise MissingDependency(f"{name} is not installed", fix="pip install --upgrade shipway")
        pins.setdefault(name, version)
    return dict(sorted(pins.items()))


class _LockText(msgspec.Struct, frozen=True):
    text: str


def resolve(needs: Needs, target: Target, cache: Cache, note: str = "", run: Run | None = None) -> Lock:
    """Asks uv for all wheels that are needed on the target. The same question is asked once.

    Args:
        needs: what the image must have.
        target: what the wheels must fit.
        cache: where answers are kept.
        note: what else the image's digest depends on, for the lock's own table: `compressor = "zlib 1.3"`.
        run: how a program is run.

    Raises:
        MissingDependency: uv is not installed.
        RemoteError: uv found no answer.
        VersionMismatch: the answer has other versions than the pins.
        ArtefactError: the app's requirements disagree, or one cannot be had; with the lines of its author.
    """
    preferred = (f"{name} {version}" for name, version in sorted(needs.preferred.items()))
    asked = (*sorted(needs.requirements), "", *sorted(needs.constraints), "", *preferred)
    key = (target.python, target.tag, note, *asked)
    found = cache.recall(_LockText, *key)
    text = found.text if found else _ask(needs, target, note, run or run_uv)
    lock = Lock.parse(text, target)
    check_lock(lock, needs.pins)
    if not found:
        cache.remember(_LockText(text), *key)
    return lock


def _ask(needs: Needs, target: Target, note: str, run: Run) -> str:
    """Asks for wheels alone; then, for what has none at all, also for the source."""
    sources: list[str] = []
    while True:
        answer, words = _ask_uv(needs, target, sources, run)
        if answer is not None:
            table = (
                f'\n[tool.shipway]\npython = "{target.python}"\nplatform = "{target.platform}"\ntag = "{target.tag}"\n'
            )
            return answer + table + note
        more = [name for name in without_wheels(words) if name not in sources] if needs.sources else []
        if not more or len(sources) > _MOST_SOURCES:
            break
        sources += more
    if not needs.sources:
        raise RemoteError(
            f"no wheels for Python {target.python} on {target.tag}: {words[:2000]}",
            fix="use a base image with another Python, check the network, or give --lock",
        )
    lines = (*needs.requirements, *needs.constraints)
    raise explain(words, lines, needs.where, sources, f"Python {target.python} on {target.tag}")


def _ask_uv(needs: Needs, target: Target, sources: list[str], run: Run) -> tuple[str | None, str]:
    """Gives uv's lock, or None and why there is none. What is preferred lies where the output goes, as uv has it."""
    with tempfile.TemporaryDirectory() as folder:
        requirements, constraints, output = (
            Path(folder) / name for name in ("requirements.in", "limits", "pylock.toml")
        )
        requirements.write_text("".join(f"{text}\n" for text in needs.requirements), encoding="utf-8")
        constraints.write_text("".join(f"{text}\n" for text in needs.constraints), encoding="utf-8")
        kept = [(name, version) for name, version in needs.preferred.items() if name not in sources]
        packages = "".join(f'[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in kept)
        wanted = ["--output-file", str(output)] if kept else []
        if kept:
            output.write_text(f'lock-version = "1.0"\ncreated-by = "shipway"\n{packages}', encoding="utf-8")
        done = run(
            [
                find_uv(), "pip", "compile", str(requirements), "--constraint", str(constraints),
                "--format", "pylock.toml", "--quiet", "--no-header",
                "--generate-hashes", "--only-binary", ":all:", "--no-python-downloads", *wanted,
                *(word for name in sources for word in ("--no-binary", name)),
                "--python-platform", target.tag, "--python-version", target.python,
            ]
        )  # fmt: skip
        if done.returncode:
            return None, " ".join(done.stderr.decode("utf-8", "replace").split())
        return (output.read_text(encoding="utf-8") if kept else done.stdout.decode("utf-8")), ""


def _own_requirements() -> tuple[str, ...]:
    """Gives what Shipway's own metadata asks for, without extras."""
    try:
        return tuple(text for text in metadata.requires("shipway") or () if "extra ==" not in text)
    except metadata.PackageNotFoundError:
        return ()


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return normal_name(match[0]) if match else ""


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _places(bundle: Bundle, app: AppManifest) -> dict[str, str]:
    """Gives file and line of each requirement and constraint, from the app's own files; none where they are no more."""
    prefix = f"{APP_FOLDER}/"
    texts = Texts({file.path.removeprefix(prefix): bundle.files[file.path] for file in app.files})
    try:
        found = read_requirements(texts, read_dockerfile(texts.get(DOCKERFILE, "")))
    except (ArtefactError, UsageError):
        return {}
    return {one.text: one.where for one in (*found.constraints, *found.listed)}
