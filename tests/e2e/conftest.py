"""What end-to-end tests stand on: a base image and an engine, made or started here where they can be."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.base import make_base
from e2e.releases import Version, make_versions
from shipway.bundle.store import Store
from shipway.image.base import BaseImage, read_base
from shipway.image.cache import Cache
from shipway.oci.descriptor import Descriptor
from shipway.oci.layout import Layout
from shipway.spec.image import ImageReference, Platform


def _answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Docker, running: the one that runs, else one that is started here as root and ended with the tests."""
    if shutil.which("docker") and _answers():
        yield
        return
    if not shutil.which("dockerd") or os.geteuid() != 0:
        pytest.skip("needs Docker, running")
    log = tmp_path_factory.mktemp("dockerd") / "log"
    with log.open("wb") as stream:
        daemon = subprocess.Popen(["dockerd"], stdout=stream, stderr=stream)
    try:
        end = time.monotonic() + 30
        while not _answers():
            assert daemon.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        daemon.terminate()
        daemon.wait(30)


def _no_pull(reference: ImageReference, platform: Platform, layout: Layout) -> Descriptor:
    raise AssertionError(f"asked for {reference}")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The cache that a command finds with `XDG_CACHE_HOME` set to its parent."""
    return Cache(tmp_path_factory.mktemp("cache") / "shipway")


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with a base image, tagged `base`."""
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def base(base_folder: Path, cache: Cache) -> BaseImage:
    return read_base(str(base_folder), Platform("amd64", "linux"), cache, _no_pull)


@pytest.fixture(scope="session")
def versions(
    tmp_path_factory: pytest.TempPathFactory, base_folder: Path, cache: Cache, docker_engine: None
) -> list[Version]:
    """Two versions of a model, whose images Docker has."""
    return make_versions(Store.at(tmp_path_factory.mktemp("versions") / "store"), base_folder, cache)
