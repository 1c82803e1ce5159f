from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.exchanges import EXCHANGES, seen
from shipway.deploy.kubernetes.health.rollout import instance, progress
from shipway.deploy.kubernetes.health.snapshot import newest_of, owned_by
from shipway.deploy.target import Cause

Object = dict[str, Any]

RECORDINGS = sorted(path.name.removesuffix(".jsonl.gz") for path in EXCHANGES.iterdir())
CAUSE = Cause("kind", "what", "why", "fix")
SLOW = Cause("kind", "what", "why", "fix", final=False)


def last(scenario: str, kind: str, **labels: str) -> list[Object]:
    """Gives the last state of each object of a kind in a recording."""
    states = {
        each["metadata"]["name"]: each for each in seen(EXCHANGES / f"{scenario}.jsonl.gz", kind) if each.get("status")
    }
    return [copy.deepcopy(each) for each in states.values()]


def world(scenario: str = "first") -> tuple[Object, list[Object], list[Object]]:
    (deployment,) = [each for each in last(scenario, "Deployment") if each["metadata"]["name"] == "diabetes"]
    return deployment, last(scenario, "ReplicaSet"), last(scenario, "Pod")


def table(deployment: Object) -> str:
    """The table of kubernetes.md, section 1.1, row by row."""
    status, spec = deployment["status"], deployment["spec"]
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    progressing, failure = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "wait"
    if (progressing.get("status"), progressing.get("reason")) == ("False", "ProgressDeadlineExceeded"):
        return "failed"
    if failure.get("status") == "True":
        return "failed"
    if status.get("updatedReplicas", 0) < spec["replicas"]:
        return "wait"
    if status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return "wait"
    if status.get("availableReplicas", 0) < status.get("updatedReplicas", 0):
        return "wait"
    return "done"


COUNT = st.integers(0, 3)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "observedGeneration": st.integers(1, 3),
            "updatedReplicas": COUNT,
            "replicas": COUNT,
            "availableReplicas": COUNT,
            "conditions": st.lists(
                st.sampled_from(
                    [
                        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
                        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
                        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"},
                        {"type": "ReplicaFailure", "status": "False"},
                        {"type": "Available", "status": "False"},
                    ]
                ),
                max_size=2,
                unique_by=lambda each: each["type"],
            ),
        },
    ),
    COUNT,
)
def test_done_and_failed_are_what_the_table_says(status: Object, wanted: int) -> None:
    deployment = {"metadata": {"generation": 2, "uid": "d"}, "spec": {"replicas": wanted}, "status": status}
    now = progress(deployment, [], [])
    says = table(deployment)
    # What is complete is not failed by what was true of it before.
    complete = table({**deployment, "status": {**status, "conditions": []}}) == "done"
    assert now.done == (says == "done" or complete)
    assert now.failed == (says == "failed" and not complete)
    assert (now.cause is not None) == now.failed


@pytest.mark.parametrize("scenario", ["first", "canary", "promote", "rollback"])
def test_what_came_to_a_good_end_on_a_real_node_is_done(scenario: str) -> None:
    deployment, replica_sets, pods = world(scenario)
    now = progress(deployment, replica_sets, pods)
    assert now.done
    assert not now.failed
    assert now.ready == now.updated == now.wanted == deployment["spec"]["replicas"]


def test_a_real_roll_out_is_never_done_before_its_new_servers_are_available() -> None:
    states = [
        each
        for each in seen(EXCHANGES / "first.jsonl.gz", "Deployment")
        if each["metadata"]["name"] == "diabetes" and each["metadata"].get("uid") and each.get("status") is not None
    ]
    done = [progress(each, [], []).done for each in states]
    assert done[-1]
    assert not any(done[: done.index(True)])
    assert len(done) > 3


def test_a_final_cause_fails_and_a_passing_one_does_not() -> None:
    deployment, replica_sets, pods = world()
    deployment["status"]["availableReplicas"] = 0
    assert progress(deployment, replica_sets, pods, CAUSE).failed
    assert not progress(deployment, replica_sets, pods, SLOW).failed
    assert progress(deployment, replica_sets, pods, SLOW).cause == SLOW


