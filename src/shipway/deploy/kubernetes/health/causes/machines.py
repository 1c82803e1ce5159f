"""The node is lost, or threw the pod out."""

from __future__ import annotations

import re

from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Look, condition, parts, text
from shipway.deploy.target import Cause

__all__ = ["evicted", "node_lost", "turned_away"]


def node_lost(look: Look) -> Cause | None:
    """Finds a pod on a node that no longer reports: after 5 minutes the cluster starts it elsewhere."""
    name = text(look.pod, "spec", "nodeName")
    node = next((each for each in look.snapshot.nodes if text(each, "metadata", "name") == name), {})
    ready = condition(node, "Ready")
    lost = text(look.pod, "status", "reason") == "NodeLost" or bool(look.events("NodeNotReady"))
    if not name or ready.get("status") == "True" or not (lost or text(ready, "status") in {"False", "Unknown"}):
        return None
    return Cause(
        "node-lost",
        f"the node {name}, on which the pod should run, is not ready",
        plainly(text(ready, "message")) or next(iter(look.said("NodeNotReady")), "") or "it no longer reports",
        f"kubectl describe node {name}; the cluster starts its pods on other nodes after some 5 minutes",
        final=False,
    )


def evicted(look: Look) -> Cause | None:
    """Finds a pod that its node threw out: too much on its disk, or the node short of memory or disk.

    A new pod takes its place; final once that has happened twice.
    """
    if text(look.pod, "status", "reason") != "Evicted":
        return None
    message = text(look.pod, "status", "message")
    # Each eviction leaves a failed pod behind.
    times = sum(text(pod, "status", "reason") == "Evicted" for pod in look.snapshot.pods_of_newest)
    own = re.search(r"exceeds the (total )?limit|exceeds the local|ephemeral.*exceed|exceeded its", message)
    what, fix = (
        ("the server writes more than it may", "let it write less, or raise sizeLimit of /tmp with an overlay")
        if own
        else ("the node threw the pod out, for it ran short of what pods share", _shared_fix(look, message))
    )
    return Cause("evicted", what, plainly(message), fix, final=times > 1)


def _shared_fix(look: Look, message: str) -> str:
    if "memory" in message:
        return f"{look.snapshot.again} --memory with what it really takes, so that it is placed where there is room"
    return "kubectl describe nodes, and free disk on the node"


def turned_away(look: Look) -> Cause | None:
    """Finds a pod that the scheduler gave to a node and the node did not take; another is tried."""
    reason = text(look.pod, "status", "reason")
    statuses = parts(look.pod, "status", "containerStatuses")
    if text(look.pod, "status", "phase") != "Failed" or not reason or statuses:
        return None
    message = plainly(text(look.pod, "status", "message"))
    return Cause(
        "node-refused",
        f"the node {text(look.pod, 'spec', 'nodeName')} did not take the pod: {reason}",
        message or "it gives no reason",
        "wait for the next try; kubectl describe nodes if it comes again",
        final=False,
    )
