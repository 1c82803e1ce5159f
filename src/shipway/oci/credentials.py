"""Who one is at a registry, from where `docker login` and `podman login` keep it."""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from shipway.errors import MissingDependency, UsageError
from shipway.oci.files import read_bounded

__all__ = ["Credentials", "Helped", "Run", "find_credentials", "run_helper"]

_MAX_FILE = 1 << 20
_HELPER_SECONDS = 60
_IDENTITY = "<token>"
"""User name by which a helper says that its secret is an identity token."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and secret; the secret is not shown when it is printed.

    Attributes:
        username: of the user.
        secret: a password, or a token.
        kind: `password`; `identity` for a token that the token server takes for others; `bearer` for one that the
            registry itself takes.
    """

    username: str
    secret: str = field(repr=False)
    kind: Literal["password", "identity", "bearer"] = "password"

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()


class Helped(NamedTuple):
    """How a credential helper ended."""

    status: int
    output: str


Run = Callable[[str, str], Helped]
"""Runs the program of that name with `get`, and a server on its standard input."""


def find_credentials(
    files: Sequence[Path], host: str, repository: str = "", run: Run | None = None
) -> Credentials | None:
    """Gives the credentials for a repository; None where nobody keeps any.

    In each file a helper for the host comes first, then the helper for all, then what the file itself holds, as Docker
    has it. A key may name a part of the repository's path, as Podman has it; the longest that fits counts.

    Args:
        files: Docker's `config.json` and Podman's `auth.json`, in the order in which they count; need not be there.
        host: of the registry, with its port.
        repository: in the registry.
        run: runs a credential helper; `run_helper` where it is not given.

    Raises:
        UsageError: a file is damaged, or a helper fails.
        MissingDependency: a file names a helper that is not installed.
    """
    for file in files:
        found = _find_in(file, host, repository, run or run_helper)
        if found:
            return found
    return None


def run_helper(program: str, server: str) -> Helped:
    """Runs a credential helper as Docker does.

    Raises:
        MissingDependency: it is not installed.
        UsageError: it does not end in time, or cannot be run.
    """
    place = shutil.which(program)
    if place is None:
        raise MissingDependency(
            f"{program} keeps the credentials for {server} and is not installed",
            fix="install it, or take it out of credsStore and credHelpers and sign in again",
        )
    try:
        done = subprocess.run(  # noqa: S603
            [place, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = "does not answer" if isinstance(error, subprocess.TimeoutExpired) else error.strerror or str(error)
        raise UsageError(f"{place} cannot be asked for credentials: {reason}", fix=f"{program} list") from error
    return Helped(done.returncode, done.stdout[:_MAX_FILE].decode("utf-8", "replace"))


def _find_in(file: Path, host: str, repository: str, run: Run) -> Credentials | None:
    try:
        if not file.is_file():
            return None
        content = msgspec.json.decode(read_bounded(file, _MAX_FILE, "the credentials file", UsageError))
        helpers = {_normal(key): name for key, name in (content.get("credHelpers") or {}).items()}
        entries = {_normal(key): entry for key, entry in (content.get("auths") or {}).items()}
        everywhere = content.get("credsStore")
        for key in _keys(host, repository):
            found = _ask(run, helpers[key], key, file) if helpers.get(key) else None
            if found:
                return found
        return (_ask(run, everywhere, host, file) if everywhere else None) or next(
            filter(None, (_parse(entries.get(key) or {}) for key in _keys(host, repository))), None
        )
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}", fix="check its rights") from error
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, binascii.Error, RecursionError) as error:
        raise UsageError(f"{file} is no credentials file: {error}", fix=f"docker login {host}") from error


def _keys(host: str, repository: str) -> Iterator[str]:
    """Gives what may name a repository in a file, the longest first."""
    parts = [host, *repository.split("/")] if repository else [host]
    return ("/".join(parts[:length]) for length in range(len(parts), 0, -1))


def _ask(run: Run, name: object, server: str, file: Path) -> Credentials | None:
    """Asks a credential helper; None where it keeps nothing for the server."""
    # What stands here becomes the name of a program: nothing that could be a path or an option of one.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UsageError(f"{file} names a credential helper {name!r}, which is no name of one", fix=f"mend {file}")
    program = f"docker-credential-{name}"
    status, output = run(program, server)
    if status:
        if "credentials not found" in output:
            return None
        words = "".join(character for character in output.strip()[:200] if character.isprintable())
        raise UsageError(
            f"{program} gives no credentials for {server}: {words or f'status {status}'}", fix=f"docker login {server}"
        )
    try:
        answer = msgspec.json.decode(output.encode())
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{program} answers something else than credentials", fix=f"docker login {server}") from error
    return Credentials(username, secret, "identity" if username == _IDENTITY else "password")


def _parse(entry: Mapping[str, Any]) -> Credentials | None:
    """Gives what an entry holds; None where the secret is kept elsewhere, by a helper."""
    username, secret = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        username, _, secret = base64.b64decode(str(entry["auth"]), validate=True).decode("utf-8").partition(":")
    if entry.get("registrytoken"):
        return Credentials(username, str(entry["registrytoken"]), "bearer")
    if entry.get("identitytoken"):
        return Credentials(username or _IDENTITY, str(entry["identitytoken"]), "identity")
    if username and secret:
        return Credentials(username, secret.rstrip("\0"))
    return None


def _normal(key: str) -> str:
    """Strips scheme and API version off a key."""
    key = key.partition("://")[2] or key
    for version in ("/v1/", "/v2/", "/v1", "/v2", "/"):
        key = key.removesuffix(version)
    return key
