from __future__ import annotations

import pytest

from fakes.releases import CASES, RELEASE, Case
from shipway.deploy.targets import MARK, RENDERERS, check_target, render, render_rbac
from shipway.errors import UsageError
from shipway.spec.settings import Deploy, Kubernetes


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_text_is_ascii_and_begins_with_the_mark(case: Case) -> None:
    # Whatever code page a terminal pipes it through, kubectl reads the same.
    files = render(case.release, "kubernetes", Deploy(kubernetes=case.options))
    for text in (*files.values(), *render_rbac(Kubernetes(namespace="models")).values()):
        assert text.isascii()
        assert text.startswith(MARK)
        assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_an_unknown_target_is_answered_with_the_nearest() -> None:
    for ask in (lambda: render(RELEASE, "kubernets", Deploy()), lambda: check_target("kubernets")):
        with pytest.raises(UsageError) as raised:
            ask()
        assert "'kubernetes'" in raised.value.fix


def test_every_target_gives_files() -> None:
    for target in RENDERERS:
        assert render(RELEASE, target, Deploy())


def test_each_file_says_where_changes_of_ones_own_go_on_its_target() -> None:
    compose, kubernetes = (" ".join(render(RELEASE, target, Deploy()).values()) for target in ("compose", "kubernetes"))
    assert "compose.override.yaml" in compose
    assert "kustomize" not in compose
    assert "kustomize overlay" in kubernetes
