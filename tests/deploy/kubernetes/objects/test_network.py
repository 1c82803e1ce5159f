"""How a release is reached, and by whom."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from fakes.releases import EVERYTHING, PLAIN, RELEASE, Case, rendered
from shipway.deploy.kubernetes.objects.labels import ours
from shipway.spec.settings import Kubernetes

SERVICES = get_args(get_type_hints(Kubernetes)["service"])


@pytest.mark.parametrize("service", SERVICES)
def test_the_service_leads_to_the_servers_port_and_never_to_its_figures(service: str) -> None:
    found = rendered(Case(RELEASE, Kubernetes(service=service)))  # type: ignore[arg-type]
    spec = found["service.yaml"]["spec"]
    (port,) = spec["ports"]
    assert (spec["type"], port["port"], port["targetPort"]) == (service, 80, "http")
    assert spec["selector"] == ours("diabetes")


def test_the_ingress_leads_one_host_to_the_service() -> None:
    spec = rendered(EVERYTHING)["ingress.yaml"]["spec"]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("diabetes.example", "/", "Prefix")
    assert path["backend"] == {"service": {"name": "diabetes", "port": {"name": "http"}}}
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"hosts": ["diabetes.example"], "secretName": "diabetes-tls"}]


def test_class_and_certificate_are_the_clusters_unless_named() -> None:
    spec = rendered(Case(RELEASE, Kubernetes(ingress="*.example")))["ingress.yaml"]["spec"]
    assert set(spec) == {"rules"}


def test_the_policy_lets_callers_in_and_nobody_out() -> None:
    spec = rendered(EVERYTHING)["networkpolicy.yaml"]["spec"]
    assert spec["podSelector"] == {"matchLabels": ours("diabetes")}
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert spec["egress"] == []
    calls, figures = spec["ingress"]
    assert calls["ports"] == [{"protocol": "TCP", "port": 8000}]
    own, others = calls["from"]
    assert own == {"podSelector": {}}
    (expression,) = others["namespaceSelector"]["matchExpressions"]
    assert (expression["operator"], expression["values"]) == ("In", ["ingress-nginx", "shop"])
    assert figures == {"ports": [{"protocol": "TCP", "port": 8002}]}


def test_without_other_namespaces_only_its_own_may_call() -> None:
    spec = rendered(Case(RELEASE, Kubernetes(network_policy=True)))["networkpolicy.yaml"]["spec"]
    assert spec["ingress"][0]["from"] == [{"podSelector": {}}]


def test_ways_in_are_closed_unless_asked_for() -> None:
    assert not {"ingress.yaml", "networkpolicy.yaml"} & set(rendered(PLAIN))
