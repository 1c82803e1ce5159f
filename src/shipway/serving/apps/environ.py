"""A request of ASGI as WSGI's `environ` (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from shipway.serving.apps.asgi import Scope

__all__ = ["make_environ"]


def make_environ(scope: Scope, body: BinaryIO, *, multithread: bool) -> dict[str, Any]:
    """Gives the environ of a request.

    Texts that came as bytes are latin-1, as the PEP has them: an app that wants UTF-8 encodes and decodes. The path is
    made of the bytes that the caller sent, for ASGI's own `path` has lost those that are no UTF-8.

    Args:
        scope: of type `http`.
        body: what the app reads.
        multithread: whether other requests are answered at the same time in this process.
    """
    root = scope.get("root_path", "").encode("utf-8").decode("latin-1")
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    path = (unquote_to_bytes(raw) if b"%" in raw else raw).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": path.removeprefix(root),
        "QUERY_STRING": query,
        "RAW_URI": raw.decode("latin-1") + (f"?{query}" if query else ""),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    environ["REQUEST_URI"] = environ["RAW_URI"]
    _add_headers(environ, scope["headers"])
    return environ


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if b"_" in name:
            continue  # `x_y` would pass for `x-y`, which a proxy before us may vouch for
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in environ:
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
