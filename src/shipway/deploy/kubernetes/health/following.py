"""Watches a Deployment until its roll-out is done or has failed, and gathers what explains why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS, Object
from shipway.deploy.kubernetes.health.diagnose import Snapshot, diagnose
from shipway.deploy.kubernetes.health.rollout import instance, progress
from shipway.deploy.kubernetes.health.snapshot import condition
from shipway.deploy.kubernetes.health.watch import View, Watch
from shipway.deploy.kubernetes.objects.labels import ours
from shipway.deploy.target import Cause, Progress, Tell
from shipway.errors import ShipwayError, TargetError

__all__ = ["SETTLE_SECONDS", "Evidence", "follow", "follow_end"]

SETTLE_SECONDS = 4.0
"""How long a failure has to last before it is believed: a first failed pull, or a crash while another pod was made,
may pass."""

_CHECK_SECONDS = 3.0
_LOOK_SECONDS = 1.0
_MOST_PODS = 3
_LOG_LINES = 30
_OVERTIME = 60.0
_DEADLINE = 600


class Evidence:
    """Gathers what explains why pods are not ready; whatever may not be read is left out, and the cause says less.

    Args:
        cluster: on which they are.
        now: gives the time.
    """

    def __init__(self, cluster: Cluster, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._cluster, self._now = cluster, now
        self._logs: dict[tuple[str, int], tuple[str, ...]] = {}
        self._namespace: Object | None = None

    def cause(self, deployment: Object, replica_sets: Sequence[Object], pods: Sequence[Object]) -> Cause | None:
        """Says why a Deployment does not become ready; None where nothing seems wrong."""
        snapshot = Snapshot(self._now(), deployment, replica_sets, pods)
        looked_at = [look.pod for look in snapshot.looks()[:_MOST_PODS]]
        crashed = ((pod, restarts) for pod in looked_at if (restarts := _crashes(pod)) is not None)
        unplaced = any(condition(pod, "PodScheduled").get("status") == "False" for pod in looked_at)
        refused = condition(deployment, "ReplicaFailure").get("status") == "True"
        snapshot = replace(
            snapshot,
            events=self._events([thing for thing in (deployment, snapshot.newest, *looked_at) if thing]),
            logs={pod["metadata"]["name"]: self._log(pod, restarts) for pod, restarts in crashed},
            nodes=self._nodes() if unplaced else (),
            namespace=self._about_namespace() if refused else {},
        )
        return diagnose(snapshot)

    def _events(self, things: Sequence[Object]) -> list[Object]:
        found: list[Object] = []
        for thing in things:
            with suppress(ShipwayError):
                uid = thing["metadata"]["uid"]
                found += self._cluster.list(KINDS["Event"], fields=f"involvedObject.uid={uid}").items
        return found

    def _nodes(self) -> tuple[Object, ...]:
        with suppress(ShipwayError):
            return self._cluster.list(KINDS["Node"]).items
        return ()

    def _about_namespace(self) -> Object:
        if self._namespace is None:
            self._namespace = {}
            with suppress(ShipwayError):
                self._namespace = self._cluster.get(KINDS["Namespace"], self._cluster.namespace) or {}
        return self._namespace

    def _log(self, pod: Object, restarts: int) -> tuple[str, ...]:
        """Gives the last lines of a server's last crash; they do not change, so they are read once."""
        name = str(pod["metadata"]["name"])
        if (name, restarts) not in self._logs:
            ended = bool(_server(pod).get("state", {}).get("terminated"))
            with suppress(ShipwayError):
                lines = self._cluster.logs(name, tail=_LOG_LINES, previous=not ended, timestamps=False)
                self._logs[name, restarts] = tuple(lines)
        return self._logs.get((name, restarts), ())


def follow(
    cluster: Cluster,
    name: str,
    deployment: str,
    tell: Tell,
    check: Callable[[], object],
    *,
    clock: Callable[[], float] = time.monotonic,
    settle: float = SETTLE_SECONDS,
) -> Progress:
    """Watches until a roll-out is done, or has failed for good.

    Args:
        cluster: on which it runs.
        name: of the release.
        deployment: the Deployment's name.
        tell: told of each change.
        check: called every few seconds; raises where it makes no sense to go on.
        clock: gives seconds.
        settle: seconds that a failure has to last.

    Raises:
        TargetError: the Deployment is gone, or the cluster no longer answers.
        NotAllowed: what has to be watched may not be read.
    """
    following = _Following(Evidence(cluster), deployment, clock, settle)
    told, checked = None, clock()
    with Watch(cluster, ("Deployment", "ReplicaSet", "Pod"), ours(name)) as watch:
        for view in watch.views():
            now, is_over = following.look(view)
            if now != told:
                tell(now)
                told = now
            if is_over:
                return now
            if clock() - checked > _CHECK_SECONDS:
                _ride_out(check)
                checked = clock()
    raise AssertionError("a watch has no end")


