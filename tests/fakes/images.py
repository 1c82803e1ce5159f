"""Tiny images: a layout with hand-made layers, as small as a builder can be fooled by."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shipway.bundle.bundle import Bundle
from shipway.bundle.store import Store
from shipway.image.base import read_base
from shipway.image.build import Image, build
from shipway.image.cache import Cache
from shipway.image.lock import Lock
from shipway.oci.descriptor import IMAGE_CONFIG, LAYER_TAR_GZIP, MANIFEST, REF_NAME, Descriptor, OciManifest
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout
from shipway.spec.app import AppManifest
from shipway.spec.contract import Contract
from shipway.spec.image import ImageConfig, Platform, RootFilesystem, RunConfig
from shipway.spec.manifest import File, Golden, Manifest
from shipway.spec.signature import Column, Method, Signature

__all__ = ["PYTHON_ROOT", "add_image", "build_image", "make_app_bundle", "make_bundle", "tar_of"]

AMD64 = Platform("amd64", "linux")
PYTHON_ROOT: Mapping[str, bytes | str] = {
    "usr/bin/python3.11": b"ELF",
    "usr/bin/python3": "-> python3.11",
    "usr/lib/python3.11/os.py": b"",
    "lib": "-> usr/lib",
    "usr/lib/x86_64-linux-gnu/libc.so.6": b"\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n\0",
    "usr/lib/x86_64-linux-gnu/libstdc++.so.6": b"",
    "usr/lib/x86_64-linux-gnu/libgcc_s.so.1": b"",
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
}
"""What a builder looks for in a base; a text is the target of a link (`-> …`), or of a hard link (`=> …`)."""


def tar_of(files: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type = tarfile.SYMTYPE if content.startswith("->") else tarfile.LNKTYPE
                info.linkname = content[3:]
            elif name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return buffer.getvalue()


def add_image(
    layout: Layout,
    layers: Sequence[Mapping[str, bytes | str] | bytes],
    *,
    platform: Platform = AMD64,
    env: tuple[str, ...] = ("PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8"),
    tag: str = "",
    docker: bool = False,
) -> Descriptor:
    """Puts an image of these layers (files, or the bytes of a tar) into a layout; gives its entry in the index."""
    tars = [layer if isinstance(layer, bytes) else tar_of(layer) for layer in layers]
    diff_ids = tuple(sha256_bytes(tar) for tar in tars)
    config = ImageConfig(platform.architecture, platform.os, RootFilesystem(diff_ids), config=RunConfig(env=env))
    blobs = [layout.put_bytes(gzip.compress(tar, mtime=0)) for tar in tars]
    docker_prefix = "application/vnd.docker."
    types = (
        (f"{docker_prefix}container.image.v1+json", f"{docker_prefix}image.rootfs.diff.tar.gzip")
        if docker
        else (IMAGE_CONFIG, LAYER_TAR_GZIP)
    )
    media_type = f"{docker_prefix}distribution.manifest.v2+json" if docker else MANIFEST
    manifest = OciManifest(
        Descriptor(types[0], *layout.put_bytes(config.to_json())),
        tuple(Descriptor(types[1], *blob) for blob in blobs),
        media_type=media_type,
    )
    annotations = {REF_NAME: tag} if tag else {}
    entry = Descriptor(media_type, *layout.put_bytes(manifest.to_json()), annotations=annotations, platform=platform)
    layout.update_index(lambda index: msgspec.structs.replace(index, manifests=(*index.manifests, entry)))
    return entry


def make_bundle(folder: Path, model: bytes = b"model", name: str = "tiny") -> Bundle:
    """Gives a bundle in a store of its own; its model is no model."""
    column = Column("a", "float64")
    files: dict[str, Path | bytes] = {"artefact/model.bin": model, "golden.json": b"{}"}
    listed = (
        File("artefact/model.bin", "artefact", sha256_bytes(model), len(model)),
        File("golden.json", "golden", sha256_bytes(b"{}"), 2),
    )
    manifest = Manifest(
        framework="fake", kind="Fake", artefact="artefact/model.bin", python="3.11", versions={},
        signature=Signature((column,), (Method("predict", (column,)),)), files=listed,
        golden=Golden("golden.json", 1, synthetic=False),
    )  # fmt: skip
    return Store.at(folder).add(manifest, files, name, notes={}).bundle


def make_app_bundle(
    folder: Path,
    *,
    name: str = "tutorial",
    requirements: tuple[str, ...] = ("flask",),
    source: bytes = b"app = None\n",
    others: Mapping[str, str] | None = None,
    **fields: Any,
) -> Bundle:
    """Gives a bundle of an app in a store of its own; its app is none. `others` are more of its files."""
    texts = {"app.py": source, "requirements.txt": "".join(f"{text}\n" for text in requirements).encode()}
    texts |= {path: text.encode() for path, text in (others or {}).items()}
    files: dict[str, Path | bytes] = {f"artefact/{path}": data for path, data in texts.items()}
    listed = tuple(
        File(f"artefact/{path}", "artefact", sha256_bytes(data), len(data)) for path, data in sorted(texts.items())
    )
    chosen: dict[str, Any] = {"framework": "flask", "interface": "wsgi", "target": "app:app", "python": "3.11",
                              "versions": {}, **fields}  # fmt: skip
    manifest = AppManifest(requirements=requirements, files=listed, **chosen)
    return Store.at(folder).add(manifest, files, name, notes={}).bundle


def build_image(folder: Path, bundle: Bundle, platform: Platform = AMD64) -> Image:
    """Builds the image of a bundle on a base of a few files, without dependencies; cache and base are in `folder`."""
    base_folder = folder / f"base-{platform.architecture}"
    if not base_folder.exists():
        add_image(Layout.create(base_folder), [PYTHON_ROOT], platform=platform)
    cache = Cache(folder / "cache")

    def no_pull(*_: object) -> Descriptor:
        raise AssertionError

    base = read_base(str(base_folder), platform, cache, no_pull)
    return build(bundle, Contract.of(bundle.manifest), base, Lock("", ()), cache)


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
