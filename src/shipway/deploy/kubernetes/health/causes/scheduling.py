"""No node takes the pod."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from shipway.deploy.kubernetes.api.kinds import Object
from shipway.deploy.kubernetes.health.causes.words import listed, plainly
from shipway.deploy.kubernetes.health.snapshot import Look, condition, part, parts, text
from shipway.deploy.kubernetes.objects.resources import parse_quantity
from shipway.deploy.target import Cause

__all__ = ["unschedulable"]

AUTOSCALER_SECONDS = 12
"""How long an autoscaler of nodes is given to say that it brings one: it looks every 10 s. Until then, and for as long
as one says that it does, waiting may help."""

_SHORT_OF = re.compile(r"Insufficient ([^\s,]+?)(?=[,.]? |[,.]?$)")
_DEVICES = re.compile(r"gpu|/mig-", re.IGNORECASE)
_KINDS = {"cpu": "no-cpu", "memory": "no-memory"}


def unschedulable(look: Look) -> Cause | None:
    """Says what the scheduler misses on the nodes, what was asked, and what would fit.

    The scheduler's filters go from taints over selectors to resources, and each node is counted where it fails first.
    So a node without room passed all others, and comes first here too.
    """
    scheduled = condition(look.pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    message = text(scheduled, "message")
    filters = re.split(r"[.,] (?:no new claims|preemption:|not found)", message)[0]
    kind, what, fix = _shortage(look, filters) or _no_place(look, filters)
    return Cause(kind, what, plainly(filters), fix, final=not _may_grow(look))


def _shortage(look: Look, filters: str) -> tuple[str, str, str] | None:
    short = sorted(set(_SHORT_OF.findall(filters)), key=lambda name: (name in _KINDS, name == "cpu"))
    if not short:
        return None
    kind = "no-gpu" if _DEVICES.search(short[0]) else _KINDS.get(short[0], "no-resource")
    asked = listed([_written(name, _asked(look, name)) for name in short])
    largest = {name: _largest(look.snapshot.nodes, name) for name in short}
    most = {name: amount for name, amount in largest.items() if amount is not None}
    what = f"no node has room for a pod that asks for {asked}"
    if most:
        what += f"; the largest node has {listed([_written(name, _amount(name, most[name])) for name in most])}"
    return kind, what, _room(look, kind, short[0], most.get(short[0]))


def _room(look: Look, kind: str, name: str, largest: Fraction | None) -> str:
    again = look.snapshot.again
    asked = parse_quantity(_asked(look, name))
    is_too_much = bool(largest and asked and asked > largest)
    if kind == "no-gpu":
        if largest and is_too_much:
            return f"{again} --gpu {_amount(name, largest)}, or give the cluster a node with more"
        if largest == 0:
            return f"give the cluster a node with {name} and its device plugin, or {again} without --gpu"
        return f"{again} --gpu with what one node has free, or fewer --replicas, or give the cluster another such node"
    flag = f"--{name}" if name in _KINDS else f"less of {name}"
    if largest and is_too_much:
        return f"{again} {flag} with less than {_amount(name, largest)}, or give the cluster larger nodes"
    return f"{again} {flag} with less, or fewer --replicas (a roll-out needs room for one pod more), or add nodes"


def _no_place(look: Look, filters: str) -> tuple[str, str, str]:
    again = look.snapshot.again
    if "no nodes available" in filters or "0/0 nodes" in filters:
        return "no-nodes", "the cluster has no nodes", "kubectl get nodes, and add one"
    if "Too many pods" in filters:
        fix = f"{again} with fewer --replicas, or give the cluster another node"
        return "too-many-pods", "the nodes run as many pods as they may", fix
    if "persistentvolumeclaim" in filters or "PersistentVolumeClaim" in filters or "volume" in filters:
        return (
            "volume",
            "a volume that the pod needs is not to be had",
            f"{look.snapshot.kubectl} get persistentvolumeclaims, and mend the claim",
        )
    if "were unschedulable" in filters:
        return (
            "node-taints",
            "the nodes are cordoned: they take no new pods",
            "kubectl get nodes, and kubectl uncordon NODE",
        )
    if "taint" in filters and ("selector" not in filters or _selected(look)):
        return "node-taints", f"nodes keep the pod away by a taint{_taints(look)}", _taint_fix(look)
    if "selector" in filters:
        wanted = ", ".join(f"{key}={value}" for key, value in part(look.pod, "spec", "nodeSelector").items())
        what = f"no node has the labels that the pod asks for{f': {wanted}' if wanted else ''}"
        return "node-selector", what, "kubectl label node NODE KEY=VALUE, or mend nodeSelector and affinity"
    return (
        "unschedulable",
        "no node takes the pod",
        f"{look.snapshot.kubectl} describe pod {look.name}, and mend what the scheduler says",
    )


def _selected(look: Look) -> list[Object]:
    """The nodes with the labels that the pod's nodeSelector asks for; none where nodes may not be read."""
    wanted = part(look.pod, "spec", "nodeSelector").items()
    return [node for node in look.snapshot.nodes if wanted <= part(node, "metadata", "labels").items()]


def _taints(look: Look) -> str:
    taints = (parts(node, "spec", "taints") for node in _selected(look))
    names = sorted({f"{taint.get('key')}:{taint.get('effect')}" for each in taints for taint in each})
    return f": {', '.join(names)}" if names else ""


def _taint_fix(look: Look) -> str:
    if "node.kubernetes.io/" in _taints(look):
        return "kubectl describe nodes: they are cordoned, not ready, or out of disk or memory"
    return "add tolerations to the pod with an overlay (docs/kubernetes.md), or kubectl taint nodes NODE KEY-"


def _asked(look: Look, name: str) -> str:
    resources = part(look.container, "resources")
    return text(resources, "requests", name) or text(resources, "limits", name) or "some"


def _largest(nodes: Sequence[Object], name: str) -> Fraction | None:
    """The most that one node has to give in all; None where nodes may not be read."""
    amounts = (parse_quantity(text(node, "status", "allocatable", name)) for node in nodes)
    return max((amount or Fraction(0) for amount in amounts), default=None)


def _amount(name: str, amount: Fraction) -> str:
    """As Kubernetes writes amounts."""
    if name in {"memory", "ephemeral-storage"}:
        return f"{int(amount / 2**20)}Mi"
    return str(int(amount)) if amount.denominator == 1 else f"{int(amount * 1000)}m"


def _written(name: str, amount: str) -> str:
    return f"{amount} CPU" if name == "cpu" else f"{amount} of {name}"


def _may_grow(look: Look) -> bool:
    """Whether an autoscaler of nodes (the Cluster Autoscaler, Karpenter) may still bring one."""
    if look.events("TriggeredScaleUp", "Nominated"):
        return True
    return not look.events("NotTriggerScaleUp") and look.age < AUTOSCALER_SECONDS
