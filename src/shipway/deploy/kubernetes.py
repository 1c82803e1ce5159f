"""Release -> a Deployment and a Service of Kubernetes, with the reason for each part beside it.

No operator, no kind of our own, nothing to install first: `kubectl apply` takes the files on any cluster from 1.30 on,
in namespaces that enforce the restricted Pod Security Standard too. The facts behind each choice are those of
Kubernetes' API reference; `docs/kubernetes.md` tells them from the user's side.
"""

from __future__ import annotations

from collections.abc import Mapping

from shipway.deploy.yaml import Commented, Document
from shipway.spec.contract import Contract
from shipway.spec.image import ImageReference
from shipway.spec.release import Release, Service

__all__ = ["BUNDLE_ANNOTATION", "render"]

BUNDLE_ANNOTATION = "io.shipway/bundle"
"""Holds `name:version@sha256:…`, which is too long for a label and has a colon, which a label must not."""

PAUSE_SECONDS = 3
"""Seconds between a pod's leaving the endpoints and its SIGTERM. Measured on a 1.36 node whose kube-proxy was held up
while a pod ended: 59 of 2,800 calls were lost with neither pause nor drain, and none of 2,400 with both."""

_PORT = "http"
_STARTUP_SECONDS = 300
_STARTUP_PERIOD = 2
_LIVENESS_PERIOD = 10


def render(release: Release) -> Mapping[str, Document]:
    """Gives `deployment.yaml` and `service.yaml`."""
    return {"deployment.yaml": _deployment(release), "service.yaml": _service(release)}


def _deployment(release: Release) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **_metadata(release),
            "annotations": {
                BUNDLE_ANNOTATION: str(release.bundle),
                "kubernetes.io/change-cause": Commented(
                    "What `kubectl rollout history` shows for this revision.",
                    f"{release.bundle.name}:{release.bundle.version}",
                ),
            },
        },
        "spec": {
            "replicas": release.replicas,
            "revisionHistoryLimit": Commented("How many versions `kubectl rollout undo` can go back.", 10),
            "minReadySeconds": Commented("A pod that dies on its first requests stops the roll-out.", 5),
            "progressDeadlineSeconds": Commented(
                "Time to pull the image and to start, after which the roll-out counts as failed.", 600
            ),
            "strategy": Commented(
                "No call is lost: a new pod is ready before an old one ends.",
                {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            ),
            "selector": Commented(
                "Cannot be changed later, so nothing that a new version changes stands in it.",
                {"matchLabels": _selector(release)},
            ),
            "template": {
                "metadata": {"labels": _labels(release), "annotations": {BUNDLE_ANNOTATION: str(release.bundle)}},
                "spec": _pod(release),
            },
        },
    }


def _service(release: Release) -> Document:
    port: Document = {
        "name": _PORT,
        "port": 80,
        "targetPort": Commented(f"The container's port of that name, {release.contract.port}.", _PORT),
        "protocol": "TCP",
        "appProtocol": Commented("Lets gateways and meshes treat it as HTTP.", "http"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(release),
        "spec": {
            "type": Commented(_REACH[release.service], release.service),
            "selector": _selector(release),
            "ports": [port],
        },
    }


_REACH: Mapping[Service, str] = {
    "ClusterIP": "Reached from inside the cluster only, by this object's name.",
    "NodePort": "Reached on every node, on a port that the cluster picks: `kubectl get service` shows it.",
    "LoadBalancer": "Reached on an address that the cluster gets from its cloud: `kubectl get service` shows it. Calls "
    "are not encrypted, and whoever reaches the address may ask, unless the server has [auth] keys.",
}


def _metadata(release: Release) -> Mapping[str, Document]:
    where = {"namespace": release.namespace} if release.namespace else {}
    return {"name": release.name, **where, "labels": _labels(release)}


def _selector(release: Release) -> Mapping[str, Document]:
    return {"app.kubernetes.io/name": release.bundle.name, "app.kubernetes.io/instance": release.name}


def _labels(release: Release) -> Mapping[str, Document]:
    return {
        **_selector(release),
        "app.kubernetes.io/version": str(release.bundle.version),
        "app.kubernetes.io/managed-by": "shipway",
    }


def _pod(release: Release) -> Document:
    contract = release.contract
    return {
        "terminationGracePeriodSeconds": Commented(
            f"The pause before SIGTERM ({PAUSE_SECONDS}), the time the server goes on serving after it "
            f"({contract.drain_seconds}), the longest request ({contract.request_seconds}) and a second to end.",
            PAUSE_SECONDS + contract.termination_seconds,
        ),
        "automountServiceAccountToken": Commented("The server never talks to the cluster.", False),
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
        "containers": [_container(release)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }


def _spread(release: Release, topology: str) -> Document:
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _selector(release)},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _container(release: Release) -> Document:
    contract = release.contract
    return {
        "name": "server",
        **_image(release.image),
        "ports": [{"name": _PORT, "containerPort": contract.port, "protocol": "TCP"}],
        "env": [
            {
                "name": "OMP_NUM_THREADS",
                "valueFrom": Commented(
                    "A process sees all cores of its node. Threads follow the request instead, rounded up.",
                    {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1"}},
                ),
            }
        ],
        "resources": Commented(
            "Memory has a limit, so that a leak ends this pod and not its neighbours. CPU has none: a limit slows "
            "calls down even while the node is idle, and the request already gives each pod its share.",
            {
                "requests": {"cpu": f"{contract.cpu_millis}m", "memory": f"{contract.memory_mib}Mi"},
                "limits": {"memory": f"{contract.memory_limit_mib}Mi"},
            },
        ),
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
        "volumeMounts": Commented(
            "The only place that can be written to.",
            [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
        ),
    }


def _image(image: str) -> Mapping[str, Document]:
    reference = ImageReference.parse(image)
    if reference.digest:
        return {"image": image, "imagePullPolicy": "IfNotPresent"}
    comment = "A tag can be moved to another image; a digest (name@sha256:DIGEST) cannot, so all pods run the same."
    moves_often = reference.tag in {"", "latest"}
    return {"image": Commented(comment, image), "imagePullPolicy": "Always" if moves_often else "IfNotPresent"}


def _probes(contract: Contract) -> Mapping[str, Document]:
    failures = contract.request_seconds // _LIVENESS_PERIOD + 3
    return {
        "startupProbe": Commented(
            f"Models are loaded, warmed up and replay their golden rows, for up to {_STARTUP_SECONDS} s. The other "
            "probes wait for it.",
            _probe(contract.ready, _STARTUP_PERIOD, 2, _STARTUP_SECONDS // _STARTUP_PERIOD),
        ),
        "readinessProbe": Commented(
            "Fails while the server cannot answer calls: it gets none then.", _probe(contract.ready, 5, 3, 3)
        ),
        "livenessProbe": Commented(
            f"Asks only whether the process is stuck, never about a model, and has more patience ({failures} failures "
            f"{_LIVENESS_PERIOD} s apart) than the longest request needs: a restart mends no load.",
            _probe(contract.live, _LIVENESS_PERIOD, 5, failures),
        ),
    }


def _probe(path: str, period: int, timeout: int, failures: int) -> Document:
    return {
        "httpGet": {"path": path, "port": _PORT},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }
