"""Kubernetes objects in an app's folder that a cluster refuses, or that do not belong together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipway.apps.review.finding import Finding, place

__all__ = ["check_manifests"]

_LOOKS = re.compile(r"^(?:apiVersion|kind)\s*:", re.MULTILINE)
_TEMPLATE = "{{"
_LARGEST = 256 * 1024
_KEYS = ("apiVersion", "kind", "metadata", "spec", "data")
_WORKLOADS = frozenset({"DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"})

# The version of each kind, of Kubernetes 1.36, and the release in which each older one went.
# https://kubernetes.io/docs/reference/using-api/deprecation-guide/
_VERSIONS = {
    "ConfigMap": "v1", "CronJob": "batch/v1", "DaemonSet": "apps/v1", "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2", "Ingress": "networking.k8s.io/v1", "Job": "batch/v1",
    "Namespace": "v1", "NetworkPolicy": "networking.k8s.io/v1", "PersistentVolumeClaim": "v1", "Pod": "v1",
    "PodDisruptionBudget": "policy/v1", "ReplicaSet": "apps/v1", "Secret": "v1", "Service": "v1",
    "ServiceAccount": "v1", "StatefulSet": "apps/v1",
}  # fmt: skip
_REMOVED = {
    "apps/v1beta1": "1.16", "apps/v1beta2": "1.16", "autoscaling/v2beta1": "1.25", "autoscaling/v2beta2": "1.26",
    "batch/v1beta1": "1.25", "networking.k8s.io/v1beta1": "1.22", "policy/v1beta1": "1.25",
}  # fmt: skip
_EXTENSIONS = "extensions/v1beta1"
_STILL = {("HorizontalPodAutoscaler", "autoscaling/v1")}

Node = Any
"""A node of PyYAML, which is imported only where YAML is read; told by its `id`."""


@dataclass(frozen=True, slots=True)
class _Object:
    """One document.

    Attributes:
        file: relative and POSIX.
        node: of the document, a mapping.
        kind: as it says.
    """

    file: str
    node: Node
    kind: str

    def at(self, node: Node) -> str:
        """Gives `file:line` of one of its nodes."""
        return place(self.file, node.start_mark.line + 1)


def check_manifests(texts: Mapping[str, str], name: str, ports: Collection[int]) -> Iterator[Finding]:
    """Finds what is wrong with the Kubernetes objects in the YAML files.

    Args:
        texts: of the folder's files.
        name: under which the app would be rendered.
        ports: on which the app is known to listen.
    """
    files = {
        file: text
        for file, text in sorted(texts.items())
        if file.endswith((".yaml", ".yml")) and len(text) <= _LARGEST and _LOOKS.search(text) and _TEMPLATE not in text
    }
    mend = f"shipway render {name} --to kubernetes"
    objects: list[_Object] = []
    for file, text in files.items():
        try:
            objects += _objects(file, text)
        except _Unreadable as error:
            yield Finding("yaml", error.where, error.why, error.fix or mend, error.severity)
    for one in objects:
        yield from _head(one, mend)
        yield from _workload(one, mend, ports)
    for one in objects:
        if one.kind == "Service":
            yield from _service(one, [each for each in objects if each.kind in (*_WORKLOADS, "Pod")], mend, ports)


class _Unreadable(Exception):
    """A file that is not YAML, or cannot be read here."""

    def __init__(self, where: str, why: str, fix: str = "", *, here: bool = False) -> None:
        super().__init__(why)
        self.where, self.why, self.fix = where, why, fix
        self.severity: Any = "note" if here else "error"


def _objects(file: str, text: str) -> list[_Object]:
    try:
        import yaml
    except ImportError as error:
        fix = 'pip install "shipway[kubernetes]"'
        raise _Unreadable(file, "was not looked at: PyYAML is not installed", fix, here=True) from error
    try:
        documents = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _Unreadable(place(file, line), f"is no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _Unreadable(file, "is no YAML") from error
    found = [_Object(file, node, _text(node, "kind") or "") for node in documents if _is(node, "mapping")]
    return [one for one in found if (one.kind or _get(one.node, "apiVersion")) and not _is_kubeconfig(one)]


def _is_kubeconfig(one: _Object) -> bool:
    return one.kind == "Config" and _get(one.node, "users") is not None


def _head(one: _Object, mend: str) -> Iterator[Finding]:
    """Looks at what every object has: kind, version and metadata."""
    close = difflib.get_close_matches(one.kind, _VERSIONS, 1, 0.8)
    kind = _get(one.node, "kind")
    api = _get(one.node, "apiVersion")
    if kind is not None and one.kind not in _VERSIONS and close and api is not None and "." not in str(api.value):
        fix = f"write kind: {close[0]}, or use what {mend} writes"
        yield Finding("manifest-kind", one.at(kind), f"there is no kind {one.kind}", fix, "error")
    yield from _keys(one, one.node, mend)
    template = _get(one.node, "spec", "template")
    if one.kind in _WORKLOADS and template is not None:
        yield from _keys(one, template, mend, known=("metadata", "spec"))
    version = _VERSIONS.get(one.kind)
    said = api.value if _is(api, "scalar") else ""
    if version is not None and said != version and (one.kind, said) not in _STILL:
        release = _removed(one.kind, said)
        gone = f", which Kubernetes {release} has removed" if release else ""
        what = f"{one.kind} has apiVersion {said}{gone}" if said else f"{one.kind} has no apiVersion"
        fix = f"write apiVersion: {version}, or use what {mend} writes"
        yield Finding("manifest-version", one.at(api or one.node), what, fix, "error")


def _removed(kind: str, version: str) -> str:
    if version == _EXTENSIONS:
        return "1.22" if kind == "Ingress" else "1.16"
    return _REMOVED.get(version, "")


def _keys(one: _Object, node: Node, mend: str, known: Sequence[str] = _KEYS) -> Iterator[Finding]:
    """Finds keys that are nearly those of every object, and metadata that is not there."""
    keys = [key for key, _ in node.value if _is(key, "scalar")] if _is(node, "mapping") else []
    names = {key.value for key in keys}
    for key in keys:
        close = [name for name in difflib.get_close_matches(key.value, known, 1, 0.6) if name not in names]
        if key.value not in known and close:
            fix = f"write {close[0]}:, or use what {mend} writes"
            what = f"{key.value} is no key of a {one.kind}: {close[0]} is meant"
            yield Finding("manifest-key", one.at(key), what, fix, "error")
    if node is one.node and _metadata(node) is None:
        yield Finding(
            "manifest-key", one.at(node), f"the {one.kind} has no metadata", f"use what {mend} writes", "error"
        )


def _workload(one: _Object, mend: str, ports: Collection[int]) -> Iterator[Finding]:
    if one.kind in _WORKLOADS:
        wanted = _get(one.node, "spec", "selector", "matchLabels")
        labels = _labels(one)
        if wanted is None:
            what = f"the {one.kind} has no spec.selector.matchLabels"
            yield Finding("manifest-selector", one.at(one.node), what, f"use what {mend} writes", "error")
        elif not _pairs(wanted).items() <= labels.items():
            what = f"the selector {_shown(_pairs(wanted))} does not match the template's labels {_shown(labels)}"
            fix = f"write the same labels in both, or use what {mend} writes"
            yield Finding("manifest-selector", one.at(wanted), what, fix, "error")
    for container in _containers(one):
        yield from _container(one, container, mend, ports)


def _container(one: _Object, container: Node, mend: str, ports: Collection[int]) -> Iterator[Finding]:
    fix = f"use what {mend} writes"
    image = _get(container, "image")
    if image is not None and _is(image, "scalar") and "@" not in image.value:
        tag = image.value.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            what = f"image {image.value} has no version: nobody can say what runs, and nobody can go back"
            yield Finding("manifest-image", one.at(image), what, f"write a tag or a digest, or {fix}", "warning")
    if _get(container, "resources") is None:
        what = "the container has no resources: it is placed blindly, and ended first where memory is short"
        yield Finding("manifest-resources", one.at(container), what, fix, "warning")
    if _get(container, "readinessProbe") is None:
        what = "the container has no readinessProbe: it gets calls before the app is imported"
        yield Finding("manifest-probes", one.at(container), what, fix, "warning")
    for port in _items(_get(container, "ports")):
        number = _get(port, "containerPort")
        if ports and _is(number, "scalar") and number.value.isdecimal() and int(number.value[:6]) not in ports:
            what = f"containerPort {number.value} is not where the app listens ({', '.join(map(str, sorted(ports)))})"
            yield Finding("manifest-port", one.at(number), what, f"write {min(ports)}, or {fix}", "warning")


def _service(one: _Object, workloads: Sequence[_Object], mend: str, ports: Collection[int]) -> Iterator[Finding]:
    fix = f"use what {mend} writes"
    selector = _get(one.node, "spec", "selector")
    chosen = [each for each in workloads if selector and _pairs(selector).items() <= _labels(each).items()]
    if workloads and selector is not None and not chosen:
        what = f"the selector {_shown(_pairs(selector))} matches no pod of this folder: {_shown(_labels(workloads[0]))}"
        yield Finding("manifest-selector", one.at(selector), what, f"write the pod's labels, or {fix}", "error")
    opened = {port for each in chosen for port in _opened(each)} | {str(port) for port in ports}
    for entry in _items(_get(one.node, "spec", "ports")):
        target = _get(entry, "targetPort") or _get(entry, "port")
        if chosen and opened and _is(target, "scalar") and target.value not in opened:
            what = f"nothing listens on port {target.value}: the pods open {', '.join(sorted(opened))}"
            yield Finding("manifest-port", one.at(target), what, f"write the pod's port, or {fix}", "error")


def _containers(one: _Object) -> Iterator[Node]:
    pods = ("spec",) if one.kind == "Pod" else ("spec", "template", "spec") if one.kind in _WORKLOADS else None
    if pods is not None:
        yield from _items(_get(one.node, *pods, "containers"))


def _opened(one: _Object) -> Iterator[str]:
    """Gives the numbers and names of a pod's ports."""
    for container in _containers(one):
        for port in _items(_get(container, "ports")):
            yield from (text for key in ("containerPort", "name") if (text := _text(port, key)))


def _labels(one: _Object) -> dict[str, str]:
    node = one.node if one.kind == "Pod" else _get(one.node, "spec", "template")
    return _pairs(_get(_metadata(node), "labels"))


def _metadata(node: Node) -> Node:
    """Gives the metadata, under a name that is nearly theirs too: that is said once, and not again of all below."""
    return _get(node, "metadata") or _get(node, "meta")


def _is(node: Node, kind: str) -> bool:
    return node is not None and node.id == kind


def _get(node: Node, *path: str) -> Node:
    """Gives what lies below a mapping; None where it is not there."""
    for name in path:
        if not _is(node, "mapping"):
            return None
        node = next((value for key, value in node.value if _is(key, "scalar") and key.value == name), None)
    return node


def _text(node: Node, name: str) -> str | None:
    found = _get(node, name)
    return str(found.value) if _is(found, "scalar") else None


def _items(node: Node) -> Sequence[Node]:
    return [one for one in node.value if _is(one, "mapping")] if _is(node, "sequence") else []


def _pairs(node: Node) -> dict[str, str]:
    pairs = node.value if _is(node, "mapping") else []
    return {key.value: value.value for key, value in pairs if _is(key, "scalar") and _is(value, "scalar")}


def _shown(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "(none)"
