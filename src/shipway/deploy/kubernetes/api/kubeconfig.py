"""Reads kubeconfig files, or the account that a cluster gives to its pods, into an `Access`.

Several files are one: for each name the first file that has it counts. Paths in a file are relative to that file.
Sources: "Organizing Cluster Access Using kubeconfig Files" and the types of `k8s.io/client-go/tools/clientcmd/api/v1`.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shipway.deploy.kubernetes.api.access import Access, Pem, User
from shipway.deploy.kubernetes.api.entries import Entry, read_entries
from shipway.deploy.kubernetes.api.users import read_user
from shipway.errors import UsageError
from shipway.oci.files import read_bounded
from shipway.spec.host import is_loopback
from shipway.spec.release import is_label
from shipway.spec.words import did_you_mean

__all__ = ["SERVICE_ACCOUNT", "Access", "User", "kubeconfig_files", "read_access"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds who it is: `token`, `ca.crt`, `namespace`."""

IN_CLUSTER = "in-cluster"


def kubeconfig_files(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Gives the files that say how clusters are reached: those of `KUBECONFIG`, else kubectl's own; first wins."""
    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return tuple(Path(part).expanduser() for part in named) or (home / ".kube" / "config",)


def read_access(
    files: Sequence[Path],
    *,
    context: str | None = None,
    namespace: str | None = None,
    environ: Mapping[str, str] | None = None,
    interactive: bool = False,
    account: Path = SERVICE_ACCOUNT,
) -> Access:
    """Reads how a cluster is reached.

    Args:
        files: kubeconfig files; those that are not there are passed over.
        context: one of theirs; None or empty for the one that is set as current.
        namespace: to work in; None or empty for that of the context.
        environ: the environment: of plugins, for the proxy, and in a pod for the cluster's address.
        interactive: whether a person can answer a plugin.
        account: where a pod finds who it is; used where none of the files is there.

    Raises:
        UsageError: no cluster is named, or a file is damaged; names file and key.
        MissingDependency: PyYAML is not installed.
    """
    environ = environ or {}
    found = [file for file in files if file.is_file()]
    if found:
        access = _from_files(found, context or "", namespace or "", environ, interactive=interactive)
    elif not context and environ.get("KUBERNETES_SERVICE_HOST") and (account / "token").is_file():
        access = _from_account(account, namespace or "", environ)
    else:
        raise UsageError(
            f"no cluster is set up here: there is no {' or '.join(map(str, files)) or 'kubeconfig'}",
            fix="get a kubeconfig for the cluster and name it by KUBECONFIG; `kubectl config view` shows what is used",
        )
    _check(access)
    return access


def _from_files(
    files: Sequence[Path], context: str, namespace: str, environ: Mapping[str, str], *, interactive: bool
) -> Access:
    configs = [read_entries(file) for file in files]
    name = context or next((current for config in configs if (current := config.text("current-context"))), "")
    known = [entry.name for entry in _named(configs, "contexts")]
    names = ", ".join(map(str, files))
    if not name:
        raise UsageError(
            f"no context is set in {names}",
            fix=f"--context NAME, one of: {', '.join(known[:5])}" if known else "name another KUBECONFIG",
        )
    chosen = next((entry for entry in _named(configs, "contexts") if entry.name == name), None)
    if chosen is None:
        raise UsageError(
            f"there is no context {name!r} in {names}",
            fix=did_you_mean(name, known) or "`kubectl config get-contexts` lists those there are",
        )
    body = chosen.part("context")
    cluster = _referred(configs, body, "cluster")
    told = _cluster_info(cluster)
    server = cluster.text("server").rstrip("/")
    if not server:
        raise cluster.wrong("server", "is missing", "the URL of the cluster's API")
    return Access(
        server=server,
        namespace=namespace or body.text("namespace") or "default",
        context=name,
        user=read_user(_referred(configs, body, "user"), told, environ, interactive=interactive)
        if body.text("user")
        else User(),
        authority=_authority(cluster),
        insecure=cluster.flag("insecure-skip-tls-verify"),
        server_name=cluster.text("tls-server-name"),
        proxy=cluster.text("proxy-url") or proxy_for(server, environ),
    )


def _from_account(folder: Path, namespace: str, environ: Mapping[str, str]) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    own = folder / "namespace"
    authority = folder / "ca.crt"
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace or (_namespace_in(own) if own.is_file() else "default"),
        context=IN_CLUSTER,
        user=User(token_file=folder / "token"),
        authority=authority if authority.is_file() else None,
    )


