"""Digests: what content is named by."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from shipway.errors import CorruptBlob

__all__ = ["check_digest", "hash_of", "sha256_bytes", "sha256_file"]

_LENGTHS = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]+)")


def sha256_bytes(data: bytes) -> str:
    """Gives `sha256:…` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> tuple[str, int]:
    """Gives `sha256:…` and the size in bytes of a file, in constant memory."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return "sha256:" + digest.hexdigest(), stream.tell()


def check_digest(digest: str) -> str:
    """Gives `digest` back if it is one whose content can be checked; it is then safe as a part of a path.

    Raises:
        CorruptBlob: it is malformed, or of another algorithm than sha256 and sha512.
    """
    match = _DIGEST.fullmatch(digest)
    if not match or len(match[2]) != _LENGTHS[match[1]]:
        raise CorruptBlob(f"{digest[:100]!r} is no sha256 or sha512 digest")
    return digest


def hash_of(digest: str) -> hashlib._Hash:
    """Gives a new hash object of the algorithm that `digest` names."""
    return hashlib.new(check_digest(digest).partition(":")[0])
