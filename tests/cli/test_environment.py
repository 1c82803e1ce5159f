"""Where things are, on each system: pure functions of what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.cli.environment import cache_folder, config_file, read_config, store_folder
from shipway.errors import UsageError

HOME = Path("home", "ada")
LOCAL = str(Path("local"))


@pytest.mark.parametrize(
    ("platform", "environ", "store", "cache"),
    [
        ("linux", {}, HOME / ".local" / "share", HOME / ".cache" / "shipway"),
        ("linux", {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "c"}, Path("data"), Path("c") / "shipway"),
        ("linux", {"XDG_DATA_HOME": "", "XDG_CACHE_HOME": ""}, HOME / ".local" / "share", HOME / ".cache" / "shipway"),
        ("darwin", {}, HOME / "Library" / "Application Support", HOME / "Library" / "Caches" / "shipway"),
        ("win32", {}, HOME / "AppData" / "Local", HOME / "AppData" / "Local" / "shipway" / "cache"),
        ("win32", {"LOCALAPPDATA": LOCAL}, Path(LOCAL), Path(LOCAL) / "shipway" / "cache"),
    ],
)
def test_store_and_cache_are_in_the_platforms_folders(
    platform: str, environ: dict[str, str], store: Path, cache: Path
) -> None:
    assert store_folder(environ, platform, HOME) == store / "shipway" / "store"
    assert cache_folder(environ, platform, HOME) == cache


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_environment_says_where_the_store_is_on_every_system(platform: str) -> None:
    assert store_folder({"SHIPWAY_STORE": "here"}, platform, HOME) == Path("here")
    assert store_folder({"SHIPWAY_STORE": ""}, platform, HOME) == store_folder({}, platform, HOME)


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert store_folder({"SHIPWAY_STORE": "~/models"}, "linux", HOME) == tmp_path / "models"


def test_a_named_settings_file_beats_the_environments_and_that_the_folders(tmp_path: Path) -> None:
    assert config_file(None, {}, tmp_path) is None
    (tmp_path / "shipway.toml").touch()
    assert config_file(None, {}, tmp_path) == tmp_path / "shipway.toml"
    assert config_file(None, {"SHIPWAY_CONFIG": "other.toml"}, tmp_path) == Path("other.toml")
    assert config_file("mine.toml", {"SHIPWAY_CONFIG": "other.toml"}, tmp_path) == Path("mine.toml")


def test_no_settings_file_is_no_settings() -> None:
    assert read_config(None) == {}


@pytest.mark.parametrize("content", [b"[server", b"\xff\xfe", b"port = 1\nport = 2\n"])
def test_a_settings_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shipway.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert str(path) in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize("name", [".", "nowhere.toml"])
def test_a_settings_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_config(tmp_path / name)
    assert caught.value.fix
