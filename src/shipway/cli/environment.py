"""Where things are on this machine, from the environment; each is a pure function of what it looks at."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from shipway.errors import UsageError

__all__ = [
    "cache_folder",
    "config_file",
    "credentials_files",
    "default_store",
    "environment",
    "read_config",
    "store_folder",
]

_CONFIG_NAME = "shipway.toml"


def store_folder(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """Gives the store's folder: `SHIPWAY_STORE`, else the platform's folder for a user's data."""
    if environ.get("SHIPWAY_STORE"):
        return Path(environ["SHIPWAY_STORE"]).expanduser()
    return _data_folder(environ, platform, home) / "shipway" / "store"


def cache_folder(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """Gives the folder for what can be made again: wheels, layers, bases."""
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "shipway" / "cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / "shipway"
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "shipway"


def credentials_files(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Gives the files in which Docker and Podman keep credentials for registries, in the order in which they count.

    Source: docker login, and containers-auth.json(5). None of them need be there.
    """
    docker = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    named, runtime = environ.get("REGISTRY_AUTH_FILE"), environ.get("XDG_RUNTIME_DIR")
    podman = [Path(named)] if named else [Path(runtime) / "containers" / "auth.json"] if runtime else []
    settings = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return (docker, *podman, settings / "containers" / "auth.json")


def default_store() -> Path:
    """Gives this process's store folder."""
    return store_folder(os.environ, sys.platform, Path.home())


def environment() -> MutableMapping[str, str]:
    """Gives this process's environment."""
    return os.environ


def config_file(given: str | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """Gives the settings file: the one named, or `shipway.toml` in the working folder, or None."""
    named = given or environ.get("SHIPWAY_CONFIG")
    if named:
        return Path(named)
    found = folder / _CONFIG_NAME
    return found if found.is_file() else None


def read_config(path: Path | None) -> Mapping[str, Any]:
    """Parses the settings file.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the settings file {path} cannot be read: {reason}", fix="check --config or SHIPWAY_CONFIG"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}", fix="mend that line") from error


def _data_folder(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if platform == "darwin":
        return home / "Library" / "Application Support"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
