"""Each recorded way of not starting gives its cause. `answers/causes/*.json` were recorded on a 1.36.2 node, except for
those named `*.by-hand.json`, which say in `made` what they were made after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.deploy.kubernetes.health.diagnose import Snapshot, diagnose
from shipway.deploy.target import Cause

ANSWERS = Path(__file__).parents[1] / "answers" / "causes"
DOCS = Path(__file__).parents[4] / "docs" / "kubernetes.md"
BY_HAND = ".by-hand"


class Expected(NamedTuple):
    """What a recording gives; `says` are key words of what, why and fix, in this order."""

    kind: str
    says: tuple[str, ...]
    final: bool = True


EXPECTED = {
    # The image cannot be pulled, or is not ours.
    "image-not-found-tag": Expected("image-not-found", ("no image 127.0.0.1:5000/diabetes:9", "not found", "--build")),
    "image-not-found-name": Expected("image-not-found", ("nothing:1", "not found", "--image")),
    "image-not-found-cri-o": Expected("image-not-found", ("no image", "manifest unknown", "--image")),
    "image-not-found-before-1.32": Expected("image-not-found", ("no image", "diabetes:1: not found", "--image")),
    "broken-after-healthy": Expected("image-not-found", ("diabetes:9", "not found", "shipway deploy")),
    "image-digest-gone": Expected("image-digest-gone", ("no longer in its registry", "sha256:", "--build")),
    "image-refused": Expected("image-refused", ("does not let", "no basic auth credentials", "--pull-secret")),
    "image-refused-cri-o": Expected("image-refused", ("does not let", "authentication required", "--pull-secret")),
    "image-refused-no-registry": Expected("image-refused", ("does not let", "denied", "Docker Hub")),
    "pull-secret-missing": Expected(
        "pull-secret-missing", ("Secret registry", "no basic auth", "create secret docker-registry registry")
    ),
    "image-unreachable": Expected("registry-unreachable", ("127.0.0.1:5999", "connection refused", "--image")),
    "image-no-such-host": Expected("registry-unreachable", ("registry.invalid", "lookup", "--image"), final=False),
    "registry-broken": Expected("registry-unreachable", ("registry.example", "503", "mend"), final=False),
    "registry-busy": Expected("registry-busy", ("no more requests", "429", "--pull-secret"), final=False),
    "image-untrusted": Expected("registry-untrusted", ("do not trust", "x509", "198.18.0.1:5056")),
    "image-plain-http": Expected("registry-plain-http", ("plain HTTP", "HTTPS client", "hosts.toml")),
    "image-architecture-index": Expected("image-architecture", ("architecture", "no match for platform", "--platform")),
    "image-architecture-cri-o": Expected("image-architecture", ("architecture", "no image found", "--platform")),
    "image-architecture": Expected("image-architecture", ("architecture", "exec format error", "--platform")),
    "image-invalid-name": Expected("image-name-invalid", ("'diabetes:1:2'", "invalid reference", "--image")),
    "image-never": Expected("image-not-on-node", ("not on the node", "Never", "imagePullPolicy")),
    "image-no-command": Expected("image-foreign", ("not one that Shipway built", "no command", "--build")),
    "image-foreign-command": Expected("image-foreign", ("not one that Shipway built", '"python"', "--build")),
    "image-foreign-module": Expected("image-foreign", ("not one that Shipway built", "No module named", "--build")),
    "image-pull-unknown": Expected("image-pull", ("cannot pull", "something new", "describe pods"), final=False),
    "node-disk-full": Expected("node-disk-full", ("disk is full", "no space left", "kubectl describe node")),
    # No node takes the pod.
    "cpu": Expected("no-cpu", ("64 CPU", "largest node has 2 CPU", "Insufficient cpu", "--cpu with less than 2")),
    "cpu-nodes-unreadable": Expected("no-cpu", ("64 CPU", "Insufficient cpu", "--cpu with less")),
    "cpu-autoscaler-brings": Expected("no-cpu", ("64 CPU",), final=False),
    "cpu-karpenter-brings": Expected("no-cpu", ("64 CPU",), final=False),
    "cpu-autoscaler-declines": Expected("no-cpu", ("64 CPU",)),
    "memory": Expected("no-memory", ("640Gi of memory", "24055Mi", "Insufficient memory", "--memory with less than")),
    "taint-of-gpu-node-1.27": Expected("no-memory", ("64Mi of memory", "Insufficient memory", "--replicas")),
    "gpu": Expected("no-gpu", ("1 of nvidia.com/gpu", "has 0", "Insufficient nvidia.com/gpu", "device plugin")),
    "gpu-too-many": Expected("no-gpu", ("2 of nvidia.com/gpu", "has 1", "Insufficient", "--gpu 1")),
    "gpu-taken": Expected("no-gpu", ("1 of nvidia.com/gpu", "Insufficient", "--replicas")),
    "taint": Expected("node-taints", ("diag:NoSchedule", "untolerated taint", "tolerations")),
    "taints-of-all": Expected("node-taints", ("taint", "control-plane", "tolerations")),
    "node-cordoned": Expected("node-taints", ("cordoned", "were unschedulable", "kubectl uncordon")),
    "node-selector": Expected("node-selector", ("disk=ssd", "didn't match", "kubectl label node")),
    "too-many-pods": Expected("too-many-pods", ("as many pods", "Too many pods", "--replicas")),
    "no-nodes": Expected("no-nodes", ("no nodes", "no nodes available", "kubectl get nodes")),
    "node-ports": Expected("unschedulable", ("no node takes", "free ports", "describe pod")),
    "ephemeral-storage": Expected("no-resource", ("ephemeral-storage", "Insufficient", "less of ephemeral-storage")),
    "claim-missing": Expected("volume", ("volume", 'persistentvolumeclaim "models" not found', "claim")),
    "claim-unbound": Expected("volume", ("volume", "unbound", "claim")),
    "node-refused": Expected("node-refused", ("gpu-1", "unhealthy devices", "wait"), final=False),
    # The cluster makes no pods.
    "quota-memory": Expected("quota", ("quota team", "requests.memory=64Mi", "limited", "--memory", "quota raised")),
    "quota-all": Expected("quota", ("quota team", "requests.cpu=20m", "limited: requests.cpu=10m", "--cpu")),
    "quota-roll-out": Expected("quota", ("quota team", "exceeded quota", "one pod more")),
    "quota-of-pods": Expected("quota", ("quota team", "pods=1", "--replicas")),
    "quota-demands-limit": Expected("quota", ("set limits.cpu", "must specify", "--cpu-limit")),
    "limit-range": Expected("limit-range", ("LimitRange", "maximum memory usage", "--memory-limit")),
    "pod-security": Expected("pod-security", ("restricted:latest", "runAsNonRoot", "securityContext")),
    "security-context-constraint": Expected("pod-security", ("OpenShift", "unable to validate", "runAsUser")),
    "admission-policy": Expected("admission-refused", ("diag-signed-images", "named by digest", "mend")),
    "admission-webhook-denies": Expected("admission-refused", ("policy.example.com", "must be signed", "mend")),
    "admission-webhook-down": Expected(
        "admission-unreachable", ("policy.example.com", 'service "policy" not found', "kubectl get"), final=False
    ),
    "service-account-missing": Expected("service-account-missing", ("models", "not found", "create serviceaccount")),
    "priority-class-missing": Expected("pods-refused", ("refuses", "PriorityClass with name gold", "mend")),
    "paused": Expected("paused", ("is paused", "spec.paused", "kubectl -n models rollout resume deployment/diabetes")),
    "namespace-ending": Expected("namespace-ending", ("namespace models", "nothing new", "--namespace")),
    "deployment-ending": Expected("deployment-ending", ("Deployment diabetes", "asked", "shipway deploy")),
    # Something that the pod names is not there.
    "secret-missing-volume": Expected("secret-missing", ("Secret keys", "not found", "create secret generic keys")),
    "secret-missing-variable": Expected("secret-missing", ("Secret keys", "not found", "create secret generic keys")),
    "secret-key-missing-volume": Expected(
        "secret-key-missing", ("Secret keys has no entry keys", "keys", "--from-file")
    ),
    "secret-key-missing-variable": Expected("secret-key-missing", ("Secret keys has no entry keys", "couldn't find")),
    "config-missing-volume": Expected("config-missing", ("ConfigMap diabetes-config", "not found", "shipway deploy")),
    "config-missing-variable": Expected("config-missing", ("ConfigMap diabetes-config", "not found", "shipway deploy")),
    "config-key-missing-volume": Expected("config-key-missing", ("no entry shipway.toml", "non-existent config key")),
    "config-key-missing-variable": Expected("config-key-missing", ("no entry shipway.toml", "couldn't find key")),
    "user-is-a-name": Expected("user-refused", ("root or a name", "non-numeric user (nobody)", "runAsUser: 65532")),
    "user-is-root": Expected("user-refused", ("root or a name", "will run as root", "runAsUser: 65532")),
    "container-refused": Expected(
        "container-refused", ("cannot make", "name is reserved", "describe pod"), final=False
    ),
    "volume-mount": Expected("volume", ("volume extra", "is not a directory", "describe pod")),
    "volume-plugin": Expected("volume", ("volume extra", "unknown filesystem type 'nfs'", "describe"), final=False),
    # The server ends.
    "out-of-memory": Expected("out-of-memory", ("limit of 20Mi", "OOMKilled", "--memory-limit 512Mi")),
    "out-of-memory-at-once": Expected("out-of-memory", ("limit of 4Mi", "OOMKilled", "--memory-limit 512Mi")),
    "crash-settings": Expected("server-error", ("SHIPWAY_SERVER__PORT", "exit code 2", "shipway config")),
    "crash-no-models": Expected("server-error", ("holds no bundle", "exit code 1", "shipway pack")),
    "crash-after-healthy": Expected("server-error", ("SHIPWAY_LIMITS__ROWS", "exit code 2", "shipway config")),
    "golden-differs": Expected("server-error", ("gives 151.2 for golden row 3", "checks its models", "pack it again")),
    "log-read-only": Expected("read-only", ("read-only", "Errno 30", "/tmp")),
    "log-permission": Expected("no-permission", ("may not open", "Errno 13", "65532")),
    "crash-traceback": Expected("crash", ("exit code 1", "JSONDecodeError: Expecting property name", "--previous")),
    "crash-ends": Expected("crash", ("ends by itself", "nothing to do", "--previous")),
    "crash-signal": Expected("crash", ("exit code 139 (SIGSEGV)", "about to end", "--previous")),
    # The server runs, and does not answer as it should.
    "probe-startup-refused": Expected("probe-startup", ("within 16 s", "connection refused", "server.port")),
    "probe-startup-status": Expected("probe-startup", ("within 12 s", "status 404", "--previous")),
    "probe-liveness": Expected("probe-liveness", ("/nothing", "status 404", "port-forward")),
    "probe-readiness": Expected("probe-readiness", ("/nothing", "status 404", "port-forward"), final=False),
    "slow-start": Expected("slow-start", ("still loading", "status 503", "wait: it has 300 s"), final=False),
    # The node.
    "node-lost": Expected("node-lost", ("node lost", "Kubelet stopped posting", "other nodes"), final=False),
    "evicted-volume": Expected("evicted", ("writes more", 'EmptyDir volume "tmp" exceeds', "sizeLimit"), final=False),
    "evicted-storage": Expected("evicted", ("writes more", "ephemeral local storage", "write less"), final=False),
    "evicted-twice": Expected("evicted", ("writes more",)),
    "evicted-memory": Expected("evicted", ("ran short", "low on resource: memory", "--memory"), final=False),
    # The cluster gives up.
    "deadline": Expected("deadline", ("within 6 s", "timed out progressing", "get events")),
    "deadline-of-a-cause": Expected("registry-unreachable", ("127.0.0.1:5999",)),
}

WITHOUT_EVENTS: dict[str, str | None] = {
    "image-not-found-before-1.32": "image-pull",
    "pull-secret-missing": "image-refused",
    "taint": "node-selector",
    "namespace-ending": None,
    "secret-missing-volume": None,
    "secret-key-missing-volume": None,
    "config-missing-volume": None,
    "config-key-missing-volume": None,
    "volume-mount": None,
    "volume-plugin": None,
    "probe-startup-refused": "slow-start",
    "probe-startup-status": "slow-start",
    "probe-liveness": "crash",
    "probe-readiness": None,
    "node-lost": None,
}
"""What is known of those recordings where neither events nor nodes may be read."""

NOTHING_WRONG = ("healthy", "half-rolled", "not-observed")


@cache
def recording(name: str) -> dict[str, Any]:
    path = ANSWERS / f"{name}.json"
    path = path if path.exists() else ANSWERS / f"{name}{BY_HAND}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def snapshot(recorded: dict[str, Any]) -> Snapshot:
    return Snapshot(
        now=datetime.fromisoformat(recorded["now"]),
        deployment=recorded["deployment"],
        replica_sets=recorded["replica_sets"],
        pods=recorded["pods"],
        events=recorded["events"],
        logs=recorded["logs"],
        nodes=recorded["nodes"],
        namespace=recorded["namespace"],
    )


def cause_of(name: str) -> Cause:
    cause = diagnose(snapshot(recording(name)))
    assert cause is not None
    return cause


@pytest.mark.parametrize("name", EXPECTED)
def test_each_recording_gives_its_cause(name: str) -> None:
    cause, expected = cause_of(name), EXPECTED[name]
    assert (cause.kind, cause.final) == (expected.kind, expected.final)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_sentences_say_what_why_and_what_to_do(name: str) -> None:
    cause = cause_of(name)
    said = f"{cause.what}\n{cause.why}\n{cause.fix}"
    at = 0
    for words in EXPECTED[name].says:
        found = said.find(words, at)
        assert found >= 0, f"{words!r} is not in, or not after the others in: {said}"
        at = found
    for sentence in (cause.what, cause.why, cause.fix):
        assert sentence
        assert "\n" not in sentence
        assert not sentence.endswith(".")


@pytest.mark.parametrize("name", NOTHING_WRONG)
def test_nothing_is_said_where_nothing_is_wrong(name: str) -> None:
    assert diagnose(snapshot(recording(name))) is None


def test_every_recording_is_expected_to_give_something() -> None:
    names = {path.stem.removesuffix(BY_HAND) for path in ANSWERS.glob("*.json")}
    assert names == {*EXPECTED, *NOTHING_WRONG}


def test_only_what_is_named_so_was_made_by_hand() -> None:
    for path in ANSWERS.glob("*.json"):
        made = json.loads(path.read_text(encoding="utf-8"))["made"]
        assert made.startswith("by hand") == path.stem.endswith(BY_HAND), path.name


def test_the_documentation_has_every_kind_and_no_other() -> None:
    section = DOCS.read_text(encoding="utf-8").split("## When it does not start")[1].split("\n## ")[0]
    documented = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert len(documented) == len(set(documented))
    assert set(documented) == {expected.kind for expected in EXPECTED.values()}


def test_recognised_within_fifteen_seconds_of_the_cluster_showing_it() -> None:
    """A node shows a failed start of the server only after the time that its startup probe allows; all else at once."""
    shown_late = {"probe-startup-refused", "evicted-volume", "evicted-storage", "node-lost"}
    seconds = {name: recording(name).get("seconds", {}).get("recognised") for name in EXPECTED}
    late = {name for name, known in seconds.items() if known is not None and known > 15}
    assert late <= shown_late


def test_once_is_chance() -> None:
    crashed = json.loads(json.dumps(recording("crash-traceback")))
    for pod in crashed["pods"]:
        for status in pod["status"]["containerStatuses"]:
            status["restartCount"] = 1
            status["lastState"] = {"terminated": status["state"].get("terminated") or status["lastState"]["terminated"]}
            status["state"] = {"running": {"startedAt": crashed["now"]}}
    cause = diagnose(snapshot(crashed))
    assert cause is not None
    assert (cause.kind, cause.final) == ("crash", False)


@pytest.mark.parametrize(
    ("name", "seconds"), [("image-no-such-host", 120), ("volume-plugin", 120), ("container-refused", 120)]
)
def test_what_may_pass_becomes_final_when_its_time_is_up(name: str, seconds: float) -> None:
    before = snapshot(recording(name))
    after = diagnose(replace(before, now=before.now + timedelta(seconds=seconds)))
    assert after is not None
    assert after.final


@pytest.mark.parametrize("name", ["cpu", "quota-all", "secret-missing-volume"])
def test_what_others_may_mend_gets_a_moment(name: str) -> None:
    before = snapshot(recording(name))
    early = diagnose(replace(before, now=before.now - timedelta(seconds=11)))
    assert early is not None
    assert not early.final


@pytest.mark.parametrize("name", EXPECTED)
def test_pods_of_other_templates_have_no_say(name: str) -> None:
    """Pods whose owner is not the newest ReplicaSet, and events about them, change nothing."""
    healthy, other = recording("healthy"), recording(name)
    mixed = {key: [*healthy[key], *other[key]] for key in ("replica_sets", "pods", "events")}
    assert diagnose(snapshot({**healthy, **mixed, "logs": {**healthy["logs"], **other["logs"]}})) is None


@pytest.mark.parametrize("name", EXPECTED)
def test_the_order_of_events_and_pods_does_not_matter(name: str) -> None:
    recorded = recording(name)
    turned = {key: recorded[key][::-1] for key in ("replica_sets", "pods", "events", "nodes")}
    assert diagnose(snapshot({**recorded, **turned})) == cause_of(name)


@pytest.mark.parametrize("name", EXPECTED)
def test_who_may_read_pods_alone_still_learns_most(name: str) -> None:
    cause = diagnose(replace(snapshot(recording(name)), events=(), nodes=(), namespace={}))
    kind = EXPECTED[name].kind
    assert (cause.kind if cause else None) == WITHOUT_EVENTS.get(name, kind)


def _places(thing: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from _places(value, (*path, key))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_answer_of_a_cluster_is_too_strange(data: st.DataObject) -> None:
    """Any part of an answer may be missing, or of a shape that it should not have."""
    name = data.draw(st.sampled_from(sorted(EXPECTED)))
    recorded = json.loads(json.dumps({k: v for k, v in recording(name).items() if k not in {"made", "seconds", "now"}}))
    whole = {"deployment", "replica_sets", "pods", "events", "logs", "nodes", "namespace"}
    places = [path for path in _places(recorded) if path[0] in whole - {"logs"} and len(path) > 2]
    for path in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
        thing: Any = recorded
        for key in path[:-1]:
            has = isinstance(thing, list) and isinstance(key, int) and key < len(thing)
            thing = thing[key] if has or (isinstance(thing, dict) and key in thing) else {}
        if isinstance(thing, dict):
            thing[path[-1]] = data.draw(
                st.sampled_from([None, "", "strange", 7, -1, [], [None], {}, {"a": None}, True])
            )
    cause = diagnose(snapshot({**recorded, "now": recording(name)["now"]}))
    assert cause is None or (cause.kind and cause.what)
