"""A bundle as a folder: the form it has in an image, under `/models/NAME`.

    NAME/id                 name:version@sha256:…
    NAME/oci-manifest.json  exact bytes, so that the digest can be checked and the bundle pushed again
    NAME/bundle.json        the manifest
    NAME/…                  each file at its path

Nothing of `oci` is needed to read it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import msgspec

from shipway.bundle.bundle import Bundle
from shipway.errors import CorruptBlob, UnknownBundle, UsageError
from shipway.spec.app import AnyManifest, read_manifest
from shipway.spec.reference import BundleId

__all__ = [
    "BUNDLE_LABEL",
    "MANIFEST",
    "OCI_MANIFEST",
    "OWN_FILES",
    "check_files",
    "folder_files",
    "inside",
    "is_bundle_folder",
    "parse_own",
    "read_folder",
    "read_models",
    "write_folder",
]

BUNDLE_LABEL = "io.shipway.bundle"
"""Label and annotation that name the bundle of an image, and of the layer that holds it: `name:version@sha256:…`."""

_ID, OCI_MANIFEST, MANIFEST = "id", "oci-manifest.json", "bundle.json"
OWN_FILES = (_ID, OCI_MANIFEST, MANIFEST)
"""What a bundle's folder has beside the files that its manifest lists."""

_LIMIT = 16 * 1024 * 1024
_AGAIN = "build the image again, or copy the bundle's folder again"


def folder_files(bundle: Bundle) -> Mapping[str, bytes | Path]:
    """Gives the files of the bundle's folder by relative POSIX path: their bytes, or where those lie."""
    own = {_ID: f"{bundle.id}\n".encode(), OCI_MANIFEST: bundle.oci_manifest, MANIFEST: bundle.manifest.to_json()}
    return {**own, **bundle.files}


def write_folder(bundle: Bundle, folder: Path) -> Path:
    """Writes the bundle's folder, which must not be there yet, below `folder`; gives its path.

    Raises:
        CorruptBlob: the manifest names a path outside.
    """
    root = folder / bundle.id.name
    for path, source in folder_files(bundle).items():
        target = root / inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            target.write_bytes(source)
        else:
            shutil.copyfile(source, target)
    return root


def is_bundle_folder(folder: Path) -> bool:
    """Whether `folder` looks like one."""
    return (folder / MANIFEST).is_file() and (folder / _ID).is_file()


def read_folder(folder: Path) -> Bundle:
    """Reads a bundle's folder; the manifests are checked against the digest, the files by `check_files`.

    Raises:
        CorruptBlob: a part is missing or is not what the digest says.
    """
    own = {name: _read(folder / name) for name in OWN_FILES}
    bundle_id, manifest = parse_own(own, str(folder))
    files = {file.path: folder / inside(file.path) for file in manifest.files}
    return Bundle(bundle_id, manifest, files, own[OCI_MANIFEST])


def parse_own(own: Mapping[str, bytes], where: str) -> tuple[BundleId, AnyManifest]:
    """Parses a bundle's own files, and checks the manifests against the digest and each other.

    Args:
        own: the bytes of each of `OWN_FILES`.
        where: how errors name their folder.

    Raises:
        CorruptBlob: one of them is not what it should be.
    """
    try:
        bundle_id = BundleId.parse(own[_ID].decode("utf-8", "replace").strip())
    except UsageError as error:
        raise CorruptBlob(f"{where}/{_ID}: {error.message}", fix=_AGAIN) from error
    try:
        config_digest = msgspec.json.decode(own[OCI_MANIFEST])["config"]["digest"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError) as error:
        raise CorruptBlob(f"{where}/{OCI_MANIFEST} is no OCI manifest: {error}", fix=_AGAIN) from error
    for name, digest in ((OCI_MANIFEST, bundle_id.digest), (MANIFEST, config_digest)):
        if _digest(own[name]) != digest:
            raise CorruptBlob(f"{where}/{name} is not what {bundle_id} says", fix=_AGAIN)
    manifest = read_manifest(own[MANIFEST])
    for file in manifest.files:
        inside(file.path)
    return bundle_id, manifest


def read_models(folder: Path) -> tuple[Bundle, ...]:
    """Reads a bundle's folder, or a folder of such folders.

    Raises:
        UnknownBundle: it is neither.
    """
    if is_bundle_folder(folder):
        return (read_folder(folder),)
    found = sorted(path for path in folder.iterdir() if is_bundle_folder(path)) if folder.is_dir() else []
    if not found:
        raise UnknownBundle(f"{folder} holds no bundle", fix="shipway pack MODEL --name NAME")
    return tuple(read_folder(path) for path in found)


def check_files(bundle: Bundle) -> None:
    """Checks every file's size, then its digest.

    Raises:
        CorruptBlob: a file is missing or has other bytes.
    """
    for file in bundle.manifest.files:
        path = bundle.files[file.path]
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                digest = "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest() if size == file.size else ""
        except OSError as error:
            raise CorruptBlob(
                f"{file.path} of {bundle.id} cannot be read: {error.strerror}", fix="shipway store check"
            ) from error
        if digest != file.digest:
            raise CorruptBlob(
                f"{file.path} of {bundle.id} has other bytes than its digest says", fix="shipway store check"
            )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise CorruptBlob(f"{path} cannot be read: {error.strerror}", fix=_AGAIN) from error
    if len(data) > _LIMIT:
        raise CorruptBlob(f"{path} is larger than {_LIMIT} bytes", fix=_AGAIN)
    return data


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def inside(path: str) -> PurePosixPath:
    """Gives a manifest's path if it stays within the bundle's folder, on every system.

    Raises:
        CorruptBlob: it does not.
    """
    windows = PureWindowsPath(path)  # which also takes `/` for a separator
    if windows.drive or windows.root or ".." in windows.parts or not windows.parts:
        raise CorruptBlob(f"the manifest names {path!r}, which lies outside the bundle", fix=_AGAIN)
    return PurePosixPath(path)
