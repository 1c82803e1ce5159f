"""Why does a release not become ready? One answer, the most telling, in three sentences: what, why, what to do.

A pure function of what the cluster shows. It asks small finders in turn, each of which knows one family of causes
(`causes/`); the table in `docs/kubernetes.md` has all kinds, and how long after `kubectl apply` each is known.

A cause is final where waiting does not mend it. Three rules decide that:

- once is chance: a first failed pull or a first crash may pass, the second is meant;
- who else may mend it gets its time: an autoscaler of nodes 12 s to announce one, a registry that does not answer or a
  disk that moves a minute, a starting server what its startup probe allows;
- at the cluster's own deadline (`progressDeadlineSeconds`) everything is final.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shipway.deploy.kubernetes.health.causes import admission, crashes, images, machines, missing, probes, scheduling
from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Look, Snapshot, condition, number, text
from shipway.deploy.target import Cause

__all__ = ["Snapshot", "diagnose"]

_OF_ALL: tuple[Callable[[Snapshot], Cause | None], ...] = (admission.ending, admission.paused, admission.refused)
"""Finders that look at the whole."""

_OF_ONE: tuple[Callable[[Look], Cause | None], ...] = (
    machines.node_lost,
    machines.evicted,
    machines.turned_away,
    scheduling.unschedulable,
    images.pull,
    missing.configuration,
    missing.mounts,
    crashes.out_of_memory,
    images.other_architecture,
    images.foreign,
    crashes.server_error,
    crashes.cannot_write,
    probes.restarted,
    crashes.crash,
    probes.not_ready,
    probes.starting,
)
"""Finders that look at one pod. Those before `crash` know why it crashed; those after it hold when nothing ended."""


def diagnose(snapshot: Snapshot) -> Cause | None:
    """Gives the most telling cause why the newest template does not become ready; None while none is known.

    None where enough pods are ready, where the cluster has not yet looked at the newest template, and where a pod
    simply takes its time. Pods and ReplicaSets of older templates have no say.
    """
    if not snapshot.is_observed:
        return admission.ending(snapshot)
    late = condition(snapshot.deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded"
    cause = _first(snapshot)
    if late:
        return replace(cause, final=True) if cause else _deadline(snapshot)
    return cause


def _first(snapshot: Snapshot) -> Cause | None:
    whole = next((cause for find in _OF_ALL if (cause := find(snapshot))), None)
    if whole or snapshot.is_healthy:
        return whole
    looks = snapshot.looks()
    return next((cause for find in _OF_ONE for look in looks if (cause := find(look))), None)


def _deadline(snapshot: Snapshot) -> Cause:
    message = plainly(text(condition(snapshot.deployment, "Progressing"), "message"))
    seconds = number(snapshot.deployment, "spec", "progressDeadlineSeconds", default=600)
    return Cause(
        "deadline",
        f"the release did not become ready within {seconds} s, and the cluster shows no reason",
        message,
        f"{snapshot.kubectl} get events, and {snapshot.kubectl} describe deployment {snapshot.name}",
    )
