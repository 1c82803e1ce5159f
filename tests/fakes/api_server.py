"""An API server on a socket with TLS, as far as signing in goes: it remembers who asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["PEM", "ApiServer", "Call"]

PEM = Path(__file__).parent / "pem"


@dataclass(frozen=True)
class Call:
    """What reached the server."""

    path: str
    headers: dict[str, str]
    certificate: str

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


Answer = Callable[[Call], tuple[int, bytes]]


class ApiServer:
    """Listens on a port of this machine.

    Args:
        answer: of each call; a body of None leaves the caller waiting.
        name: whose certificate it shows: of `localhost` (server) or `kubernetes` (named).
    """

    def __init__(self, answer: Answer = lambda _: (200, b"{}"), name: str = "server") -> None:
        self.calls: list[Call] = []
        self.waiting = threading.Event()
        calls, waiting, ended = self.calls, self.waiting, threading.Event()
        self._ended = ended

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                peer: Any = self.connection.getpeercert() or {}
                names = {key: value for part in peer.get("subject", ()) for key, value in part}
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = Call(self.path, headers, names.get("commonName", ""))
                calls.append(call)
                if "follow=true" in self.path or "watch=true" in self.path:
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.flush()
                    waiting.set()
                    ended.wait(10)
                    self.close_connection = True
                    return
                code, body = answer(call)
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM / f"{name}.pem", PEM / f"{name}.key")
        context.load_verify_locations(PEM / "authority.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
