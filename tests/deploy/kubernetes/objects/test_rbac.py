"""The rights: exactly those on the kinds that are rendered or read, in one namespace, and no Secrets."""

from __future__ import annotations

from collections.abc import Callable

import kubernetes_validate
import pytest
import yaml

from fakes.releases import EVERYTHING, Object, rendered
from shipway.deploy.kubernetes.api.kinds import kind_of
from shipway.deploy.kubernetes.objects.render import KUSTOMIZATION
from shipway.deploy.targets import render_rbac
from shipway.errors import UsageError
from shipway.spec.settings import Kubernetes

OPTIONS = Kubernetes(namespace="models")
OWN = {"get", "list", "create", "patch", "delete"}


def rights(account: str = "shipway") -> dict[str, Object]:
    return {name: yaml.safe_load(text) for name, text in render_rbac(OPTIONS, account).items()}


def granted() -> dict[tuple[str, str], set[str]]:
    """The verbs by group and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in rights()["role.yaml"]["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in found, "one rule each"
                found[group, resource] = set(rule["verbs"])
    return found


def test_the_files_are_those_that_were_reviewed(golden: Callable[[str, str], None]) -> None:
    for name, text in render_rbac(OPTIONS).items():
        golden(f"kubernetes/rbac/{name}", text)


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(27, 38)])
def test_every_object_is_valid_for_every_kubernetes(version: str) -> None:
    for manifest in rights().values():
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_all_that_is_rendered_may_be_made_changed_and_deleted_and_nothing_else() -> None:
    kinds = [kind_of(found) for name, found in rendered(EVERYTHING).items() if name != KUSTOMIZATION]
    writable = {key for key, verbs in granted().items() if verbs >= OWN}
    assert writable == {(kind.group, kind.plural) for kind in kinds}
    assert {verb for key in writable for verb in granted()[key] - OWN} == {"watch"}


def test_what_is_only_looked_at_may_only_be_looked_at() -> None:
    read = {key: verbs for key, verbs in granted().items() if not verbs >= OWN}
    assert read.pop(("apps", "deployments/scale")) == {"patch"}
    assert all(verbs <= {"get", "list", "watch"} for verbs in read.values())
    assert read["", "pods/log"] == read["", "pods/proxy"] == {"get"}


def test_there_is_no_way_to_secrets_shells_rights_or_everything() -> None:
    for group, resource in granted():
        assert "*" not in group + resource
        assert not resource.startswith(("secrets", "pods/exec", "pods/attach", "roles", "serviceaccounts/"))
        assert group != "rbac.authorization.k8s.io"


def test_nothing_reaches_beyond_the_namespace() -> None:
    found = rights("ci")
    assert {each["kind"] for each in found.values()} == {"ServiceAccount", "Role", "RoleBinding"}
    for each in found.values():
        assert (each["metadata"]["name"], each["metadata"]["namespace"]) == ("ci", "models")
    binding = found["rolebinding.yaml"]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ci"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ci", "namespace": "models"}]


def test_they_are_no_part_of_any_release() -> None:
    for each in rights().values():
        assert "app.kubernetes.io/managed-by" not in each["metadata"]["labels"]


def test_every_rule_has_its_reason() -> None:
    lines = render_rbac(OPTIONS)["role.yaml"].splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("  - apiGroups:")]
    assert starts
    assert all(lines[number - 1].startswith("  # ") for number in starts)


@pytest.mark.parametrize(
    ("options", "account"),
    [(Kubernetes(), "shipway"), (Kubernetes(namespace="Models"), "shipway"), (OPTIONS, ""), (OPTIONS, "a b")],
)
def test_without_a_namespace_or_with_a_bad_name_it_is_refused(options: Kubernetes, account: str) -> None:
    with pytest.raises(UsageError) as caught:
        render_rbac(options, account)
    assert caught.value.fix.startswith("--")
