"""The cluster refuses to make the pods at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Snapshot, condition, is_deleted, number, part, text
from shipway.deploy.target import Cause

__all__ = ["ending", "paused", "refused"]

SETTLING_SECONDS = 5
"""In a new namespace the account `default` and the sums of a quota come some moments late; a refusal that lasts
longer than this is meant."""

_PREFIX = re.compile(r'^pods "[^"]*" is forbidden: ')


def ending(snapshot: Snapshot) -> Cause | None:
    """Finds a namespace or a Deployment that is being deleted: nothing new starts there."""
    name = text(snapshot.namespace, "metadata", "name") or text(snapshot.deployment, "metadata", "namespace")
    if text(snapshot.namespace, "status", "phase") == "Terminating":
        return Cause(
            "namespace-ending",
            f"the namespace {name} is being deleted",
            "a cluster makes nothing new in a namespace that ends",
            f"wait until it is gone (kubectl get namespace {name}), or deploy to another --namespace",
        )
    if is_deleted(snapshot.deployment):
        return Cause(
            "deployment-ending",
            f"the Deployment {snapshot.name} is being deleted",
            "somebody asked for that while it was rolled out",
            f"{snapshot.again} once it is gone",
        )
    return None


def paused(snapshot: Snapshot) -> Cause | None:
    """Finds a Deployment that was told to wait."""
    wanted = number(snapshot.deployment, "spec", "replicas", default=1)
    is_paused = part(snapshot.deployment, "spec").get("paused") is True
    if not is_paused or number(snapshot.deployment, "status", "updatedReplicas") >= wanted:
        return None
    return Cause(
        "paused",
        f"the Deployment {snapshot.name} is paused",
        "somebody set spec.paused, so the cluster does not roll out what is new",
        f"{snapshot.kubectl} rollout resume deployment/{snapshot.name}",
    )


def refused(snapshot: Snapshot) -> Cause | None:
    """Says who refused to let the cluster's controller make pods: quota, Pod Security, a policy."""
    failure = condition(snapshot.newest, "ReplicaFailure") or condition(snapshot.deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    message = text(failure, "message")
    cause = next(cause for says, cause in _RULES.items() if re.search(says, message))(snapshot, message)
    lasts = snapshot.since(text(failure, "lastTransitionTime")) >= SETTLING_SECONDS
    why = plainly(_PREFIX.sub("", message))
    return Cause(cause.kind, cause.what, why, cause.fix, final=cause.final and lasts)


def _quota(snapshot: Snapshot, message: str) -> Cause:
    match = re.search(r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>.*), used: .*, limited: ", message)
    name, asked = (match["name"], match["asked"]) if match else ("of the namespace", "more")
    return Cause(
        "quota",
        f"the quota {name} leaves no room for another pod, which takes {asked.replace(',', ', ')}",
        "",
        f"{snapshot.again} with less --cpu, --memory or --replicas (a roll-out needs room for one pod more), or have "
        f"the quota raised: {snapshot.kubectl} describe quota {name}",
    )


def _quota_demands(snapshot: Snapshot, message: str) -> Cause:
    match = re.search(r"failed quota: (?P<name>[^:]+): must specify (?P<what>[a-z., ]+)", message)
    name, what = (match["name"], match["what"].split(" for")[0]) if match else ("of the namespace", "amounts")
    flags = " and ".join(
        flag for key, flag in (("limits.cpu", "--cpu-limit"), ("limits.memory", "--memory-limit")) if key in what
    )
    return Cause(
        "quota",
        f"the quota {name} takes only pods that set {what}",
        "",
        f"{snapshot.again} {flags or 'with those amounts'}",
    )


def _limit_range(snapshot: Snapshot, message: str) -> Cause:
    flag = "--memory and --memory-limit" if "memory" in message else "--cpu and --cpu-limit"
    return Cause(
        "limit-range",
        "a LimitRange of the namespace refuses a pod of this size",
        "",
        f"{snapshot.again} {flag} within what {snapshot.kubectl} describe limitrange shows",
    )


def _pod_security(_: Snapshot, message: str) -> Cause:
    match = re.search(r'violates PodSecurity "(?P<level>[^"]*)"', message)
    if not match:
        return Cause(
            "pod-security",
            "no security context constraint of the cluster (OpenShift) fits the pods",
            "",
            "delete runAsUser and runAsGroup with an overlay (docs/kubernetes.md): each namespace there has its own",
        )
    return Cause(
        "pod-security",
        f"the pods do not keep to the Pod Security Standard {match['level']}, which the namespace enforces",
        "",
        "take back the changes to securityContext: what shipway render writes keeps to the restricted standard",
    )


def _account(snapshot: Snapshot, message: str) -> Cause:
    match = re.search(r'serviceaccount "(?P<name>[^"]*)" not found', message)
    name = match["name"] if match else "of the pods"
    return Cause(
        "service-account-missing",
        f"the service account {name} is not there",
        "",
        f"{snapshot.again} again, or {snapshot.kubectl} create serviceaccount {name}",
    )


def _policy(_: Snapshot, message: str) -> Cause:
    match = re.search(r"ValidatingAdmissionPolicy '(?P<policy>[^']*)'|admission webhook \"(?P<hook>[^\"]*)\"", message)
    name = (match["policy"] or match["hook"]) if match else "of the cluster"
    return Cause(
        "admission-refused",
        f"the admission policy {name} refuses the pods",
        "",
        "mend what it asks for, or ask whoever runs the cluster for an exception",
    )


def _hook_down(_: Snapshot, message: str) -> Cause:
    match = re.search(r'calling webhook "(?P<name>[^"]*)"', message)
    name = match["name"] if match else "of the cluster"
    return Cause(
        "admission-unreachable",
        f"the admission webhook {name}, which must agree to each pod, does not answer",
        "",
        "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations, and mend the service behind it",
        final=False,
    )


def _otherwise(_: Snapshot, __: str) -> Cause:
    return Cause("pods-refused", "the cluster refuses to make the pods", "", "mend what it says, then deploy again")


_RULES: MappingProxyType[str, Callable[[Snapshot, str], Cause]] = MappingProxyType(
    {
        r"exceeded quota": _quota,
        r"failed quota: .*must specify": _quota_demands,
        r"violates PodSecurity|security context constraint": _pod_security,
        r"serviceaccount \"[^\"]*\" not found": _account,
        r"ValidatingAdmissionPolicy|webhook \"[^\"]*\" denied": _policy,
        r"failed calling webhook|calling webhook": _hook_down,
        r"(maximum|minimum) \S+ usage per|(maximum|minimum) .* limit": _limit_range,
        "": _otherwise,
    }
)
