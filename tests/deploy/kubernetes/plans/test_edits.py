from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.releases import CASES, EVERYTHING, PLAIN, RELEASE
from shipway.deploy.kubernetes.objects.labels import TRACK, deployment_name
from shipway.deploy.kubernetes.objects.render import objects
from shipway.deploy.kubernetes.plans import edits
from shipway.errors import UsageError
from shipway.spec.settings import Kubernetes

PLAIN_OBJECTS = objects(*PLAIN)
ALL = objects(*EVERYTHING)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_rendered_is_put_in_order_with_nothing_added_or_lost(case: Any) -> None:
    rendered = objects(*case)
    ordered = edits.in_order(rendered)
    assert sorted(map(edits.what, ordered)) == sorted(map(edits.what, rendered))
    kinds = [each["kind"] for each in ordered]
    assert kinds == sorted(kinds, key=edits.APPLIED.index)


def test_an_autoscaler_comes_after_its_deployment_and_the_account_before_it() -> None:
    kinds = [each["kind"] for each in edits.in_order(reversed(ALL))]
    assert kinds.index("ServiceAccount") < kinds.index("Deployment") < kinds.index("HorizontalPodAutoscaler")
    assert kinds.index("ConfigMap") < kinds.index("Deployment")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["plain", "pinned", "everything"]))
def test_a_fixed_number_is_the_number_and_leaves_no_autoscaler(replicas: int, case: str) -> None:
    before = objects(*CASES[case])
    kept = copy.deepcopy(before)
    sized = edits.with_replicas(before, replicas)
    assert edits.replicas_of(sized) == replicas
    assert edits.autoscaler_of(sized) is None
    assert before == kept, "edits change nothing in place"
    assert edits.equal_but_for_size(sized, before)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(0, 50), st.sampled_from(["plain", "pinned", "everything"]))
def test_an_autoscaler_owns_the_number_alone(fewest: int, more: int, case: str) -> None:
    before = objects(*CASES[case])
    scaled = edits.between(before, fewest, fewest + more, 70)
    autoscaler = edits.autoscaler_of(scaled)
    assert autoscaler is not None
    assert (autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]) == (fewest, fewest + more)
    assert "replicas" not in edits.deployment_of(scaled)["spec"]
    assert edits.replicas_of(scaled) == edits.fewest(scaled) == fewest
    assert edits.equal_but_for_size(scaled, before)


def test_a_new_autoscaler_is_the_one_that_would_have_been_rendered() -> None:
    rendered = objects(RELEASE, Kubernetes(replicas=2, max_replicas=5, cpu_percent=70))
    made = edits.between(objects(RELEASE, Kubernetes(replicas=7)), 2, 5, 70)
    assert edits.in_order(made) == edits.in_order(rendered)


def test_an_autoscaler_keeps_what_it_was_released_with() -> None:
    kept = edits.autoscaler_of(edits.between(ALL, 3, 4, 10))
    assert kept is not None
    assert kept["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == EVERYTHING.options.cpu_percent


@pytest.mark.parametrize(("fewest", "most"), [(0, 3), (3, 2), (1, 10_001), (-1, 1)])
def test_impossible_numbers_are_refused(fewest: int, most: int) -> None:
    with pytest.raises(UsageError):
        edits.between(PLAIN_OBJECTS, fewest, most, 80)
    with pytest.raises(UsageError):
        edits.with_replicas(PLAIN_OBJECTS, -1)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_canary_differs_from_the_stable_version_in_name_track_and_size_alone(case: Any) -> None:
    stable = edits.deployment_of(edits.with_replicas(objects(*case), 2))
    made = edits.canary_of(objects(*case), 2)
    back = json.loads(json.dumps(made).replace('"canary"', '"stable"'))
    back["metadata"]["name"] = stable["metadata"]["name"]
    assert back == stable


def test_a_canary_selects_no_pod_of_the_stable_version() -> None:
    made = edits.canary_of(PLAIN_OBJECTS, 1)
    assert made["metadata"]["name"] == deployment_name("diabetes", "canary")
    assert made["spec"]["selector"]["matchLabels"][TRACK] == "canary"
    assert made["spec"]["template"]["metadata"]["labels"][TRACK] == "canary"
    assert '"stable"' not in json.dumps(made)


def test_beside_the_stable_version_come_a_deployment_and_the_configuration_it_lacks() -> None:
    without_configuration = objects(EVERYTHING.release, EVERYTHING.options)
    stable = [each for each in without_configuration if each["kind"] != "ConfigMap"]
    kinds = [each["kind"] for each in edits.beside(ALL, stable, 1)]
    assert kinds == ["ConfigMap", "Deployment"]
    assert [each["kind"] for each in edits.beside(ALL, ALL, 1)] == ["Deployment"]


def test_other_images_are_more_than_another_size() -> None:
    other = copy.deepcopy(PLAIN_OBJECTS)
    edits.deployment_of(other)["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/other:1"
    assert not edits.equal_but_for_size(PLAIN_OBJECTS, other)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from([*edits.deployment_of(PLAIN_OBJECTS)["metadata"]["labels"], "x"]), st.text()))
def test_only_what_bears_all_our_labels_is_ours(labels: dict[str, str]) -> None:
    wanted = {"app.kubernetes.io/instance": "diabetes", "app.kubernetes.io/managed-by": "shipway"}
    assert edits.is_ours({"metadata": {"labels": labels}}, "diabetes") == (wanted.items() <= labels.items())
    assert not edits.is_ours({"metadata": {}}, "diabetes")
    assert edits.is_ours({"metadata": {"labels": {**labels, **wanted}}}, "diabetes")


def test_a_record_without_deployment_is_said_to_be_incomplete() -> None:
    with pytest.raises(UsageError, match="no Deployment"):
        edits.deployment_of([])