def test_what_is_done_has_no_cause() -> None:
    now = progress(*world(), CAUSE)
    assert (now.cause, now.failed, now.done) == (None, False, True)


def test_before_the_controller_has_looked_no_server_is_new() -> None:
    deployment, replica_sets, pods = world()
    deployment["metadata"]["generation"] += 1
    now = progress(deployment, replica_sets, pods)
    assert newest_of(deployment, replica_sets) is None
    assert (now.ready, now.updated, now.old) == (0, 0, len(pods))


def test_servers_of_the_canary_are_shown_and_not_counted() -> None:
    deployment, replica_sets, pods = world("canary")
    now = progress(deployment, replica_sets, pods)
    tracks = {one.track for one in now.instances}
    assert tracks == {"stable", "canary"}
    assert all(not one.new for one in now.instances if one.track == "canary")
    assert now.old + now.updated < len(pods)


def test_an_ending_server_counts_no_more() -> None:
    deployment, replica_sets, pods = world()
    pods[0]["metadata"]["deletionTimestamp"] = "2026-11-25T01:00:00Z"
    now = progress(deployment, replica_sets, pods)
    assert (now.ready, now.updated) == (0, 0)
    assert now.instances[0].state == "ending"


def test_things_are_owned_by_their_controller_alone() -> None:
    _, replica_sets, pods = world()
    other = copy.deepcopy(pods[0])
    other["metadata"]["ownerReferences"][0]["controller"] = False
    assert owned_by([*pods, other], replica_sets) == pods


def pod(status: Object, **metadata: Any) -> Object:
    return {"metadata": {"name": "p", "uid": "u", **metadata}, "spec": {}, "status": status}


def waiting(reason: str, **server: Any) -> Object:
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason}}, **server}]}


def running(state: str, **server: Any) -> Object:
    return {"phase": "Running", "containerStatuses": [{"state": {state: {"exitCode": 1}}, **server}]}


UNPLACED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "starting"),
        ({"conditions": [UNPLACED]}, "waiting for a node"),
        (waiting("ContainerCreating"), "pulling"),
        (waiting("ErrImagePull"), "no image"),
        (waiting("ImagePullBackOff"), "no image"),
        (waiting("InvalidImageName"), "no image"),
        (waiting("CreateContainerConfigError"), "misconfigured"),
        (waiting("RunContainerError"), "misconfigured"),
        (waiting("CrashLoopBackOff"), "crashed"),
        (waiting("CrashLoopBackOff", lastState=KILLED), "out of memory"),
        (running("terminated"), "crashed"),
        (running("running", started=False), "starting"),
        (running("running", started=True), "not ready"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, "ready"),
        ({"phase": "Failed", "reason": "Evicted"}, "evicted"),
        ({"phase": "Failed"}, "failed"),
        ({"phase": "Unknown"}, "node lost"),
    ],
)
def test_each_state_of_a_pod_has_a_word(status: Object, word: str) -> None:
    assert instance(pod(status)).state == word
    assert instance(pod(status, deletionTimestamp="now")).state == "ending"
    assert instance(pod(status)).ready == (word == "ready")


def test_restarts_and_track_are_told() -> None:
    status = {"containerStatuses": [{"name": "server", "restartCount": 3}]}
    one = instance(pod(status, labels={"io.shipway/track": "canary"}))
    assert (one.restarts, one.track) == (3, "canary")


@pytest.mark.parametrize("scenario", RECORDINGS)
def test_every_pod_that_a_real_node_showed_has_a_state(scenario: str) -> None:
    words = {instance(each).state for each in seen(EXCHANGES / f"{scenario}.jsonl.gz", "Pod")}
    assert words <= {"starting", "pulling", "ready", "not ready", "ending", "no image", "waiting for a node", "crashed"}
