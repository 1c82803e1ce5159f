"""How the Prometheus operator finds the figures of a release."""

from __future__ import annotations

from shipway.deploy.kubernetes.objects.checks import monitor_labels
from shipway.deploy.kubernetes.objects.labels import INSTANCE, TRACK, VERSION, metadata, ours
from shipway.deploy.kubernetes.objects.pod import METRICS
from shipway.deploy.yaml import Commented, Document
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["service_monitor"]


def service_monitor(release: Release, options: Kubernetes) -> Document:
    """Gives the ServiceMonitor (`monitoring.coreos.com/v1`); None where none is asked for."""
    if not options.service_monitor:
        return None
    picked = monitor_labels(options)
    about = metadata(release, options.namespace, extra=picked)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": about
        if picked
        else Commented("Many a Prometheus looks only at monitors with a label of its choice: --monitor-label.", about),
        "spec": {
            "selector": {"matchLabels": ours(release.name)},
            "jobLabel": Commented("What the job is called in Prometheus: the release's name.", INSTANCE),
            "podTargetLabels": Commented("So that a canary's figures can be told from the others'.", [TRACK, VERSION]),
            "endpoints": [
                Commented(
                    "The pods' own port: the Service does not have it.", {"targetPort": METRICS, "path": "/metrics"}
                )
            ],
        },
    }
