from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import kubernetes_validate
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shipway.deploy.kubernetes import BUNDLE_ANNOTATION, PAUSE_SECONDS
from shipway.deploy.kubernetes import render as documents
from shipway.deploy.targets import MARK, render
from shipway.deploy.yaml import plain
from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release, Service, release_name

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
RELEASE = Release("diabetes", BundleId("diabetes", 1, DIGEST), "registry.example/diabetes:1", Contract())
PINNED = replace(
    RELEASE,
    name="churn-eu",
    bundle=BundleId("churn_model", 12, DIGEST),
    image=f"registry.example/churn@{DIGEST}",
    replicas=1,
    service="LoadBalancer",
    namespace="models",
)
RELEASES = pytest.mark.parametrize("release", [RELEASE, PINNED, replace(RELEASE, service="NodePort", replicas=0)])
# From 1.30 on `preStop: sleep` is there without a feature gate; the schemas of 1.27 and 1.28 do not know it.
SUPPORTED = [f"1.{minor}" for minor in range(30, 38)]
OLDER = ["1.27", "1.28", "1.29"]

Object = dict[str, Any]


def objects(release: Release) -> dict[str, Object]:
    return {name: yaml.safe_load(text) for name, text in render(release, "kubernetes").items()}


def deployment(release: Release) -> Object:
    return objects(release)["deployment.yaml"]


def pod(release: Release) -> Object:
    found: Object = deployment(release)["spec"]["template"]["spec"]
    return found


