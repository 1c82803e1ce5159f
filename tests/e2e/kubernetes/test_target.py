"""The target on a real cluster, with no more rights than the Role that `shipway render --rbac` writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from fakes.releases import DIGEST
from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.health.rollout import instance
from shipway.deploy.kubernetes.health.snapshot import condition
from shipway.deploy.kubernetes.objects.rbac import ACCOUNT, rbac
from shipway.deploy.kubernetes.target import KubernetesTarget
from shipway.deploy.target import Order, Progress
from shipway.deploy.yaml import plain
from shipway.errors import Contested, Interrupted, ReleaseFailed, TargetError, UnknownRelease
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes]

Object = dict[str, Any]
Images = tuple[str, str]
NAME = "diabetes"


@pytest.fixture
def place(access: Access, namespace: str) -> Access:
    """The namespace as an account sees it that has just the Role, and nothing on the cluster."""
    here = replace(access, namespace=namespace)
    with Cluster.open(here) as cluster:
        for document in rbac(Kubernetes(namespace=namespace)).values():
            cluster.apply(plain(document))  # type: ignore[arg-type]
    account = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    return replace(here, user=replace(access.user, impersonate=(("Impersonate-User", account),)))


@pytest.fixture
def admin(access: Access, namespace: str) -> Iterator[Cluster]:
    with Cluster.open(replace(access, namespace=namespace)) as cluster:
        yield cluster


def release(image: str, version: int, name: str = NAME) -> Release:
    return Release(name, BundleId("diabetes", version, DIGEST), image, Contract())


def quietly(progress: Progress) -> None:
    pass


class Heard(list[tuple[float, Progress]]):
    """Keeps progress with the time at which it was told."""

    def __call__(self, progress: Progress) -> None:
        self.append((time.monotonic(), progress))


def pods(cluster: Cluster) -> list[Object]:
    return list(cluster.list(KINDS["Pod"]).items)


def states(cluster: Cluster) -> set[str]:
    return {instance(pod).state for pod in pods(cluster)}


def test_a_release_goes_out_comes_back_and_leaves_nothing(place: Access, images: Images, admin: Cluster) -> None:
    before = {thing["metadata"]["name"] for thing in admin.list(KINDS["ConfigMap"]).items}
    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        heard = Heard()
        outcome = target.carry_out(target.plan(Order(release(images[0], 1))), heard)
        assert outcome.number == 1
        assert heard[-1][1].done
        assert target.names() == (NAME,)
        assert target.plan(Order(release(images[0], 1))).is_empty

        target.carry_out(target.plan(Order(release(images[1], 2))), quietly)
        assert target.status(NAME).current.bundle.startswith("diabetes:2@")
        assert target.status(NAME).edited == ()

        plan = target.plan_rollback(NAME, None)
        assert plan.reason == "rollback to 1"
        assert target.carry_out(plan, quietly).number == 3
        assert [(record.number, record.result) for record in target.history(NAME)] == [
            (1, "replaced"),
            (2, "replaced"),
            (3, "complete"),
        ]
        assert all(record.who.endswith(f":{ACCOUNT}") for record in target.history(NAME))
        assert any("serving diabetes" in line.text for line in target.logs(NAME, follow=False, tail=1000))

        target.carry_out(target.plan_undeploy(NAME), quietly)
        assert target.names() == ()
        with pytest.raises(UnknownRelease):
            target.status(NAME)
    assert {thing["metadata"]["name"] for thing in admin.list(KINDS["ConfigMap"]).items} == before
    assert pods(admin) == []


def test_it_returns_within_two_seconds_of_the_servers_being_ready(
    place: Access, images: Images, admin: Cluster
) -> None:
    with KubernetesTarget.open(place, Kubernetes(replicas=2)) as target:
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        returned = time.time()
    ready = max(
        datetime.fromisoformat(condition(pod, "Ready")["lastTransitionTime"]).timestamp() for pod in pods(admin)
    )
    assert returned - ready < 2 + 1  # times of the API are whole seconds, cut off


def test_a_failure_is_explained_and_what_was_before_goes_on_serving(
    place: Access, images: Images, admin: Cluster
) -> None:
    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        missing = images[0].rpartition(":")[0] + ":missing"
        begin = time.monotonic()
        with pytest.raises(ReleaseFailed, match="release 1 was brought back and serves") as caught:
            target.carry_out(target.plan(Order(release(missing, 2))), quietly)
        assert time.monotonic() - begin < 20
        assert missing in caught.value.message
        assert [record.result for record in target.history(NAME)] == ["replaced", "failed", "complete"]
        with pytest.raises(ReleaseFailed, match="left as they are"):
            target.carry_out(target.plan(Order(release(missing, 2))), quietly, restore=False)
        assert states(admin) >= {"ready", "no image"}
        status = target.status(NAME)
        assert status.current.result == "failed"
        assert status.progress.cause is not None
        target.carry_out(target.plan_rollback(NAME, None), quietly)
        assert target.status(NAME).progress.done


def test_a_first_release_that_fails_leaves_nothing_running(place: Access, images: Images, admin: Cluster) -> None:
    missing = images[0].rpartition(":")[0] + ":missing"
    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        with pytest.raises(ReleaseFailed, match="nothing of diabetes runs now"):
            target.carry_out(target.plan(Order(release(missing, 1))), quietly)
        assert admin.get(KINDS["Deployment"], NAME) is None
        assert target.history(NAME)[0].result == "failed"


def test_a_canary_gets_its_share_and_is_promoted_or_ended(place: Access, images: Images, admin: Cluster) -> None:
    def sizes() -> tuple[int, int]:
        found = {
            thing["metadata"]["name"]: thing["spec"]["replicas"] for thing in admin.list(KINDS["Deployment"]).items
        }
        return found.get(NAME, 0), found.get(f"{NAME}-canary", 0)

    with KubernetesTarget.open(place, Kubernetes(replicas=2)) as target:
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        target.carry_out(target.plan(Order(release(images[1], 2), canary=50)), quietly)
        assert sizes() == (1, 1)
        status = target.status(NAME)
        assert (status.share, status.edited) == (50.0, ())
        assert {one.track for one in status.progress.instances if one.state == "ready"} == {"stable", "canary"}
        assert set(target.measure(NAME)) == {"stable", "canary"}

        target.carry_out(target.plan_rollback(NAME, None), quietly)
        assert sizes() == (2, 0)
        assert target.status(NAME).canary is None

        target.carry_out(target.plan(Order(release(images[1], 2), canary=50)), quietly)
        fewest = _fewest_ready(admin, lambda: target.carry_out(target.plan_promote(NAME), quietly))
        assert sizes() == (2, 0)
        assert fewest >= 2, "there were never fewer servers than before"
        assert target.status(NAME).current.bundle.startswith("diabetes:2@")


def _fewest_ready(cluster: Cluster, act: Any) -> int:
    """Gives the smallest number of ready servers that was seen while something was done."""
    seen, ended = [], threading.Event()

    def look() -> None:
        while not ended.wait(0.3):
            seen.append(sum(instance(pod).ready for pod in pods(cluster)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        act()
    finally:
        ended.set()
        thread.join()
    return min(seen)


def test_the_number_of_servers_changes_hands_and_never_falls(place: Access, images: Images, admin: Cluster) -> None:
    def scale(target: KubernetesTarget, replicas: int, most: int | None = None) -> int:
        return _fewest_ready(admin, lambda: target.carry_out(target.plan_scale(NAME, replicas, most), quietly))

    with KubernetesTarget.open(place, Kubernetes(replicas=2)) as target:
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        assert scale(target, 2, 3) >= 2
        time.sleep(2)
        assert sum(instance(pod).ready for pod in pods(admin)) == 2
        assert scale(target, 3) >= 2
        assert target.status(NAME).progress.wanted == 3
        assert target.status(NAME).edited == ()


def test_of_two_at_once_one_wins_and_the_other_says_so(place: Access, images: Images) -> None:
    with (
        KubernetesTarget.open(place, Kubernetes(replicas=1)) as one,
        KubernetesTarget.open(place, Kubernetes(replicas=1)) as other,
    ):
        first, second = one.plan(Order(release(images[0], 1))), other.plan(Order(release(images[1], 2)))
        thread = threading.Thread(target=lambda: one.carry_out(first, quietly))
        thread.start()
        time.sleep(1)
        with pytest.raises(Contested, match="somebody else has just begun release 1"):
            other.carry_out(second, quietly)
        with pytest.raises(Contested, match="is being rolled out"):
            other.plan(Order(release(images[1], 2)))
        thread.join()
        assert one.status(NAME).current.bundle.startswith("diabetes:1@")


def test_whoever_is_overtaken_by_a_rollback_says_so(place: Access, images: Images) -> None:
    with (
        KubernetesTarget.open(place, Kubernetes(replicas=1)) as one,
        KubernetesTarget.open(place, Kubernetes(replicas=1)) as other,
    ):
        one.carry_out(one.plan(Order(release(images[0], 1))), quietly)
        raised: list[BaseException] = []

        def deploy() -> None:
            try:
                one.carry_out(one.plan(Order(release(images[1], 2))), quietly)
            except Contested as error:
                raised.append(error)

        thread = threading.Thread(target=deploy)
        thread.start()
        time.sleep(2)
        other.carry_out(other.plan_rollback(NAME, None), quietly)
        thread.join()
        assert "put an end to release 2" in str(raised[0])
        assert [record.result for record in one.history(NAME)] == ["replaced", "interrupted", "complete"]


def test_what_was_broken_off_is_finished_by_the_same_release_again(place: Access, images: Images) -> None:
    def break_off(progress: Progress) -> None:
        raise KeyboardInterrupt

    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        with pytest.raises(Interrupted, match="broken off"):
            target.carry_out(target.plan(Order(release(images[0], 1))), break_off)
        assert target.history(NAME)[0].result == "interrupted"
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        assert target.history(NAME)[-1].result == "complete"


def test_a_hand_is_seen_refused_and_overruled(place: Access, images: Images, admin: Cluster) -> None:
    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        hand = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "labels": {"team": "a"}},
            "spec": {"minReadySeconds": 3},
        }
        admin.apply(hand, manager="somebody", force=True)
        (edit,) = target.status(NAME).edited
        assert "+  minReadySeconds: 3" in edit.difference
        assert "+    team: a" in edit.difference
        with pytest.raises(Contested, match=r"spec\.minReadySeconds belongs to somebody"):
            target.plan(Order(release(images[1], 2)))
        plan = target.plan(Order(release(images[1], 2), force=True))
        target.carry_out(plan, quietly)
        assert "minReadySeconds" not in "".join(change.difference for change in target.status(NAME).edited)


def test_what_is_not_ours_is_not_touched(place: Access, images: Images, admin: Cluster) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "other", "labels": {"app.kubernetes.io/managed-by": "somebody"}},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}},
    }
    admin.create(service)
    before = admin.get(KINDS["Service"], "other")
    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        with pytest.raises(Contested, match="not of release other"):
            target.plan(Order(release(images[0], 1, "other")))
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        target.carry_out(target.plan_undeploy(NAME), quietly)
    assert admin.get(KINDS["Service"], "other") == before


def test_logs_of_servers_to_come_join_in(place: Access, images: Images) -> None:
    with KubernetesTarget.open(place, Kubernetes(replicas=1)) as target:
        target.carry_out(target.plan(Order(release(images[0], 1))), quietly)
        lines = target.logs(NAME, follow=True, tail=5)
        first = next(lines)
        thread = threading.Thread(target=lambda: target.carry_out(target.plan_scale(NAME, 2), quietly))
        thread.start()
        deadline = time.monotonic() + 60
        seen = {first.instance}
        for line in lines:
            seen.add(line.instance)
            if len(seen) == 2:
                break
            assert time.monotonic() < deadline
        lines.close()  # type: ignore[attr-defined]
        thread.join()


def test_it_needs_a_namespace(access: Access, images: Images) -> None:
    nowhere = replace(access, namespace="shipway-is-not-here")
    missing = pytest.raises(TargetError, match="no namespace shipway-is-not-here")
    with KubernetesTarget.open(nowhere, Kubernetes()) as target, missing as caught:
        target.plan(Order(release(images[0], 1)))
    assert "kubectl create namespace" in caught.value.fix
