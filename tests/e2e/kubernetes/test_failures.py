"""A release that fails says why within 15 s of the cluster showing it, and the one before it serves all the while."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.kubernetes.figures import FIGURES, Figure
from e2e.kubernetes.user import NAME, Object, User, wait
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.health.snapshot import condition

pytestmark = pytest.mark.kubernetes

SECONDS = 15.0
_EVERY = 0.2
_ONE = ("--replicas", "1")


def _server(pod: Object) -> Object:
    found: Object = next(iter(pod.get("status", {}).get("containerStatuses") or ()), {})
    return found


def _waits(*reasons: str) -> Callable[[Object], bool]:
    return lambda pod: (_server(pod).get("state", {}).get("waiting") or {}).get("reason") in reasons


def _ended(pod: Object) -> bool:
    return any(_server(pod).get(state, {}).get("terminated") for state in ("state", "lastState"))


def _unplaced(pod: Object) -> bool:
    return bool(condition(pod, "PodScheduled").get("status") == "False")


def _refused(replica_set: Object) -> bool:
    return bool(condition(replica_set, "ReplicaFailure").get("status") == "True")


@dataclass(frozen=True)
class Case:
    """One way to fail.

    Attributes:
        kind: of the cause, as in docs/kubernetes.md.
        flags: that make the second release fail.
        shown: whether an object of the cluster shows it.
        on: the kind of these objects.
        said: pattern of the message.
        prepare: what the namespace is like.
    """

    kind: str
    flags: tuple[str, ...]
    shown: Callable[[Object], bool]
    said: str
    on: str = "Pod"
    prepare: Callable[[User], object] = lambda user: None


def _quota(user: User) -> None:
    spec = {"hard": {"requests.memory": "300Mi"}}
    user.cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": spec})


def _keys(user: User) -> None:
    data = {"keys": "no hash of a key\n"}
    user.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data})


def _hands(user: User) -> None:
    """Somebody adds what the restricted standard forbids, and an administrator then demands that standard."""
    patch = {"spec": {"template": {"spec": {"hostPID": True}}}}
    user.cluster.merge(KINDS["Deployment"], NAME, patch)
    wait(lambda: (pods := user.pods()) and len(pods) == 1 and pods[0]["spec"].get("hostPID") and user.ready(), 90)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    user.cluster.merge(KINDS["Namespace"], user.namespace, {"metadata": {"labels": labels}})


CASES = (
    Case(
        "image-not-found", ("--image", "{repository}:nothing", "--no-check"),
        _waits("ErrImagePull", "ImagePullBackOff"), "there is no image .*:nothing",
    ),
    Case("server-error", ("--keys", "keys"), _ended, "keys", prepare=_keys),
    Case("out-of-memory", ("--memory", "16Mi", "--memory-limit", "24Mi"), _ended, "memory"),
    Case("quota", ("--memory", "250Mi"), _refused, "quota", "ReplicaSet", _quota),
    Case("pod-security", (), _refused, "hostPID|host namespaces", "ReplicaSet", _hands),
    Case("no-cpu", ("--cpu", "64"), _unplaced, "CPU"),
    Case("secret-missing", ("--keys", "absent"), lambda pod: pod.get("status", {}).get("phase") == "Pending", "absent"),
)  # fmt: skip


@dataclass
class Watcher:
    """Looks at the cluster while a release fails.

    Attributes:
        shown: when it was first seen to show the failure, in seconds since the epoch; 0 before.
        fewest: the fewest ready servers of the version before.
    """

    user: User
    case: Case
    known: frozenset[str]
    shown: float = 0.0
    fewest: int = 99
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watcher:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            found = [each for each in self.user.all_of(self.case.on) if each["metadata"]["uid"] not in self.known]
            if not self.shown and any(self.case.shown(each) for each in found):
                self.shown = time.time()
            self.fewest = min(self.fewest, sum(_is_of(pod, 1) for pod in self.user.ready()))


def _is_of(pod: Object, version: int) -> bool:
    return str(pod["metadata"]["annotations"]["io.shipway/bundle"]).startswith(f"{NAME}:{version}@")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[Figure]:
    return request.config.stash[FIGURES]


@pytest.fixture
def serving(user: User) -> User:
    """Someone whose first release serves, with one server."""
    user.deploy(1, *_ONE)
    return user


@pytest.mark.parametrize("case", CASES, ids=[case.kind for case in CASES])
def test_why_is_said_in_time_and_what_was_before_serves_on(serving: User, figures: list[Figure], case: Case) -> None:
    case.prepare(serving)
    known = frozenset(each["metadata"]["uid"] for each in serving.all_of(case.on))
    flags = [flag.format(repository=serving.models.repository) for flag in case.flags]
    with Watcher(serving, case, known) as watcher:
        begin = time.time()
        done = serving.deploy(2, *_ONE, *flags, code=1)
        end = time.time()
    took = f"shown after {watcher.shown - begin:.1f} s, explained and restored {end - watcher.shown:.1f} s later"
    figures.append(Figure(f"fails: {case.kind}", took))
    error = done.stderr[done.stderr.index("error: ") :]
    assert re.search(case.said, error), error
    assert "fix: " in error
    assert "release 1 was brought back and serves" in error
    assert watcher.shown
    assert end - watcher.shown < SECONDS
    assert watcher.fewest == 1
    assert [record["result"] for record in serving.status()["history"]] == ["replaced", "failed", "complete"]
    assert all(_is_of(pod, 1) for pod in serving.pods())


def test_a_wreck_is_kept_for_who_asks_for_it(serving: User) -> None:
    missing = f"{serving.models.repository}:nothing"
    done = serving.deploy(2, *_ONE, "--image", missing, "--no-check", "--no-rollback", code=1)
    assert "the servers of release 2 are left as they are" in done.stderr
    status: Any = serving.status()
    assert status["cause"]["kind"] == "image-not-found"
    assert {instance["state"] for instance in status["instances"]} == {"ready", "no image"}
    serving.change("rollback")
    assert [instance["state"] for instance in serving.status()["instances"]] == ["ready"]


def test_a_first_release_that_fails_says_so_and_leaves_only_its_record(user: User) -> None:
    missing = f"{user.models.repository}:nothing"
    done = user.deploy(1, *_ONE, "--image", missing, "--no-check", code=1)
    assert "nothing of diabetes runs now" in done.stderr
    assert user.pods() == []
    assert user.cluster.get(KINDS["Service"], NAME) is None
    user.deploy(1, *_ONE)
