"""The ServiceMonitor's shape, for those who have not got its published schema at hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.releases import EVERYTHING, PLAIN, RELEASE, Case, rendered
from shipway.spec.settings import Kubernetes

labels = st.dictionaries(
    st.from_regex(r"([a-z0-9]{1,8}\.example/)?[A-Za-z0-9]{1,8}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]{0,8}", fullmatch=True),
    max_size=3,
)


@settings(max_examples=10, deadline=None)
@given(chosen=labels)
def test_it_reads_the_metrics_port_of_the_services_pods(chosen: dict[str, str]) -> None:
    options = Kubernetes(service_monitor=True, monitor_labels=tuple(f"{key}={value}" for key, value in chosen.items()))
    found = rendered(Case(RELEASE, options))
    monitor, service = found["servicemonitor.yaml"], found["service.yaml"]
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert set(monitor) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(monitor["spec"]) == {"selector", "jobLabel", "podTargetLabels", "endpoints"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"targetPort": "metrics", "path": "/metrics"}]
    (server,) = found["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert "metrics" in {port["name"] for port in server["ports"]}
    assert chosen.items() <= monitor["metadata"]["labels"].items()


def test_figures_bear_the_release_and_the_version() -> None:
    found = rendered(EVERYTHING)
    spec = found["servicemonitor.yaml"]["spec"]
    assert spec["jobLabel"] in found["service.yaml"]["metadata"]["labels"]
    pods = found["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert set(spec["podTargetLabels"]) <= set(pods)


def test_labels_for_prometheus_are_on_the_monitor_alone() -> None:
    for name, found in rendered(EVERYTHING).items():
        has = found.get("metadata", {}).get("labels", {}).get("release") == "prometheus"
        assert has == (name == "servicemonitor.yaml")


def test_nothing_is_there_for_an_operator_that_nobody_has() -> None:
    assert "servicemonitor.yaml" not in rendered(PLAIN)
