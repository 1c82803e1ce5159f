from __future__ import annotations

import pytest

from shipway.deploy.kubernetes.api.kinds import KINDS, kind_of
from shipway.errors import UsageError


def test_paths_are_those_of_the_api() -> None:
    pod, deployment, node = KINDS["Pod"], KINDS["Deployment"], KINDS["Node"]
    assert pod.path("models", "p", "log") == "/api/v1/namespaces/models/pods/p/log"
    assert deployment.path("models") == "/apis/apps/v1/namespaces/models/deployments"
    assert node.path("models", "n") == "/api/v1/nodes/n"


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    assert KINDS["Pod"].path("models", "../../secrets?x") == "/api/v1/namespaces/models/pods/..%2F..%2Fsecrets%3Fx"


@pytest.mark.parametrize("document", [{}, {"apiVersion": "apps/v1beta1", "kind": "Deployment"}, {"kind": ["Pod"]}])
def test_unknown_kinds_and_versions_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="kubectl"):
        kind_of(document)


def test_every_kind_is_found_by_what_its_objects_say() -> None:
    for name, kind in KINDS.items():
        assert kind_of({"apiVersion": kind.api, "kind": name}) is kind
        assert kind.plural == kind.plural.lower()
