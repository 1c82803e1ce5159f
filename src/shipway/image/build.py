"""A bundle becomes an image: the base, and a few layers on top. Nothing runs, no daemon is asked.

What changes most lies highest, so that a new version of a model is one small new layer:

    base          the operating system and Python
    dependencies  /opt/shipway/lib, from the lock's wheels
    shipway       /opt/shipway/app, from the running installation
    bundle        /models/NAME
    workdir       of an app: a link to its files from where its author had them

The link is not in the bundle's layer, so that whoever pulls a bundle out of an image can refuse all that is no file.
"""

from __future__ import annotations

import importlib.resources
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import BUNDLE_LABEL, folder_files
from shipway.errors import UsageError
from shipway.image.base import BaseImage
from shipway.image.cache import Cache
from shipway.image.layer import COMPRESSOR, Layer, Link, Source, build_layer, key_of
from shipway.image.lock import Lock
from shipway.image.wheels import RULES, bytecode_tag, fetch_wheels, unpack_wheel, with_bytecode
from shipway.oci.descriptor import IMAGE_CONFIG, MANIFEST, Descriptor, OciManifest
from shipway.oci.digest import sha256_bytes
from shipway.spec.app import APP_FOLDER
from shipway.spec.contract import Contract
from shipway.spec.image import Platform, RunConfig

__all__ = [
    "BUNDLE_LABEL",
    "ENVIRONMENT",
    "Image",
    "app_folder",
    "build",
    "check_size",
    "compose",
    "image_environment",
    "lock_note",
    "server_files",
]

LIBRARY, APPLICATION = "opt/shipway/lib", "opt/shipway/app"
ENVIRONMENT: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.32 would report to its maker
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": f"/{APPLICATION}:/{LIBRARY}",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
}
"""The environment of every image, beside what its contract says."""

_CREATED = "1980-01-01T00:00:00Z"
_NOT_SERVED = frozenset({"cli", "client", "deploy", "image", "oci", "__pycache__"})
"""Rooms that a server never imports, as the house's layers have it."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its bytes, and where those of its layers are.

    Attributes:
        manifest: exact bytes of its manifest.
        config: exact bytes of its configuration.
        platform: where it runs.
        layers: lowest first; the first ones are the base's.
        base_layers: how many of them are.
        blobs: where each layer's bytes are, by digest.
    """

    manifest: bytes
    config: bytes
    platform: Platform
    layers: tuple[Layer, ...]
    base_layers: int
    blobs: Mapping[str, Path]

    @property
    def descriptor(self) -> Descriptor:
        """Names it."""
        return Descriptor(MANIFEST, sha256_bytes(self.manifest), len(self.manifest), platform=self.platform)

    @property
    def image_id(self) -> str:
        """The digest of its configuration, by which Docker knows it."""
        return sha256_bytes(self.config)

    @property
    def size(self) -> int:
        """Bytes of all its layers as stored and sent."""
        return sum(layer.descriptor.size for layer in self.layers)

    @property
    def size_over_base(self) -> int:
        """Bytes of the layers that are not the base's, as stored and sent."""
        return sum(layer.descriptor.size for layer in self.layers[self.base_layers :])


def build(
    bundle: Bundle, contract: Contract, base: BaseImage, lock: Lock, cache: Cache, *, bytecode: bool = True
) -> Image:
    """Builds the image of a bundle. The same arguments give the same digest, wherever and whenever.

    Args:
        bundle: what it serves.
        contract: what the running server promises.
        base: what it starts from.
        lock: which wheels.
        cache: where layers and wheels are kept; a layer whose input has not changed is not made again.
        bytecode: put compiled modules in, where this Python makes them for the base's: 3 MB that halve the start.

    Raises:
        CorruptBlob, RemoteError: a wheel cannot be had or is damaged.
        ArtefactError: a file of the bundle cannot be in a layer.
        DiskFull, StoreError: the cache cannot be written.
    """
    tag = bytecode_tag(base.facts.python_version) if bytecode else ""
    server = server_files()
    model = {
        f"{contract.models.strip('/')}/{bundle.id.name}/{path}": source for path, source in folder_files(bundle).items()
    }

    def dependencies() -> Mapping[str, Source]:
        files: dict[str, Source] = {}
        for wheel, path in zip(lock.wheels, fetch_wheels(lock.wheels, cache), strict=True):
            files.update(unpack_wheel(path, wheel.name))  # where two wheels have one file, the later wins, as with pip
        return _below(LIBRARY, with_bytecode(files, LIBRARY) if tag else files)

    wheels = " ".join(wheel.sha256 for wheel in lock.wheels)
    layers: tuple[Layer, ...] = (
        build_layer("dependencies", f"{RULES} {tag} {wheels}", dependencies, cache),
        build_layer(
            "shipway",
            f"{RULES} {tag} {key_of(server)}",
            lambda: _below(APPLICATION, with_bytecode(server, APPLICATION) if tag else server),
            cache,
        ),
        _of_bundle(bundle, build_layer(f"bundle {bundle.id.name}", key_of(model), lambda: model, cache)),
    )
    if contract.workdir:
        # Relative, so that it leads to the same place wherever somebody unpacks the layers.
        target = posixpath.relpath(app_folder(bundle, contract), posixpath.dirname(contract.workdir))
        link = {contract.workdir.strip("/"): Link(target)}
        layers += (build_layer("workdir", key_of(link), lambda: link, cache),)
    return compose(bundle, contract, base, layers, cache)


