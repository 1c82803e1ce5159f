"""Bundles and images through a real registry, as a user moves them; skopeo and umoci read what was pushed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from e2e.base import needs_mmdebstrap
from e2e.registry_program import HTPASSWD, LOGIN, needs_registry, running_registry
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.store import Store
from shipway.image.cache import Cache

pytestmark = [pytest.mark.e2e, needs_registry]
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="apt-get install skopeo")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="apt-get install umoci")
ROW = [0.01] * 10


@dataclass(frozen=True)
class User:
    """Someone with a store and a working folder of their own."""

    environ: dict[str, str]
    folder: Path

    def __call__(self, *words: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "shipway", *words],
            env={**self.environ, **environ}, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def facts(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)

    @property
    def store(self) -> Store:
        return Store.at(Path(self.environ["SHIPWAY_STORE"]))


def user_in(folder: Path, cache: Cache) -> User:
    folder.mkdir()
    own = {"SHIPWAY_STORE": str(folder / "store"), "XDG_CACHE_HOME": str(cache.path.parent), "NO_COLOR": "1"}
    return User({**os.environ, **own, "DOCKER_CONFIG": str(folder / "docker")}, folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(place: Path) -> Iterator[str]:
    with running_registry(place) as host:
        yield host


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory, cache: Cache) -> User:
    """Someone with two versions of a linear regression, `diabetes:1` and `diabetes:2`."""
    user = user_in(tmp_path_factory.mktemp("maker") / "home", cache)
    data = load_diabetes(as_frame=True)
    sample = {str(name): data.data[name].to_numpy() for name in data.data.columns}
    for model in (LinearRegression(), Ridge()):
        pack(PackRequest(model.fit(data.data, data.target), "diabetes", sample), user.store)
    return user


@pytest.fixture
def other(tmp_path: Path, cache: Cache) -> User:
    return user_in(tmp_path / "other", cache)


def answer(address: str) -> float:
    request = urllib.request.Request(address + "/", json.dumps(ROW).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        value: float = json.load(response)["prediction"]
    return value


def fetched_blobs(place: Path) -> list[int]:
    """Gives the size of each blob that somebody fetched so far, from the registry's own log."""
    log = (place / "log").read_text(encoding="utf-8")
    return [int(size) for size in re.findall(r'"GET /v2/\S+/blobs/\S+ HTTP/1.1" 200 ([0-9]+)', log)]


def test_a_bundle_comes_out_of_a_registry_as_it_went_in(registry: str, maker: User, other: User) -> None:
    pushed = maker.facts("push", "diabetes:1", f"oci://{registry}/models/diabetes")
    assert (pushed["tag"], pushed["reference"]) == ("1", f"{registry}/models/diabetes@{pushed['digest']}")
    again = maker.facts("push", "diabetes:1", f"{registry}/models/diabetes:stable")
    assert (again["digest"], again["sent_bytes"] < 2000) == (pushed["digest"], True)
    pulled = other.facts("pull", f"oci://{registry}/models/diabetes:stable")
    assert pulled["digest"] == maker.facts("show", "diabetes:1")["digest"] == pushed["digest"]
    assert (pulled["name"], pulled["version"], pulled["new"], pulled["fetched"]) == ("diabetes", 1, True, True)
    assert other.store.check() == ()


def test_the_same_content_is_the_same_version_and_other_content_the_next(
    registry: str, maker: User, other: User
) -> None:
    maker("push", "diabetes:1", f"{registry}/team/diabetes")
    maker("push", "diabetes:2", f"{registry}/team/diabetes")
    printed = [other("pull", f"{registry}/team/diabetes:{tag}").stdout.strip() for tag in ("2", "1", "2")]
    assert printed == ["diabetes:1", "diabetes:2", "diabetes:1"]
    renamed = other.facts("pull", f"{registry}/team/diabetes:1", "--name", "sugar")
    assert (renamed["name"], renamed["version"], renamed["fetched"]) == ("sugar", 1, False)


def test_a_registry_lists_what_lies_under_its_tags(registry: str, maker: User) -> None:
    for tag in ("2", "10", "9"):
        maker("push", "diabetes:1", f"{registry}/list/diabetes:{tag}")
    listed = maker.facts("list", f"oci://{registry}/list/diabetes")
    assert [(fact["tag"], fact["kind"]) for fact in listed] == [("2", "bundle"), ("9", "bundle"), ("10", "bundle")]
    assert listed[0]["digest"] == maker.facts("show", "diabetes:1")["digest"]
    done = maker("list", f"oci://{registry}/list/diabetes", "--limit", "1")
    assert done.stdout.splitlines()[1].split()[:2] == ["10", "bundle"]
    assert "2 earlier tags are not shown" in done.stderr


def test_a_bundle_is_served_straight_from_a_registry(registry: str, maker: User, other: User) -> None:
    maker("push", "diabetes:1", f"{registry}/served/diabetes")
    command = [sys.executable, "-m", "shipway", "serve", f"oci://{registry}/served/diabetes:1", "--port", "0"]
    with subprocess.Popen(command, env=other.environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            while "serving on" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            assert f"pulled oci://{registry}/served/diabetes:1 as diabetes:1" in said
            found = re.search(r"http://[0-9.:]+", said)
            assert found
            assert answer(found[0]) == pytest.approx(_prediction(maker), rel=1e-12)
        finally:
            process.kill()


def _prediction(user: User) -> float:
    (user.folder / "row.json").write_text(json.dumps([ROW]), encoding="utf-8")
    done = user("predict", "diabetes:1", "--data", "row.json", "--format", "json", "--quiet")
    return float(re.findall(r"[-0-9.e]+", done.stdout)[-1])


@needs_mmdebstrap
@needs_skopeo
@needs_umoci
def test_an_image_is_pushed_read_by_others_and_gives_its_bundle_back(
    registry: str, place: Path, maker: User, other: User, base_folder: Path, tmp_path: Path
) -> None:
    base = maker.facts("push", f"oci:{base_folder}:base", f"{registry}/base/python:3.11")
    tag = f"{registry}/images/diabetes"
    build = ("--base", f"{registry}/base/python:3.11", "--push")
    first = maker.facts("build", "diabetes:1", "--tag", f"{tag}:1", *build)
    assert first["pushed"]["reference"] == f"{tag}@{first['images'][0]['digest']}"
    layers = {layer["title"].split()[0]: layer["size_bytes"] for layer in first["images"][0]["layers"]}
    assert first["pushed"]["mounted_bytes"] == layers["base"] > 0

    inspected = json.loads(_run("skopeo", "inspect", "--tls-verify=false", f"docker://{tag}:1"))
    assert inspected["Digest"] == first["pushed"]["digest"]
    _run("skopeo", "copy", "--src-tls-verify=false", f"docker://{tag}:1", f"oci:{tmp_path / 'copy'}:1")
    _run("umoci", "raw", "unpack", "--rootless", "--image", f"{tmp_path / 'copy'}:1", str(tmp_path / "root"))
    named = (tmp_path / "root" / "models" / "diabetes" / "id").read_text().strip()
    assert inspected["Labels"]["io.shipway.bundle"] == named

    # After a change of the model only the model travels, with the configuration and the manifest that name it.
    second = maker.facts("build", "diabetes:2", "--tag", f"{tag}:2", *build)
    changed = second["images"][0]["layers"][-1]["size_bytes"]
    assert changed < second["pushed"]["sent_bytes"] < changed + 20_000
    assert second["pushed"]["skipped_bytes"] == layers["base"] + layers["dependencies"] + layers["shipway"]

    # A pull of an image fetches its configuration and the layer with the bundle, and nothing else.
    before = len(fetched_blobs(place))
    pulled = other.facts("pull", f"{tag}:2")
    assert (pulled["kind"], pulled["name"], pulled["version"]) == ("image", "diabetes", 1)
    assert pulled["digest"] == maker.facts("show", "diabetes:2")["digest"]
    fetched = fetched_blobs(place)[before:]
    assert len(fetched) == 2
    assert changed in fetched
    before = len(fetched_blobs(place))
    assert other.facts("show", f"oci://{second['pushed']['reference']}")["digest"] == pulled["digest"]
    assert sum(fetched_blobs(place)[before:]) < 20_000  # the configuration, and no layer

    listed = {fact["tag"]: fact for fact in maker.facts("list", f"oci://{tag}")}
    assert (listed["1"]["kind"], listed["1"]["bundle"], listed["1"]["platforms"]) == ("image", named, ["linux/amd64"])
    assert base["digest"] == inspected["Labels"]["org.opencontainers.image.base.digest"]


@needs_mmdebstrap
def test_an_image_that_build_wrote_is_pushed_with_the_same_digest(
    registry: str, maker: User, base_folder: Path, tmp_path: Path
) -> None:
    build = ("build", "diabetes:1", "--tag", "diabetes:7", "--base", f"oci:{base_folder}:base", "--output")
    (image,) = maker.facts(*build, str(tmp_path / "i.tar"))["images"]
    maker(*build, str(tmp_path / "layout"))
    for source in (f"{tmp_path}/i.tar", f"{tmp_path}/layout", f"oci:{tmp_path}/layout:7"):
        pushed = maker.facts("push", source, f"{registry}/written/diabetes")
        assert (pushed["tag"], pushed["digest"]) == ("7", image["digest"])
    mirrored = maker.facts("push", f"oci://{registry}/written/diabetes:7", f"{registry}/mirror/diabetes:1")
    assert mirrored["digest"] == image["digest"]
    assert mirrored["mounted_bytes"] == image["size_bytes"] + _config_size(registry, "written/diabetes", "7")


def _config_size(host: str, repository: str, tag: str) -> int:
    request = urllib.request.Request(
        f"http://{host}/v2/{repository}/manifests/{tag}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        size: int = json.load(response)["config"]["size"]
    return size


@needs_mmdebstrap
def test_an_image_that_is_not_ours_is_told_so(registry: str, other: User, base_folder: Path) -> None:
    other("push", f"oci:{base_folder}:base", f"{registry}/strange/python:1")
    done = other("pull", f"{registry}/strange/python:1", code=1)
    assert "is an image that Shipway did not build: it carries no bundle" in done.stderr
    assert other.facts("list", f"oci://{registry}/strange/python")[0]["kind"] == "other"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pull", "{host}/models/nothing:1"), 1, "answers 404"),
        (("pull", "oci://{host}/Models/Big:1"), 2, "is no name of an image"),
        (("pull", "models/diabetes:1"), 2, "names no registry"),
        (("pull", "127.0.0.1:1/models/diabetes:1"), 1, "cannot be asked"),
        (("list", "oci://{host}/models/nothing"), 1, "answers 404"),
        (("push", "diabetes:99", "{host}/models/diabetes"), 1, "has no diabetes:99"),
        (("push", "diabetes:1", "models/diabetes"), 2, "names no registry"),
        (("push", "diabetes:1", "{host}/models/diabetes@sha256:" + "0" * 64), 2, "goes to a tag"),
        (("push", "missing.tar", "{host}/models/diabetes"), 1, "missing.tar"),
        (("build", "diabetes:1", "--tag", "diabetes:1", "--push"), 2, "names no registry"),
    ],
)
def test_what_cannot_be_moved_is_said(registry: str, maker: User, words: tuple[str, ...], code: int, said: str) -> None:
    done = maker(*(word.format(host=registry) for word in words), code=code)
    assert said in done.stderr
    assert "fix: " in done.stderr


