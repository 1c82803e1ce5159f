"""Releases as tests render them: the plain one, one that is pinned and named, one with every part switched on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import yaml

from shipway.deploy.targets import render
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release
from shipway.spec.settings import Deploy, Kubernetes

__all__ = ["CASES", "DIGEST", "EVERYTHING", "PINNED", "PLAIN", "RELEASE", "Case", "Object", "rendered"]

Object = dict[str, Any]

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
RELEASE = Release("diabetes", BundleId("diabetes", 1, DIGEST), "registry.example/diabetes:1", Contract())


class Case(NamedTuple):
    """A release with the settings that it is rendered with."""

    release: Release
    options: Kubernetes


PLAIN = Case(RELEASE, Kubernetes())
PINNED = Case(
    replace(
        RELEASE,
        name="churn-eu",
        bundle=BundleId("churn_model", 12, DIGEST),
        image=f"registry.example/churn@{DIGEST}",
    ),
    Kubernetes(replicas=1, service="LoadBalancer", namespace="models", disruption_budget=False),
)
EVERYTHING = Case(
    replace(
        RELEASE,
        contract=Contract(drain_seconds=10, request_seconds=60),
        configuration='[limits]\nrows = 1000\n\n[models.diabetes]\nextra_columns = "ignore"\n',
    ),
    Kubernetes(
        namespace="models",
        replicas=2,
        max_replicas=8,
        cpu_percent=60,
        service="NodePort",
        cpu="500m",
        memory="1Gi",
        cpu_limit="2",
        memory_limit="2Gi",
        gpu=1,
        keys="api-keys",
        pull_secret="registry",
        ingress="diabetes.example",
        ingress_class="nginx",
        ingress_tls="diabetes-tls",
        network_policy=True,
        allow_from=("ingress-nginx", "shop"),
        service_monitor=True,
        monitor_labels=("release=prometheus",),
        kustomization=True,
    ),
)
CASES = {"plain": PLAIN, "pinned": PINNED, "everything": EVERYTHING}


def rendered(case: Case) -> dict[str, Object]:
    """Gives each object of a case by its file's name, as a reader of YAML gets it."""
    files = render(case.release, "kubernetes", Deploy(kubernetes=case.options))
    return {name: yaml.safe_load(text) for name, text in files.items()}
