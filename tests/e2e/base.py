"""Base images for end-to-end tests, made here from Debian packages, so that no registry is needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shipway.image.layer import gzip_chunks
from shipway.oci.descriptor import IMAGE_CONFIG, LAYER_TAR_GZIP, MANIFEST, REF_NAME, Descriptor, OciManifest
from shipway.oci.layout import Layout
from shipway.spec.image import ImageConfig, Platform, RootFilesystem, RunConfig

__all__ = ["make_base", "needs_mmdebstrap"]

needs_mmdebstrap = pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="apt-get install mmdebstrap")

_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/var/cache/*")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PACKAGES = ("base-files", "python3", "libstdc++6", "libgcc-s1")


def make_base(folder: Path, *, packages: tuple[str, ...] = _PACKAGES, variant: str = "extract") -> Path:
    """Makes an OCI layout with one image of Debian and its Python, tagged `base`; gives the layout's folder.

    `extract` unpacks packages without running their scripts: 19 MB, no shell. `minbase` has a shell and apt, and trusts
    the certificates that this machine trusts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tar = folder / "root.tar"
    command = ["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}", "--quiet"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    if variant != "extract" and _CERTIFICATES.exists():
        command += [f"--customize-hook=copy-in {_CERTIFICATES} {_CERTIFICATES.parent}"]
    command += ["--skip=output/dev", "bookworm", str(tar)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    layout = _layout_of(tar, folder / "layout")
    tar.unlink()
    return layout


def _layout_of(tar: Path, folder: Path) -> Path:
    layout = Layout.create(folder)
    hasher = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        with tar.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
                yield chunk

    layer = layout.put_stream(gzip_chunks(chunks()))
    run = RunConfig(env=("PATH=/usr/local/bin:/usr/bin:/bin",))
    platform = Platform("amd64", "linux")
    config = ImageConfig(
        platform.architecture, platform.os, RootFilesystem((f"sha256:{hasher.hexdigest()}",)), config=run
    )
    manifest = OciManifest(
        Descriptor(IMAGE_CONFIG, *layout.put_bytes(config.to_json())), (Descriptor(LAYER_TAR_GZIP, *layer),)
    )
    entry = Descriptor(
        MANIFEST, *layout.put_bytes(manifest.to_json()), platform=platform, annotations={REF_NAME: "base"}
    )
    layout.update_index(lambda index: msgspec.structs.replace(index, manifests=(entry,)))
    return folder
