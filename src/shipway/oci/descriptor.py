"""Descriptors, manifests and indexes: the JSON that ties content together.

Source: https://github.com/opencontainers/image-spec. Docker's twins of the media types are read and never written. Keys
that are not known are no error.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shipway.errors import CorruptBlob
from shipway.spec.image import Platform

__all__ = [
    "EMPTY",
    "EMPTY_CONFIG",
    "IMAGE_CONFIG",
    "IMAGE_CONFIGS",
    "INDEX",
    "INDEXES",
    "LAYER_TAR",
    "LAYER_TAR_GZIP",
    "LAYER_TAR_ZSTD",
    "MANIFEST",
    "MANIFESTS",
    "MAX_MANIFEST",
    "REF_NAME",
    "Descriptor",
    "Index",
    "OciManifest",
    "oci_media_type",
]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_TAR_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
EMPTY = "application/vnd.oci.empty.v1+json"

_TWINS = {
    "application/vnd.docker.distribution.manifest.list.v2+json": INDEX,
    "application/vnd.docker.distribution.manifest.v2+json": MANIFEST,
    "application/vnd.docker.container.image.v1+json": IMAGE_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_TAR_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER_TAR_ZSTD,
}
INDEXES = frozenset({INDEX, *(docker for docker, oci in _TWINS.items() if oci == INDEX)})
MANIFESTS = frozenset({MANIFEST, *(docker for docker, oci in _TWINS.items() if oci == MANIFEST)})
IMAGE_CONFIGS = frozenset({IMAGE_CONFIG, *(docker for docker, oci in _TWINS.items() if oci == IMAGE_CONFIG)})

REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation of an index's entry: its tag; valid only in a layout's `index.json`."""

MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes that every registry takes in a manifest."""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Names content: what it is, its digest, and its size in bytes.

    Attributes:
        media_type: what it is.
        digest: `sha256:…`.
        size: in bytes.
        annotations: free texts by reverse-DNS name.
        artifact_type: of a manifest, in an index.
        platform: of an image, in an index.
        urls, data: kept as they are.
    """

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifact_type: str | None = None
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    data: str | None = None

    @property
    def oci_type(self) -> str:
        """Its media type in OCI's name."""
        return oci_media_type(self.media_type)


EMPTY_CONFIG = Descriptor(EMPTY, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2)
"""The descriptor of `{}`, for artefacts without a configuration of their own."""


class OciManifest(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest: a configuration and the layers that belong to it."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}
    schema_version: int = 2

    @classmethod
    def from_json(cls, data: bytes) -> OciManifest:
        """Parses a manifest.

        Raises:
            CorruptBlob: it is none, or of schema version 1.
        """
        return _parse(data, cls)

    def to_json(self) -> bytes:
        """Gives its one JSON text: compact, keys sorted, nothing empty."""
        return _print(self)

    @property
    def references(self) -> tuple[Descriptor, ...]:
        """What must be there for it to be whole."""
        return (self.config, *self.layers)


class Index(msgspec.Struct, frozen=True, rename="camel"):
    """An index: manifests, of several platforms or by several tags."""

    manifests: tuple[Descriptor, ...] = ()
    media_type: str = INDEX
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}
    schema_version: int = 2

    @classmethod
    def from_json(cls, data: bytes) -> Index:
        """Parses an index.

        Raises:
            CorruptBlob: it is none.
        """
        return _parse(data, cls)

    def to_json(self) -> bytes:
        """Gives its one JSON text: compact, keys sorted, nothing empty but the list of manifests."""
        return _print(self)

    @property
    def references(self) -> tuple[Descriptor, ...]:
        """What must be there for it to be whole."""
        return self.manifests


_Document = TypeVar("_Document", OciManifest, Index)


def _parse(data: bytes, kind: type[_Document]) -> _Document:
    what = "an OCI index" if kind is Index else "an OCI manifest"
    try:
        document = msgspec.convert(_without_nulls(msgspec.json.decode(data)), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptBlob(f"not {what}: {error}") from error
    if document.schema_version != 2:
        raise CorruptBlob(f"not {what} of schema version 2, but {document.schema_version}")
    for descriptor in document.references:
        if descriptor.size < 0:
            raise CorruptBlob(f"{what} names content of {descriptor.size} bytes")
    return document


def _print(document: OciManifest | Index) -> bytes:
    filled = msgspec.to_builtins(document)
    return msgspec.json.encode({key: value for key, value in filled.items() if value not in (None, {})}, order="sorted")


def _without_nulls(value: Any) -> Any:
    """Go's tools write null for what is absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def oci_media_type(media_type: str) -> str:
    """Gives OCI's name for a media type of Docker's; any other as it is."""
    return _TWINS.get(media_type, media_type)