def app_folder(bundle: Bundle, contract: Contract) -> str:
    """Gives the folder of an app's own files in its image."""
    return f"{contract.models}/{bundle.id.name}/{APP_FOLDER}"


def image_environment(contract: Contract) -> dict[str, str]:
    """Gives the variables of an image: those of the app, then ours, which win."""
    return {**dict(contract.variables), **ENVIRONMENT, **contract.environment}


def _of_bundle(bundle: Bundle, layer: Layer) -> Layer:
    """Gives the bundle's layer with a mark by which it is found in a registry without fetching the others."""
    marked = msgspec.structs.replace(layer.descriptor, annotations={BUNDLE_LABEL: str(bundle.id)})
    return msgspec.structs.replace(layer, descriptor=marked)


def lock_note(base: BaseImage, *, bytecode: bool = True) -> str:
    """Gives what the digests depend on beside the lock's wheels, for the lock's own table."""
    tag = bytecode_tag(base.facts.python_version) if bytecode else ""
    return f'base = "{base.digest}"\nbytecode = "{tag}"\ncompressor = "{COMPRESSOR}"\n'


def compose(bundle: Bundle, contract: Contract, base: BaseImage, layers: tuple[Layer, ...], cache: Cache) -> Image:
    """Gives the image of a base with layers on top: pure, but for where the bytes are."""
    config = base.config
    for layer in layers:
        config = config.with_layer(layer.diff_id, f"shipway build: {layer.title}", _CREATED)
    config = msgspec.structs.replace(config, created=_CREATED, author="", config=_run_config(bundle, contract, base))
    data = config.to_json()
    under = tuple(
        Layer("base", msgspec.structs.replace(descriptor, media_type=descriptor.oci_type), diff_id)
        for descriptor, diff_id in zip(base.manifest.layers, base.config.rootfs.diff_ids, strict=True)
    )
    manifest = OciManifest(
        config=Descriptor(IMAGE_CONFIG, sha256_bytes(data), len(data)),
        layers=tuple(layer.descriptor for layer in (*under, *layers)),
        annotations=_annotations(bundle, base),
    )
    blobs = {layer.descriptor.digest: base.layout.blob(layer.descriptor.digest) for layer in under}
    blobs |= {layer.descriptor.digest: cache.layout().blob(layer.descriptor.digest) for layer in layers}
    return Image(manifest.to_json(), data, config.platform, (*under, *layers), len(under), blobs)


def check_size(image: Image, limit: int) -> None:
    """Checks what an image adds to its base.

    Raises:
        UsageError: it adds more than `limit` bytes; says which layers are large.
    """
    if image.size_over_base > limit:
        parts = ", ".join(
            f"{layer.title} {layer.descriptor.size / 1e6:.1f} MB" for layer in image.layers[image.base_layers :]
        )
        raise UsageError(
            f"the image adds {image.size_over_base / 1e6:.1f} MB to its base, over {limit / 1e6:.1f} MB: {parts}",
            fix="--max-size with a larger number, or a compiled model: shipway show tells why it is not",
        )


def server_files() -> dict[str, bytes]:
    """Gives the files of the running installation that a server needs, by path below a folder of `sys.path`."""
    return dict(sorted(_walk(importlib.resources.files("shipway"), "shipway").items()))


def _walk(folder: Traversable, path: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.name in _NOT_SERVED or entry.name.startswith(".") or entry.name.endswith((".pyc", "~")):
            continue
        inner = f"{path}/{entry.name}"
        if entry.is_dir():
            files |= _walk(entry, inner)
        else:
            files[inner] = entry.read_bytes()
    return files


def _below(folder: str, files: Mapping[str, Source]) -> dict[str, Source]:
    return {f"{folder}/{path}": source for path, source in files.items()}


def _run_config(bundle: Bundle, contract: Contract, base: BaseImage) -> RunConfig:
    labels = _annotations(bundle, base)
    return msgspec.structs.replace(
        base.config.config.with_environment(image_environment(contract)).with_labels(labels),
        user=f"{contract.user}:{contract.user}",
        exposed_ports={f"{contract.port}/tcp": {}},
        entrypoint=contract.command(base.facts.python),
        cmd=None,
        volumes=None,
        working_dir=contract.workdir or "/",
        stop_signal="SIGTERM",
    )


def _annotations(bundle: Bundle, base: BaseImage) -> dict[str, str]:
    prefix = "org.opencontainers.image"
    name = {f"{prefix}.base.name": base.name} if base.name else {}
    return {
        BUNDLE_LABEL: str(bundle.id),
        f"{prefix}.base.digest": base.digest,
        f"{prefix}.title": bundle.id.name,
        f"{prefix}.version": str(bundle.id.version),
        **name,
    }
