"""The lock of an image: which wheels exactly, for the base's Python, C library and platform.

It is a `pylock.toml` (PEP 751) with a table of ours, `[tool.shipway]`, that says what it was made for. A lock names the
addresses of its wheels; it belongs beside the user's image.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from shipway.errors import UsageError, VersionMismatch
from shipway.spec.image import Platform
from shipway.spec.words import normal_name

__all__ = ["Lock", "LockedWheel", "Target", "check_lock"]

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_KNOWN_GLIBC = (17, 28, *range(31, 41))
"""The second numbers of glibc for which uv has a platform."""


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
        return match is not None and int(match[1]) <= int(self.python.partition(".")[2])

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
    """One wheel, or the source archive that a wheel is made from where there is none.

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

    @property
    def is_source(self) -> bool:
        """Whether a wheel has to be made from it."""
        return not self.filename.endswith(".whl")


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


def check_lock(lock: Lock, pins: Mapping[str, str]) -> None:
    """Checks that the lock has every pin in its version; a resolver may take older ones without a word.

    Raises:
        VersionMismatch: it has not.
    """
    locked = {wheel.name: wheel.version for wheel in lock.wheels}
    for name, version in pins.items():
        if locked.get(normal_name(name)) != version:
            raise VersionMismatch(
                f"the lock has {name} {locked.get(normal_name(name), 'not at all')}, and the bundle needs {version}",
                fix="build without --lock, or pack the model again with versions that the base can have",
            )


def _best(package: Mapping[str, object], target: Target) -> LockedWheel:
    """Gives the wheel of a package that fits best; the source archive where the lock names that alone."""
    name, wheels, sdist = normal_name(str(package["name"])), package.get("wheels"), package.get("sdist")
    if wheels is None and isinstance(sdist, dict):
        return _checked(_locked(name, package, sdist))
    if not isinstance(wheels, list):
        raise UsageError(f"the lock has no wheel of {name}", fix="make a new lock")
    locked = [_locked(name, package, wheel) for wheel in wheels]
    best = max(locked, key=lambda wheel: (target.rank(wheel.filename), wheel.filename))
    if not target.rank(best.filename):
        raise UsageError(
            f"the lock has no wheel of {name} for Python {target.python} on {target.tag}", fix="build without --lock"
        )
    return _checked(best)


def _locked(name: str, package: Mapping[str, object], file: Mapping[str, Any]) -> LockedWheel:
    return LockedWheel(
        name, str(package["version"]), str(file["url"]), str(file["hashes"]["sha256"]), int(file["size"])
    )


def _checked(wheel: LockedWheel) -> LockedWheel:
    safe = re.fullmatch(r"[A-Za-z0-9_.+!-]+", wheel.filename) and wheel.url.startswith(("https://", "http://"))
    if not safe or not re.fullmatch(r"[0-9a-f]{64}", wheel.sha256):
        raise UsageError(f"the lock's wheel of {wheel.name} has no sha256 or no address", fix="make a new lock")
    return wheel
