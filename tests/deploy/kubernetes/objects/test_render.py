"""What is rendered as a whole: golden files, schemas, names and values that would like to be something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes.releases import CASES, DIGEST, EVERYTHING, PLAIN, RELEASE, Case, Object, rendered
from shipway.deploy.kubernetes.objects.labels import BUNDLE_ANNOTATION, ours
from shipway.deploy.kubernetes.objects.render import KUSTOMIZATION, objects
from shipway.deploy.kubernetes.objects.render import render as documents
from shipway.deploy.targets import render
from shipway.deploy.yaml import plain
from shipway.errors import UsageError
from shipway.spec.reference import BundleId
from shipway.spec.release import release_name
from shipway.spec.settings import Deploy, Kubernetes

ROOT = Path(__file__).parents[4]
CRDS = ROOT.parent / "shared" / "kubernetes" / "crds"
# From 1.30 on `preStop: sleep` is there without a feature gate; the schemas of 1.27 and 1.28 do not know it.
SUPPORTED = [f"1.{minor}" for minor in range(30, 38)]
OLDER = ["1.27", "1.28", "1.29"]
EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def of_kubernetes(case: Case) -> Iterator[Object]:
    """The objects whose schemas Kubernetes itself has."""
    return (found for name, found in rendered(case).items() if name not in {KUSTOMIZATION, "servicemonitor.yaml"})


@pytest.mark.parametrize("name", CASES)
def test_the_files_are_those_that_were_reviewed(name: str, golden: Callable[[str, str], None]) -> None:
    release, options = CASES[name]
    for file, text in render(release, "kubernetes", Deploy(kubernetes=options)).items():
        golden(f"kubernetes/{name}/{file}", text)


def test_no_golden_file_is_left_over() -> None:
    for name, case in CASES.items():
        folder = ROOT / "tests" / "golden" / "kubernetes" / name
        assert {path.name for path in folder.iterdir()} == set(rendered(case))


@pytest.mark.parametrize("version", SUPPORTED)
@EVERY_CASE
def test_every_object_is_valid_for_every_supported_kubernetes(case: Case, version: str) -> None:
    for manifest in of_kubernetes(case):
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.parametrize("version", OLDER)
@EVERY_CASE
def test_without_the_pause_older_kubernetes_takes_it_too(case: Case, version: str) -> None:
    for manifest in of_kubernetes(case):
        if manifest["kind"] == "Deployment":
            del manifest["spec"]["template"]["spec"]["containers"][0]["lifecycle"]
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


def closed(schema: Any) -> Any:
    """The schema with every object closed that does not say it is open: what a cluster would drop is refused."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not is_open:
        found["additionalProperties"] = False
    return found


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"no folder {CRDS.name} of published schemas beside the repository")
@pytest.mark.parametrize("options", [EVERYTHING.options, Kubernetes(service_monitor=True)])
def test_the_service_monitor_is_valid_for_its_operators_schema(options: Kubernetes) -> None:
    text = (CRDS / "monitoring.coreos.com_servicemonitors.yaml").read_text(encoding="utf-8")
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    monitor = rendered(Case(RELEASE, options))["servicemonitor.yaml"]
    jsonschema.validate(monitor, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**monitor, "spec": {**monitor["spec"], "endpoint": []}}, schema)


@EVERY_CASE
def test_every_object_bears_the_labels_by_which_it_is_ours(case: Case) -> None:
    for file, manifest in rendered(case).items():
        if file != KUSTOMIZATION:
            labels = manifest["metadata"]["labels"]
            assert ours(case.release.name).items() <= labels.items()
            assert labels["app.kubernetes.io/name"] == case.release.bundle.name
            assert labels["app.kubernetes.io/version"] == str(case.release.bundle.version)
            assert manifest["metadata"].get("namespace", "") == case.options.namespace


def selectors(document: Any) -> Iterator[Any]:
    if isinstance(document, list):
        for item in document:
            yield from selectors(item)
    elif isinstance(document, dict):
        for key, value in document.items():
            if key in {"selector", "labelSelector", "podSelector"}:
                yield value.get("matchLabels", value)
            else:
                yield from selectors(value)


