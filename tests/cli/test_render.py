from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from shipway.bundle.store import Store
from shipway.cli.entry import shipway
from shipway.deploy.targets import MARK
from shipway.errors import ShipwayError, UsageError
from shipway.spec.manifest import File, Golden, Manifest, Role
from shipway.spec.signature import Column, Method, Signature

IMAGE = "registry.example/diabetes:1"
ROLES: tuple[Role, ...] = ("artefact", "golden")


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose store holds `my_model:1`, in an empty working folder."""
    contents = {"artefact/model.onnx": b"graph", "golden.json": b"{}"}
    files = tuple(
        File(path, role, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        for (path, data), role in zip(contents.items(), ROLES, strict=True)
    )
    manifest = Manifest(
        schema_version=1,
        framework="onnx",
        kind="Graph",
        artefact="artefact/model.onnx",
        python="3.11",
        versions={},
        signature=Signature((Column("x", "float64"),), (Method("predict", (Column("predict", "float64"),)),)),
        files=files,
        golden=Golden("golden.json", 0, True),
    )
    folder = tmp_path / "store"
    Store.at(folder).add(manifest, contents, "my_model", notes={})
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return {"SHIPWAY_STORE": str(folder)}


def invoke(environ: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(shipway, ["render", "my_model", *words], env=environ, standalone_mode=False)


def render(environ: dict[str, str], *words: str) -> Result:
    result = invoke(environ, "--to", "kubernetes", "--image", IMAGE, *words)
    assert result.exception is None, result.exception
    return result


def test_without_a_folder_what_is_printed_is_what_kubectl_applies(environ: dict[str, str]) -> None:
    deployment, service = yaml.safe_load_all(render(environ).stdout)
    assert (deployment["kind"], deployment["spec"]["replicas"]) == ("Deployment", 3)
    assert (service["kind"], service["spec"]["type"]) == ("Service", "ClusterIP")
    assert deployment["metadata"]["name"] == service["metadata"]["name"] == "my-model"


def test_flags_are_written_into_the_objects(environ: dict[str, str]) -> None:
    flags = ("--service", "loadbalancer", "--replicas", "5", "--namespace", "models", "--name", "other")
    deployment, service = yaml.safe_load_all(render(environ, *flags).stdout)
    assert deployment["spec"]["replicas"] == 5
    assert service["spec"]["type"] == "LoadBalancer"
    assert {(found["metadata"]["name"], found["metadata"]["namespace"]) for found in (deployment, service)} == {
        ("other", "models")
    }


def test_settings_are_the_defaults_of_the_flags(environ: dict[str, str]) -> None:
    environ["SHIPWAY_DEPLOY__KUBERNETES__REPLICAS"] = "2"
    (deployment, _) = yaml.safe_load_all(render(environ).stdout)
    assert deployment["spec"]["replicas"] == 2
    (deployment, _) = yaml.safe_load_all(render(environ, "--replicas", "1").stdout)
    assert deployment["spec"]["replicas"] == 1


def test_with_a_folder_each_object_is_a_file_and_can_be_rendered_again(environ: dict[str, str]) -> None:
    for replicas in ("2", "4"):
        result = render(environ, "--output", "manifests", "--replicas", replicas)
        files = sorted(Path("manifests").iterdir())
        assert [file.name for file in files] == ["deployment.yaml", "service.yaml"]
        assert result.stdout.splitlines() == [str(file) for file in files]
        assert yaml.safe_load(files[0].read_text(encoding="utf-8"))["spec"]["replicas"] == int(replicas)
        assert "kubectl apply -f manifests" in result.stderr


def test_a_file_of_the_users_own_is_never_lost(environ: dict[str, str]) -> None:
    Path("manifests").mkdir()
    mine = Path("manifests", "service.yaml")
    mine.write_text("kind: Service\n", encoding="utf-8")
    result = invoke(environ, "--to", "kubernetes", "--image", IMAGE, "--output", "manifests")
    assert isinstance(result.exception, UsageError)
    assert mine.read_text(encoding="utf-8") == "kind: Service\n"
    assert list(Path("manifests").iterdir()) == [mine]


def test_json_holds_the_same_files(environ: dict[str, str]) -> None:
    facts = json.loads(render(environ, "--json").stdout)
    assert (facts["name"], facts["folder"]) == ("my-model", None)
    assert list(facts["files"]) == ["deployment.yaml", "service.yaml"]
    assert all(text.startswith(MARK) for text in facts["files"].values())


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "kubernets", "--image", IMAGE),
        ("--to", "kubernetes", "--image", "two words"),
        ("--to", "kubernetes", "--image", IMAGE, "--replicas", "-1"),
        ("--to", "kubernetes", "--image", IMAGE, "--namespace", "Models"),
        ("--to", "kubernetes", "--image", IMAGE, "--name", ""),
    ],
)
def test_what_is_misused_is_refused_with_a_fix(environ: dict[str, str], words: tuple[str, ...]) -> None:
    error = invoke(environ, *words).exception
    assert isinstance(error, ShipwayError)
    assert isinstance(error, UsageError)
    assert error.fix


@pytest.mark.parametrize("words", [("--to", "kubernetes"), ("--image", IMAGE)])
def test_target_and_image_must_be_named(environ: dict[str, str], words: tuple[str, ...]) -> None:
    assert isinstance(invoke(environ, *words).exception, click.UsageError)
