"""Who one is at a registry, from the file in which `docker login` keeps it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from shipway.errors import UsageError
from shipway.oci.files import read_bounded

__all__ = ["Credentials", "find_credentials"]

_MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and secret; the secret is not shown when it is printed."""

    username: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()


def find_credentials(file: Path, host: str, repository: str = "") -> Credentials | None:
    """Gives the credentials for a repository; None where the file has none, or is not there.

    Args:
        file: Docker's `config.json` or Podman's `auth.json`.
        host: of the registry, with its port.
        repository: Podman's keys may name one, or a part of its path; the longest that fits counts.

    Raises:
        UsageError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        auths = (
            msgspec.json.decode(read_bounded(file, _MAX_FILE, "the credentials file", UsageError)).get("auths") or {}
        )
        entries = {_normal(key): value for key, value in auths.items()}
        parts = [host, *repository.split("/")] if repository else [host]
        for length in range(len(parts), 0, -1):
            found = _parse(entries.get("/".join(parts[:length])) or {})
            if found:
                return found
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError, binascii.Error, RecursionError) as error:
        raise UsageError(f"{file} is no credentials file: {error}", fix=f"docker login {host}") from error
    return None


def _parse(entry: dict[str, Any]) -> Credentials | None:
    """Gives what an entry holds; None where the secret is kept elsewhere, by a helper."""
    if entry.get("auth"):
        username, _, secret = base64.b64decode(str(entry["auth"]), validate=True).decode("utf-8").partition(":")
        return Credentials(username, secret.rstrip("\0"))
    if entry.get("username") and entry.get("password"):
        return Credentials(str(entry["username"]), str(entry["password"]))
    return None


def _normal(key: str) -> str:
    """Strips scheme and API version off a key."""
    key = key.partition("://")[2] or key
    for version in ("/v1/", "/v2/", "/v1", "/v2", "/"):
        key = key.removesuffix(version)
    return key
