"""Images as values: platforms, references, and edits of an image's configuration. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from shipway.errors import UsageError

__all__ = ["ImageConfig", "ImageReference", "Platform", "RunConfig"]

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {"arm": "v7"}
_IMPLIED_VARIANTS = {("arm64", "v8"), ("amd64", "v1")}


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an image runs, in Go's names, as indexes and configurations have it.

    Attributes:
        architecture: `amd64`, `arm64`, …
        os: `linux`.
        variant: of the architecture, `v7`; empty where the architecture says enough.
        os_version, os_features: of Windows images; kept, never compared.
    """

    architecture: str
    os: str
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parses `os/architecture[/variant]` or a lone architecture of Linux, whatever names it uses.

        Raises:
            UsageError: it is not of that form.
        """
        parts = text.strip().lower().split("/")
        if len(parts) == 1:
            parts = ["linux", *parts]
        if len(parts) > 3 or not all(re.fullmatch(r"[a-z0-9_-]+", part) for part in parts):
            raise UsageError(f"{text!r} is no platform", fix="--platform linux/amd64")
        return cls(parts[1], parts[0], parts[2] if len(parts) == 3 else "").normalised()

    def normalised(self) -> Platform:
        """Gives the platform in Go's own names, with a variant only where one is needed to tell it from others."""
        architecture, implied = _ARCHITECTURES.get(self.architecture, (self.architecture, ""))
        variant = self.variant or implied or _DEFAULT_VARIANTS.get(architecture, "")
        if (architecture, variant) in _IMPLIED_VARIANTS:
            variant = ""
        return msgspec.structs.replace(self, architecture=architecture, variant=variant)

    def runs(self, other: Platform) -> bool:
        """Whether a machine of this platform runs images of `other`: the same, or an older variant of it."""
        mine, theirs = self.normalised(), other.normalised()
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return False
        return theirs.variant == mine.variant or _level(theirs.variant) < _level(mine.variant)


def _level(variant: str) -> int:
    """Gives the number of a variant such as `v7`; 0 for none, and for what has no number."""
    match = re.fullmatch(r"v([0-9])", variant)
    return int(match[1]) if match else 0


_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>(?:localhost|\[[0-9a-fA-F:]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:[0-9]+/))(?::[0-9]{{1,5}})?)/)?"
    rf"(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class ImageReference:
    """What an image is called: `[host/]repository[:tag][@digest]`.

    Attributes:
        repository: its path in the registry.
        host: of the registry, with its port; empty for an image that so far has a name only on this machine.
        tag: empty where none was given.
        digest: `sha256:…`, or empty.
    """

    repository: str
    host: str = ""
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        name = f"{self.host}/{self.repository}" if self.host else self.repository
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Parses a reference; no registry is assumed where none is named.

        Raises:
            UsageError: it is not of that form.
        """
        match = _REFERENCE.fullmatch(text)
        if not match or len(f"{match['host'] or ''}/{match['repository']}") > _MAX_NAME:
            raise UsageError(
                f"{text!r} is no name of an image: [host/]repository[:tag][@digest], the repository in lower case",
                fix="use for example registry.example/models/diabetes:1",
            )
        return cls(match["repository"], match["host"] or "", match["tag"] or "", match["digest"] or "")

    @property
    def tagged(self) -> ImageReference:
        """The same with the tag `latest` where it has neither tag nor digest, as every tool takes it."""
        return self if self.tag or self.digest else ImageReference(self.repository, self.host, "latest")

    def for_registry(self) -> ImageReference:
        """Gives the reference with its tag, for a call to its registry.

        Raises:
            UsageError: it names none. Shipway assumes no registry of its own.
        """
        if not self.host:
            raise UsageError(
                f"{str(self)!r} names no registry, and Shipway assumes none",
                fix=f"write the host in front, for example localhost:5000/{self}",
            )
        return self.tagged


class RunConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """How a container of the image is run: the `config` object of an image's configuration."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""

    def environment(self) -> dict[str, str]:
        """Gives the environment by name; of a name given twice the last counts."""
        return dict(entry.partition("=")[::2] for entry in self.env)

    def with_environment(self, extra: Mapping[str, str]) -> RunConfig:
        """Gives the same with `extra` set in the environment; what else was there stays, in its order."""
        return msgspec.structs.replace(
            self, env=tuple(f"{name}={value}" for name, value in {**self.environment(), **extra}.items())
        )

    def with_labels(self, extra: Mapping[str, str]) -> RunConfig:
        """Gives the same with `extra` among the labels."""
        return msgspec.structs.replace(self, labels={**(self.labels or {}), **extra})


class RootFilesystem(msgspec.Struct, frozen=True):
    """The layers of an image by the digests of their uncompressed tars, lowest first."""

    diff_ids: tuple[str, ...]
    type: str = "layers"


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an image's history; those without `empty_layer` stand for the layers, in order."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image's configuration. Keys that it does not know are not kept: a build states all that it means.

    Source: https://github.com/opencontainers/image-spec/blob/main/config.md
    """

    architecture: str
    os: str
    rootfs: RootFilesystem
    config: RunConfig = RunConfig()
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")

    @property
    def platform(self) -> Platform:
        """Where it runs."""
        return Platform(self.architecture, self.os, self.variant).normalised()

    @classmethod
    def from_json(cls, data: bytes) -> ImageConfig:
        """Parses a configuration, of Docker's kind too; nulls stand for absent keys, as Go's tools write them.

        Raises:
            UsageError: it is none.
        """
        try:
            return msgspec.convert(_without_nulls(msgspec.json.decode(data)), cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"not an image configuration: {error}", fix="use another base image") from error

    def to_json(self) -> bytes:
        """Gives its one JSON text: compact, mappings sorted."""
        filled = msgspec.to_builtins(self)
        filled["rootfs"] = {"type": self.rootfs.type, "diff_ids": list(self.rootfs.diff_ids)}
        return msgspec.json.encode(filled, order="sorted")

    def with_layer(self, diff_id: str, created_by: str, created: str) -> ImageConfig:
        """Gives the same with one more layer on top.

        Args:
            diff_id: digest of the layer's uncompressed tar.
            created_by: what made it, for `docker history`.
            created: RFC 3339 time for it.
        """
        history = self.history
        if sum(not entry.empty_layer for entry in history) != len(self.rootfs.diff_ids):
            history = tuple(History(created=created, created_by="base image") for _ in self.rootfs.diff_ids)
        return msgspec.structs.replace(
            self,
            rootfs=RootFilesystem((*self.rootfs.diff_ids, diff_id)),
            history=(*history, History(created=created, created_by=created_by)),
        )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
