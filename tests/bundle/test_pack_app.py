"""An app's folder in the store: the same content is the same version, and what is refused leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.app_folders import copy_app, write_folder
from shipway.apps.pack import AppRequest
from shipway.bundle.folder import check_files, read_folder
from shipway.bundle.folder import write_folder as write_bundle
from shipway.bundle.pack_app import check_trusted, pack_app
from shipway.bundle.store import Store
from shipway.errors import ArtefactError, UsageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


def test_the_same_folder_is_the_same_version_and_an_edit_the_next(tmp_path: Path, store: Store) -> None:
    folder = copy_app("bare_wsgi", tmp_path)
    first = pack_app(AppRequest(folder), "bare", store)
    again = pack_app(AppRequest(folder), "bare", store)
    assert (first.new, again.new) == (True, False)
    assert first.bundle.id == again.bundle.id
    assert first.bundle.app is not None
    with (folder / "wsgi.py").open("a") as source:
        source.write("# edited\n")
    assert pack_app(AppRequest(folder), "bare", store).bundle.id.version == 2


def test_a_model_is_asked_of_no_app(tmp_path: Path, store: Store) -> None:
    bundle = pack_app(AppRequest(copy_app("bare_asgi", tmp_path)), "bare", store).bundle
    with pytest.raises(UsageError, match="web app") as caught:
        _ = bundle.model
    assert "shipway serve bare:1" in caught.value.fix


def test_a_written_folder_is_the_bundle_again(tmp_path: Path, store: Store) -> None:
    bundle = pack_app(AppRequest(copy_app("bare_wsgi", tmp_path)), "bare", store).bundle
    read = read_folder(write_bundle(bundle, tmp_path / "out"))
    check_files(read)
    assert (read.id, read.manifest) == (bundle.id, bundle.manifest)


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "no app"},
        {"app.py": "def app(:"},
        {"app.py": "from flask import Flask\n1 / 0\napp = Flask('x')\n"},
    ],
)
def test_what_is_refused_leaves_no_trace(tmp_path: Path, store: Store, files: dict[str, str]) -> None:
    with pytest.raises(ArtefactError):
        pack_app(AppRequest(write_folder(tmp_path / "app", dict(files))), "bad", store)
    assert store.list() == ()


def test_an_app_of_somebody_else_is_not_run_unless_it_is_allowed(tmp_path: Path, store: Store) -> None:
    bundle = pack_app(AppRequest(copy_app("bare_wsgi", tmp_path)), "bare", store).bundle
    check_trusted(bundle, allowed=False)
    foreign = read_folder(write_bundle(bundle, tmp_path / "out"))
    check_trusted(foreign, allowed=True)
    with pytest.raises(ArtefactError, match="runs its author's code") as caught:
        check_trusted(foreign, allowed=False)
    assert "allow_pickle" in caught.value.fix


def test_a_name_that_cannot_be_is_refused_before_anything_runs(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="--name"):
        pack_app(AppRequest(tmp_path / "nowhere"), "Bad Name", store)
