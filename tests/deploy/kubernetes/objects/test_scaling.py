"""The autoscaler owns the number of pods, the budget says how many may be missing."""

from __future__ import annotations

from fakes.releases import EVERYTHING, PINNED, RELEASE, Case, rendered
from shipway.deploy.kubernetes.objects.labels import ours
from shipway.spec.settings import Kubernetes


def test_the_autoscaler_keeps_the_stable_servers_between_two_numbers() -> None:
    found = rendered(EVERYTHING)
    spec = found["autoscaler.yaml"]["spec"]
    target = found["deployment.yaml"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"],
        "kind": target["kind"],
        "name": target["metadata"]["name"],
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 8)
    (metric,) = spec["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}


def test_what_the_autoscaler_counts_in_percent_is_always_requested() -> None:
    (server,) = rendered(EVERYTHING)["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert server["resources"]["requests"]["cpu"]


def test_as_few_as_many_is_an_autoscaler_too() -> None:
    case = Case(RELEASE, Kubernetes(replicas=3, max_replicas=3))
    spec = rendered(case)["autoscaler.yaml"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 3)


def test_a_drain_takes_one_pod_at_a_time_of_all_versions_together() -> None:
    spec = rendered(EVERYTHING)["disruptionbudget.yaml"]["spec"]
    assert (spec["maxUnavailable"], "minAvailable" in spec) == (1, False)
    assert spec["selector"] == {"matchLabels": ours("diabetes")}
    assert "disruptionbudget.yaml" not in rendered(PINNED)
