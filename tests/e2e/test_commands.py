"""The commands, as a user types them: demo, build, run and render, with a real base and a real engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from e2e.base import needs_mmdebstrap
from e2e.engine import docker
from shipway.bundle.store import Store
from shipway.image.cache import Cache

pytestmark = [pytest.mark.e2e, needs_mmdebstrap, pytest.mark.usefixtures("docker_engine")]
ROW = [0.01] * 10


@pytest.fixture
def environ(diabetes_store: Store, cache: Cache, base_folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SHIPWAY_STORE": str(diabetes_store.layout.path),
        "XDG_CACHE_HOME": str(cache.path.parent),
        "SHIPWAY_BUILD__BASE": f"oci:{base_folder}:base",
        "NO_COLOR": "1",
    }


def shipway(environ: dict[str, str], *arguments: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shipway", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds, check=False)


def test_build_checks_itself_loads_and_says_what_is_in_it(environ: dict[str, str]) -> None:
    build = ("build", "diabetes", "--tag", "shipway-e2e/built:1", "--load")
    done = shipway(environ, *build, "--check", "--max-size", "45", "--json")
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    assert docker("inspect", "--format", "{{.Id}}", "shipway-e2e/built:1") == image["id"]
    titles = [layer["title"] for layer in image["layers"]]
    assert titles[-3:] == ["dependencies", "shipway", "bundle diabetes"]
    too_large = shipway(environ, *build, "--max-size", "1")
    assert too_large.returncode == 2
    assert "over 1.0 MB" in too_large.stderr


def test_run_serves_hardened_and_leaves_nothing_behind(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "shipway", "run", "diabetes", "--port", "0"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = ""
        while "ready on" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        address = re.search(r"http://[0-9.:]+", said.splitlines()[-1])
        assert address
        request = urllib.request.Request(
            address[0] + "/", json.dumps(ROW).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert "prediction" in json.load(answer)
        container = next(name for name in docker("ps", "--format", "{{.Names}}").split() if name.startswith("shipway-"))
        host = json.loads(docker("inspect", container))[0]["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges" in host["SecurityOpt"]
        assert host["Memory"] > 0
        assert host["NanoCpus"] > 0
        process.send_signal(signal.SIGINT)
        process.wait(30)
    finally:
        process.kill()
        process.communicate()
    end = time.monotonic() + 20
    while container in docker("ps", "--all", "--format", "{{.Names}}").split():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_demo_walks_the_whole_way(environ: dict[str, str], tmp_path: Path) -> None:
    own = environ | {"SHIPWAY_STORE": str(tmp_path / "store")}
    done = shipway(own, "demo", "--once", "--port", "0", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "skipped" not in done.stdout
    written = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"model.joblib", "train.csv", "diabetes.tar", "deployment.yaml", "service.yaml"} <= written
    assert "type: LoadBalancer" in (tmp_path / "out" / "kubernetes" / "service.yaml").read_text()
    assert "diabetes:1" in docker("images", "--format", "{{.Repository}}:{{.Tag}}")