@EVERY_CASE
def test_nothing_that_changes_with_a_version_is_in_a_selector(case: Case) -> None:
    later = replace(case.release, bundle=BundleId("other", 99, DIGEST), image="registry.example/other:99")
    now, then = rendered(case), rendered(Case(later, case.options))
    assert list(selectors(list(now.values()))) == list(selectors(list(then.values())))
    assert all(now[file] != then[file] for file in now if file != KUSTOMIZATION)


@EVERY_CASE
def test_every_selector_finds_the_pods(case: Case) -> None:
    found = rendered(case)
    labels = found["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    for selector in selectors(list(found.values())):
        assert selector.items() <= labels.items()


@EVERY_CASE
def test_objects_are_the_files_without_comments_and_without_kustomize(case: Case) -> None:
    found = rendered(case)
    found.pop(KUSTOMIZATION, None)
    assert list(objects(*case)) == list(found.values())


@EVERY_CASE
def test_a_kustomization_lists_the_others_in_the_order_to_apply_them(case: Case) -> None:
    *others, last = rendered(case)
    assert (last == KUSTOMIZATION) == case.options.kustomization
    if case.options.kustomization:
        assert rendered(case)[last]["resources"] == others


def test_what_pods_need_comes_before_them() -> None:
    files = list(rendered(EVERYTHING))
    for needed in ("serviceaccount.yaml", "config.yaml", "networkpolicy.yaml"):
        assert files.index(needed) < files.index("deployment.yaml")
    assert files.index("deployment.yaml") < files.index("autoscaler.yaml")


@pytest.mark.parametrize(
    ("off", "file"),
    [
        ({"max_replicas": 0}, "autoscaler.yaml"),
        ({"disruption_budget": False}, "disruptionbudget.yaml"),
        ({"network_policy": False}, "networkpolicy.yaml"),
        ({"ingress": "", "ingress_tls": ""}, "ingress.yaml"),
        ({"service_monitor": False}, "servicemonitor.yaml"),
        ({"kustomization": False}, KUSTOMIZATION),
    ],
)
def test_each_option_is_one_file(off: dict[str, Any], file: str) -> None:
    options = msgspec.structs.replace(EVERYTHING.options, **off)
    assert set(rendered(EVERYTHING)) - set(rendered(Case(EVERYTHING.release, options))) == {file}


def test_without_settings_of_its_own_there_is_no_file_for_them() -> None:
    plainer = replace(EVERYTHING.release, configuration="")
    assert set(rendered(EVERYTHING)) - set(rendered(Case(plainer, EVERYTHING.options))) == {"config.yaml"}


nasty = st.sampled_from([
    "", "on", "no", "y", "null", "true", "1", "1e3", "12:30", "0x1f", "Churn", "a.b", "a_b", "a\nkind: Secret", "a: {}",
    "{a: b}", "a #b", "-a", "a-", "a" * 63, "a" * 64, "a" * 253, "a" * 254, ".".join(["b" * 62] * 5), "1.5", "017",
    "registry.example/a:1\n---\nkind: Secret", "r.example/on:null", "r.example/a:1e3", "é", "a/b", "x.example/y=z",
    "release=on", "a=1e3", "A.b/C=D", "=", "a==b", "1_000", "500m", "1Gi", "1e3", "12E6", "0", "-1", "1.5Gi", "0.5",
    "*.example", "10.0.0.1", "nvidia.com/gpu", "amd.com/gpu", "kubernetes.io/cpu", "~", "*a", "&a", "!a", "%", "@",
])  # fmt: skip
words = st.from_regex(r"[a-z0-9]{1,6}([-_.][a-z0-9]{1,6})?", fullmatch=True) | nasty | st.text(max_size=12)
options_of_words = st.fixed_dictionaries(
    {"kustomization": st.booleans(), "network_policy": st.booleans(), "service_monitor": st.booleans()},
    optional={
        **dict.fromkeys(("namespace", "keys", "pull_secret", "ingress", "ingress_class", "ingress_tls"), words),
        **dict.fromkeys(("cpu", "memory", "cpu_limit", "memory_limit", "gpu_resource"), words),
        "gpu": st.integers(0, 2),
        "replicas": st.integers(0, 3),
        "max_replicas": st.integers(0, 3),
        "allow_from": st.lists(words, max_size=2).map(tuple),
        "monitor_labels": st.lists(words | st.builds("{}={}".format, words, words), max_size=2).map(tuple),
    },
)


def texts_in(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for item in document:
            yield from texts_in(item)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from texts_in(value)


@settings(max_examples=100, deadline=None)
@given(options=options_of_words)
@example(options={"namespace": "null", "keys": "on", "ingress": "1.x", "ingress_class": "yes", "memory": "1e9"})
@example(options={"gpu": 1, "gpu_resource": "x.example/y", "cpu": "1", "cpu_limit": "1.", "allow_from": ("no", "0x1f")})
@example(options={"service_monitor": True, "monitor_labels": ("release=1e3", "on=off", "x.example/y=")})
def test_nasty_settings_are_refused_or_come_out_as_they_went_in(options: dict[str, Any]) -> None:
    try:
        found = rendered(Case(RELEASE, Kubernetes(**options)))
    except UsageError as error:
        assert error.fix
        return
    assert found == {file: plain(document) for file, document in documents(RELEASE, Kubernetes(**options)).items()}
    written = set(texts_in(list(found.values())))
    for key in ("namespace", "keys", "pull_secret", "ingress", "cpu", "memory", "cpu_limit", "memory_limit"):
        assert not options.get(key) or options[key] in written


@settings(max_examples=50, deadline=None)
@given(
    changes=st.fixed_dictionaries({"name": words, "image": words | st.builds("r.example/{}:{}".format, words, words)})
    | st.fixed_dictionaries({"bundle": st.builds(BundleId, words, st.just(3), st.just(DIGEST))})
    | st.fixed_dictionaries({"configuration": st.text(max_size=40) | nasty})
)
@example(changes={"name": "on", "bundle": BundleId("null", 3, DIGEST), "image": "y"})
@example(changes={"name": "yes", "bundle": BundleId("0x1f", 3, DIGEST), "image": "r.example/1:1_0"})
@example(changes={"configuration": "[a]\n\n---\nkind: Secret\n"})
def test_nasty_releases_are_refused_or_come_out_as_they_went_in(changes: dict[str, Any]) -> None:
    try:
        release = replace(RELEASE, **changes)
    except UsageError:
        return
    model, version = release.bundle.name, release.bundle.version
    found = rendered(Case(release, Kubernetes()))
    for manifest in found.values():
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == release.name
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == model
    template = found["deployment.yaml"]["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == release.image
    assert template["metadata"]["annotations"] == {BUNDLE_ANNOTATION: f"{model}:{version}@{DIGEST}"}
    if release.configuration:
        assert found["config.yaml"]["data"] == {"shipway.toml": release.configuration}


@pytest.mark.parametrize("model", ["9" * 63, "a" * 63, "2024_churn", "on"])
def test_every_bundle_has_valid_objects_under_the_name_made_of_its_own(model: str) -> None:
    release = replace(EVERYTHING.release, name=release_name(model), bundle=BundleId(model, 1, DIGEST))
    for manifest in of_kubernetes(Case(release, EVERYTHING.options)):
        kubernetes_validate.validate(manifest, SUPPORTED[-1], strict=True)


def test_the_same_release_gives_the_same_text() -> None:
    deploy = Deploy(kubernetes=EVERYTHING.options)
    assert render(EVERYTHING.release, "kubernetes", deploy) == render(EVERYTHING.release, "kubernetes", deploy)


def test_a_setting_that_no_cluster_takes_is_refused_before_anything_is_rendered() -> None:
    for make in (documents, objects):
        with pytest.raises(UsageError, match="Models"):
            make(PLAIN.release, Kubernetes(namespace="Models"))