def _namespace_in(file: Path) -> str:
    return read_bounded(file, 1 << 10, "the namespace file", UsageError).decode("utf-8", "replace").strip()


def _named(configs: Sequence[Entry], kind: str) -> Iterator[Entry]:
    """Gives all entries of a kind, those of the first file first."""
    for config in configs:
        yield from config.named(kind)


def _referred(configs: Sequence[Entry], context: Entry, kind: str) -> Entry:
    """Gives the cluster or user that a context names."""
    name = context.text(kind)
    for entry in _named(configs, f"{kind}s"):
        if entry.name == name:
            return entry.part(kind)
    known = [entry.name for entry in _named(configs, f"{kind}s")]
    raise context.wrong(kind, f"names {name!r}, which is not among the {kind}s", did_you_mean(name, known))


def _authority(cluster: Entry) -> Pem | None:
    return cluster.data("certificate-authority-data") or cluster.path("certificate-authority")


def _cluster_info(cluster: Entry) -> Mapping[str, object]:
    """Gives what a plugin is told of the cluster (`Cluster` of client.authentication.k8s.io)."""
    keys = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    told: dict[str, Any] = {key: cluster.values[key] for key in keys if cluster.values.get(key)}
    authority = cluster.path("certificate-authority")
    if authority is not None and "certificate-authority-data" not in told:
        told["certificate-authority-data"] = cluster.encoded(authority)
    for extension in cluster.named("extensions"):
        if extension.name == "client.authentication.k8s.io/exec":
            told["config"] = extension.values.get("extension")
    return told


def proxy_for(server: str, environ: Mapping[str, str]) -> str:
    """Gives the proxy that the environment names for a URL, as Go's programs read it; empty for none.

    `NO_PROXY` lists hosts, domains with all below them, addresses and networks; this machine is never asked for by a
    proxy.
    """
    scheme, host = _address(server)

    def variable(name: str) -> str:
        return environ.get(name.upper()) or environ.get(name.lower()) or ""

    proxy = variable(f"{scheme}_proxy")
    rules = [rule.strip().lower() for rule in variable("no_proxy").split(",") if rule.strip()]
    if not proxy or is_loopback(host) or any(_matches(host, rule) for rule in rules):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _matches(host: str, rule: str) -> bool:
    if rule == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        domain = rule.removeprefix("*").removeprefix(".")
        return host == domain or host.endswith(f".{domain}")


def _check(access: Access) -> None:
    """Refuses what cannot be asked, or what would give credentials away.

    Raises:
        UsageError: it is so.
    """
    scheme, host = _address(access.server)
    if not host:
        shown = "the server" if "@" in access.server else repr(access.server)  # before an @ stands a password
        raise UsageError(
            f"context {access.context}: {shown} is no URL of a cluster's API",
            fix="kubectl config set-cluster NAME --server https://HOST:PORT",
        )
    if scheme == "http" and not is_loopback(host) and not access.user.is_anonymous:
        raise UsageError(
            f"context {access.context} would send credentials over plain HTTP to {host}, where anyone on the "
            "way could read them",
            fix="use the https:// address of the cluster's API",
        )
    if not is_label(access.namespace):
        raise UsageError(f"{access.namespace!r} cannot be the name of a namespace", fix="--namespace NAME")


def _address(server: str) -> tuple[str, str]:
    """Gives scheme and host of a server's URL; no host where it is none."""
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and parts.username is None
        return (parts.scheme, parts.hostname or "") if usable else ("", "")
    except ValueError:
        return "", ""
