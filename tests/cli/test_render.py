from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from shipway.bundle.store import Store
from shipway.cli.entry import shipway
from shipway.deploy.targets import MARK
from shipway.errors import ShipwayError, UsageError
from shipway.spec.manifest import File, Golden, Manifest, Role
from shipway.spec.settings import Kubernetes
from shipway.spec.signature import Column, Method, Signature

IMAGE = "registry.example/diabetes:1"
FILES = ["deployment.yaml", "disruptionbudget.yaml", "service.yaml", "serviceaccount.yaml"]
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


def printed(environ: dict[str, str], *words: str) -> dict[str, Any]:
    """What is printed, by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(render(environ, *words).stdout)}


def test_without_a_folder_what_is_printed_is_what_kubectl_applies(environ: dict[str, str]) -> None:
    found = printed(environ)
    assert list(found) == ["ServiceAccount", "PodDisruptionBudget", "Service", "Deployment"]
    assert found["Deployment"]["spec"]["replicas"] == 3
    assert found["Service"]["spec"]["type"] == "ClusterIP"
    assert {each["metadata"]["name"] for each in found.values()} == {"my-model"}


def test_flags_are_written_into_the_objects(environ: dict[str, str]) -> None:
    flags = ("--service", "loadbalancer", "--replicas", "5", "--namespace", "models", "--name", "other")
    found = printed(environ, *flags)
    assert found["Deployment"]["spec"]["replicas"] == 5
    assert found["Service"]["spec"]["type"] == "LoadBalancer"
    places = {(each["metadata"]["name"], each["metadata"]["namespace"]) for each in found.values()}
    assert places == {("other", "models")}


def test_settings_are_the_defaults_of_the_flags(environ: dict[str, str]) -> None:
    environ["SHIPWAY_DEPLOY__KUBERNETES__REPLICAS"] = "2"
    assert printed(environ)["Deployment"]["spec"]["replicas"] == 2
    assert printed(environ, "--replicas", "1")["Deployment"]["spec"]["replicas"] == 1


def test_a_part_that_the_file_switches_off_is_on_with_its_flag_and_the_other_way_round(environ: dict[str, str]) -> None:
    text = "[deploy.kubernetes]\ndisruption_budget = false\nnetwork_policy = true\n"
    Path("shipway.toml").write_text(text, encoding="utf-8")
    assert list(printed(environ)) == ["ServiceAccount", "NetworkPolicy", "Service", "Deployment"]
    found = printed(environ, "--disruption-budget", "--no-network-policy")
    assert list(found) == ["ServiceAccount", "PodDisruptionBudget", "Service", "Deployment"]


def test_every_setting_of_kubernetes_but_the_context_has_a_flag() -> None:
    command = shipway.get_command(click.Context(shipway), "render")
    assert command is not None
    assert {parameter.name for parameter in command.params} >= set(Kubernetes.__struct_fields__) - {"context"}


def test_every_part_can_be_asked_for(environ: dict[str, str]) -> None:
    flags = (
        "--max-replicas 5 --cpu-percent 50 --cpu 1 --memory 1Gi --cpu-limit 2 --memory-limit 2Gi --gpu 1 "
        "--gpu-resource amd.com/gpu --keys api-keys --pull-secret registry --ingress a.example --ingress-class nginx "
        "--ingress-tls a --network-policy --allow-from shop --allow-from web --service-monitor --monitor-label a=b "
        "--kustomization"
    )
    found = printed(environ, *flags.split())
    assert list(found) == [
        "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "Service", "Deployment", "HorizontalPodAutoscaler",
        "Ingress", "ServiceMonitor",
    ]  # fmt: skip
    assert "shop" in str(found["NetworkPolicy"])
    assert "web" in str(found["NetworkPolicy"])
    assert found["ServiceMonitor"]["metadata"]["labels"]["a"] == "b"


def test_a_folder_with_a_kustomization_is_applied_as_one(environ: dict[str, str]) -> None:
    result = render(environ, "--output", "manifests", "--kustomization")
    assert Path("manifests", "kustomization.yaml").is_file()
    assert "kubectl apply -k manifests" in result.stderr


def test_a_folder_says_how_it_is_applied_on_its_own_target(environ: dict[str, str]) -> None:
    result = invoke(environ, "--to", "compose", "--image", IMAGE, "--output", "composed")
    assert "docker compose --project-directory composed up" in result.stderr
    assert "kubectl" not in result.stderr


def rights(environ: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(shipway, ["render", "--rbac", *words], env=environ, standalone_mode=False)


def test_rights_need_no_bundle_and_no_store(environ: dict[str, str], tmp_path: Path) -> None:
    environ["SHIPWAY_STORE"] = str(tmp_path / "none")
    found = list(yaml.safe_load_all(rights(environ, "--namespace", "models", "--account", "ci").stdout))
    assert [each["kind"] for each in found] == ["ServiceAccount", "Role", "RoleBinding"]
    assert {(each["metadata"]["name"], each["metadata"]["namespace"]) for each in found} == {("ci", "models")}
    assert not (tmp_path / "none").exists()


def test_rights_are_files_too(environ: dict[str, str]) -> None:
    environ["SHIPWAY_DEPLOY__KUBERNETES__NAMESPACE"] = "models"
    assert rights(environ, "--output", "rights").exception is None
    assert sorted(path.name for path in Path("rights").iterdir()) == ["account.yaml", "role.yaml", "rolebinding.yaml"]


@pytest.mark.parametrize("words", [("--image", IMAGE), ("--replicas", "2"), ("my_model",), ("--no-network-policy",)])
def test_what_means_nothing_to_rights_is_refused(environ: dict[str, str], words: tuple[str, ...]) -> None:
    assert isinstance(rights(environ, "--namespace", "models", *words).exception, click.UsageError)


def test_an_account_means_something_to_rights_only(environ: dict[str, str]) -> None:
    result = invoke(environ, "--to", "kubernetes", "--image", IMAGE, "--account", "ci")
    assert isinstance(result.exception, click.UsageError)


def test_with_a_folder_each_object_is_a_file_and_can_be_rendered_again(environ: dict[str, str]) -> None:
    for replicas in ("2", "4"):
        result = render(environ, "--output", "manifests", "--replicas", replicas)
        files = sorted(Path("manifests").iterdir())
        assert [file.name for file in files] == FILES
        assert sorted(result.stdout.splitlines()) == [str(file) for file in files]
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
    assert sorted(facts["files"]) == FILES
    assert all(text.startswith(MARK) for text in facts["files"].values())


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "kubernets", "--image", IMAGE),
        ("--to", "kubernetes", "--image", "two words"),
        ("--to", "kubernetes", "--image", IMAGE, "--replicas", "-1"),
        ("--to", "kubernetes", "--image", IMAGE, "--namespace", "Models"),
        ("--to", "kubernetes", "--image", IMAGE, "--name", ""),
        ("--to", "kubernetes", "--image", IMAGE, "--port", "9000"),
        ("--to", "kubernetes", "--image", IMAGE, "--memory", "1GB"),
        ("--to", "kubernetes", "--image", IMAGE, "--ingress", "http://a.example"),
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
