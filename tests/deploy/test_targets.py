from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from fakes.releases import CASES, RELEASE, Case
from shipway.deploy.targets import MARK, RENDERED, RUN, TARGETS, find_target, render, render_rbac
from shipway.errors import UsageError
from shipway.spec.settings import Deploy, Kubernetes, resolve


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_text_is_ascii_and_begins_with_the_mark(case: Case) -> None:
    # Whatever code page a terminal pipes it through, kubectl reads the same.
    files = render(case.release, "kubernetes", Deploy(kubernetes=case.options))
    for text in (*files.values(), *render_rbac(Kubernetes(namespace="models")).values()):
        assert text.isascii()
        assert text.startswith(MARK)
        assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_an_unknown_target_is_answered_with_the_nearest() -> None:
    for ask in (lambda: render(RELEASE, "kubernets", Deploy()), lambda: find_target("kubernets")):
        with pytest.raises(UsageError) as raised:
            ask()
        assert "'kubernetes'" in raised.value.fix


def test_every_target_gives_files_or_runs_releases_and_has_its_settings() -> None:
    assert set(RENDERED) | set(RUN) == set(TARGETS)
    for kind in TARGETS.values():
        assert isinstance(getattr(Deploy(), kind.table), Struct)
        if kind.render is not None:
            assert render(RELEASE, kind.name, Deploy())
            assert kind.overlay
            assert kind.apply is not None
            assert "manifests" in kind.apply(Path("manifests"), ())


def test_where_releases_are_run_is_what_the_setting_takes() -> None:
    for name in RUN:
        assert resolve({"deploy.target": name}, {}, {}).settings.deploy.target == name


def test_a_target_without_files_says_which_have_some() -> None:
    with pytest.raises(UsageError) as raised:
        render(RELEASE, "docker", Deploy())
    assert "compose" in raised.value.fix


def test_each_file_says_where_changes_of_ones_own_go_on_its_target() -> None:
    compose, kubernetes = (" ".join(render(RELEASE, target, Deploy()).values()) for target in ("compose", "kubernetes"))
    assert "compose.override.yaml" in compose
    assert "kustomize" not in compose
    assert "kustomize overlay" in kubernetes
