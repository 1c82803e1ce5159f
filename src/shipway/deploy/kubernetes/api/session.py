"""An httpx client that signs in at a cluster. Imported only when a cluster is really asked: it imports httpx."""

from __future__ import annotations

import ssl
import tempfile
import threading
from pathlib import Path

import httpx

from shipway._version import __version__
from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.credentials import Certificate, Credentials, Identity, read_pem
from shipway.errors import MissingDependency, UsageError

__all__ = ["Session", "open_client", "tls_context"]

_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=30.0)
"""Each watch and each log that is followed takes one, so how many there are is for those who ask."""


def open_client(access: Access, credentials: Credentials | None = None) -> httpx.Client:
    """Gives a client whose requests are signed. Redirects are not followed: an API server sends none.

    Args:
        access: which cluster, as whom.
        credentials: None for those of `access`.

    Raises:
        UsageError: a certificate or key is none, or its file cannot be read.
    """
    session = Session(access, credentials or Credentials(access))
    return httpx.Client(transport=session, headers={"User-Agent": f"shipway/{__version__}"}, trust_env=False)


class Session(httpx.BaseTransport):
    """Signs each request with what is valid at that moment; when the cluster refuses it (401), once more with new.

    Args:
        access: which cluster.
        credentials: say who we are.

    Raises:
        UsageError: the cluster's certificates cannot be read.
    """

    def __init__(self, access: Access, credentials: Credentials) -> None:
        self._access, self._credentials = access, credentials
        self._lock = threading.Lock()
        self._certificate: Certificate | None = None
        self._transport = _transport(access, None)
        self._retired: list[httpx.HTTPTransport] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carries a request."""
        identity = self._credentials.current()
        response = self._carry(request, identity)
        if response.status_code == 401 and self._credentials.renew(identity):
            response.close()
            response = self._carry(request, self._credentials.current())
        return response

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            transports, self._retired = [self._transport, *self._retired], []
        for transport in transports:
            transport.close()

    def _carry(self, request: httpx.Request, identity: Identity) -> httpx.Response:
        headers = httpx.Headers([*request.headers.multi_items(), *self._access.user.impersonate])
        if identity.authorization:
            headers["Authorization"] = identity.authorization
        extensions = dict(request.extensions)
        if self._access.server_name:
            extensions["sni_hostname"] = self._access.server_name
        signed = httpx.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=extensions
        )
        return self._transport_for(identity.certificate).handle_request(signed)

    def _transport_for(self, certificate: Certificate | None) -> httpx.HTTPTransport:
        """Gives the connections that were made with a certificate. Those of the last one may still carry a stream."""
        with self._lock:
            if certificate != self._certificate:
                fresh = _transport(self._access, certificate)
                self._retired.append(self._transport)
                self._transport, self._certificate = fresh, certificate
            return self._transport


def _transport(access: Access, certificate: Certificate | None) -> httpx.HTTPTransport:
    try:
        proxy = httpx.Proxy(access.proxy) if access.proxy else None
        return httpx.HTTPTransport(
            verify=tls_context(access, certificate), proxy=proxy, limits=_CONNECTIONS, trust_env=False
        )
    except ImportError as error:
        raise MissingDependency(
            f"context {access.context} goes through a SOCKS proxy, which takes another package",
            fix='pip install "httpx[socks]"',
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(
            f"context {access.context}: the proxy's URL is none that can be used",
            fix="http://HOST:PORT in proxy-url or HTTPS_PROXY",
        ) from error


def tls_context(access: Access, certificate: Certificate | None) -> ssl.SSLContext:
    """Gives how the server is checked, and what it is shown of us.

    Raises:
        UsageError: certificates or key are none, or do not belong together.
    """
    try:
        data = None if access.authority is None else read_pem(access.authority, "the cluster's certificate authority")
        context = ssl.create_default_context(cadata=None if data is None else data.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(
            f"context {access.context}: certificate-authority holds no certificates in PEM",
            fix="fetch the kubeconfig anew, or check that key",
        ) from error
    if data is not None:
        # Authorities of clusters are often made without the extensions that Python 3.13 asks for and Go does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _load(context, certificate, access.context)
    return context


def _load(context: ssl.SSLContext, certificate: Certificate, name: str) -> None:
    """Loads a client's certificate, which OpenSSL takes from files only: they are this user's alone, and go at once."""
    with tempfile.TemporaryDirectory(prefix="shipway-") as folder:
        chain, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        chain.write_bytes(certificate.certificate)
        key.touch(mode=0o600)
        key.write_bytes(certificate.key)
        try:
            # An empty password, for OpenSSL would otherwise ask for one on the terminal.
            context.load_cert_chain(chain, key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise UsageError(
                f"context {name}: the client's certificate and key are not PEM, encrypted, or do not belong together",
                fix="fetch the kubeconfig anew, or check client-certificate and client-key",
            ) from error
