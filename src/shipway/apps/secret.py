"""Tells secrets among an app's files: what must not be copied into an image because it happened to lie there."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

__all__ = ["HEAD", "secret_by_content", "secret_by_name"]

HEAD = 64 * 1024
"""So many bytes of a file are looked at: keys are small."""

_KEYS = frozenset({"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"})
_NAMES = {
    ".netrc": "passwords of hosts",
    "_netrc": "passwords of hosts",
    ".pgpass": "passwords of databases",
    ".pypirc": "passwords of package indexes",
    ".git-credentials": "passwords of git hosts",
    ".dockercfg": "passwords of registries",
    "kubeconfig": "credentials of a cluster",
}
_FOLDERS = {
    ".aws": "AWS credentials",
    ".docker": "passwords of registries",
    ".kube": "credentials of a cluster",
    ".ssh": "keys of SSH",
}
_SUFFIXES = {".p12": "a key store", ".pfx": "a key store", ".jks": "a key store", ".keystore": "a key store"}
_EXAMPLES = frozenset({"example", "sample", "template", "dist"})
_READ = frozenset(
    {
        "",
        ".pem",
        ".key",
        ".json",
        ".yaml",
        ".yml",
        ".ini",
        ".cfg",
        ".conf",
        ".toml",
        ".txt",
        ".env",
        ".crt",
        ".asc",
        ".ppk",
    }
)
_CONTENT = (
    (
        re.compile(rb"^\s*([\w.-]+\s*[=:]\s*)?[\"']?-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----", re.MULTILINE),
        "a private key",
    ),
    (re.compile(rb"^PuTTY-User-Key-File-\d", re.MULTILINE), "a private key"),
    (re.compile(rb'"private_key"\s*:\s*"-----BEGIN'), "the private key of a service account"),
    (
        re.compile(rb"^[\s{]*(export\s+)?\"?aws_secret_access_key\"?\s*[=:]\s*\S", re.MULTILINE | re.IGNORECASE),
        "AWS credentials",
    ),
    (re.compile(rb"^\s*(- )?(client-key-data|token):\s*\S", re.MULTILINE), "credentials of a cluster"),
)
_KUBECONFIG = re.compile(rb"^kind:\s*Config\s*$", re.MULTILINE)


def secret_by_name(path: str) -> str:
    """Gives what kind of secret a file's name says it is; empty for none.

    Args:
        path: relative, POSIX.
    """
    file = PurePosixPath(path)
    name = file.name.lower()
    variables = name == ".envrc" or name.startswith(".env.") or name.endswith(".env")
    if variables and not _EXAMPLES & {name.split(".")[0], name.split(".")[-1]}:
        return "variables that are seldom for everybody"
    if name in _KEYS:
        return "a private key"
    folder = next((_FOLDERS[part] for part in file.parts[:-1] if part in _FOLDERS), "")
    return _NAMES.get(name) or _SUFFIXES.get(file.suffix.lower()) or folder


def secret_by_content(path: str, head: bytes) -> str:
    """Gives what kind of secret a file's first bytes show; empty for none.

    Source is not looked at: a constant that begins as a key does is no key.

    Args:
        path: relative, POSIX.
        head: up to `HEAD` bytes.
    """
    if PurePosixPath(path).suffix.lower() not in _READ:
        return ""
    for expression, what in _CONTENT:
        if expression.search(head) and (what != "credentials of a cluster" or _KUBECONFIG.search(head)):
            return what
    return ""
