"""What goes is what the app needs: no caches, nothing ignored, nothing from outside, and no secret by accident."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fakes.app_folders import write_folder
from shipway.apps.files import Limits, collect
from shipway.errors import ArtefactError, UsageError

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMII\n"


def kept(folder: Path, *include: str) -> list[str]:
    return list(collect(folder, include).kept)


def test_code_data_and_models_go_and_caches_do_not(tmp_path: Path) -> None:
    goes: dict[str, str | bytes] = {
        "app.py": "x",
        "data/a.csv": "x",
        "model.joblib": b"\x80",
        "static/app.js": "x",
        ".streamlit/config.toml": "x",
    }
    stays: dict[str, str | bytes] = {
        ".git/HEAD": "x", "__pycache__/app.pyc": "x", "pkg/__pycache__/a.pyc": "x", "old.pyc": "x", ".DS_Store": "x",
        "venv/pyvenv.cfg": "x", "venv/lib/flask.py": "x", "conda/conda-meta/history": "x", "node_modules/a/b.js": "x",
        ".pytest_cache/x": "x",
    }  # fmt: skip
    files = collect(write_folder(tmp_path, goes | stays))
    assert sorted(files.kept) == list(files.kept) == sorted(goes)
    assert files.size == 5
    told = {one.path: one.why for one in files.left_out}
    assert told == told | {
        ".git/": "git's", "venv/": "a virtual environment", "conda/": "a virtual environment", "old.pyc": "a cache",
    }  # fmt: skip


def test_what_the_ignore_files_name_stays_and_shipways_decides(tmp_path: Path) -> None:
    files = {"app.py": "x", "a.csv": "x", "b.csv": "x", "data/c.csv": "x", "data/d.txt": "x"}
    rules = {".dockerignore": "*.csv\ndata\n", ".shipwayignore": "!b.csv\n!data/d.txt\n.dockerignore\n"}
    folder = write_folder(tmp_path, files | rules)
    assert kept(folder) == [".shipwayignore", "app.py", "b.csv", "data/d.txt"]
    assert {one.path: one.why for one in collect(folder).left_out}["a.csv"] == ".dockerignore:1"
    assert "a.csv" in kept(folder, "a.csv")


def test_an_ignored_folder_is_not_entered(tmp_path: Path) -> None:
    write_folder(tmp_path, {".dockerignore": "data/\n", "data/.env": "A=1", "app.py": "x"})
    assert kept(tmp_path) == [".dockerignore", "app.py"]


def test_of_a_folder_that_stays_only_the_named_file_goes(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": "x", ".git/config": "x", ".git/HEAD": "x"})
    assert kept(tmp_path, ".git/config") == [".git/config", "app.py"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (".env", "A=1"),
        (".env.production", "A=1"),
        ("keys/server.pem", KEY),
        ("server.key", KEY.replace("RSA ", "")),
        ("id_rsa", "x"),
        ("account.json", '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\n"}'),
        (".aws/credentials", "[default]"),
        ("settings.ini", "[x]\nAWS_SECRET_ACCESS_KEY = abc\n"),
        ("store.p12", b"\x30"),
        (".netrc", "machine x"),
        ("config.yaml", "apiVersion: v1\nkind: Config\nusers:\n- user:\n    token: abc\n"),
        ("kubeconfig", "x"),
    ],
)
def test_a_secret_is_refused_unless_named_or_ignored(tmp_path: Path, path: str, content: str | bytes) -> None:
    write_folder(tmp_path, {"app.py": "x", path: content})
    with pytest.raises(ArtefactError, match="looks like secrets") as raised:
        collect(tmp_path)
    assert path in raised.value.message
    assert "MII" not in str(raised.value)
    assert raised.value.fix.endswith(f"--include {path}")
    assert path in kept(tmp_path, path)
    write_folder(tmp_path, {".shipwayignore": path})
    assert path not in kept(tmp_path)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (".env.example", "A=1"),
        ("server.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("check.py", f"PREFIX = '''\n{KEY}'''"),
        ("deployment.yaml", "kind: Deployment\n"),
        ("vocabulary.json", '{"token": 1, "private_key": 2}'),
    ],
)
def test_what_only_resembles_a_secret_goes(tmp_path: Path, path: str, content: str) -> None:
    write_folder(tmp_path, {path: content})
    assert kept(tmp_path) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_stay_inside(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "app", {"app.py": "x", "data/a.csv": "x"})
    write_folder(tmp_path, {"outside.csv": "x"})
    (folder / "same.csv").symlink_to("data/a.csv")
    assert "same.csv" in kept(folder)
    for target, says in (("../outside.csv", "out of the folder"), ("gone", "to nothing"), ("data", "to a folder")):
        (folder / "link").symlink_to(target)
        with pytest.raises(ArtefactError, match=f"link is a link {says}"):
            collect(folder)
        (folder / "link").unlink()
    (folder / "data" / "loop").symlink_to("..")
    with pytest.raises(ArtefactError, match="data/loop is a link to a folder"):
        collect(folder)
    write_folder(folder, {".dockerignore": "data/loop"})
    assert "data/a.csv" in kept(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders there")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [(one.path, one.why) for one in collect(tmp_path).left_out] == [("pipe", "neither a file nor a folder")]
    with pytest.raises(ArtefactError, match="pipe is neither"):
        collect(tmp_path, ["pipe"])


def test_there_are_limits(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": "12", "b": "34"})
    assert collect(tmp_path, limits=Limits(2, 4)).size == 4
    for limits in (Limits(1, 4), Limits(2, 3)):
        with pytest.raises(ArtefactError, match="holds more than"):
            collect(tmp_path, limits=limits)


def test_a_wrong_folder_or_name_is_misuse(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": "x"})
    for folder, include in (
        (tmp_path / "a", ()),
        (tmp_path / "gone", ()),
        (tmp_path, ("gone",)),
        (tmp_path, ("../a",)),
    ):
        with pytest.raises(UsageError):
            collect(folder, include)


def test_source_is_decoded_as_it_says(tmp_path: Path) -> None:
    latin = "# coding: latin-1\nx = 'é'\n"
    write_folder(tmp_path, {"a.py": latin.encode("latin-1"), "b.py": b"\xff\xfe\0", "c.py": b"\xef\xbb\xbfx = 1\n"})
    assert collect(tmp_path).source().texts == {"a.py": latin, "c.py": "x = 1\n"}
    assert collect(tmp_path).text("gone") is None
