"""The Deployment of a release, and the account that its pods run under."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.deploy.kubernetes.objects.labels import (
    BUNDLE_ANNOTATION,
    TRACK,
    labels,
    metadata,
    selector_of,
)
from shipway.deploy.kubernetes.objects.pod import pod
from shipway.deploy.yaml import Commented, Document
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["deployment", "service_account"]


def service_account(release: Release, options: Kubernetes) -> Document:
    """Gives the account that the pods run under: one of their own, with no rights and no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(release, options.namespace),
        "automountServiceAccountToken": Commented(
            "An account of its own, so that rights which others give to the namespace's default account are not the "
            "server's. It needs none, and so has no token.",
            False,
        ),
    }


def deployment(release: Release, options: Kubernetes) -> Document:
    """Gives the Deployment of the stable version; a canary's is made of it (`edits.canary_of`)."""
    track: Mapping[str, str] = {TRACK: "stable"}
    spec: Document = {
        **({} if options.max_replicas else {"replicas": options.replicas}),
        "revisionHistoryLimit": Commented("How many versions `kubectl rollout undo` can go back.", 10),
        "minReadySeconds": Commented("A pod that dies on its first calls stops the roll-out.", 1),
        "progressDeadlineSeconds": Commented(
            "Time to pull the image and to start, after which the roll-out counts as failed.", 600
        ),
        "strategy": Commented(
            "No call is lost: a new pod is ready before an old one ends.",
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        ),
        "selector": Commented(
            "Cannot be changed later, so nothing that a new version changes stands in it.",
            {"matchLabels": selector_of(release.name, "stable")},
        ),
        "template": {
            "metadata": {
                "labels": {**labels(release), **track},
                "annotations": {BUNDLE_ANNOTATION: str(release.bundle)},
            },
            "spec": pod(release, options),
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **metadata(release, options.namespace, extra=track),
            "annotations": {
                BUNDLE_ANNOTATION: str(release.bundle),
                "kubernetes.io/change-cause": Commented(
                    "What `kubectl rollout history` shows for this revision.",
                    f"{release.bundle.name}:{release.bundle.version}",
                ),
            },
        },
        "spec": Commented("No number of replicas: it belongs to the autoscaler, and applying one would fight it.", spec)
        if options.max_replicas
        else spec,
    }
