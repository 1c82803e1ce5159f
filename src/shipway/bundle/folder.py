"""A bundle as a folder: the form it has in an image, under `/models/NAME`.

    NAME/id                 name:version@sha256:…
    NAME/oci-manifest.json  exact bytes, so that the digest can be checked and the bundle pushed again
    NAME/bundle.json        the manifest
    NAME/…                  each file at its path

Nothing of `oci` is needed to read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import msgspec

from shipway.bundle.bundle import Bundle
from shipway.errors import CorruptBlob, UnknownBundle
from shipway.spec.manifest import Manifest
from shipway.spec.reference import BundleId

__all__ = ["check_files", "folder_files", "inside", "is_bundle_folder", "read_folder", "read_models"]

_ID, _OCI_MANIFEST, _MANIFEST = "id", "oci-manifest.json", "bundle.json"
_LIMIT = 16 * 1024 * 1024
_AGAIN = "build the image again, or copy the bundle's folder again"


def folder_files(bundle: Bundle) -> Mapping[str, bytes | Path]:
    """Gives the files of the bundle's folder by relative POSIX path: their bytes, or where those lie."""
    own = {_ID: f"{bundle.id}\n".encode(), _OCI_MANIFEST: bundle.oci_manifest, _MANIFEST: bundle.manifest.to_json()}
    return {**own, **bundle.files}


def is_bundle_folder(folder: Path) -> bool:
    """Whether `folder` looks like one."""
    return (folder / _MANIFEST).is_file() and (folder / _ID).is_file()


def read_folder(folder: Path) -> Bundle:
    """Reads a bundle's folder; the manifests are checked against the digest, the files by `check_files`.

    Raises:
        CorruptBlob: a part is missing or is not what the digest says.
    """
    bundle_id = BundleId.parse(_read(folder / _ID).decode("utf-8", "replace").strip())
    oci_manifest, text = _read(folder / _OCI_MANIFEST), _read(folder / _MANIFEST)
    try:
        config_digest = msgspec.json.decode(oci_manifest)["config"]["digest"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise CorruptBlob(f"{folder / _OCI_MANIFEST} is no OCI manifest: {error}", fix=_AGAIN) from error
    for data, digest, name in ((oci_manifest, bundle_id.digest, _OCI_MANIFEST), (text, config_digest, _MANIFEST)):
        if _digest(data) != digest:
            raise CorruptBlob(f"{folder / name} is not what {bundle_id} says", fix=_AGAIN)
    manifest = Manifest.from_json(text)
    files = {file.path: folder / inside(file.path) for file in manifest.files}
    return Bundle(bundle_id, manifest, files, oci_manifest)


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
