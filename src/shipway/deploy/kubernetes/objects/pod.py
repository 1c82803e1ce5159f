"""The pod that serves: how it is hardened, placed, started, watched and ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shipway.deploy.kubernetes.objects.labels import selector_of
from shipway.deploy.kubernetes.objects.mounts import environment, mounts, volumes
from shipway.deploy.kubernetes.objects.resources import resources, threads
from shipway.deploy.yaml import Commented, Document
from shipway.spec.contract import Contract
from shipway.spec.image import ImageReference
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["CONTAINER", "HTTP", "METRICS", "PAUSE_SECONDS", "STARTUP_SECONDS", "pod"]

CONTAINER = "server"
HTTP = "http"
METRICS = "metrics"
"""Names of the container and of its ports."""

PAUSE_SECONDS = 3
"""Seconds between a pod's leaving the endpoints and its SIGTERM. Measured on a 1.36 node whose kube-proxy was held up
while a pod ended: 59 of 2,800 calls were lost with neither pause nor drain, and none of 2,400 with both."""

STARTUP_SECONDS = 300
"""How long a server may take until it is ready."""

_STARTUP_PERIOD = 2
_LIVENESS_PERIOD = 10


def pod(release: Release, options: Kubernetes) -> Document:
    """Gives the specification of a pod."""
    contract = release.contract
    return {
        "serviceAccountName": release.name,
        "automountServiceAccountToken": Commented("The server never talks to the cluster.", False),
        **_pull_secrets(options),
        "terminationGracePeriodSeconds": Commented(
            f"The pause before SIGTERM ({PAUSE_SECONDS}), the time the server goes on serving after it "
            f"({contract.drain_seconds}), the longest request ({contract.request_seconds}) and a second to end.",
            PAUSE_SECONDS + contract.termination_seconds,
        ),
        "enableServiceLinks": Commented(
            "Keeps other Services' addresses out of the environment, where they could be taken for settings.", False
        ),
        "securityContext": Commented(
            "What the restricted Pod Security Standard demands of the pod. The user is a number, for the node cannot "
            "tell whether a name is root.",
            {
                "runAsNonRoot": True,
                "runAsUser": contract.user,
                "runAsGroup": contract.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        ),
        "topologySpreadConstraints": Commented(
            "Pods keep apart, so that one lost node or zone is not all of them; a wish, so that a small cluster takes "
            "them too. The hash keeps the old version's pods out of the count.",
            [_spread(release, "kubernetes.io/hostname"), _spread(release, "topology.kubernetes.io/zone")],
        ),
        **_tolerations(options),
        "containers": [_container(release, options)],
        "volumes": volumes(release, options),
    }


def _pull_secrets(options: Kubernetes) -> Mapping[str, Document]:
    if not options.pull_secret:
        return {}
    return {
        "imagePullSecrets": Commented(
            "The nodes log in with it where the image lies; a Secret of type kubernetes.io/dockerconfigjson.",
            [{"name": options.pull_secret}],
        )
    }


def _spread(release: Release, topology: str) -> Document:
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector_of(release.name, "stable")},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _tolerations(options: Kubernetes) -> Mapping[str, Document]:
    if not options.gpu:
        return {}
    toleration = {"key": options.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}
    return {
        "tolerations": Commented(
            "Nodes with GPUs often bear a taint of that name, which keeps pods off that need none.", [toleration]
        )
    }


def _container(release: Release, options: Kubernetes) -> Document:
    contract = release.contract
    return {
        "name": CONTAINER,
        **_image(release.image),
        "ports": [
            {"name": HTTP, "containerPort": contract.port, "protocol": "TCP"},
            Commented(
                "Figures and health alone, without API keys: for the cluster, and so in no Service.",
                {"name": METRICS, "containerPort": contract.metrics_port, "protocol": "TCP"},
            ),
        ],
        "env": [*_environment(contract, options), *environment(release, options)],
        "resources": resources(options, contract),
        **_probes(contract),
        "lifecycle": Commented(
            "SIGTERM waits until the cluster has stopped sending new calls here; then the server asks callers to "
            "connect anew, finishes what it has and ends. The node itself sleeps, for the image has no shell; that "
            "takes Kubernetes 1.30. On an older one delete these lines: the server goes on serving after SIGTERM too.",
            {"preStop": {"sleep": {"seconds": PAUSE_SECONDS}}},
        ),
        "securityContext": Commented(
            "The container's half of the standard, and a root file system that nobody can write to.",
            {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
        ),
        "volumeMounts": mounts(release, options),
    }


def _image(image: str) -> Mapping[str, Document]:
    reference = ImageReference.parse(image)
    if reference.digest:
        return {"image": image, "imagePullPolicy": "IfNotPresent"}
    comment = "A tag can be moved to another image; a digest (name@sha256:DIGEST) cannot, so all pods run the same."
    moves_often = reference.tag in {"", "latest"}
    return {"image": Commented(comment, image), "imagePullPolicy": "Always" if moves_often else "IfNotPresent"}


def _environment(contract: Contract, options: Kubernetes) -> list[Document]:
    """Whether a pickle may be opened is left to the image: who builds it says so."""
    first, *rest = (
        {"name": name, "value": value} for name, value in replace(contract, allow_pickle=False).environment.items()
    )
    return [
        {"name": "OMP_NUM_THREADS", "valueFrom": threads(options)},
        Commented("The ports and times that this file reckons with, whatever the image was built with.", first),
        *rest,
    ]


def _probes(contract: Contract) -> Mapping[str, Document]:
    failures = contract.request_seconds // _LIVENESS_PERIOD + 3
    return {
        "startupProbe": Commented(
            f"Models are loaded, warmed up and replay their golden rows, for up to {STARTUP_SECONDS} s. The other "
            "probes wait for it.",
            _probe(contract.ready, _STARTUP_PERIOD, 2, STARTUP_SECONDS // _STARTUP_PERIOD),
        ),
        "readinessProbe": Commented(
            "Fails while the server cannot answer calls: it gets none then. A server that hangs gets no new call after "
            "some six seconds.",
            _probe(contract.ready, 2, 2, 3),
        ),
        "livenessProbe": Commented(
            f"Asks only whether the process is stuck, never about a model, and has more patience ({failures} failures "
            f"{_LIVENESS_PERIOD} s apart) than the longest request needs: a restart mends no load. What is stuck "
            "cannot drain, so it is not waited for.",
            {**_probe(contract.live, _LIVENESS_PERIOD, 5, failures), "terminationGracePeriodSeconds": 5},
        ),
    }


def _probe(path: str, period: int, timeout: int, failures: int) -> Mapping[str, Document]:
    return {
        "httpGet": {"path": path, "port": HTTP},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }
