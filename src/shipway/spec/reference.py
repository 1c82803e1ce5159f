"""How a user points at a bundle: `name`, `name:version`, `name@alias`, `name@sha256:…`, a path, or `oci://…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from shipway.errors import UsageError

__all__ = [
    "NAME",
    "BundleId",
    "NameReference",
    "PathReference",
    "Reference",
    "RegistryReference",
    "check_name",
    "parse_reference",
]

NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
"""Lower case, digits, single `-` and `_`: it fits into a URL, an image's name and a file's name on every system.
No dot, so that `model.joblib` is always a path."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAMED = re.compile(
    rf"(?P<name>{NAME.pattern})(?::(?P<version>[1-9][0-9]*)|@(?P<digest>sha256:[0-9a-f]{{6,64}})|@(?P<alias>{NAME.pattern}))?"
)
MAX_NAME = 63


@dataclass(frozen=True, slots=True)
class NameReference:
    """A bundle of the store: the newest version unless one of the three says which."""

    name: str
    version: int | None = None
    alias: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@{self.alias or self.digest}" if self.alias or self.digest else self.name


@dataclass(frozen=True, slots=True)
class PathReference:
    """A bundle, artefact or folder of them on disk."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class RegistryReference:
    """A bundle or image in a registry; `reference` is without the scheme."""

    reference: str

    def __str__(self) -> str:
        return f"oci://{self.reference}"


Reference = NameReference | PathReference | RegistryReference


@dataclass(frozen=True, slots=True)
class BundleId:
    """Which bundle exactly: what the server names in `Shipway-Bundle` and what labels carry.

    Attributes:
        name: the model's name.
        version: counts from 1 in the store where it was packed; 0 for a bundle that is in no store.
        digest: of the bundle's OCI manifest, `sha256:…`.
    """

    name: str
    version: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}@{self.digest}"

    @classmethod
    def parse(cls, text: str) -> BundleId:
        """Parses what `str` gives.

        Raises:
            UsageError: it is not of that form.
        """
        match = re.fullmatch(rf"({NAME.pattern}):([0-9]+)@({_DIGEST.pattern})", text)
        if not match:
            raise UsageError(f"{text!r} is no name:version@sha256:digest")
        return cls(match[1], int(match[2]), match[3])


def check_name(name: str, what: Literal["name", "alias"] = "name") -> str:
    """Gives `name` back if a model, or an alias of one, may be called so.

    Raises:
        UsageError: it may not; the fix proposes a name near it.
    """
    if NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return name
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_NAME].strip("-")
    shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
    proposal = f"--name {near}" if what == "name" else f"call it {near}"
    raise UsageError(
        f"{shown!r} cannot be a model's {what}: at most {MAX_NAME} of a-z and 0-9, joined by single '-' or '_'",
        fix=proposal if near else f"choose another {what}",
    )


def parse_reference(text: str) -> Reference:
    """Parses what a user wrote for REF; what has a separator, a dot or a drive letter is a path.

    Raises:
        UsageError: it is none of the forms.
    """
    if text.startswith("oci://"):
        return RegistryReference(text.removeprefix("oci://"))
    match = _NAMED.fullmatch(text)
    if match and len(match["name"]) <= MAX_NAME:
        version = int(match["version"]) if match["version"] else None
        return NameReference(match["name"], version, match["alias"], match["digest"])
    if re.search(r"[/\\.~]", text) and "@" not in text:
        return PathReference(text)
    raise UsageError(
        f"{text!r} names no bundle: REF is name, name:version, name@alias, name@sha256:…, a path with a '/' or oci://registry/repo:tag",
        fix="shipway list",
    )
