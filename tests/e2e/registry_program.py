"""Debian's `docker-registry`, run for tests on this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

__all__ = ["AUTHORITY", "HTPASSWD", "LOGIN", "needs_registry", "running_registry"]

needs_registry = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="apt-get install docker-registry")

LOGIN = ("user", "pass:word")
HTPASSWD = "user:$2y$05$shipwayshipwayshipwayuyB1eG8xXoeVJ3WC0o8Hn7EjNyWU5mpi"
"""A line for `running_registry(…, htpasswd=HTPASSWD)`, of the user and password in `LOGIN`."""

_PEM = Path(__file__).parent.parent / "fakes" / "pem"
AUTHORITY = _PEM / "authority.pem"
"""Whom one has to trust to trust the certificate of `running_registry(…, tls=True)`."""

_SECONDS = 20


@contextmanager
def running_registry(folder: Path, htpasswd: str | None = None, *, tls: bool = False) -> Iterator[str]:
    """Runs an empty registry while its block does; gives its host with the port.

    Args:
        folder: where it keeps what it has, its configuration and its log.
        htpasswd: who may come in, a line of Apache's; everybody where it is not given.
        tls: it speaks TLS, and nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{_free_port()}"
    certificate = f", tls: {{certificate: '{_PEM / 'server.pem'}', key: '{_PEM / 'server.key'}'}}" if tls else ""
    config = (
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{folder / 'data'}'}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{host}'{certificate}}}\nlog: {{level: error}}\n"
    )
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd + "\n", encoding="utf-8")
        config += f"auth: {{htpasswd: {{realm: tests, path: '{folder / 'htpasswd'}'}}}}\n"
    (folder / "registry.yml").write_text(config, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + _SECONDS
        while not _answers(f"http{'s' if tls else ''}://{host}/v2/"):
            said = (folder / "log").read_text(encoding="utf-8", errors="replace")
            assert program.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.05)
        yield host
    finally:
        program.terminate()
        program.wait(_SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, verify=False).status_code in (200, 401)
    except httpx.TransportError:
        return False
