"""The rights that Shipway needs to release into one namespace: a Role, never one of the whole cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shipway.deploy.kubernetes.objects.checks import check_name
from shipway.deploy.kubernetes.objects.labels import NAME
from shipway.deploy.yaml import Commented, Document
from shipway.errors import UsageError
from shipway.spec.release import is_label
from shipway.spec.settings import Kubernetes

__all__ = ["ACCOUNT", "RULES", "Rule", "rbac"]

ACCOUNT = "shipway"
"""What the account is called unless told otherwise; Role and RoleBinding have its name."""


class Rule(NamedTuple):
    """One rule of the Role.

    Attributes:
        reason: why it is needed.
        groups, resources, verbs: as in `rbac.authorization.k8s.io/v1`.
    """

    reason: str
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


_OWN = ("get", "list", "create", "patch", "delete")

RULES = (
    Rule(
        "What a release is made of, and (configmaps) its history. Server-side apply is a patch, and a create where "
        "nothing is there yet; what a release no longer has is deleted.",
        ("",),
        ("configmaps", "serviceaccounts", "services"),
        _OWN,
    ),
    Rule("The same, of the servers, which are watched while they roll.", ("apps",), ("deployments",), (*_OWN, "watch")),
    Rule("The same, of the disruption budget.", ("policy",), ("poddisruptionbudgets",), _OWN),
    Rule("The same, of the autoscaler.", ("autoscaling",), ("horizontalpodautoscalers",), _OWN),
    Rule("The same, of the ways in.", ("networking.k8s.io",), ("ingresses", "networkpolicies"), _OWN),
    Rule("The same, of what Prometheus looks for.", ("monitoring.coreos.com",), ("servicemonitors",), _OWN),
    Rule("The number of servers, where it changes hands.", ("apps",), ("deployments/scale",), ("patch",)),
    Rule("Which servers are new and which old.", ("apps",), ("replicasets",), ("list", "watch")),
    Rule("How the servers are.", ("",), ("pods",), ("get", "list", "watch")),
    Rule("Why one does not start.", ("",), ("events",), ("list",)),
    Rule("What the servers write: `logs`, and the last lines of one that crashed.", ("",), ("pods/log",), ("get",)),
    Rule(
        "What the servers count: a canary is judged by the pods' own `/metrics`, which the API server passes on.",
        ("",),
        ("pods/proxy",),
        ("get",),
    ),
)
"""Least privilege: no Secrets (they are named, never read), no exec, nothing outside the namespace."""


def rbac(options: Kubernetes, account: str = ACCOUNT) -> Mapping[str, Document]:
    """Gives the account, the Role and its binding, by file name, in the order in which they should be applied.

    Args:
        options: of which the namespace counts.
        account: name of the ServiceAccount, and of the other two.

    Raises:
        UsageError: no namespace, for a binding must say whose account it means; or a name that no cluster takes.
    """
    namespace = options.namespace
    if not is_label(namespace):
        problem = f"{namespace!r} cannot be a namespace" if namespace else "rights are those of one namespace"
        raise UsageError(problem, fix="--namespace NAME, or deploy.kubernetes.namespace")
    check_name("account", account)
    about: Document = {"name": account, "namespace": namespace, "labels": {NAME: "shipway"}}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {
        "account.yaml": {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": about,
            "automountServiceAccountToken": Commented(
                f"For a person or a pipeline, not for pods: `kubectl create token {account} --namespace {namespace}`.",
                False,
            ),
        },
        "role.yaml": {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": about,
            "rules": Commented(
                "For deploy, status, logs, promote, rollback, scale and undeploy. Whoever may create Deployments can "
                "mount the namespace's Secrets into pods: give this only to whom you would trust with them.",
                [
                    Commented(
                        rule.reason,
                        {"apiGroups": rule.groups, "resources": rule.resources, "verbs": rule.verbs},
                    )
                    for rule in RULES
                ],
            ),
        },
        "rolebinding.yaml": {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
            "subjects": [subject],
        },
    }
