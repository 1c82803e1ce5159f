"""The Deployment: what it relies on in the server's contract, how it rolls, and its account."""

from __future__ import annotations

from dataclasses import replace

from fakes.releases import CASES, EVERYTHING, PLAIN, RELEASE, Case, rendered
from shipway.deploy.kubernetes.objects.labels import TRACK, selector_of
from shipway.spec.settings import Kubernetes


def test_the_number_of_servers_is_the_deployments_only_without_an_autoscaler() -> None:
    assert rendered(PLAIN)["deployment.yaml"]["spec"]["replicas"] == 3
    assert rendered(Case(RELEASE, Kubernetes(replicas=0)))["deployment.yaml"]["spec"]["replicas"] == 0
    assert "replicas" not in rendered(EVERYTHING)["deployment.yaml"]["spec"]


def test_the_stable_deployment_takes_no_pods_of_a_canary() -> None:
    for case in CASES.values():
        spec = rendered(case)["deployment.yaml"]["spec"]
        assert spec["selector"]["matchLabels"] == selector_of(case.release.name, "stable")
        canary = {**spec["template"]["metadata"]["labels"], TRACK: "canary"}
        assert not spec["selector"]["matchLabels"].items() <= canary.items()
        assert rendered(case)["service.yaml"]["spec"]["selector"].items() <= canary.items()


def test_a_new_bundle_rolls_out_even_under_the_same_tag() -> None:
    other = replace(RELEASE, bundle=replace(RELEASE.bundle, digest=f"sha256:{'f' * 64}"))
    now, then = (rendered(Case(each, Kubernetes()))["deployment.yaml"]["spec"] for each in (RELEASE, other))
    assert now["template"] != then["template"]


def test_a_roll_out_may_take_as_long_as_a_pod_may_take_to_start() -> None:
    spec = rendered(PLAIN)["deployment.yaml"]["spec"]
    startup = spec["template"]["spec"]["containers"][0]["startupProbe"]
    longest = startup["periodSeconds"] * startup["failureThreshold"] + spec["minReadySeconds"]
    assert spec["progressDeadlineSeconds"] > longest


def test_pods_have_an_account_of_their_own_and_no_token() -> None:
    for case in CASES.values():
        account = rendered(case)["serviceaccount.yaml"]
        pod = rendered(case)["deployment.yaml"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == account["metadata"]["name"]
        assert account["automountServiceAccountToken"] is pod["automountServiceAccountToken"] is False
