"""What is installed here for an app is known with all that it needs, as far as its lines allow it."""

from __future__ import annotations

from shipway.apps.distributions import installed
from shipway.apps.requirements import read_requirements
from shipway.apps.versions import installed_versions, versions_here


def test_versions_are_those_installed_with_all_that_they_need() -> None:
    found = installed_versions(["pytest>=7", "nothing-like-it", "numpy<0"])
    assert {"pytest", "pluggy", "iniconfig"} <= found.keys()
    assert not {"nothing-like-it", "numpy"} & found.keys()
    assert installed_versions(["pytest; python_version < '3'"]) == {}
    assert "python-dotenv" not in installed_versions(["uvicorn"])
    assert "python-dotenv" in installed_versions(["uvicorn[standard]"])


def test_versions_that_a_constraint_refuses_are_left_out() -> None:
    assert "pluggy" in installed_versions(["pytest"], ["pluggy>=0", "pluggy<0; python_version < '3'"])
    assert "pluggy" not in installed_versions(["pytest"], ["pluggy<0"])


def test_what_is_here_is_known_of_what_is_listed_and_of_what_it_brings_and_is_constrained() -> None:
    files = {"requirements.txt": "pytest\nnothing-like-it\n-c limits.txt", "limits.txt": "pluggy<0\nnumpy<0\n"}
    found = versions_here(read_requirements(files))
    assert found == {"pluggy": installed("pluggy"), "pytest": installed("pytest")}
