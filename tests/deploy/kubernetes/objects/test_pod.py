"""The pod keeps the server's contract, and starts and ends as the server needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.releases import CASES, DIGEST, EVERYTHING, PLAIN, RELEASE, Case, Object, rendered
from shipway.deploy.kubernetes.objects.pod import PAUSE_SECONDS
from shipway.spec.contract import Contract
from shipway.spec.settings import Kubernetes, resolve


def pod(case: Case) -> Object:
    found: Object = rendered(case)["deployment.yaml"]["spec"]["template"]["spec"]
    return found


def server(case: Case) -> Object:
    (found,) = pod(case)["containers"]
    assert isinstance(found, dict)
    return found


def environment(case: Case) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in server(case)["env"]}


@given(
    drain=st.integers(0, 600), request=st.integers(1, 600), port=st.integers(1024, 65535), user=st.integers(1, 65535)
)
@settings(max_examples=10, deadline=None)
def test_the_contract_is_kept(drain: int, request: int, port: int, user: int) -> None:
    contract = Contract(port=port, user=user, drain_seconds=drain, request_seconds=request)
    case = Case(replace(RELEASE, contract=contract), Kubernetes())
    found, container = pod(case), server(case)
    assert found["terminationGracePeriodSeconds"] > PAUSE_SECONDS + drain + request
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == PAUSE_SECONDS
    assert found["securityContext"]["runAsUser"] == found["securityContext"]["runAsGroup"] == user
    assert {entry["name"]: entry["containerPort"] for entry in container["ports"]} == {"http": port, "metrics": 8002}
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * (liveness["failureThreshold"] - 1) > request


def test_the_server_is_told_the_numbers_that_the_file_reckons_with() -> None:
    told = resolve({}, {key: value for key, value in environment(EVERYTHING).items() if value}, {}).settings
    contract = EVERYTHING.release.contract
    assert (told.server.host, told.server.port, told.server.metrics_port) == ("0.0.0.0", 8000, 8002)
    assert (told.server.drain_seconds, told.limits.seconds) == (contract.drain_seconds, contract.request_seconds)


def test_whether_a_pickle_may_be_opened_is_left_to_the_image() -> None:
    case = Case(replace(RELEASE, contract=Contract(allow_pickle=True)), Kubernetes())
    assert not [name for name in environment(case) if "PICKLE" in name]


def test_liveness_asks_of_the_process_and_the_others_of_the_models() -> None:
    container = server(PLAIN)
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


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
    assert server(Case(replace(RELEASE, image=image), Kubernetes()))["imagePullPolicy"] == policy


def test_pods_of_a_version_keep_apart() -> None:
    for case in CASES.values():
        labels = rendered(case)["deployment.yaml"]["spec"]["selector"]["matchLabels"]
        constraints = pod(case)["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for each in constraints:
            assert each["labelSelector"]["matchLabels"] == labels
            assert each["matchLabelKeys"] == ["pod-template-hash"]


@pytest.mark.parametrize(("gpu", "resource"), [(1, "nvidia.com/gpu"), (4, "amd.com/gpu")])
def test_gpus_are_limited_and_their_taint_is_tolerated(gpu: int, resource: str) -> None:
    case = Case(RELEASE, Kubernetes(gpu=gpu, gpu_resource=resource))
    assert server(case)["resources"]["limits"][resource] == str(gpu)
    assert pod(case)["tolerations"] == [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}]


def test_without_gpus_nothing_speaks_of_them() -> None:
    assert "tolerations" not in pod(PLAIN)
    assert set(server(PLAIN)["resources"]["limits"]) == {"memory"}


def test_the_pull_secret_is_named_only_where_there_is_one() -> None:
    assert pod(EVERYTHING)["imagePullSecrets"] == [{"name": "registry"}]
    assert "imagePullSecrets" not in pod(PLAIN)
