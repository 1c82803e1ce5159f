"""Each artefact has one adapter, by content; what is none is told so."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from shipway.errors import NotAModel
from shipway.models.registry import ADAPTERS, adapter_for_object, adapter_named, detect


def test_content_decides_and_not_the_name(saved: Any, iris: Any, tmp_path: Path, affine_model: Any) -> None:
    adapter, detection = detect(saved(iris, "model.onnx"))
    assert adapter.framework == detection.framework == "sklearn"
    path = tmp_path / "model.joblib"
    path.write_bytes(affine_model().SerializeToString())
    assert detect(path)[0].framework == "onnx"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.joblib", b"", "empty file"),
        ("model.txt", b"hello\n", "text file"),
        ("model.py", b"x = 1\n", "Python file"),
        ("model.pkl", pickle.dumps({"a": [1, 2]}), "pickle of plain values"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0", "unknown form"),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NotAModel, match=said) as caught:
        detect(path)
    assert "scikit-learn" in caught.value.fix


def test_a_missing_path_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match="no file or folder"):
        detect(tmp_path / "nothing")
    with pytest.raises(NotAModel, match="folder"):
        detect(tmp_path)


def test_objects_and_names_have_their_adapters(iris: Any, affine_model: Any) -> None:
    assert adapter_for_object(iris).framework == "sklearn"
    assert adapter_for_object(affine_model()).framework == "onnx"
    for adapter in ADAPTERS:
        assert adapter_named(adapter.framework) is adapter
    with pytest.raises(NotAModel, match="dict"):
        adapter_for_object({})
    with pytest.raises(NotAModel, match="torch"):
        adapter_named("torch")
