"""What an image takes over of an app's surroundings, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.spec.app import AppManifest
from shipway.spec.contract import Contract
from shipway.spec.manifest import File
from shipway.spec.surroundings import surroundings_of


def app(**fields: Any) -> AppManifest:
    chosen: dict[str, Any] = {"framework": "flask", "interface": "wsgi", "target": "app:app", "python": "3.11",
                              "requirements": (), "versions": {}, "files": (), **fields}  # fmt: skip
    return AppManifest(**chosen)


@pytest.mark.parametrize(
    "folder", ["/app", "/usr/src/app", "/usr/app", "/code/api", "/srv", "/home/me", "/opt/api", "/var/www"]
)
def test_a_folder_of_the_author_is_taken_over(folder: str) -> None:
    found = surroundings_of(app(workdir=folder))
    assert found.workdir == folder
    assert found.notes == ()


@pytest.mark.parametrize(
    "folder",
    ["/", "/usr", "/usr/bin", "/usr/local/lib", "/etc", "/etc/app", "/bin", "/lib64/x", "/proc/1", "/sys", "/dev/shm",
     "/tmp/app", "/run/app", "/opt", "/opt/shipway/app", "/models", "/models/x/artefact", "/var", "/var/lib/app", "app",
     "/app/../etc", "", "/srv/.wh.x"],
)  # fmt: skip
def test_a_folder_that_would_hide_the_systems_is_not_and_it_is_said(folder: str) -> None:
    found = surroundings_of(app(workdir=folder))
    assert found.workdir == ""
    assert "WORKDIR" in found.notes[0]


@given(st.integers(0, 65535))
def test_a_port_that_only_root_may_open_is_not_taken_over_and_the_platform_has_its_own(port: int) -> None:
    found = surroundings_of(app(port=port))
    assert found.port == (port if port > 1023 else 8000)
    assert found.metrics_port != found.port
    assert bool(found.notes) == (port <= 1023)


def test_variables_that_the_server_needs_itself_are_its_own_and_it_is_said() -> None:
    given = {"MODEL": "a b", "PATH": "/x", "PYTHONPATH": "/app", "SHIPWAY_AUTH__KEYS": "x", "LD_PRELOAD": "x.so"}
    found = surroundings_of(app(environment=given))
    assert found.variables == (("MODEL", "a b"),)
    assert len(found.notes) == len(given) - 1


def test_the_contract_of_an_app_says_so_and_needs_more_for_larger_files() -> None:
    small = Contract.of(app(port=5000, workdir="/code", environment={"A": "1"}))
    assert (small.port, small.workdir, small.variables) == (5000, "/code", (("A", "1"),))
    assert small.environment["SHIPWAY_SERVER__PORT"] == "5000"
    assert "A" not in small.environment
    large = Contract.of(app(files=(File("artefact/model.joblib", "artefact", "sha256:x", 400 << 20),)))
    assert large.memory_mib >= small.memory_mib + 3 * 400
    assert large.memory_limit_mib >= 2 * large.memory_mib
