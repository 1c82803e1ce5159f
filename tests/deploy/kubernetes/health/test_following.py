"""When a roll-out counts as over; the cluster is what a 1.36 node showed while a release failed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fakes.exchanges import EXCHANGES, seen
from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.health.following import SETTLE_SECONDS, Evidence, _Following
from shipway.deploy.target import Cause
from shipway.errors import TargetError

Object = dict[str, Any]
FAILS = EXCHANGES / "fails.jsonl.gz"


def events(request: httpx.Request) -> httpx.Response:
    """Answers with the events that were recorded of whatever is asked for; all else may not be read."""
    uid = request.url.params.get("fieldSelector", "").partition("=")[2]
    if "/events" not in request.url.path:
        return httpx.Response(403, json={"kind": "Status", "reason": "Forbidden", "message": "no"})
    items = [each for each in seen(FAILS, "Event") if each["involvedObject"]["uid"] == uid]
    return httpx.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": items})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def failing_view() -> dict[str, tuple[Object, ...]]:
    """Gives the moment at which the node could not pull the image."""
    deployments = [each for each in seen(FAILS, "Deployment") if each["metadata"]["name"] == "diabetes"]
    failing = [
        each
        for each in deployments
        if each.get("status", {}).get("observedGeneration") == each["metadata"].get("generation")
        and each["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":nope")
    ]
    replica_sets = {each["metadata"]["name"]: each for each in seen(FAILS, "ReplicaSet") if each["spec"]["replicas"]}
    pods = [each for each in seen(FAILS, "Pod") if "ErrImagePull" in str(each["status"])]
    view = {"Deployment": failing[-1:], "ReplicaSet": list(replica_sets.values()), "Pod": pods[-1:]}
    return {kind: tuple(copy.deepcopy(each) for each in found) for kind, found in view.items()}


def following(clock: Clock) -> _Following:
    client = httpx.Client(transport=httpx.MockTransport(events))
    cluster = Cluster(Access("https://x.test", "recorded", "dev", User()), client, sleep=lambda _: None)
    return _Following(Evidence(cluster), "diabetes", clock, SETTLE_SECONDS)


def test_a_failure_that_lasts_ends_it_within_fifteen_seconds_and_is_explained() -> None:
    clock = Clock()
    watched, view = following(clock), failing_view()
    while True:
        now, is_over = watched.look(view)
        if is_over:
            break
        clock.now += 0.5
        assert clock.now < 15
    assert now.failed
    assert now.cause is not None
    assert now.cause.kind == "image-not-found"
    assert clock.now >= SETTLE_SECONDS


def test_a_failure_that_passes_does_not_end_it() -> None:
    clock = Clock()
    watched, view = following(clock), failing_view()
    healed = {**view, "Pod": ()}
    for moment in range(40):
        clock.now = moment * 1.0
        now, is_over = watched.look(view if moment % 4 < 2 else healed)
        assert not is_over, now


@dataclass
class Unschedulable(Evidence):
    """Sees the same cause all the time, final from a moment on."""

    clock: Clock
    final_at: float

    def cause(self, *_: object) -> Cause:
        return Cause("no-cpu", "what", "why", "fix", final=self.clock() >= self.final_at)


def test_a_cause_that_has_lasted_ends_it_as_soon_as_it_is_final() -> None:
    clock, view = Clock(), failing_view()
    watched = _Following(Unschedulable(clock, 12.0), "diabetes", clock, SETTLE_SECONDS)
    for moment in range(1, 12):
        clock.now = float(moment)
        assert not watched.look(view)[1]
    clock.now = 12.0
    assert watched.look(view)[1]


def test_whoever_never_hears_of_an_end_gives_up_after_the_deadline() -> None:
    clock = Clock()
    watched, view = following(clock), failing_view()
    view = {**view, "Pod": ()}
    deployment = view["Deployment"][0]
    clock.now = deployment["spec"]["progressDeadlineSeconds"] + 61
    watched.look(view)
    clock.now += SETTLE_SECONDS + 1
    now, is_over = watched.look(view)
    assert is_over
    assert now.cause is not None
    assert now.cause.kind == "deadline"


def test_a_paused_deployment_is_named_as_the_cause() -> None:
    clock = Clock()
    watched, view = following(clock), {**failing_view(), "Pod": ()}
    view["Deployment"][0]["spec"]["paused"] = True
    clock.now = 700.0
    now, _ = watched.look(view)
    assert now.cause is not None
    assert "resume" in now.cause.fix


def test_a_deployment_that_is_gone_is_said() -> None:
    with pytest.raises(TargetError, match="was deleted while"):
        following(Clock()).look({**failing_view(), "Deployment": ()})