def test_a_pulled_pickle_is_opened_only_by_who_allows_it(registry: str, maker: User, other: User) -> None:
    rows, target = load_diabetes(return_X_y=True)
    model = make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(rows, target)
    assert pack(PackRequest(model, "own"), maker.store).not_compiled
    maker("push", "own", f"{registry}/models/own")
    assert "a pickle without a compiled form" in other("pull", f"{registry}/models/own:1").stderr
    (other.folder / "row.json").write_text(json.dumps([ROW]), encoding="utf-8")
    predict = ("predict", f"oci://{registry}/models/own:1", "--data", "row.json", "--format", "json")
    assert "was not packed here" in other(*predict, code=1).stderr
    other(*predict, SHIPWAY_SERVER__ALLOW_PICKLE="true")


def test_who_must_sign_in_is_told_how_and_gets_in_with_docker_credentials(
    tmp_path: Path, maker: User, other: User
) -> None:
    with running_registry(tmp_path / "closed", HTPASSWD) as host:
        done = maker("push", "diabetes:1", f"{host}/models/diabetes", code=1)
        assert f"docker login {host}" in done.stderr
        for user in (maker, other):
            folder = Path(user.environ["DOCKER_CONFIG"])
            folder.mkdir(exist_ok=True)
            entry = {"username": LOGIN[0], "password": LOGIN[1]}
            (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}), encoding="utf-8")
        maker("push", "diabetes:1", f"{host}/models/diabetes")
        other("pull", f"{host}/models/diabetes:1")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
