"""The image of a real model, built without a daemon, run as the contract says, gives the model's own answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import shipway
from e2e.base import make_base, needs_mmdebstrap
from e2e.engine import docker
from shipway.bundle.bundle import Bundle
from shipway.image.base import BaseImage, read_base
from shipway.image.build import Image, build, check_size, lock_note
from shipway.image.cache import Cache
from shipway.image.dockerfile import context
from shipway.image.lock import Lock
from shipway.image.output import load, write_layout
from shipway.image.requirements import needs_of, resolve
from shipway.oci.transfer import make_pull
from shipway.spec.contract import Contract
from shipway.spec.image import ImageReference, Platform

pytestmark = [pytest.mark.e2e, needs_mmdebstrap]
AMD64 = Platform("amd64", "linux")
NAME = ImageReference.parse("shipway-e2e/diabetes:1")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    model = LinearRegression().fit(rows, target)
    return shipway.pack(model, name="diabetes", sample=rows, store=tmp_path_factory.mktemp("store") / "s")


@pytest.fixture(scope="session")
def lock(bundle: Bundle, base: BaseImage, cache: Cache) -> Lock:
    return resolve(needs_of(bundle), base.target, cache, lock_note(base))


@pytest.fixture(scope="session")
def image(bundle: Bundle, base: BaseImage, lock: Lock, cache: Cache) -> Image:
    return build(bundle, Contract.of(bundle.model), base, lock, cache)


@contextmanager
def running(name: str) -> Iterator[str]:
    """Runs an image as hardened as `shipway run` does; gives its address."""
    container = docker("run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
                       "--memory", "512m", "--publish", "127.0.0.1:0:8000", name)  # fmt: skip
    try:
        address = "http://" + docker("port", container, "8000/tcp").splitlines()[0]
        deadline = time.monotonic() + 30
        while not _answers(f"{address}/readyz"):
            assert time.monotonic() < deadline, docker("logs", container)
            time.sleep(0.05)
        yield address
        docker("stop", "--time", "20", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        docker("rm", "--force", container)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def assert_right_answers(address: str) -> None:
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    model = LinearRegression().fit(rows, target)
    body = json.dumps(rows.to_dict(orient="records")).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    expected = rows.to_numpy() @ model.coef_ + model.intercept_
    np.testing.assert_allclose(answer["prediction"], expected, rtol=1e-12)


def test_a_compiled_model_adds_at_most_45_mb_to_its_base(image: Image) -> None:
    check_size(image, 45_000_000)


def test_two_builds_in_two_folders_give_the_same_digest(
    image: Image, bundle: Bundle, base: BaseImage, lock: Lock, cache: Cache, tmp_path: Path
) -> None:
    shutil.copytree(cache.path / "wheels", tmp_path / "wheels")  # else they would be fetched again
    again = build(bundle, Contract.of(bundle.model), base, Lock.parse(lock.text, base.target), Cache(tmp_path))
    assert again.descriptor == image.descriptor


@pytest.mark.usefixtures("docker_engine")
def test_it_runs_read_only_and_without_rights_and_answers_as_the_model_does(image: Image) -> None:
    load(image, NAME, "docker")
    assert docker("inspect", "--format", "{{.Id}} {{.Config.User}}", str(NAME)) == f"{image.image_id} 65532:65532"
    with running(str(NAME)) as address:
        assert_right_answers(address)


@pytest.mark.usefixtures("docker_engine")
def test_the_written_dockerfile_gives_the_same_answers(
    bundle: Bundle, lock: Lock, tmp_path: Path, cache: Cache
) -> None:
    packages = ("python3", "python3-pip", "ca-certificates")
    layout = make_base(tmp_path / "pip", packages=packages, variant="minbase")
    subprocess.run(["skopeo", "copy", f"oci:{layout}:base", "docker-daemon:shipway-e2e/pip:1"], check=True)
    for path, source in context(bundle, Contract.of(bundle.model), lock, "3.11").items():
        target = tmp_path / "context" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    environment = {"DOCKER_BUILDKIT": "0", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = [
        "docker",
        "build",
        "--network=host",
        "--build-arg=BASE=shipway-e2e/pip:1",
        "--tag=shipway-e2e/file:1",
        ".",
    ]
    subprocess.run(command, cwd=tmp_path / "context", env=environment, check=True)
    with running("shipway-e2e/file:1") as address:
        assert_right_answers(address)


@pytest.mark.skipif(shutil.which("docker-registry") is None, reason="apt-get install docker-registry")
def test_a_base_is_pulled_from_a_registry(base: BaseImage, image: Image, tmp_path: Path) -> None:
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}\n"
        "http: {addr: '127.0.0.1:15000'}\nlog: {level: error}\n"
    )
    write_layout([image], tmp_path / "out", NAME)
    registry = subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL)
    try:
        while not _answers("http://127.0.0.1:15000/v2/"):
            assert registry.poll() is None
            time.sleep(0.05)
        command = [
            "skopeo",
            "copy",
            "--dest-tls-verify=false",
            f"oci:{tmp_path / 'out'}:1",
            "docker://127.0.0.1:15000/a/b:1",
        ]
        subprocess.run(command, check=True, capture_output=True)
        pulled = read_base("127.0.0.1:15000/a/b:1", AMD64, Cache(tmp_path / "cache"), make_pull(lambda *_: None))
    finally:
        registry.terminate()
        registry.wait()
    assert pulled.digest == image.descriptor.digest
    assert pulled.facts == base.facts
