"""Model files are told by their bytes, and none of them is opened."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LinearRegression

from shipway.apps.files import collect
from shipway.apps.review.facts import ModelFile
from shipway.apps.review.models import read_models

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


class Trap:
    """A pickle that would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def read(folder: Path) -> list[ModelFile]:
    return list(read_models(collect(folder)))


def test_a_pickle_says_which_scikit_learn_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.base.__version__", "1.2.2")
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path / "model.joblib")
    (found,) = read(tmp_path)
    assert (found.path, found.framework, found.versions) == ("model.joblib", "sklearn", ("1.2.2",))


def test_a_trap_is_told_and_not_sprung(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (found,) = read(tmp_path)
    assert any("mkdir" in name for name in found.dangerous)
    assert found.framework == ""
    assert not (tmp_path / "sprung").exists()


def test_a_class_of_the_script_that_saved_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04c__main__\nCut\n)\x81.")
    (found,) = read(tmp_path)
    assert found.main == ("Cut",)


def test_a_file_that_is_cut_short_is_broken(tmp_path: Path) -> None:
    data = pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    (tmp_path / "model.pkl").write_bytes(data[:-20])
    (found,) = read(tmp_path)
    assert found.broken


def test_a_pointer_of_git_lfs_is_told_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_text(POINTER, encoding="utf-8")
    (found,) = read(tmp_path)
    assert found == ModelFile("weights.h5", pointer=True)


def test_files_that_are_no_models_are_none(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0\1\2")
    (tmp_path / "words.pkl").write_bytes(pickle.dumps(["a", "b"]))
    (tmp_path / "notes.txt").write_text("version 1", encoding="utf-8")
    assert read(tmp_path) == []
