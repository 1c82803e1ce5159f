"""A user of kubeconfig: tokens, passwords, certificates, and the plugins that give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from shipway.deploy.kubernetes.api.access import Interaction, Pem, Plugin, User
from shipway.deploy.kubernetes.api.entries import Entry

__all__ = ["read_user"]

_GROUP = "client.authentication.k8s.io"
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
_FORBIDDEN_IN_HEADERS = frozenset("\r\n\0")


def read_user(entry: Entry, cluster: Mapping[str, object], environ: Mapping[str, str], *, interactive: bool) -> User:
    """Reads a user.

    Args:
        entry: `users[NAME].user`.
        cluster: what a plugin may be told of the cluster.
        environ: of plugins.
        interactive: whether a person can answer a plugin.

    Raises:
        UsageError: names file and key.
    """
    if entry.values.get("auth-provider"):
        raise entry.wrong(
            "auth-provider",
            "is a way of signing in that Kubernetes itself has given up",
            "fetch the kubeconfig anew with your provider's command: it will name an exec plugin instead",
        )
    certificate = _pem(entry, "client-certificate")
    key = _pem(entry, "client-key")
    if (certificate is None) != (key is None):
        missing = "client-key" if key is None else "client-certificate"
        raise entry.wrong(missing, "is missing: a client's certificate and key go together")
    return User(
        token=_header(entry, "token"),
        token_file=entry.path("tokenFile"),
        username=entry.text("username"),
        password=entry.text("password"),
        certificate=certificate,
        key=key,
        plugin=_plugin(entry.part("exec"), cluster, environ, interactive=interactive)
        if entry.values.get("exec")
        else None,
        impersonate=_impersonation(entry),
    )


def _pem(entry: Entry, key: str) -> Pem | None:
    return entry.data(f"{key}-data") or entry.path(key)


def _header(entry: Entry, key: str) -> str:
    text = entry.text(key).strip()
    if not text.isascii() or _FORBIDDEN_IN_HEADERS & set(text):
        raise entry.wrong(key, "has characters that cannot be sent")
    return text


def _impersonation(entry: Entry) -> tuple[tuple[str, str], ...]:
    """Gives the headers ("User impersonation" in Kubernetes' documentation)."""
    user, uid = _header(entry, "as"), _header(entry, "as-uid")
    groups = entry.texts("as-groups")
    extra = entry.part("as-user-extra")
    if not user:
        if uid or groups or extra.values:
            raise entry.wrong("as", "is missing: groups and more can only be those of a user")
        return ()
    headers = [("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups)]
    if uid:
        headers.append(("Impersonate-Uid", uid))
    headers += [(f"Impersonate-Extra-{name}", value) for name in extra.values for value in extra.texts(name)]
    for _, value in headers:
        if not value.isascii() or _FORBIDDEN_IN_HEADERS & set(value):
            raise entry.wrong("as", "or what goes with it has characters that cannot be sent")
    return tuple(headers)


def _plugin(entry: Entry, cluster: Mapping[str, object], environ: Mapping[str, str], *, interactive: bool) -> Plugin:
    api, command = entry.text("apiVersion"), entry.text("command")
    if api not in _VERSIONS:
        raise entry.wrong(
            "apiVersion",
            f"is {api!r}, and must be {_VERSIONS[0]} or {_VERSIONS[1]}",
            f"update {command or 'the plugin'} and fetch the kubeconfig anew",
        )
    if not command:
        raise entry.wrong("command", "is missing")
    interaction = entry.text("interactiveMode") or "IfAvailable"
    if interaction not in get_args(Interaction):
        raise entry.wrong("interactiveMode", f"must be one of {', '.join(get_args(Interaction))}")
    own = {variable.name: variable.text("value") for variable in entry.named("env")}
    return Plugin(
        command=_command(entry.file, command),
        arguments=entry.texts("args"),
        environment={**environ, **own},
        api=api,
        interaction=cast("Interaction", interaction),
        interactive=interactive,
        cluster=cluster if entry.flag("provideClusterInfo") else None,
        hint=" ".join(entry.text("installHint").split()),
    )


def _command(file: Path, command: str) -> str:
    """Gives the program: a bare name is looked for on the PATH, a path is relative to the file that names it."""
    return str(file.parent / command) if "/" in command or "\\" in command else command
