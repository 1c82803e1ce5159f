"""Who one is at a cluster, at this moment: tokens that rotate, and plugins that are asked when theirs expire.

Source: the types of `k8s.io/client-go/pkg/apis/clientauthentication/v1` ("client-go credential plugins").
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shipway.deploy.kubernetes.api.access import Access, Pem, Plugin, User
from shipway.errors import MissingDependency, NotAllowed, ShipwayError, TargetError, UsageError
from shipway.oci.files import read_bounded

__all__ = ["Certificate", "Credentials", "Identity", "ask_plugin", "read_pem"]

_LIMIT = 1 << 20
_SECONDS = 60.0
_SECONDS_WITH_A_PERSON = 300.0
_GRACE = 5.0


class Certificate(NamedTuple):
    """A client's certificate and its key, both in PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Certificate(…)"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a request is signed with.

    Attributes:
        authorization: value of that header; empty for none.
        certificate: shown when the connection is made, or None.
        expires: after this moment it is no longer good; None where that is not known.
    """

    authorization: str = field(default="", repr=False)
    certificate: Certificate | None = field(default=None, repr=False)
    expires: datetime | None = None


class Credentials:
    """Says who we are each time it is asked. Safe to use from threads.

    Files are read each time, for tokens and certificates of pods are exchanged while they run. A plugin is asked once,
    and again when what it gave expires or the cluster refuses it.

    Args:
        access: as whom, at which cluster.
        ask: asks a plugin.
        now: the present moment, in UTC.
    """

    def __init__(
        self,
        access: Access,
        *,
        ask: Callable[[Plugin, str], Identity] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._user, self._context = access.user, access.context
        self._ask, self._now = ask or ask_plugin, now
        self._lock = threading.Lock()
        self._given: Identity | None = None

    def current(self) -> Identity:
        """Gives what the next request is signed with.

        Raises:
            UsageError: a file cannot be read.
            MissingDependency: the plugin is not installed.
            NotAllowed, TargetError: the plugin gives nothing.
        """
        user = self._user
        own = Identity(_authorization(user), _certificate(user))
        if user.plugin is None or own.authorization or own.certificate:
            return own
        with self._lock:
            given = self._given
            if given is None or (given.expires is not None and given.expires <= self._now()):
                given = self._given = self._ask(user.plugin, self._context)
            return given

    def renew(self, refused: Identity) -> bool:
        """Whether there is something else to sign with, now that the cluster has refused this."""
        with self._lock:
            if self._given is refused:
                self._given = None
        return self.current() != refused


def ask_plugin(plugin: Plugin, context: str) -> Identity:
    """Runs a plugin and reads what it gives. It writes to the terminal by itself, where it has to ask something.

    Args:
        plugin: of kubeconfig.
        context: for messages.

    Raises:
        MissingDependency: it is not installed.
        NotAllowed: it ends with a failure.
        UsageError: it wants a person to ask, and there is none.
        TargetError: it takes too long, or does not give what it should.
    """
    asks = plugin.interaction != "Never" and plugin.interactive
    if plugin.interaction == "Always" and not plugin.interactive:
        raise UsageError(
            f"context {context}: {plugin.command} has to ask you something", fix="run this on a terminal, not in a pipe"
        )
    spec: dict[str, Any] = {"interactive": asks}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    told = {"apiVersion": plugin.api, "kind": "ExecCredential", "spec": spec}
    environment = {**plugin.environment, "KUBERNETES_EXEC_INFO": msgspec.json.encode(told).decode()}
    output = _run(plugin, environment, context, asks=asks)
    return _read_credential(output, plugin, context)


def _run(plugin: Plugin, environment: Mapping[str, str], context: str, *, asks: bool) -> bytes:
    """Gives what the plugin writes, at most a little more than the limit."""
    program = shutil.which(plugin.command, path=environment.get("PATH"))
    if program is None:
        raise MissingDependency(
            f"context {context} signs in with {plugin.command}, which is not installed or cannot be run",
            fix=plugin.hint or f"install {plugin.command}, or check exec.command in kubeconfig",
        )
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own kubeconfig names it
            [program, *plugin.arguments],
            env=dict(environment),
            stdin=None if asks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        raise TargetError(
            f"context {context}: {plugin.command} cannot be run: {getattr(error, 'strerror', None) or error}",
            fix="check exec.command in kubeconfig",
        ) from error
    seconds = _SECONDS_WITH_A_PERSON if asks else _SECONDS
    output = _gather(process, seconds)
    if output is None:
        raise TargetError(
            f"context {context}: {plugin.command} did not end within {seconds:.0f} s",
            fix=f"run {plugin.command} by hand, as exec in kubeconfig has it",
        )
    if process.returncode and len(output) <= _LIMIT:
        raise NotAllowed(
            f"context {context}: {plugin.command}, which signs you in, ended with {process.returncode}",
            fix="sign in again with your provider's command; what it wrote stands above",
        )
    return output


def _gather(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """Reads what a process writes until it ends; None where that takes too long."""
    assert process.stdout is not None
    pipe, parts = process.stdout, list[bytes]()
    # A program of the plugin's may outlive it and keep the pipe open: only a thread can be left waiting for that.
    reader = threading.Thread(target=lambda: parts.append(pipe.read(_LIMIT + 1)), daemon=True)
    reader.start()
    try:
        reader.join(seconds)
        timely = not reader.is_alive()
        if timely and len(parts[0]) <= _LIMIT:
            process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        timely = False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(_GRACE)
        if not reader.is_alive():
            pipe.close()
    return parts[0] if timely else None


def _read_credential(output: bytes, plugin: Plugin, context: str) -> Identity:
    """Reads an `ExecCredential`. What the plugin wrote is never repeated: it holds secrets."""

    def wrong(problem: str) -> ShipwayError:
        return TargetError(
            f"context {context}: {plugin.command} {problem}",
            fix=f"run {plugin.command} by hand, as exec in kubeconfig has it; perhaps it is older than {plugin.api}",
        )

    if len(output) > _LIMIT:
        raise wrong("writes more than 1 MiB")
    try:
        credential = msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        credential = None
    if not isinstance(credential, dict) or credential.get("kind") != "ExecCredential":
        raise wrong("writes no ExecCredential")
    if credential.get("apiVersion") != plugin.api:
        raise wrong(f"answers in another version than {plugin.api}")
    status = credential.get("status")
    if not isinstance(status, dict):
        raise wrong("gives neither token nor certificate")
    keys = ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    token, certificate, key, expires = (status.get(name) or "" for name in keys)
    if not all(isinstance(value, str) for value in (token, certificate, key, expires)):
        raise wrong("gives something that is no text")
    token = token.strip()
    if bool(certificate) != bool(key) or not (token or certificate):
        raise wrong("gives neither a token nor a certificate with its key")
    if not token.isprintable() or not token.isascii():
        raise wrong("gives a token that cannot be sent")
    return Identity(
        f"Bearer {token}" if token else "",
        Certificate(certificate.encode(), key.encode()) if certificate else None,
        _moment(expires, wrong),
    )


def _moment(text: str, wrong: Callable[[str], ShipwayError]) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise wrong("gives an expirationTimestamp that is no time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _authorization(user: User) -> str:
    if user.token_file is not None:
        token = _read(user.token_file, "the token file").decode("utf-8", "replace").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise UsageError(f"the token file {user.token_file} holds no token", fix="check tokenFile in kubeconfig")
        return f"Bearer {token}"
    if user.token:
        return f"Bearer {user.token}"
    if user.username:
        return "Basic " + base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
    return ""


def _certificate(user: User) -> Certificate | None:
    if user.certificate is None or user.key is None:
        return None
    return Certificate(
        read_pem(user.certificate, "the client's certificate"), read_pem(user.key, "the client's private key")
    )


def read_pem(pem: Pem, what: str) -> bytes:
    """Gives the text of certificates or a key.

    Raises:
        UsageError: the file cannot be read.
    """
    return _read(pem, what) if isinstance(pem, Path) else pem


def _read(path: Path, what: str) -> bytes:
    return read_bounded(path, _LIMIT, what, UsageError)
