"""Tells secrets among an app's files: what must not be copied into an image because it happened to lie there."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

__all__ = ["HEAD", "secret_by_content", "secret_by_name", "secret_variable"]

HEAD = 64 * 1024
"""So many bytes of a file are looked at: keys are small."""

_KEYS = frozenset({"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"})
_CLUSTER = "credentials of a cluster"
_NAMES = {
    ".netrc": "passwords of hosts",
    "_netrc": "passwords of hosts",
    ".pgpass": "passwords of databases",
    ".pypirc": "passwords of package indexes",
    ".git-credentials": "passwords of git hosts",
    ".dockercfg": "passwords of registries",
    "kubeconfig": _CLUSTER,
}
_FOLDERS = {
    ".aws": "AWS credentials",
    ".docker": "passwords of registries",
    ".kube": _CLUSTER,
    ".ssh": "keys of SSH",
}
_SUFFIXES = {".p12": "a key store", ".pfx": "a key store", ".jks": "a key store", ".keystore": "a key store"}
_EXAMPLES = frozenset({"example", "sample", "template", "dist"})
_READ = frozenset({
    "", ".asc", ".cfg", ".conf", ".crt", ".env", ".ini", ".json", ".kubeconfig", ".key", ".pem", ".ppk", ".toml",
    ".txt", ".yaml", ".yml",
})  # fmt: skip
_CONTENT = (
    (
        re.compile(rb"^\s*([\w.-]+\s*[=:]\s*)?[\"']?-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----", re.MULTILINE),
        "a private key",
    ),
    (re.compile(rb"^PuTTY-User-Key-File-\d", re.MULTILINE), "a private key"),
    (re.compile(rb'"private_key"\s*:\s*"-----BEGIN'), "the private key of a service account"),
    (re.compile(rb'"type"\s*:\s*"authorized_user"'), "credentials of a Google account"),
    (
        re.compile(rb"^[\s{]*(export\s+)?\"?aws_secret_access_key\"?\s*[=:]\s*\S", re.MULTILINE | re.IGNORECASE),
        "AWS credentials",
    ),
    (re.compile(rb"^\s*(//\S+?:)?_(authToken|auth|password)\s*=\s*[\"']?[^\s\"'$]", re.MULTILINE), "a token of npm"),
    (re.compile(rb"[\s{,\"'](client-key-data|(\w+-)?token|password)[\"']?\s*:\s*[\"']?[^\s\"']"), _CLUSTER),
)
_KUBECONFIG = re.compile(rb"(?:^|[\s{,])[\"']?kind[\"']?\s*:\s*[\"']?Config[\"']?\s*(?:[,}\r\n#]|$)", re.MULTILINE)
_VARIABLE = re.compile(
    r"(?!GOOGLE_APPLICATION_CREDENTIALS$|.*_(?:ARN|DIR|FILE|NAME|PATH)$)"  # where it lies, not what it is
    r"(?:(.*_)?(PASS(WORDS?|WD|PHRASE)|SECRETS?|CREDENTIALS?)(_.*)?"
    r"|(.*_)?(TOKEN|(API|ACCESS|AUTH)_TOKENS|(API|PRIVATE)KEYS?)|.*_(KEYS?|PASS|PWD))",
    re.IGNORECASE,
)
_SIGNED_IN = re.compile(r"\w://[^/\s:@]*:[^/\s@]+@")


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
        if expression.search(head) and (what != _CLUSTER or _KUBECONFIG.search(head)):
            return what
    return ""


def secret_variable(name: str, value: str) -> bool:
    """Whether a variable of the environment looks like a secret: by the words of its name, or a password in an address.

    Words, since `MAX_TOKENS`, `TOKENIZERS_PARALLELISM` and `KEYBOARD` are none.
    """
    return bool(_VARIABLE.fullmatch(name) or _SIGNED_IN.search(value))