def container(release: Release) -> Object:
    (found,) = pod(release)["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("case", "release"), [("default", RELEASE), ("pinned", PINNED)])
def test_the_files_are_those_that_were_reviewed(
    case: str, release: Release, golden: Callable[[str, str], None]
) -> None:
    for name, text in render(release, "kubernetes").items():
        golden(f"kubernetes/{case}/{name}", text)


@pytest.mark.parametrize("version", SUPPORTED)
@RELEASES
def test_every_object_is_valid_for_every_supported_kubernetes(release: Release, version: str) -> None:
    for manifest in objects(release).values():
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.parametrize("version", OLDER)
def test_without_the_pause_older_kubernetes_takes_it_too(version: str) -> None:
    for manifest in objects(RELEASE).values():
        if manifest["kind"] == "Deployment":
            del manifest["spec"]["template"]["spec"]["containers"][0]["lifecycle"]
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


@RELEASES
def test_nothing_that_changes_with_a_version_is_in_a_selector(release: Release) -> None:
    later = replace(release, bundle=replace(release.bundle, version=99), image="registry.example/other:99")
    for now, then in zip(objects(release).values(), objects(later).values(), strict=True):
        assert now["spec"]["selector"] == then["spec"]["selector"]
        assert now != then


@RELEASES
def test_service_and_deployment_select_the_pods_and_the_port_that_they_mean(release: Release) -> None:
    service = objects(release)["service.yaml"]["spec"]
    labels = deployment(release)["spec"]["template"]["metadata"]["labels"]
    for selector in (service["selector"], deployment(release)["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    for constraint in pod(release)["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == service["selector"]
    (port,) = service["ports"]
    assert (port["port"], service["type"]) == (80, release.service)
    named = {entry["name"]: entry["containerPort"] for entry in container(release)["ports"]}
    assert named[port["targetPort"]] == release.contract.port


@given(
    drain=st.integers(0, 600), request=st.integers(1, 600), port=st.integers(1024, 65535), user=st.integers(1, 65535)
)
@settings(max_examples=25, deadline=None)
def test_the_contract_is_kept(drain: int, request: int, port: int, user: int) -> None:
    contract = Contract(port=port, user=user, drain_seconds=drain, request_seconds=request)
    release = replace(RELEASE, contract=contract)
    server, rendered = container(release), pod(release)
    assert rendered["terminationGracePeriodSeconds"] > PAUSE_SECONDS + drain + request
    assert server["lifecycle"]["preStop"]["sleep"]["seconds"] == PAUSE_SECONDS
    assert rendered["securityContext"]["runAsUser"] == rendered["securityContext"]["runAsGroup"] == user
    assert server["ports"][0]["containerPort"] == port
    liveness = server["livenessProbe"]
    assert liveness["periodSeconds"] * (liveness["failureThreshold"] - 1) > request


def test_liveness_asks_of_the_process_and_the_others_of_the_models() -> None:
    server = container(RELEASE)
    paths = {probe: server[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def test_a_roll_out_may_take_as_long_as_a_pod_may_take_to_start() -> None:
    startup = container(RELEASE)["startupProbe"]
    spec = deployment(RELEASE)["spec"]
    longest = startup["periodSeconds"] * startup["failureThreshold"] + spec["minReadySeconds"]
    assert spec["progressDeadlineSeconds"] > longest


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("registry.example/diabetes:1", "IfNotPresent"),
        (f"registry.example/diabetes:latest@{DIGEST}", "IfNotPresent"),
        ("registry.example/diabetes:latest", "Always"),
        ("registry.example:5000/diabetes", "Always"),
    ],
)
def test_a_tag_that_moves_often_is_pulled_again(image: str, policy: str) -> None:
    assert container(replace(RELEASE, image=image))["imagePullPolicy"] == policy


def test_a_new_bundle_rolls_out_even_under_the_same_tag() -> None:
    other = replace(RELEASE, bundle=replace(RELEASE.bundle, digest=f"sha256:{'f' * 64}"))
    assert deployment(RELEASE)["spec"]["template"] != deployment(other)["spec"]["template"]


nasty = st.sampled_from([
    "", "on", "no", "y", "null", "true", "1", "1e3", "12:30", "Churn", "a.b", "a_b", "a\nkind: Secret", "a: {}",
    "{a: b}", "a #b", "-a", "a-", "a" * 63, "a" * 64, "registry.example/a:1\n---\nkind: Secret", "r.example/on:null",
    "r.example/a:1e3",
])  # fmt: skip
words = st.from_regex(r"[a-z0-9]{1,6}([-_][a-z0-9]{1,6})?", fullmatch=True) | nasty | st.text(max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    changes=st.fixed_dictionaries({"name": words, "replicas": st.integers(-2, 12_000)})
    | st.fixed_dictionaries({"bundle": st.builds(BundleId, words, st.just(3), st.just(DIGEST)), "namespace": words})
    | st.fixed_dictionaries({"image": words | st.builds("r.example/{}:{}".format, words, words)})
    | st.fixed_dictionaries({"service": nasty | st.sampled_from(get_args(Service)), "namespace": words})
)
@example(changes={"name": "on", "bundle": BundleId("null", 3, DIGEST), "image": "y", "namespace": "no", "replicas": 0})
@example(changes={"name": "yes", "bundle": BundleId("0x1f", 3, DIGEST), "image": "r.example/1:1_0", "namespace": "017"})
def test_nasty_words_are_refused_or_come_out_as_they_went_in(changes: dict[str, Any]) -> None:
    try:
        release = replace(RELEASE, **changes)
    except UsageError:
        return
    model, version = release.bundle.name, release.bundle.version
    found = objects(release)
    assert found == {file: plain(document) for file, document in documents(release).items()}
    for manifest in found.values():
        assert manifest["metadata"]["name"] == release.name
        assert manifest["metadata"].get("namespace") == release.namespace
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == model
        assert manifest["metadata"]["labels"]["app.kubernetes.io/version"] == str(version)
    spec = found["deployment.yaml"]["spec"]
    assert spec["replicas"] == release.replicas
    assert spec["template"]["spec"]["containers"][0]["image"] == release.image
    assert spec["template"]["metadata"]["annotations"] == {BUNDLE_ANNOTATION: f"{model}:{version}@{DIGEST}"}
    assert found["service.yaml"]["spec"]["type"] == release.service


@settings(max_examples=10, deadline=None)
@given(model=st.from_regex(r"[a-z0-9]{1,20}([-_][a-z0-9]{1,20}){0,2}", fullmatch=True))
@example(model="9" * 63)
def test_every_bundle_has_valid_objects_under_the_name_made_of_its_own(model: str) -> None:
    assume(len(model) <= 63)
    release = replace(RELEASE, name=release_name(model), bundle=replace(RELEASE.bundle, name=model))
    for manifest in objects(release).values():
        kubernetes_validate.validate(manifest, SUPPORTED[-1], strict=True)


@RELEASES
def test_the_text_is_ascii_and_begins_with_the_mark(release: Release) -> None:
    # Whatever code page a terminal pipes it through, kubectl reads the same.
    for text in render(release, "kubernetes").values():
        assert text.isascii()
        assert text.startswith(MARK)


def test_an_unknown_target_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as raised:
        render(RELEASE, "kubernets")
    assert "'kubernetes'" in raised.value.fix


@pytest.mark.e2e
@pytest.mark.skipif(not (shutil.which("kubectl") and os.environ.get("KUBECONFIG")), reason="no cluster: set KUBECONFIG")
def test_a_cluster_takes_the_files_as_they_are(tmp_path: Path) -> None:
    for name, text in render(RELEASE, "kubernetes").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    subprocess.run(["kubectl", "apply", "--dry-run=server", "--validate=strict", "-f", tmp_path], check=True)
