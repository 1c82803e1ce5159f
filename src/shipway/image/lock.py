"""The lock of an image: which wheels exactly, resolved by uv for the base's Python, C library and platform.

It is a `pylock.toml` (PEP 751) with a table of ours, `[tool.shipway]`, that says what it was made for. A lock names the
addresses of its wheels; it belongs beside the user's image.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from shipway.errors import MissingDependency, RemoteError, UsageError, VersionMismatch
from shipway.image.cache import Cache
from shipway.spec.image import Platform
from shipway.spec.manifest import Manifest

__all__ = ["SERVER", "Lock", "LockedWheel", "Target", "check_lock", "pins_of", "resolve"]

SERVER = ("click", "httptools", "msgspec", "numpy", "prometheus-client", "uvicorn")
"""The distributions that the server imports. httpx and filelock are for the client and the store."""

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_KNOWN_GLIBC = (17, 28, *range(31, 41))
"""The second numbers of glibc for which uv has a platform."""

_UV_SECONDS = 300
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[bytes]"]


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels must fit.

    Attributes:
        python: major.minor.
        platform: of the image.
        glibc: its version.
    """

    python: str
    platform: Platform
    glibc: tuple[int, int]

    @property
    def machine(self) -> str:
        """The architecture in the names of wheels.

        Raises:
            UsageError: images of that platform cannot be built.
        """
        if self.platform.os != "linux" or self.platform.architecture not in _ARCHITECTURES:
            raise UsageError(
                f"images for {self.platform} cannot be built", fix="--platform linux/amd64 or --platform linux/arm64"
            )
        return _ARCHITECTURES[self.platform.architecture]

    @property
    def tag(self) -> str:
        """The platform as uv has it: the newest that it knows and the base has."""
        known = [minor for minor in _KNOWN_GLIBC if (2, minor) <= self.glibc]
        if not known:
            raise UsageError(
                f"a base with glibc {self.glibc[0]}.{self.glibc[1]} is too old", fix="use a newer base image"
            )
        return f"{self.machine}-manylinux_2_{known[-1]}"

    def rank(self, filename: str) -> int:
        """Gives how well a wheel of that name fits, higher is better; 0 where it does not run there at all."""
        parts = filename.removesuffix(".whl").split("-")
        if len(parts) not in (5, 6) or not filename.endswith(".whl"):
            return 0
        pythons, abis, platforms = (part.split(".") for part in parts[-3:])
        interpreter = "cp" + self.python.replace(".", "")
        if interpreter in abis and interpreter in pythons:
            rank = 3
        elif "abi3" in abis and any(self._has_abi3(python) for python in pythons):
            rank = 2
        elif "none" in abis and {interpreter, "py3", "py" + self.python.replace(".", "")} & set(pythons):
            rank = 1
        else:
            return 0
        fits = max((self._fits(platform) for platform in platforms), default=0)
        return rank * 1000 + fits if fits else 0

    def _has_abi3(self, python: str) -> bool:
        match = re.fullmatch(r"cp3([0-9]+)", python)
        return bool(match) and int(match[1]) <= int(self.python.partition(".")[2]) if match else False

    def _fits(self, platform: str) -> int:
        if platform == "any":
            return 1
        legacy = {"manylinux1": "manylinux_2_5", "manylinux2010": "manylinux_2_12", "manylinux2014": "manylinux_2_17"}
        for old, new in legacy.items():
            platform = platform.replace(f"{old}_", f"{new}_")
        match = re.fullmatch(rf"manylinux_2_([0-9]+)_{self.machine}", platform)
        return int(match[1]) + 1 if match and (2, int(match[1])) <= self.glibc else 0


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """One wheel.

    Attributes:
        name: of the distribution, in its normal form.
        version: of it.
        url: where it is.
        sha256: of its bytes, in hex.
        size: in bytes.
    """

    name: str
    version: str
    url: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """Its file's name, which says what it runs on; safe as a part of a path."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]


class _LockText(msgspec.Struct, frozen=True):
    text: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock: its text, and the one wheel of each distribution that is best on its target."""

    text: str
    wheels: tuple[LockedWheel, ...]

    @classmethod
    def parse(cls, text: str, target: Target) -> Lock:
        """Parses a `pylock.toml`.

        Raises:
            UsageError: it is none, lacks a hash or a size, or has no wheel for the target.
        """
        try:
            document = tomllib.loads(text)
            wheels = tuple(_best(package, target) for package in document["packages"])
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise UsageError(f"not an image lock: {error}", fix="build once without --lock to make one") from error
        return cls(text, tuple(sorted(wheels, key=lambda wheel: wheel.name)))

    @property
    def requirements(self) -> str:
        """The lock as pip's `requirements.txt` with hashes, without addresses."""
        return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in self.wheels)


