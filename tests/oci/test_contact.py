"""The first contact with a registry on this machine: it is found out whether it speaks TLS before anything is said.

The servers are real ones. `authority.pem` signed the certificate that they show, and nobody trusts it by himself.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shipway.errors import RemoteError
from shipway.oci import connection, registry
from shipway.oci.credentials import Credentials
from shipway.oci.registry import open_registry

PEM = Path(__file__).parent.parent / "fakes" / "pem"
LOGIN = Credentials("user", "pass:word")


class _Server(ThreadingHTTPServer):
    """Wants to be signed in to, and keeps what it is asked."""

    daemon_threads = True

    def __init__(self, *, tls: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(PEM / "server.pem", PEM / "server.key")
            # The handshake is made by the thread of the connection, which may fail.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that fails is what is tested."""

    def host(self, name: str = "127.0.0.1") -> str:
        return f"{name}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        self.server.asked.append((self.path, given))
        signed = given == LOGIN.basic
        body = b'{"tags": ["1"]}' if signed else b"{}"
        self.send_response(200 if signed else 401)
        if not signed:
            self.send_header("WWW-Authenticate", 'Basic realm="here"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """What a test needs to know is in `asked`."""


@contextmanager
def serving(*, tls: bool) -> Iterator[_Server]:
    with _Server(tls=tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def tags(host: str, *, insecure: bool = False, times: int = 1) -> tuple[str, ...]:
    with open_registry(host, lambda host, repository: LOGIN, insecure=insecure) as opened:
        return [opened.tags("team/model") for _ in range(times)][-1]


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM / "authority.pem"))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_with_tls_it_is_spoken_to_by_tls(name: str) -> None:
    with serving(tls=True) as server:
        assert tags(server.host(name)) == ("1",)


def test_without_tls_it_is_spoken_to_in_the_clear_and_signed_in_to_when_that_is_known() -> None:
    with serving(tls=False) as server:
        assert tags(server.host()) == ("1",)
    (first, unsigned), *rest = server.asked
    assert (first, unsigned) == ("/v2/", "")
    assert [given for _, given in rest] == ["", LOGIN.basic]


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("tls", [True, False])
def test_the_first_contact_decides_for_good(tls: bool) -> None:
    with serving(tls=tls) as server:
        tags(server.host(), times=3)
    assert [path for path, _ in server.asked].count("/v2/") == 1


def test_a_certificate_that_nobody_trusts_is_said_and_no_secret_is_told() -> None:
    with serving(tls=True) as server, pytest.raises(RemoteError) as caught:
        tags(server.host())
    assert "SSL_CERT_FILE" in caught.value.fix
    assert server.asked == []


def test_who_never_answers_to_tls_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CONTACT_SECONDS", 0.2)
    with serving(tls=False) as server:
        monkeypatch.setattr(_Handler, "parse_request", _only_http)
        assert tags(server.host()) == ("1",)


_parse_request = BaseHTTPRequestHandler.parse_request


def _only_http(handler: Any) -> bool:
    """Waits for more of what is no HTTP, and answers nothing."""
    if b" HTTP/1.1" not in handler.raw_requestline:
        handler.rfile.read()
        return False
    return _parse_request(handler)


def test_where_nothing_listens_that_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(RemoteError, match="cannot be asked"):
        tags(host)


def test_what_is_told_to_be_insecure_is_not_asked_for_tls() -> None:
    with serving(tls=False) as server:
        tags(server.host(), insecure=True)
    assert "/v2/" not in [path for path, _ in server.asked]


@pytest.mark.parametrize("host", ["registry.test", "localhost.test", "127.0.0.1.test:5000"])
def test_elsewhere_plain_http_is_not_even_tried(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(registry, "speaks_plain", lambda host, client: pytest.fail(host))
    for insecure in (False, True):
        with open_registry(host, lambda host, repository: LOGIN, insecure=insecure):
            pass


def test_what_is_no_host_is_said() -> None:
    with pytest.raises(RemoteError, match="is no host"):
        tags("127.0.0.1:x")
