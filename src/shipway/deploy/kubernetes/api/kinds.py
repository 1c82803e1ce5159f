"""The kinds of objects that Shipway renders or reads, and where the API keeps each.

Source: the API reference of Kubernetes 1.36; the custom kinds are those of the Prometheus operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from shipway.errors import UsageError

__all__ = ["KINDS", "Kind", "Object", "kind_of"]

Object: TypeAlias = dict[str, Any]
"""An object of the API as JSON has it."""


class Kind(NamedTuple):
    """A kind of objects.

    Attributes:
        kind: as objects name it, `Deployment`.
        api: group and version as objects name them, `apps/v1`; `v1` for the core group.
        plural: as paths and rights name it, `deployments`.
        namespaced: whether its objects live in a namespace.
    """

    kind: str
    api: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The group as rights name it; empty for the core group."""
        return self.api.rpartition("/")[0]

    @property
    def is_custom(self) -> bool:
        """Whether a cluster may lack it: it is no part of Kubernetes."""
        return "." in self.group and not self.group.endswith(".k8s.io")

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Gives the path of an object, or without `name` of all of them."""
        root = f"/apis/{self.api}" if self.group else f"/api/{self.api}"
        where = ["namespaces", namespace] if self.namespaced else []
        parts = [*where, self.plural, *([name] if name else []), *([subresource] if subresource else [])]
        return "/".join([root, *(quote(part, safe="") for part in parts)])


KINDS: Mapping[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("ConfigMap", "v1", "configmaps"),
        Kind("Deployment", "apps/v1", "deployments"),
        Kind("Event", "v1", "events"),
        Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
        Kind("Ingress", "networking.k8s.io/v1", "ingresses"),
        Kind("IngressClass", "networking.k8s.io/v1", "ingressclasses", namespaced=False),
        Kind("LimitRange", "v1", "limitranges"),
        Kind("Namespace", "v1", "namespaces", namespaced=False),
        Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
        Kind("Node", "v1", "nodes", namespaced=False),
        Kind("Pod", "v1", "pods"),
        Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
        Kind("ReplicaSet", "apps/v1", "replicasets"),
        Kind("ResourceQuota", "v1", "resourcequotas"),
        Kind("Role", "rbac.authorization.k8s.io/v1", "roles"),
        Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
        Kind("Secret", "v1", "secrets"),
        Kind("Service", "v1", "services"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("ServiceMonitor", "monitoring.coreos.com/v1", "servicemonitors"),
    )
}
"""By the name of the kind."""


def kind_of(document: Mapping[str, Any]) -> Kind:
    """Gives the kind of an object.

    Raises:
        UsageError: it is none of `KINDS`, or of another version of its API.
    """
    kind = KINDS.get(str(document.get("kind")))
    if kind is None or kind.api != document.get("apiVersion"):
        raise UsageError(
            f"Shipway does not handle objects of {document.get('apiVersion')} {document.get('kind')}",
            fix="apply it with kubectl",
        )
    return kind
