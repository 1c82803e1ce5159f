"""A real API server takes every object that is rendered, strictly and without a warning of Pod Security."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from fakes.releases import CASES, Case
from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.api.refusals import Gone
from shipway.deploy.kubernetes.objects.rbac import rbac
from shipway.deploy.kubernetes.objects.render import objects
from shipway.deploy.yaml import plain
from shipway.spec.settings import Kubernetes

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def warnings() -> list[str]:
    """What the API server warns of."""
    return []


@pytest.fixture
def cluster(access: Access, namespace: str, warnings: list[str]) -> Iterator[Cluster]:
    """The test's own namespace, which warns of what the restricted standard would refuse."""
    with Cluster.open(replace(access, namespace=namespace), warn=warnings.append) as opened:
        labels = {"pod-security.kubernetes.io/warn": "restricted"}
        opened.merge(KINDS["Namespace"], namespace, {"metadata": {"labels": labels}})
        yield opened


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_object_is_taken_as_it_is(cluster: Cluster, warnings: list[str], case: Case) -> None:
    for manifest in objects(case.release, msgspec.structs.replace(case.options, namespace=cluster.namespace)):
        try:
            taken = cluster.apply(manifest, dry_run=True)
        except Gone:
            assert manifest["kind"] == "ServiceMonitor", "the only kind that a cluster may lack"
            continue
        assert taken["metadata"]["labels"].items() >= manifest["metadata"]["labels"].items()
    assert warnings == []


def test_the_rights_are_taken_as_they_are(cluster: Cluster, warnings: list[str]) -> None:
    for document in rbac(Kubernetes(namespace=cluster.namespace)).values():
        manifest = plain(document)
        assert isinstance(manifest, dict)
        assert cluster.apply(manifest, dry_run=True)["metadata"]["name"] == "shipway"
    assert warnings == []
