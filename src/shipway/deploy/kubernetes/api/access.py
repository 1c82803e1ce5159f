"""Which cluster, which namespace, and as whom: the values that kubeconfig is read into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["Access", "Interaction", "Pem", "Plugin", "User"]

Pem: TypeAlias = "Path | bytes"
"""Certificates or a key: the file that holds them, or their text."""

Interaction = Literal["Never", "IfAvailable", "Always"]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program that says who one is (`exec` in kubeconfig).

    Attributes:
        command: the program; with a folder in it where it was given relative to its kubeconfig.
        arguments: for it.
        environment: what it finds in its environment, this process's included.
        api: `client.authentication.k8s.io/v1` or `…/v1beta1`: how it is spoken to.
        interaction: whether it may, or must, ask the person at the terminal.
        interactive: whether there is one.
        cluster: what it is told of the cluster; None to tell it nothing.
        hint: how to install it, as the kubeconfig's maker says.
    """

    command: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    api: str = "client.authentication.k8s.io/v1"
    interaction: Interaction = "IfAvailable"
    interactive: bool = False
    cluster: Mapping[str, object] | None = field(default=None, repr=False)
    hint: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """As whom the cluster is asked. Secrets are not shown when it is printed.

    Attributes:
        token: sent as a bearer token.
        token_file: holds a token that may change; goes before `token`.
        username, password: sent as basic authentication, where there is no token.
        certificate, key: of a client; both or neither.
        plugin: is asked for token or certificate, where neither is given.
        impersonate: headers that name another account to act as.
    """

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    certificate: Pem | None = field(default=None, repr=False)
    key: Pem | None = field(default=None, repr=False)
    plugin: Plugin | None = None
    impersonate: tuple[tuple[str, str], ...] = ()

    @property
    def is_anonymous(self) -> bool:
        """Whether there is nothing to sign in with."""
        return not (self.token or self.token_file or self.username or self.certificate or self.plugin)


@dataclass(frozen=True, slots=True)
class Access:
    """How a cluster is reached.

    Attributes:
        server: URL of its API; may have a path.
        namespace: in which to work.
        context: its name in kubeconfig, or `in-cluster`.
        user: as whom.
        authority: certificates that sign the server's; None for those that the system trusts.
        insecure: anybody may say that he is the server.
        server_name: to be found in the server's certificate; empty for the host of `server`.
        proxy: URL of the proxy on the way; empty for none. May hold a password.
    """

    server: str
    namespace: str
    context: str
    user: User
    authority: Pem | None = field(default=None, repr=False)
    insecure: bool = False
    server_name: str = ""
    proxy: str = field(default="", repr=False)