def follow_end(
    cluster: Cluster, name: str, tell: Tell, *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> int:
    """Watches until no server of a release is left.

    Args:
        cluster: on which they run.
        name: of the release.
        tell: told of each change.
        seconds: after which it is not waited any longer.
        clock: gives seconds.

    Returns:
        How many are left.
    """
    begin, told = clock(), None
    with Watch(cluster, ("Pod",), ours(name)) as watch:
        for view in watch.views():
            left = tuple(instance(pod, new=False) for pod in view["Pod"])
            now = Progress(0, 0, 0, len(left), left, done=not left)
            if now != told:
                tell(now)
                told = now
            if not left or clock() - begin > seconds:
                return len(left)
    raise AssertionError("a watch has no end")


class _Following:
    """What is known of one roll-out while it is watched."""

    def __init__(self, evidence: Evidence, deployment: str, clock: Callable[[], float], settle: float) -> None:
        self._evidence, self._deployment, self._clock, self._settle = evidence, deployment, clock, settle
        self._begin = self._looked = clock()
        self._cause: Cause | None = None
        self._kind, self._since = "", self._begin

    def look(self, view: View) -> tuple[Progress, bool]:
        """Gives how far it is, and whether it is over."""
        found = [each for each in view["Deployment"] if each["metadata"]["name"] == self._deployment]
        if not found:
            raise TargetError(
                f"Deployment {self._deployment} was deleted while it was rolled out",
                fix="shipway deploy makes it again",
            )
        deployment, replica_sets, pods = found[0], view["ReplicaSet"], view["Pod"]
        now = progress(deployment, replica_sets, pods, self._cause)
        if not now.done and self._clock() - self._looked >= _LOOK_SECONDS:
            self._cause = self._evidence.cause(deployment, replica_sets, pods)
            self._looked = self._clock()
            now = progress(deployment, replica_sets, pods, self._cause)
        if not now.done and not now.failed:
            now = self._overdue(deployment, now)
        return now, now.done or self._is_settled(now)

    def _is_settled(self, now: Progress) -> bool:
        """Says whether it has failed for a reason that has lasted, the time included in which it was not yet final."""
        kind = now.cause.kind if now.cause else ""
        if kind != self._kind:
            self._kind, self._since = kind, self._clock()
        return now.failed and self._clock() - self._since >= self._settle

    def _overdue(self, deployment: Object, now: Progress) -> Progress:
        """Gives up where the cluster should have long ago: its controllers do not run, or it is paused."""
        seconds = int(deployment["spec"].get("progressDeadlineSeconds", _DEADLINE))
        if self._clock() - self._begin < seconds + _OVERTIME:
            return now
        paused = bool(deployment["spec"].get("paused"))
        cause = now.cause or Cause(
            "paused" if paused else "deadline",
            f"the roll-out did not end within {seconds} s",
            "the Deployment is paused" if paused else "the cluster's controllers do not say that they gave up either",
            f"kubectl rollout {'resume' if paused else 'status'} deployment/{self._deployment}",
        )
        return Progress(now.wanted, now.updated, now.ready, now.old, now.instances, cause, failed=True)


def _ride_out(check: Callable[[], object]) -> None:
    """Checks; a cluster that does not answer is ridden out: the watch gives up on it in its own time."""
    try:
        check()
    except TargetError as error:
        if type(error) is not TargetError:
            raise


def _server(pod: Object) -> Object:
    servers: Sequence[Object] = (pod.get("status") or {}).get("containerStatuses") or ({},)
    return dict(next((each for each in servers if each.get("name") == "server"), servers[0]))


def _crashes(pod: Object) -> int | None:
    """Gives how often a pod's server was started again, if it has ended at least once."""
    server = _server(pod)
    has_ended = (server.get("state") or {}).get("terminated") or (server.get("lastState") or {}).get("terminated")
    return int(server.get("restartCount", 0)) if has_ended else None
