"""A module leads to the distribution that brings it, and a wrong name to the one that was meant."""

from __future__ import annotations

import pytest

from shipway.apps.distributions import brings, distribution_of, installed, likely_name
from shipway.spec.words import normal_name


@pytest.mark.parametrize("name", ["Scikit_Learn", "scikit.learn", "scikit--learn", "SCIKIT-_.learn"])
def test_a_name_has_one_form(name: str) -> None:
    assert normal_name(name) == normal_name(normal_name(name)) == "scikit-learn"


@pytest.mark.parametrize(
    ("module", "distribution"),
    [
        ("sklearn", "scikit-learn"),
        ("_pytest", "pytest"),  # as what is installed here says
        ("win32api", "pywin32"),  # as the table says
        ("googleapiclient", "google-api-python-client"),
        ("bson", "pymongo"),  # there is a bson too, which nobody means
        ("nothing_like_it", "nothing-like-it"),
    ],
)
def test_a_module_leads_to_its_distribution(module: str, distribution: str) -> None:
    assert distribution_of(module) == distribution


@pytest.mark.parametrize(
    ("distribution", "module", "expected"),
    [
        ("scikit-learn", "sklearn", True),
        ("tensorflow-gpu", "tensorflow", True),
        ("opencv-contrib-python", "cv2", True),
        ("flask-cors", "flask", True),
        ("google-cloud-bigquery", "google.cloud.storage", False),
        ("google", "google.cloud.storage", False),
        ("protobuf", "google.protobuf", True),
        ("protobuf", "google.cloud.storage", False),
        ("flask", "flask_cors", False),
        ("flasks", "flask", False),
        ("pandas-stubs", "pandas", False),
        ("types-requests", "requests", False),
    ],
)
def test_names_say_what_is_brought(distribution: str, module: str, expected: bool) -> None:
    assert brings(distribution, module) is expected


def test_a_version_is_known_only_of_what_is_installed() -> None:
    assert installed("pytest") == pytest.__version__
    assert installed("nothing-like-it") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("numpyy", "numpy"),
        ("nunpy", "numpy"),
        ("nmupy", "numpy"),
        ("npy", None),
        ("numpy2", None),
        ("-", None),
    ],
)
def test_one_slip_is_forgiven_and_two_are_another_name(name: str, meant: str | None) -> None:
    assert likely_name(name) == meant
