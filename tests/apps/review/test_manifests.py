"""Kubernetes YAML: what belongs together is looked at together, what is not Kubernetes' is left alone."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.apps.review.finding import Finding
from shipway.apps.review.manifests import check_manifests

PORTS = "[{containerPort: 8000, name: web}]"
POD = f"containers: [{{name: a, image: 'a:1', resources: {{}}, readinessProbe: {{}}, ports: {PORTS}}}]"
DEPLOYMENT = f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: a}}
spec:
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata: {{labels: {{app: a, tier: x}}}}
    spec: {{{POD}}}
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  selector: {app: a}
  ports: [{port: 80, targetPort: web}]
"""


def found(*texts: str, ports: tuple[int, ...] = ()) -> list[Finding]:
    return list(check_manifests({f"{number}.yaml": text for number, text in enumerate(texts)}, "a", ports))


def test_objects_that_belong_together_have_no_findings() -> None:
    assert found(DEPLOYMENT, SERVICE, ports=(8000,)) == []
    assert found(f"{DEPLOYMENT}---\n{SERVICE}") == []


def test_a_kubeconfig_is_no_object_of_a_cluster() -> None:
    assert found("apiVersion: v1\nkind: Config\nusers: []\n") == []
    assert [one.kind for one in found("apiVersion: v1\nkind: Config\nmetadata: {name: a}\n")] == ["manifest-kind"]


def test_a_service_is_held_against_the_pods_of_other_files() -> None:
    (one,) = found(DEPLOYMENT, SERVICE.replace("app: a", "app: b"))
    assert (one.kind, one.where) == ("manifest-selector", "1.yaml:5")


def test_a_service_alone_is_not_judged_by_pods_that_are_elsewhere() -> None:
    assert found(SERVICE) == []


def test_a_port_is_found_by_its_name_too() -> None:
    (one,) = found(DEPLOYMENT, SERVICE.replace("web", "www"))
    assert (one.kind, one.where) == ("manifest-port", "1.yaml:6")


def test_meta_in_a_template_is_said_once_and_its_labels_count() -> None:
    (one,) = found(DEPLOYMENT.replace("    metadata: {labels", "    meta: {labels"))
    assert (one.kind, one.where) == ("manifest-key", "0.yaml:7")


@pytest.mark.parametrize(
    ("kind", "version", "release"),
    [
        ("Deployment", "extensions/v1beta1", "1.16"),
        ("Ingress", "extensions/v1beta1", "1.22"),
        ("CronJob", "batch/v1beta1", "1.25"),
        ("HorizontalPodAutoscaler", "autoscaling/v2beta2", "1.26"),
    ],
)
def test_a_version_that_is_gone_is_said_with_the_release(kind: str, version: str, release: str) -> None:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"
    assert any(one.where == "0.yaml:1" and f"Kubernetes {release} has removed" in one.what for one in found(text))


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  web:\n    build: .\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service2\nmetadata: {name: a}\n",
        "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\n",
        "- kind: x\n",
        "",
    ],
)
def test_what_is_not_ours_to_judge_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_without_pyyaml_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (one,) = found(DEPLOYMENT)
    assert (one.severity, one.where) == ("note", "0.yaml")
    assert one.fix == 'pip install "shipway[kubernetes]"'


def test_a_file_that_grows_by_its_aliases_is_read_in_no_time() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert found("kind: Pod\nmetadata: {}\n" + "\n".join(lines))[0].kind == "manifest-version"


def test_a_file_that_is_nested_deep_is_no_yaml() -> None:
    (one,) = found("kind: Pod\nx: " + "[" * 5000)
    assert (one.kind, one.severity) == ("yaml", "error")


KEYS = st.sampled_from(
    ["apiVersion", "kind", "metadata", "spec", "template", "selector", "containers", "ports", "image"]
)
VALUES = st.recursive(
    st.sampled_from(["Deployment", "Service", "Pod", "apps/v1", "v1", "8000", "null", "[]"]),
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=4).map(lambda them: "{" + ", ".join(map(": ".join, them.items())) + "}"),
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_any_shape_of_objects_is_judged_without_failing(pairs: dict[str, str]) -> None:
    text = "kind: Deployment\n" + "".join(f"{key}: {value}\n" for key, value in pairs.items() if key != "kind")
    for one in found(text, text.replace("Deployment", "Service"), ports=(8000,)):
        assert one.what
        assert one.fix