def pins_of(manifest: Manifest) -> dict[str, str]:
    """Gives what an image of the bundle must have, with exact versions: the model's as packed, the server's as here.

    Raises:
        MissingDependency: this installation lacks a distribution of the server.
    """
    pins = {_normal(name): version for name, version in manifest.runtime_versions.items()}
    for name in SERVER:
        try:
            pins.setdefault(name, metadata.version(name))
        except metadata.PackageNotFoundError as error:
            raise MissingDependency(f"{name} is not installed", fix="pip install --upgrade shipway") from error
    return dict(sorted(pins.items()))


def resolve(pins: Mapping[str, str], target: Target, cache: Cache, note: str = "", run: Run | None = None) -> Lock:
    """Asks uv for all wheels that the pins need on the target. The same question is asked once.

    Args:
        pins: distributions with exact versions.
        target: what the wheels must fit.
        cache: where answers are kept.
        note: what else the image's digest depends on, for the lock's own table: `compressor = "zlib 1.3"`.
        run: how a program is run.

    Raises:
        MissingDependency: uv is not installed.
        RemoteError: uv found no answer.
        UsageError: the answer has other versions than the pins.
    """
    key = (target.python, target.tag, note, *(f"{name}=={version}" for name, version in sorted(pins.items())))
    found = cache.recall(_LockText, *key)
    text = found.text if found else _ask_uv(pins, target, note, run or _run)
    lock = Lock.parse(text, target)
    check_lock(lock, pins)
    if not found:
        cache.remember(_LockText(text), *key)
    return lock


def check_lock(lock: Lock, pins: Mapping[str, str]) -> None:
    """Checks that the lock has every pin in its version; a resolver may take older ones without a word.

    Raises:
        VersionMismatch: it has not.
    """
    locked = {wheel.name: wheel.version for wheel in lock.wheels}
    for name, version in pins.items():
        if locked.get(_normal(name)) != version:
            raise VersionMismatch(
                f"the lock has {name} {locked.get(_normal(name), 'not at all')}, and the bundle needs {version}",
                fix="build without --lock, or pack the model again with versions that the base can have",
            )


def _ask_uv(pins: Mapping[str, str], target: Target, note: str, run: Run) -> str:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.in"
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()), encoding="utf-8")
        done = run(
            [
                _find_uv(), "pip", "compile", str(requirements), "--format", "pylock.toml", "--quiet", "--no-header",
                "--generate-hashes", "--only-binary", ":all:", "--no-python-downloads",
                "--python-platform", target.tag, "--python-version", target.python,
            ]
        )  # fmt: skip
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RemoteError(
            f"no wheels for Python {target.python} on {target.tag}: {' '.join(line.strip() for line in lines)[:2000]}",
            fix="use a base image with another Python, check the network, or give --lock",
        )
    table = f'\n[tool.shipway]\npython = "{target.python}"\nplatform = "{target.platform}"\ntag = "{target.tag}"\n'
    return done.stdout.decode("utf-8") + table + note


def _find_uv() -> str:
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise MissingDependency(
            "uv resolves the image's dependencies and is not installed", fix='pip install "shipway[build]"'
        ) from error


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, capture_output=True, timeout=_UV_SECONDS, check=False)  # noqa: S603 - no shell
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RemoteError(f"uv gave no answer: {error}", fix="check the network, then try again") from error


def _best(package: Mapping[str, object], target: Target) -> LockedWheel:
    """Gives the wheel of a package that fits best."""
    name, wheels = _normal(str(package["name"])), package.get("wheels")
    if not isinstance(wheels, list):
        raise UsageError(f"the lock has no wheel of {name}", fix="make a new lock")
    locked = [
        LockedWheel(
            name, str(package["version"]), str(wheel["url"]), str(wheel["hashes"]["sha256"]), int(wheel["size"])
        )
        for wheel in wheels
    ]
    best = max(locked, key=lambda wheel: (target.rank(wheel.filename), wheel.filename))
    if not target.rank(best.filename):
        raise UsageError(
            f"the lock has no wheel of {name} for Python {target.python} on {target.tag}", fix="build without --lock"
        )
    safe = re.fullmatch(r"[A-Za-z0-9_.+!-]+", best.filename) and best.url.startswith(("https://", "http://"))
    if not safe or not re.fullmatch(r"[0-9a-f]{64}", best.sha256):
        raise UsageError(f"the lock's wheel of {name} has no sha256 or no address", fix="make a new lock")
    return best


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
