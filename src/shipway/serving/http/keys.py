"""API keys: long random texts of which the server holds only hashes.

A key has 256 random bits, so that a plain SHA-256 of it cannot be searched, as a password's could.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from shipway.errors import Unauthorized, UsageError

__all__ = ["ApiKeys", "hash_key", "new_key", "read_keys"]

_PREFIX = "shipway_"
_LINE = re.compile(r"sha256:(?P<hash>[0-9a-f]{64})(?:\s.*)?")


def new_key() -> str:
    """Draws a new key."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Gives what the file of keys holds of `key`."""
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The hashes of the keys that are let in."""

    hashes: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> ApiKeys:
        """Reads a file of keys: a line `sha256:HEX` each, with a remark after a space; `#` begins a comment.

        Raises:
            UsageError: a line is of another form, or there is none: such a server would answer nobody.
        """
        hashes = set()
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if not match:
                raise UsageError(f"line {number} of the file of keys is no hashed key", fix="shipway keys new --api")
            hashes.add(f"sha256:{match['hash']}")
        if not hashes:
            raise UsageError("the file of keys holds no key", fix="shipway keys new --api")
        return cls(frozenset(hashes))

    def check(self, authorization: str) -> None:
        """Lets a caller in by its `Authorization` header.

        `Bearer KEY`; or Basic with the key as password, which is how a browser asks a person for it.

        Raises:
            Unauthorized: no key, or not one of these.
        """
        scheme, _, credentials = authorization.strip().partition(" ")
        key = credentials.strip()
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(key, validate=True).decode("utf-8").partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        elif scheme.lower() != "bearer":
            key = ""
        if not key or hash_key(key) not in self.hashes:
            said = "this API key is not known" if key else "this server wants an API key"
            raise Unauthorized(said, fix="send 'Authorization: Bearer KEY'")


def read_keys(path: str) -> ApiKeys | None:
    """Reads the file of hashed API keys; None where no file is named.

    Raises:
        UsageError: it cannot be read or holds no keys.
    """
    if not path:
        return None
    try:
        return ApiKeys.parse(Path(path).read_text(encoding="utf-8"))
    except PermissionError as error:
        raise UsageError(
            f"the file of API keys {path} cannot be read: {error.strerror}", fix="let the server's user read it"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the file of API keys {path} cannot be read: {error}", fix="shipway keys new --api"
        ) from error
