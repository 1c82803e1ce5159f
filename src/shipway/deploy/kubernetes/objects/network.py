"""How callers reach a release, and who may."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.deploy.kubernetes.objects.labels import metadata, ours
from shipway.deploy.kubernetes.objects.pod import HTTP
from shipway.deploy.yaml import Commented, Document
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["ingress", "network_policy", "service"]

_OPEN = "Calls are not encrypted, and whoever reaches the address may ask, unless the server has API keys (--keys)."
_REACH: Mapping[str, str] = {
    "ClusterIP": "Reached from inside the cluster only, by this object's name.",
    "NodePort": "Reached on every node, on a port that the cluster picks: `kubectl get service` shows it.",
    "LoadBalancer": "Reached on an address that the cluster gets from its cloud: `kubectl get service` shows it. "
    + _OPEN,
}


def service(release: Release, options: Kubernetes) -> Document:
    """Gives the Service: one name and address before all pods of a release, those of a canary too."""
    port: Document = {
        "name": HTTP,
        "port": 80,
        "targetPort": Commented(f"The container's port of that name, {release.contract.port}.", HTTP),
        "protocol": "TCP",
        "appProtocol": Commented("Lets gateways and meshes treat it as HTTP.", "http"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(release, options.namespace),
        "spec": {
            "type": Commented(_REACH[options.service], options.service),
            "selector": Commented("Whatever version they run: a canary's pods answer too.", ours(release.name)),
            "ports": [port],
        },
    }


def ingress(release: Release, options: Kubernetes) -> Document:
    """Gives the Ingress that leads a host name to the Service; None where no host is named."""
    if not options.ingress:
        return None
    kind = {"ingressClassName": options.ingress_class} if options.ingress_class else {}
    tls: Document = [{"hosts": [options.ingress], "secretName": options.ingress_tls}]
    encrypted = {"tls": Commented("The host's certificate, and HTTPS with it.", tls)} if options.ingress_tls else {}
    backend: Document = {"service": {"name": release.name, "port": {"name": HTTP}}}
    rule: Document = {
        "host": options.ingress if options.ingress_tls else Commented(_OPEN, options.ingress),
        "http": {
            "paths": [
                Commented(
                    "All paths: the page, the model and every protocol.",
                    {"path": "/", "pathType": "Prefix", "backend": backend},
                )
            ]
        },
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(release, options.namespace),
        "spec": {**kind, **encrypted, "rules": [rule]},
    }


def network_policy(release: Release, options: Kubernetes) -> Document:
    """Gives the NetworkPolicy of all pods of a release; None where none is asked for."""
    if not options.network_policy:
        return None
    contract = release.contract
    callers: list[Document] = [Commented("Pods of this namespace.", {"podSelector": {}})]
    if options.allow_from:
        named = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(options.allow_from)}
        callers.append(Commented("And of these.", {"namespaceSelector": {"matchExpressions": [named]}}))
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(release, options.namespace),
        "spec": Commented(
            _policy_words(options),
            {
                "podSelector": {"matchLabels": ours(release.name)},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {"from": callers, "ports": [{"protocol": "TCP", "port": contract.port}]},
                    Commented(
                        "Figures and health are for whoever keeps watch: Prometheus in a namespace of its own, and the "
                        "API server, through which Shipway reads them and which is no pod.",
                        {"ports": [{"protocol": "TCP", "port": contract.metrics_port}]},
                    ),
                ],
                "egress": Commented("The server calls nobody.", []),
            },
        ),
    }


def _policy_words(options: Kubernetes) -> str:
    words = "Only the network plugin makes this true; without one that knows policies it changes nothing."
    if options.ingress:
        words += " The Ingress's controller is let in only if its namespace stands below (--allow-from)."
    if options.service != "ClusterIP":
        words += f" Most plugins count calls through the {options.service} as nobody's and refuse them."
    return words
