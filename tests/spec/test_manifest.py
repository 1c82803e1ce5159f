"""The manifest: its text is one, reads back as itself, and depends on nothing but the content."""

from __future__ import annotations

import msgspec
import pytest

from shipway.errors import CorruptBlob
from shipway.spec.manifest import CompiledForm, File, Golden, LinearFormula, Manifest
from shipway.spec.signature import Column, Method, Signature

MANIFEST = Manifest(
    framework="sklearn",
    kind="LinearRegression",
    artefact="artefact/model.joblib",
    python="3.11",
    versions={"scikit-learn": "1.9.1", "numpy": "2.4.6"},
    signature=Signature(
        (Column("age", "float64", example=0.03), Column("city", "string", kind="category", categories=("Ulm", "Bonn"))),
        (Method("predict", (Column("predict", "float64"),)),),
    ),
    files=(File("artefact/model.joblib", "artefact", "sha256:" + "0" * 64, 3),),
    golden=Golden("golden.json", 20, synthetic=False),
    compiled=CompiledForm("onnx", "compiled/model.onnx", {"onnxruntime": "1.32.0"}, 1e-9),
    formula=LinearFormula(((0.1, -0.0),), (1e-300,), ("target",)),
)


def test_it_reads_back_as_itself() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_the_order_in_which_versions_were_found_does_not_show() -> None:
    turned = msgspec.structs.replace(MANIFEST, versions=dict(reversed(MANIFEST.versions.items())))
    assert turned.to_json() == MANIFEST.to_json()


def test_a_compiled_bundle_needs_the_runtime_and_not_the_framework() -> None:
    assert MANIFEST.runtime_versions == {"onnxruntime": "1.32.0"}
    assert msgspec.structs.replace(MANIFEST, compiled=None).runtime_versions == MANIFEST.versions


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, MANIFEST.to_json().replace(b'"kind"', b'"knid"')]
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(CorruptBlob):
        Manifest.from_json(text)


def test_a_later_schema_is_refused_with_the_upgrade() -> None:
    later = msgspec.structs.replace(MANIFEST, schema_version=99)
    with pytest.raises(CorruptBlob, match="schema version 99") as caught:
        Manifest.from_json(later.to_json())
    assert "upgrade" in caught.value.fix
