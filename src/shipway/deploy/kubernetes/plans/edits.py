"""Edits of rendered objects: other numbers of servers, an autoscaler, a canary beside the stable version. Pure.

They work on the plain objects of a record, without the release that these were rendered from, so that going back,
promoting and scaling need nothing but the cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shipway.deploy.kubernetes.api.kinds import KINDS, Kind, Object
from shipway.deploy.kubernetes.objects.labels import INSTANCE, TRACK, deployment_name, ours
from shipway.errors import UsageError

__all__ = [
    "APPLIED",
    "autoscaler_of",
    "beside",
    "between",
    "canary_of",
    "deployment_of",
    "equal_but_for_size",
    "fewest",
    "identity",
    "in_order",
    "is_ours",
    "kinds_applied",
    "replicas_of",
    "what",
    "with_replicas",
]

APPLIED = (
    "ServiceAccount",
    "ConfigMap",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "ServiceMonitor",
)
"""The kinds that a release is made of, in the order to apply them: what pods need comes before them, the autoscaler
after the Deployment that it is to own the size of, and what leads calls to them last."""

_MOST_REPLICAS = 10_000


def in_order(objects: Iterable[Object]) -> tuple[Object, ...]:
    """Gives the objects in the order to apply them."""
    return tuple(sorted(objects, key=lambda each: (APPLIED.index(each["kind"]), str(each["metadata"]["name"]))))


def identity(thing: Mapping[str, Any]) -> tuple[str, str]:
    """Gives kind and name, by which an object is known in its namespace."""
    return str(thing["kind"]), str(thing["metadata"]["name"])


def what(thing: Mapping[str, Any]) -> str:
    """Names an object for people: `Deployment diabetes`."""
    return " ".join(identity(thing))


def is_ours(thing: Mapping[str, Any], name: str) -> bool:
    """Whether an object bears the labels of a release; one that does not is never changed or deleted."""
    labels = thing.get("metadata", {}).get("labels") or {}
    return all(labels.get(key) == value for key, value in ours(name).items())


def deployment_of(objects: Iterable[Object]) -> Object:
    """Gives the Deployment of a release.

    Raises:
        UsageError: there is none; the record is not whole.
    """
    found = next((each for each in objects if each["kind"] == "Deployment"), None)
    if found is None:
        raise UsageError("the release has no Deployment", fix="shipway deploy makes a new release")
    return found


def autoscaler_of(objects: Iterable[Object]) -> Object | None:
    """Gives the autoscaler of a release, if it has one."""
    return next((each for each in objects if each["kind"] == "HorizontalPodAutoscaler"), None)


def replicas_of(objects: Sequence[Object]) -> int:
    """Gives how many servers a release asks for; with an autoscaler the fewest."""
    return fewest(objects) or int(deployment_of(objects)["spec"].get("replicas", 1))


def fewest(objects: Iterable[Object]) -> int:
    """Gives how many servers an autoscaler keeps at least; 0 without one."""
    autoscaler = autoscaler_of(objects)
    return int(autoscaler["spec"].get("minReplicas", 1)) if autoscaler else 0


def with_replicas(objects: Iterable[Object], replicas: int) -> tuple[Object, ...]:
    """Gives the objects with a fixed number of servers: without an autoscaler.

    Raises:
        UsageError: no such number can run.
    """
    _check(replicas)
    return tuple(
        _sized(each, replicas) if each["kind"] == "Deployment" else each
        for each in objects
        if each["kind"] != "HorizontalPodAutoscaler"
    )


def between(objects: Sequence[Object], fewest: int, most: int, cpu_percent: int) -> tuple[Object, ...]:
    """Gives the objects with an autoscaler that keeps between two numbers of servers.

    The one that is there keeps its other fields. The Deployment says no number any more, for two would fight over it.

    Args:
        objects: of a release.
        fewest: at least 1: an autoscaler does not go to 0.
        most: at least as many.
        cpu_percent: of the CPU request, for a new autoscaler.

    Raises:
        UsageError: no autoscaler keeps between such numbers.
    """
    _check(most)
    if not 1 <= fewest <= most:
        raise UsageError(
            f"no autoscaler keeps between {fewest} and {most} servers", fix="at least 1, and at most as many as --max"
        )
    deployment = deployment_of(objects)
    autoscaler = copy.deepcopy(autoscaler_of(objects)) or _autoscaler(deployment, cpu_percent)
    autoscaler["spec"] |= {"minReplicas": fewest, "maxReplicas": most}
    rest = [each for each in objects if each["kind"] not in {"Deployment", "HorizontalPodAutoscaler"}]
    return in_order([*rest, _sized(deployment, None), autoscaler])


def canary_of(objects: Iterable[Object], replicas: int) -> Object:
    """Gives the Deployment that runs a release beside the stable one, behind the same Service."""
    canary: Object = _retrack(_sized(deployment_of(objects), replicas))
    metadata = canary["metadata"]
    metadata["name"] = deployment_name(metadata["labels"][INSTANCE], "canary")
    metadata["labels"][TRACK] = "canary"
    return canary


def beside(objects: Iterable[Object], there: Iterable[Object], replicas: int) -> tuple[Object, ...]:
    """Gives what a canary takes: its Deployment, and of what its pods need that which the stable version lacks.

    The Service, the disruption budget and whatever else both share stays as the stable version has it until the canary
    is promoted.
    """
    objects, known = tuple(objects), {identity(each) for each in there}
    needed = [
        each for each in objects if each["kind"] in {"ConfigMap", "ServiceAccount"} and identity(each) not in known
    ]
    return in_order([*needed, canary_of(objects, replicas)])


def equal_but_for_size(one: Sequence[Object], other: Sequence[Object]) -> bool:
    """Whether two releases differ in nothing but in how many servers they ask for."""

    def sizeless(objects: Sequence[Object]) -> list[Object]:
        return [
            _sized(each, None) if each["kind"] == "Deployment" else each
            for each in in_order(objects)
            if each["kind"] != "HorizontalPodAutoscaler"
        ]

    return sizeless(one) == sizeless(other)


def kinds_applied() -> tuple[Kind, ...]:
    """Gives the kinds of `APPLIED`."""
    return tuple(KINDS[kind] for kind in APPLIED)


def _check(replicas: int) -> None:
    if not 0 <= replicas <= _MOST_REPLICAS:
        raise UsageError(f"cannot run {replicas} servers", fix=f"a number from 0 to {_MOST_REPLICAS}")


def _sized(deployment: Object, replicas: int | None) -> Object:
    sized = copy.deepcopy(deployment)
    sized["spec"].pop("replicas", None)
    if replicas is not None:
        sized["spec"]["replicas"] = replicas
    return sized


def _autoscaler(deployment: Object, cpu_percent: int) -> Object:
    labels = {key: value for key, value in deployment["metadata"]["labels"].items() if key != TRACK}
    metadata = {"name": deployment["metadata"]["name"], "labels": labels}
    if "namespace" in deployment["metadata"]:
        metadata["namespace"] = deployment["metadata"]["namespace"]
    return {
        "apiVersion": KINDS["HorizontalPodAutoscaler"].api,
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {
                "apiVersion": deployment["apiVersion"],
                "kind": deployment["kind"],
                "name": deployment["metadata"]["name"],
            },
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": cpu_percent},
                    },
                }
            ],
        },
    }


def _retrack(value: Any) -> Any:
    """Gives a value in which every selector and label of the stable track names the canary."""
    if isinstance(value, dict):
        return {key: "canary" if (key, each) == (TRACK, "stable") else _retrack(each) for key, each in value.items()}
    return [_retrack(each) for each in value] if isinstance(value, list) else value
