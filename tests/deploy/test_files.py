from __future__ import annotations

from pathlib import Path

import pytest

from shipway.deploy.files import write_files
from shipway.deploy.targets import MARK
from shipway.errors import StoreError, UsageError

FILES = {"deployment.yaml": f"{MARK} for diabetes:2.\na: 1\n", "service.yaml": f"{MARK} for diabetes:2.\nb: 1\n"}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_files_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "manifests"
    assert write_files(FILES, folder) == tuple(folder / name for name in FILES)
    assert contents(folder) == FILES


@pytest.mark.parametrize("there", [f"{MARK} for diabetes:1.\nold\n", FILES["service.yaml"]])
def test_files_of_our_own_are_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / "service.yaml").write_text(there, encoding="utf-8")
    write_files(FILES, tmp_path)
    assert contents(tmp_path) == FILES


@pytest.mark.parametrize("there", ["", "kind: Service\n", f"# mine\n{MARK}\n"])
def test_a_file_of_somebody_else_stops_all_before_anything_is_written(tmp_path: Path, there: str) -> None:
    (tmp_path / "service.yaml").write_text(there, encoding="utf-8")
    with pytest.raises(UsageError, match=r"service\.yaml"):
        write_files(FILES, tmp_path)
    assert contents(tmp_path) == {"service.yaml": there}


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("mine\n", encoding="utf-8")
    write_files(FILES, tmp_path)
    assert contents(tmp_path) == {**FILES, "kustomization.yaml": "mine\n"}


def test_what_is_in_the_way_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError):
        write_files(FILES, tmp_path / "folder")
    (tmp_path / "other" / "service.yaml").mkdir(parents=True)
    with pytest.raises(StoreError):
        write_files(FILES, tmp_path / "other")
