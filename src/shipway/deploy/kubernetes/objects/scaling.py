"""How many pods there are, and how many may be missing."""

from __future__ import annotations

from shipway.deploy.kubernetes.objects.labels import metadata, ours
from shipway.deploy.yaml import Commented, Document
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["autoscaler", "disruption_budget"]


def disruption_budget(release: Release, options: Kubernetes) -> Document:
    """Gives the PodDisruptionBudget of all pods of a release; None where none is wanted."""
    if not options.disruption_budget:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(release, options.namespace),
        "spec": {
            "maxUnavailable": Commented(
                "A node that is drained ends one pod, and the next once another is ready elsewhere. Said so, a single "
                "pod does not hold a drain up for ever, as `minAvailable: 1` would.",
                1,
            ),
            "unhealthyPodEvictionPolicy": Commented(
                "A pod that is not ready answers nobody: it may always go.", "AlwaysAllow"
            ),
            "selector": {"matchLabels": ours(release.name)},
        },
    }


def autoscaler(release: Release, options: Kubernetes) -> Document:
    """Gives the HorizontalPodAutoscaler of the stable Deployment; None where the number of pods is fixed."""
    if not options.max_replicas:
        return None
    target: Document = {"type": "Utilization", "averageUtilization": options.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(release, options.namespace),
        "spec": {
            "scaleTargetRef": Commented(
                "The stable servers; how many a canary has is what makes its share.",
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": release.name},
            ),
            "minReplicas": options.replicas,
            "maxReplicas": options.max_replicas,
            "metrics": Commented(
                "Percent of the CPU that the pods request, on average. The figures come from metrics-server: a cluster "
                "without it keeps the pods that there are.",
                [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            ),
        },
    }
