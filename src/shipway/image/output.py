"""Where images go: a layout folder, an archive, Docker or Podman. What they have in common is the image."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from shipway.errors import MachineError, MissingDependency, UsageError
from shipway.image.build import Image
from shipway.oci.archive import write_archive as write_tar
from shipway.oci.descriptor import INDEX, REF_NAME, Descriptor, Index
from shipway.oci.digest import sha256_bytes
from shipway.oci.files import file_errors, publish, temporary
from shipway.oci.layout import Content, Layout
from shipway.spec.image import ImageReference

__all__ = ["Loader", "load", "put_images", "write_archive", "write_layout"]

_CHUNK = 1 << 20
_LOAD_SECONDS = 600
_CONTAINERD_NAME = "io.containerd.image.name"

Loader = Callable[[Sequence[str], BinaryIO], "subprocess.CompletedProcess[bytes]"]
"""Runs a program with a file as its input."""


def write_layout(images: Sequence[Image], folder: Path, name: ImageReference) -> Descriptor:
    """Puts images into a layout folder, under their tag; what else is there stays.

    Args:
        images: one a platform.
        folder: an OCI image layout, or a folder to become one.
        name: what they are called.

    Returns:
        What the tag now names: the image, or an index where there are several.

    Raises:
        NotAStore: the folder holds something else.
        CorruptBlob: a layer in the cache or the base is damaged.
        DiskFull, StoreError: it cannot be written.
    """
    layout = Layout.create(folder)
    put_images(images, layout)
    entry, _ = _entry(images, name)
    tag = entry.annotations.get(REF_NAME)

    def edit(old: Index) -> Index:
        others = tuple(other for other in old.manifests if other.annotations.get(REF_NAME) != tag)
        return msgspec.structs.replace(old, manifests=(*others, entry))

    layout.update_index(edit)
    return entry


def put_images(images: Sequence[Image], layout: Layout) -> Descriptor:
    """Puts the bytes of images into a layout; no entry of its index names them.

    Returns:
        What names them: the image's manifest, or an index where there are several.

    Raises:
        CorruptBlob: a layer in the cache or the base is damaged.
        DiskFull, StoreError: it cannot be written.
    """
    for image in images:
        for layer in image.layers:
            digest, size = layer.descriptor.digest, layer.descriptor.size
            if not layout.has(digest, size):
                with file_errors(image.blobs[digest]), image.blobs[digest].open("rb") as stream:
                    layout.put_stream(iter(lambda: stream.read(_CHUNK), b""), expect=Content(digest, size))
        layout.put_bytes(image.config)
        layout.put_bytes(image.manifest)
    entry, index = _entry(images, None)
    if index:
        layout.put_bytes(index)
    return entry


def write_archive(images: Sequence[Image], file: Path, name: ImageReference) -> Descriptor:
    """Writes images into a tar that OCI tools and Docker of any age read.

    Raises:
        DiskFull, StoreError: it cannot be written.
    """
    with temporary(file.parent) as stream:
        entry = _write(images, stream, name)
        publish(stream, file)
    return entry


def load(image: Image, name: ImageReference, tool: str, run: Loader | None = None) -> None:
    """Gives an image to Docker or Podman.

    Args:
        image: of this machine's platform.
        name: what it shall be called there.
        tool: `docker` or `podman`.
        run: how it is started.

    Raises:
        MissingDependency: the tool is not installed.
        MachineError: it does not take the image, or its daemon does not run.
    """
    with tempfile.TemporaryFile() as file:
        stream = cast("BinaryIO", file)
        _write((image,), stream, name)
        stream.seek(0)
        try:
            done = (run or _run)([tool, "load"], stream)
        except FileNotFoundError as error:
            raise MissingDependency(
                f"{tool} is not installed", fix="use --output FILE.tar instead of --load"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"{tool} load failed: {error}") from error
    if done.returncode:
        text = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise MachineError(f"{tool} load failed: {text}", fix=f"check that {tool} runs: {tool} info")


def _run(command: Sequence[str], stream: BinaryIO) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, stdin=stream, capture_output=True, timeout=_LOAD_SECONDS, check=False)  # noqa: S603


def _write(images: Sequence[Image], stream: BinaryIO, name: ImageReference) -> Descriptor:
    entry, index = _entry(images, name)
    blobs: dict[str, bytes | Path] = {}
    for image in images:
        parts: Mapping[str, bytes | Path] = image.blobs
        blobs |= {**parts, image.image_id: image.config, image.descriptor.digest: image.manifest}
    if index:
        blobs[entry.digest] = index
    with file_errors(Path("the archive")):
        write_tar(stream, (entry,), blobs, str(name.tagged))
    return entry


def _entry(images: Sequence[Image], name: ImageReference | None) -> tuple[Descriptor, bytes]:
    """Gives the entry of `index.json`, and the bytes of the index that it names where there are several images."""
    if not images:
        raise UsageError("there is no image to write", fix="--platform linux/amd64")
    tagged = name.tagged if name else None
    annotations = {REF_NAME: tagged.tag, _CONTAINERD_NAME: str(tagged)} if tagged and tagged.tag else {}
    if len(images) == 1:
        return msgspec.structs.replace(images[0].descriptor, annotations=annotations), b""
    index = Index(tuple(image.descriptor for image in images)).to_json()
    return Descriptor(INDEX, sha256_bytes(index), len(index), annotations=annotations), index
