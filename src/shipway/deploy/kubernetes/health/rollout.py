"""How far a roll-out is, by what a cluster shows of a Deployment, its ReplicaSets and pods. Pure.

Source: kubernetes.md, section 1.1, which is what `kubectl rollout status` goes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shipway.deploy.kubernetes.api.kinds import Object
from shipway.deploy.kubernetes.health.snapshot import (
    condition,
    is_deleted,
    is_observed,
    is_ready,
    newest_of,
    owned_by,
    uid,
)
from shipway.deploy.kubernetes.objects.labels import TRACK
from shipway.deploy.target import Cause, Instance, Progress

__all__ = ["instance", "progress"]

_NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_MISCONFIGURED = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_DEADLINE = 600


def progress(
    deployment: Object, replica_sets: Sequence[Object], pods: Sequence[Object], cause: Cause | None = None
) -> Progress:
    """Gives how far a roll-out is.

    Args:
        deployment: that is rolled out.
        replica_sets: its own, and perhaps others.
        pods: to show; those of other Deployments (of a canary beside it) are shown and not counted.
        cause: what holds it up, as far as is known.
    """
    status = deployment.get("status") or {}
    newest = newest_of(deployment, replica_sets)
    mine = owned_by(pods, owned_by(replica_sets, [deployment]))
    new = {uid(pod) for pod in owned_by(pods, [newest] if newest else [])}
    shown = [instance(pod, new=uid(pod) in new and not is_deleted(pod)) for pod in pods]
    of_new = [one for one in shown if one.new]
    wanted, updated = int(deployment["spec"].get("replicas", 1)), int(status.get("updatedReplicas", 0))
    is_done = (
        is_observed(deployment)
        and updated >= wanted
        and int(status.get("replicas", 0)) <= updated
        and int(status.get("availableReplicas", 0)) >= updated
    )
    given_up = None if is_done else _given_up(deployment)
    is_failed = given_up is not None or (cause is not None and cause.final)
    return Progress(
        wanted=wanted,
        updated=len(of_new),
        ready=sum(one.ready for one in of_new),
        old=sum(uid(pod) not in new for pod in mine),
        instances=tuple(sorted(shown, key=lambda one: (not one.new, one.track, one.name))),
        cause=None if is_done else cause or given_up,
        done=is_done,
        failed=is_failed and not is_done,
    )


def _given_up(deployment: Object) -> Cause | None:
    """Gives the cause where the cluster has given up: only once its controller has seen the newest template."""
    if not is_observed(deployment):
        return None
    refused = condition(deployment, "ReplicaFailure")
    if refused.get("status") == "True":
        return Cause(
            "pods-refused",
            "the cluster refuses to make the pods",
            str(refused.get("message") or refused.get("reason") or "it does not say why"),
            "change what it names, or ask whoever administers the cluster",
        )
    progressing = condition(deployment, "Progressing")
    if progressing.get("status") == "False" and progressing.get("reason") == "ProgressDeadlineExceeded":
        seconds = deployment["spec"].get("progressDeadlineSeconds", _DEADLINE)
        return Cause(
            "deadline",
            f"the pods did not become ready within {seconds} s",
            str(progressing.get("message") or "the cluster does not say why"),
            "shipway logs shows what the servers say; shipway status shows the pods",
        )
    return None


def instance(pod: Object, *, new: bool = True) -> Instance:
    """Gives a pod as people see it."""
    labels = pod["metadata"].get("labels") or {}
    servers = (pod.get("status") or {}).get("containerStatuses") or ()
    return Instance(
        name=str(pod["metadata"]["name"]),
        track="canary" if labels.get(TRACK) == "canary" else "stable",
        ready=is_ready(pod) and not is_deleted(pod),
        state=_state(pod),
        restarts=sum(int(server.get("restartCount", 0)) for server in servers),
        new=new,
    )


def _state(pod: Object) -> str:
    status = pod.get("status") or {}
    if is_deleted(pod):
        return "ending"
    if status.get("phase") == "Failed":
        return "evicted" if status.get("reason") == "Evicted" else "failed"
    if status.get("phase") == "Unknown" or status.get("reason") == "NodeLost":
        return "node lost"
    if condition(pod, "PodScheduled").get("status") == "False":
        return "waiting for a node"
    for server in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        if (word := _container_state(server)) is not None:
            return word
    if is_ready(pod):
        return "ready"
    started = all(server.get("started") for server in status.get("containerStatuses") or ())
    return "not ready" if status.get("phase") == "Running" and started else "starting"


def _container_state(server: dict[str, Any]) -> str | None:
    """Gives the word for a container that does not run as it should; None for one that does."""
    state = server.get("state") or {}
    ended = state.get("terminated") or {}
    waiting = str((state.get("waiting") or {}).get("reason", ""))
    if waiting in _NO_IMAGE:
        return "no image"
    if waiting in _MISCONFIGURED:
        return "misconfigured"
    if waiting == "CrashLoopBackOff" or ended.get("exitCode"):
        last = ended or (server.get("lastState") or {}).get("terminated") or {}
        return "out of memory" if last.get("reason") == "OOMKilled" else "crashed"
    return "pulling" if waiting == "ContainerCreating" else None
