from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from shipway.apps.files import Limits, collect
from shipway.errors import ArtefactError, ShipwayError

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n"


def make(folder: Path, *paths: str, **texts: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x\n")
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def kept(folder: Path, *include: str) -> set[str]:
    return set(collect(folder, include).kept)


def test_what_the_app_is_made_of_goes_with_it(tmp_path: Path) -> None:
    make(tmp_path, "app.py", "data/table.csv", "templates/index.html", "model.joblib")
    assert kept(tmp_path) == {"app.py", "data/table.csv", "templates/index.html", "model.joblib"}


def test_what_can_be_made_again_stays_and_is_said(tmp_path: Path) -> None:
    make(tmp_path, "app.py", ".git/HEAD", "__pycache__/app.cpython-311.pyc", "venv/pyvenv.cfg", "venv/lib/x.py")
    files = collect(tmp_path)
    assert set(files.kept) == {"app.py"}
    assert all(one.why for one in files.left_out)
    assert any(one.path.startswith("venv") for one in files.left_out)


@pytest.mark.parametrize("name", [".dockerignore", ".shipwayignore"])
def test_ignore_files_are_heeded(tmp_path: Path, name: str) -> None:
    make(tmp_path, "app.py", "notes/a.txt", "notes/keep.txt", "big.csv")
    (tmp_path / name).write_text("*.csv\nnotes/*\n!notes/keep.txt\n")
    assert {"app.py", "notes/keep.txt"} <= kept(tmp_path)
    assert not {"big.csv", "notes/a.txt"} & kept(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "PASSWORD=x\n"),
        ("server.pem", KEY),
        ("id_rsa", KEY),
        ("account.json", json.dumps({"type": "service_account", "private_key": KEY})),
    ],
)
def test_a_secret_is_refused_unless_it_is_ignored_or_named(tmp_path: Path, name: str, text: str) -> None:
    make(tmp_path, "app.py")
    (tmp_path / name).write_text(text)
    with pytest.raises(ShipwayError) as caught:
        collect(tmp_path)
    assert name in caught.value.message
    assert "PASSWORD" not in str(caught.value)
    assert "--include" in caught.value.fix
    assert name in kept(tmp_path, name)
    (tmp_path / ".dockerignore").write_text(f"{name}\n")
    assert name not in kept(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "outside.txt")
    folder = make(tmp_path / "app", "app.py")
    (folder / "inside.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ArtefactError, match=r"inside\.txt"):
        collect(folder)


@pytest.mark.parametrize("limits", [Limits(files=2), Limits(size=3)])
def test_a_folder_has_its_limits(tmp_path: Path, limits: Limits) -> None:
    make(tmp_path, "a.py", "b.py", "c.py")
    with pytest.raises(ArtefactError) as caught:
        collect(tmp_path, limits=limits)
    assert caught.value.fix
