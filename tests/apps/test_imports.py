"""What is imported and listed nowhere is told, with the name of the distribution that brings it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shipway.apps.imports import Import, find_imports, unlisted
from shipway.apps.requirements import read_requirements
from shipway.apps.source import parse_all


def imports_of(files: Mapping[str, str], *names: str) -> tuple[Import, ...]:
    return find_imports(parse_all(files, [*files, *names]))


def imported(text: str, **others: str) -> list[tuple[str, int, bool]]:
    files = {"app.py": text, **{f"{name}.py": other for name, other in others.items()}}
    return [(one.module, one.line, one.optional) for one in imports_of(files)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import flask\nimport flask.json", [("flask", 1, False)]),
        ("from sklearn.linear_model import Ridge", [("sklearn", 1, False)]),
        ("def f():\n    import torch", [("torch", 2, False)]),
        ("try:\n    import ujson\nexcept ImportError:\n    import json", [("ujson", 2, True)]),
        ("try:\n    import ujson\nexcept KeyError: ...", [("ujson", 2, False)]),
        ("try: import a\nexcept ImportError: ...\nimport a", [("a", 3, False)]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", [("b", 4, False)]),
        ("if __name__ == '__main__': import uvicorn", []),
        ("import os, app, __main__\nfrom . import x\nfrom app import y", []),
        ("import (", []),
    ],
)
def test_imports_from_outside_are_found(text: str, expected: list[tuple[str, int, bool]]) -> None:
    assert imported(text) == expected


def test_the_folders_own_modules_and_tests_are_not_outside() -> None:
    assert imported("import helper, pkg") != []
    files = {
        "app.py": "import helper, pkg, deep",
        "helper.py": "",
        "pkg/__init__.py": "",
        "src/deep.py": "",
        "tests/t.py": "import pytest",
    }
    assert imports_of(files) == ()


def test_the_packages_of_a_src_layout_are_its_own() -> None:
    files = {"src/shop/app.py": "import shop.price, flask", "src/shop/price.py": ""}
    assert [one.module for one in imports_of(files, "pyproject.toml")] == ["flask"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import google.cloud.storage", [("google.cloud.storage", "google-cloud-storage")]),
        ("from google.cloud import storage, bigquery", [
            ("google.cloud.bigquery", "google-cloud-bigquery"), ("google.cloud.storage", "google-cloud-storage")]),
        ("from google.protobuf.message import Message", [("google.protobuf", "protobuf")]),
        ("import google.oauth2.service_account", [("google.oauth2", "google-auth")]),
        ("from azure.storage.blob.aio import BlobClient", [("azure.storage.blob", "azure-storage-blob")]),
        ("from ruamel.yaml import YAML", [("ruamel.yaml", "ruamel-yaml")]),
        ("import zope.interface", [("zope.interface", "zope-interface")]),
        ("import google.nowhere", [("google.nowhere", None)]),
        ("from google import *", [("google", None)]),
    ],
)  # fmt: skip
def test_what_lies_in_a_namespace_is_told_by_all_of_its_name_and_never_guessed(
    text: str, expected: list[tuple[str, str | None]]
) -> None:
    found = unlisted(imports_of({"app.py": text}), read_requirements({}))
    assert [(one.module, name) for one, name in found] == expected


def test_only_what_nothing_brings_is_unlisted() -> None:
    text = "import sklearn, joblib, numpy, pandas\nimport yaml, bs4\ntry: import flask\nexcept ImportError: ..."
    imports = imports_of({"app.py": text})
    requirements = read_requirements({"requirements.txt": "scikit-learn\n"})
    assert [(one.module, name) for one, name in unlisted(imports, requirements)] == [
        ("bs4", "beautifulsoup4"), ("pandas", "pandas"), ("yaml", "pyyaml"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("listed", "module"),
    [
        ("opencv-python", "cv2"),
        ("psycopg2", "psycopg2"),
        ("tensorflow-cpu", "tensorflow"),
        ("faiss-gpu", "faiss"),
        ("google-cloud-storage", "google.cloud"),
        ("google-cloud-storage", "google.cloud.storage.blob"),
        ("azure-storage", "azure.storage.blob"),
        ("snowflake-nowhere-python", "snowflake.nowhere"),
    ],
)
def test_one_of_several_distributions_of_a_module_is_enough(listed: str, module: str) -> None:
    imports = imports_of({"app.py": f"import {module}"})
    assert unlisted(imports, read_requirements({"requirements.txt": listed})) == ()
    assert unlisted(imports, read_requirements({"requirements.txt": "bottle"})) != ()
