"""Release -> the objects of Kubernetes that run it, with the reason for each part beside it.

No operator, no kind of our own, nothing to install first: `kubectl apply` takes the files on any cluster from 1.30 on,
in namespaces that enforce the restricted Pod Security Standard too. The facts behind each choice are those of
Kubernetes' API reference; `docs/kubernetes.md` tells them from the user's side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shipway.deploy.kubernetes.objects.checks import check
from shipway.deploy.kubernetes.objects.monitoring import service_monitor
from shipway.deploy.kubernetes.objects.mounts import config_map
from shipway.deploy.kubernetes.objects.network import ingress, network_policy, service
from shipway.deploy.kubernetes.objects.scaling import autoscaler, disruption_budget
from shipway.deploy.kubernetes.objects.workload import deployment, service_account
from shipway.deploy.yaml import Commented, Document, plain
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["KUSTOMIZATION", "objects", "render"]

KUSTOMIZATION = "kustomization.yaml"
"""The one file that is no object of the cluster."""


def render(release: Release, options: Kubernetes) -> Mapping[str, Document]:
    """Gives each object by its file's name, in the order in which they should be applied: what pods need before them.

    Raises:
        UsageError: a setting that a cluster would refuse.
    """
    files = _objects(release, options)
    return {**files, KUSTOMIZATION: _kustomization(files)} if options.kustomization else files


def objects(release: Release, options: Kubernetes) -> tuple[dict[str, Any], ...]:
    """Gives the same objects without comments, as the API takes them.

    Raises:
        UsageError: a setting that a cluster would refuse.
    """
    found = (plain(document) for document in _objects(release, options).values())
    return tuple(dict(one) for one in found if isinstance(one, Mapping))


def _objects(release: Release, options: Kubernetes) -> dict[str, Document]:
    check(options, release.contract)
    parts: dict[str, Document] = {
        "serviceaccount.yaml": service_account(release, options),
        "config.yaml": config_map(release, options),
        "networkpolicy.yaml": network_policy(release, options),
        "disruptionbudget.yaml": disruption_budget(release, options),
        "service.yaml": service(release, options),
        "deployment.yaml": deployment(release, options),
        "autoscaler.yaml": autoscaler(release, options),
        "ingress.yaml": ingress(release, options),
        "servicemonitor.yaml": service_monitor(release, options),
    }
    return {name: document for name, document in parts.items() if document is not None}


def _kustomization(files: Iterable[str]) -> Document:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": Commented("`kubectl apply -k .` applies them; an overlay names this folder.", list(files)),
    }
