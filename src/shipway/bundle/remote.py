"""Bundles in registries: what a tag names, and the way of a bundle there and back.

A bundle lies in a registry in two forms. By itself it is the OCI artefact that it is in the store, blob for blob, so it
has the same digest there. And an image that Shipway built carries its bundle in a layer of its own, which alone is
fetched. What comes back is `foreign`: a pickle in it is not opened unless the operator allows it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import BUNDLE_LABEL
from shipway.bundle.store import ARTIFACT_TYPE, Store, check_parts
from shipway.bundle.unpack import unpack_bundle
from shipway.errors import CorruptBlob, UnknownBundle, UsageError
from shipway.oci.descriptor import (
    IMAGE_CONFIGS,
    INDEXES,
    MANIFEST,
    MANIFESTS,
    MAX_MANIFEST,
    Descriptor,
    Index,
    OciManifest,
)
from shipway.oci.digest import check_digest
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry
from shipway.oci.transfer import Pushed, Tell, pull, push
from shipway.spec.app import read_manifest
from shipway.spec.image import ImageConfig, ImageReference
from shipway.spec.reference import BundleId, check_name

__all__ = ["Found", "Kind", "Pulled", "look", "pull_bundle", "push_bundle"]

Kind = Literal["bundle", "image", "other"]
"""`image` is one that carries a bundle; `other` is anything that Shipway did not make."""

_ATTESTATION = "vnd.docker.reference.type"
_HISTORY = "shipway build: bundle "
_MAX_CONFIG = 16 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """What a tag or digest names.

    Attributes:
        kind: what it is.
        descriptor: of the manifest, or of the index of an image of several platforms.
        manifest: of the artefact; of an index's first image.
        data: its exact bytes.
        config: of an image.
        bundle: that an image says it carries.
        platforms: of an image.
    """

    kind: Kind
    descriptor: Descriptor
    manifest: OciManifest
    data: bytes
    config: ImageConfig | None = None
    bundle: BundleId | None = None
    platforms: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its configuration and layers as stored and sent; of an index, those of its first image."""
        return sum(part.size for part in self.manifest.references)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of a pull.

    Attributes:
        bundle: as it stands in the store.
        new: False where the store had it already under that name.
        found: what lies in the registry.
        fetched: whether its content travelled.
    """

    bundle: Bundle
    new: bool
    found: Found
    fetched: bool


def look(registry: Registry, repository: str, reference: str) -> Found:
    """Finds out what a tag or digest names; no layer is fetched.

    Raises:
        RemoteError: there is no such tag, or the registry does not answer as it should.
        CorruptBlob: it is not what its digest says, or damaged.
    """
    top, data = registry.manifest(repository, reference)
    platforms: tuple[str, ...] = ()
    if top.media_type in INDEXES:
        entries = [entry for entry in Index.from_json(data).manifests if _is_image(entry)]
        if not entries:
            raise UnknownBundle(f"{repository}:{reference} is an index without an image", fix="build it again")
        platforms = tuple(str(entry.platform.normalised()) for entry in entries if entry.platform)
        _, data = registry.manifest(repository, check_digest(entries[0].digest))
    manifest = OciManifest.from_json(data)
    if manifest.artifact_type == ARTIFACT_TYPE:
        return Found("bundle", top, manifest, data)
    if manifest.config.media_type not in IMAGE_CONFIGS:
        return Found("other", top, manifest, data)
    config = _read_config(registry, repository, manifest.config)
    bundle = _bundle_of(manifest, config)
    return Found(
        "image" if bundle else "other", top, manifest, data, config, bundle, platforms or (str(config.platform),)
    )


def push_bundle(
    registry: Registry,
    reference: ImageReference,
    bundle: Bundle,
    store: Store,
    *,
    mount_from: Iterable[str] = (),
    tell: Tell = lambda done, total: None,  # noqa: ARG005
) -> Pushed:
    """Copies a bundle to a registry, under the same digest; only what is missing there travels.

    Args:
        registry: of the reference's host.
        reference: with the tag that it shall have.
        bundle: of the store, or in a folder.
        store: whose folder its blobs are read from.
        mount_from: repositories of the registry that may have some of its blobs.
        tell: told how far it is, in bytes.

    Raises:
        UsageError: it has more files than a registry takes.
        RemoteError: the registry refuses.
        CorruptBlob: a blob of the store is missing or damaged.
    """
    size = len(bundle.oci_manifest)
    if size > MAX_MANIFEST:
        raise UsageError(
            f"{bundle.id.name} has too many files for a registry: their list takes {size} bytes, over {MAX_MANIFEST}",
            fix="pack a folder with fewer files, or push its image: shipway build --push",
        )
    if not store.layout.has(bundle.id.digest, size):
        _copy_blobs(bundle, store.layout)
    top = Descriptor(MANIFEST, bundle.id.digest, size, artifact_type=ARTIFACT_TYPE)
    return push(registry, reference.repository, (reference.tag,), top, store.layout, mount_from=mount_from, tell=tell)


def pull_bundle(
    registry: Registry,
    reference: ImageReference,
    store: Store,
    *,
    name: str | None = None,
    tell: Tell = lambda done, total: None,  # noqa: ARG005
) -> Pulled:
    """Brings a bundle from a registry into the store; what the store has is not fetched again.

    Args:
        registry: of the reference's host.
        reference: of a bundle or of an image that carries one, with a tag or digest.
        store: where it goes, as the next version of its name; the same content is the same version.
        name: what the model is called here: by default as in the image, or as the repository's last part.
        tell: told how far it is, in bytes.

    Raises:
        UnknownBundle: something else lies there.
        UsageError: the name cannot be a model's.
        RemoteError: the registry does not answer as it should.
        CorruptBlob: something is not what its digest says.
        DiskFull: the store's disk is full; the store is as it was.
    """
    found = look(registry, reference.repository, reference.digest or reference.tag)
    notes = {"pulled": f"{reference.host}/{reference.repository}@{found.descriptor.digest}"}
    if found.kind == "bundle":
        chosen, digest = name or reference.repository.rpartition("/")[2], found.descriptor.digest
    elif found.bundle:
        chosen, digest = name or found.bundle.name, found.bundle.digest
        notes["packed-as"] = f"{found.bundle.name}:{found.bundle.version}"
    else:
        raise _not_ours(reference, found)
    check_name(chosen)
    oci_manifest = store.holds(digest)
    fetched = oci_manifest is None
    if oci_manifest is None and found.bundle:
        oci_manifest = _fetch_layer(registry, reference.repository, found, found.bundle, store.layout, tell)
    elif oci_manifest is None:
        oci_manifest = _fetch_artefact(registry, reference.repository, found, store.layout, tell)
    added = store.adopt(oci_manifest, chosen, notes=notes)
    return Pulled(added.bundle, added.new, found, fetched)


def _is_image(entry: Descriptor) -> bool:
    return entry.media_type in MANIFESTS and _ATTESTATION not in entry.annotations


def _read_config(registry: Registry, repository: str, descriptor: Descriptor) -> ImageConfig:
    try:
        return ImageConfig.from_json(_read_small(registry, repository, descriptor))
    except UsageError as error:
        raise CorruptBlob(f"{repository}: {error.message}", fix="build the image again") from error


def _read_small(registry: Registry, repository: str, descriptor: Descriptor) -> bytes:
    """Gives the bytes of a blob that is held in memory."""
    if descriptor.size > _MAX_CONFIG:
        raise CorruptBlob(f"{repository}: a configuration of {descriptor.size} bytes, more than {_MAX_CONFIG}")
    with tempfile.TemporaryDirectory(prefix="shipway-pull-") as folder:
        layout = Layout.create(Path(folder))
        registry.blob(repository, descriptor, layout)
        return layout.read(descriptor.digest, _MAX_CONFIG)


def _bundle_of(manifest: OciManifest, config: ImageConfig) -> BundleId | None:
    """Gives the bundle that an image says it carries; None where it says nothing that we understand."""
    text = manifest.annotations.get(BUNDLE_LABEL) or (config.config.labels or {}).get(BUNDLE_LABEL, "")
    try:
        bundle = BundleId.parse(text)
        check_name(bundle.name)
    except UsageError:
        return None
    return bundle


def _not_ours(reference: ImageReference, found: Found) -> UnknownBundle:
    if found.config:
        return UnknownBundle(
            f"{reference} is an image that Shipway did not build: it carries no bundle",
            fix="shipway build REF --tag T --push makes one that does",
        )
    what = found.manifest.artifact_type or found.manifest.config.media_type
    return UnknownBundle(f"{reference} is neither a bundle nor an image, but {what}", fix="shipway list oci://…")


def _fetch_artefact(registry: Registry, repository: str, found: Found, layout: Layout, tell: Tell) -> bytes:
    """Fetches a bundle that lies there by itself, once its manifests agree with each other."""
    config = found.manifest.config
    if config.size > _MAX_CONFIG:
        raise CorruptBlob(f"{repository}: a bundle's manifest of {config.size} bytes, more than {_MAX_CONFIG}")
    registry.blob(repository, config, layout)
    check_parts(found.manifest, read_manifest(layout.read(config.digest, _MAX_CONFIG)))
    pull(registry, repository, found.descriptor.digest, layout, tell=tell)
    return found.data


def _fetch_layer(
    registry: Registry, repository: str, found: Found, bundle: BundleId, layout: Layout, tell: Tell
) -> bytes:
    """Fetches the layer with an image's bundle, and no other."""
    layer = _layer_of(found)
    with tempfile.TemporaryDirectory(prefix="shipway-pull-") as folder:
        scratch = Layout.create(Path(folder))
        registry.blob(repository, layer, scratch, tell=_counted(tell, layer.size))
        return unpack_bundle(scratch.blob(layer.digest), layer, bundle, layout)


def _counted(tell: Tell, total: int) -> Callable[[int], None]:
    """Gives what adds up the pieces of one blob."""
    done = 0

    def add(size: int) -> None:
        nonlocal done
        done += size
        tell(done, total)

    return add


def _layer_of(found: Found) -> Descriptor:
    """Gives the layer with the bundle: by its annotation, else by the image's history, which Docker keeps too."""
    layers = found.manifest.layers
    marked = [layer for layer in layers if BUNDLE_LABEL in layer.annotations]
    history = [line for line in found.config.history if not line.empty_layer] if found.config else []
    if not marked and len(history) == len(layers):
        marked = [layer for layer, line in zip(layers, history, strict=True) if line.created_by.startswith(_HISTORY)]
    if not marked:
        raise UnknownBundle("no layer of the image holds the bundle that it names", fix="shipway build REF --push")
    return marked[-1]


def _copy_blobs(bundle: Bundle, layout: Layout) -> None:
    """Puts a bundle's blobs into a layout; nothing names them there."""
    for path in bundle.files.values():
        layout.put_file(path)
    layout.put_bytes(bundle.manifest.to_json())
    layout.put_bytes(bundle.oci_manifest)
