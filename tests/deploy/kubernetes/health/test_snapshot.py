from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shipway.deploy.kubernetes.health.snapshot import Look, Snapshot, condition, number, part, parts, text

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
REVISION = "deployment.kubernetes.io/revision"


def thing(uid: str, owner: str = "", revision: str = "", **metadata: object) -> dict[str, Any]:
    owners = [{"uid": owner, "controller": True}] if owner else []
    return {
        "metadata": {
            "uid": uid,
            "name": uid,
            "ownerReferences": owners,
            "annotations": {REVISION: revision},
            **metadata,
        }
    }


def pod(uid: str, owner: str, *, ready: bool = False, **metadata: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {**thing(uid, owner, "", **metadata), "status": {"conditions": conditions}}


def rolled(*pods: dict[str, Any], replicas: int = 1, observed: int = 2) -> Snapshot:
    deployment = thing("d", revision="2", generation=2, namespace="models")
    deployment |= {"spec": {"replicas": replicas}, "status": {"observedGeneration": observed}}
    sets = (thing("old", "d", "1"), thing("new", "d", "2"), thing("stranger", "x", "2"))
    return Snapshot(now=NOW, deployment=deployment, replica_sets=sets, pods=pods)


def test_the_newest_replica_set_is_the_one_of_the_deployments_revision() -> None:
    assert rolled().newest["metadata"]["uid"] == "new"


def test_without_an_owner_nothing_is_the_newest() -> None:
    assert Snapshot(now=NOW, deployment={}, replica_sets=({},), pods=({},)).newest == {}
    assert Snapshot(now=NOW, deployment={}, replica_sets=({},), pods=({},)).looks() == []


def test_only_pods_of_the_newest_that_stay_and_are_not_ready_are_looked_at() -> None:
    pods = (
        pod("late", "new", creationTimestamp="2026-11-25T11:59:00Z"),
        pod("early", "new", creationTimestamp="2026-11-25T11:58:00Z"),
        pod("ready", "new", ready=True),
        pod("ending", "new", deletionTimestamp="2026-11-25T11:59:00Z"),
        pod("of the old", "old"),
        pod("of a stranger", "stranger"),
    )
    assert [look.name for look in rolled(*pods, replicas=4).looks()] == ["early", "late"]


@pytest.mark.parametrize(("ready", "replicas", "is_healthy"), [(1, 1, True), (1, 2, False), (0, 0, True), (2, 1, True)])
def test_healthy_is_as_many_ready_as_wanted(ready: int, replicas: int, is_healthy: bool) -> None:
    pods = [pod(f"p{i}", "new", ready=True) for i in range(ready)]
    assert rolled(*pods, pod("old", "old", ready=True), replicas=replicas).is_healthy is is_healthy


def test_the_newest_template_is_unknown_before_the_controller_has_seen_it() -> None:
    assert rolled(observed=2).is_observed
    assert not rolled(observed=1).is_observed


def test_events_are_those_of_the_pod_newest_first_by_any_of_their_times() -> None:
    about = {"involvedObject": {"uid": "p"}, "reason": "Failed"}
    events = (
        {**about, "message": "second", "lastTimestamp": "2026-11-25T11:02:00Z"},
        {**about, "message": "first", "lastTimestamp": None, "eventTime": "2026-11-25T11:01:00.5Z"},
        {**about, "message": "third", "series": {"lastObservedTime": "2026-11-25T11:03:00Z"}},
        {**about, "message": "of another reason", "reason": "Pulled"},
        {**about, "message": "of another pod", "involvedObject": {"uid": "q"}},
    )
    snapshot = Snapshot(now=NOW, deployment={}, events=events)
    assert list(Look(snapshot, pod("p", "new")).said("Failed")) == ["third", "second", "first"]


@pytest.mark.parametrize(
    ("restarts", "state", "is_crashing"),
    [
        (0, {"terminated": {"exitCode": 1}}, False),
        (1, {"terminated": {"exitCode": 1}}, True),
        (1, {"running": {"startedAt": "2026-11-25T11:59:00Z"}}, False),
        (2, {"running": {"startedAt": "2026-11-25T11:59:00Z"}}, True),
        (1, {"waiting": {"reason": "CrashLoopBackOff"}}, True),
    ],
)
def test_crashing_is_to_have_ended_twice(restarts: int, state: dict[str, Any], is_crashing: bool) -> None:
    one = pod("p", "new") | {"spec": {"containers": [{"name": "proxy"}, {"name": "server"}]}}
    statuses = [{"name": "proxy", "restartCount": 9}, {"name": "server", "restartCount": restarts, "state": state}]
    one["status"]["containerStatuses"] = statuses
    assert Look(rolled(), one).is_crashing is is_crashing


def test_the_time_since_is_never_negative_and_none_is_no_time() -> None:
    snapshot = rolled()
    assert snapshot.since("2026-11-25T11:59:30Z") == 30
    assert snapshot.since((NOW + timedelta(hours=1)).isoformat()) == 0
    assert snapshot.since("") == 0
    assert snapshot.since("yesterday") == 0


@pytest.mark.parametrize("strange", [None, 3, "text", [], [None], {"a": None}, {"a": [1]}])
def test_whatever_is_not_there_reads_as_empty(strange: object) -> None:
    assert part(strange, "a", "b") == {}
    assert parts(strange, "a") == []
    assert text(strange, "a", "b") == ""
    assert number(strange, "a", "b", default=3) == 3


def test_commands_name_the_namespace() -> None:
    assert rolled().kubectl == "kubectl -n models"
    assert Snapshot(now=NOW, deployment={}).kubectl == "kubectl"


def test_a_condition_is_found_by_its_type() -> None:
    assert condition(pod("p", "new"), "Ready")["status"] == "False"
    assert condition(pod("p", "new"), "PodScheduled") == {}
