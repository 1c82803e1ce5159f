"""An app's answers are its own: the same under its usual server (gunicorn, uvicorn) and under ours."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fakes.apps import LiveApp
from shipway.spec.app import Interface

APPS = Path(__file__).parents[2] / "fakes" / "code"
# What is the server's and not the app's. `Connection` is in it since gunicorn's default closes after each answer.
SERVERS = frozenset({"date", "server", "x-request-id", "shipway-bundle", "connection", "keep-alive"})
LARGE = bytes(range(256)) * 16_384

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/", {}),
    ("HEAD", "/", {}),
    ("POST", "/json", {"json": {"rows": [[1.5, 2], [3, 4]], "text": "é"}}),
    ("POST", "/json", {"content": b"{", "headers": {"content-type": "application/json"}}),
    ("GET", "/missing", {}),
    ("PUT", "/", {}),
    ("OPTIONS", "/", {}),
    ("GET", "/redirect", {}),
    ("GET", "/cookies", {"headers": {"cookie": "a=1; b=2"}}),
    ("GET", "/query?x=1&x=2&y=%C3%A9%20z", {}),
    ("GET", "/path/%C3%A9%2Fa%20b", {}),
    ("GET", "/stream", {}),
    ("HEAD", "/stream", {}),
    ("GET", "/empty", {}),
    ("GET", "/raises", {}),
    ("POST", "/length", {"content": LARGE}),
    ("POST", "/length", {"content": "chunked"}),
    ("POST", "/form", {"data": {"a": "1", "b": "é"}}),
    ("POST", "/form", {"files": {"upload": ("f.bin", b"x" * 300_000)}}),
    ("GET", "/large", {}),
]


def answer(client: httpx.Client, method: str, path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    given = dict(arguments)
    if given.get("content") == "chunked":
        given["content"] = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000))
    if "files" in given:
        given["headers"] = {"content-type": "multipart/form-data; boundary=edge"}
    given["headers"] = {"host": "app.example", **given.get("headers", {})}
    got = client.request(method, path, **given)
    told = {name.lower() for name in got.headers} - SERVERS
    headers = [(name, sorted(got.headers.get_list(name, split_commas=name == "allow"))) for name in sorted(told)]
    return {"status": got.status_code, "headers": headers, "body": got.content}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the usual server did not start")


@contextmanager
def gunicorn(module: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", str(APPS), f"{module}:app"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def under_uvicorn(app: Any) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, ws="websockets-sansio", lifespan="on", http="httptools")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


CASES: list[tuple[str, Interface]] = [
    ("flask_app", "wsgi"),
    ("django_app", "wsgi"),
    ("bottle_app", "wsgi"),
    ("fastapi_app", "asgi"),
    ("quart_app", "asgi"),
]


@pytest.mark.parametrize(("module", "interface"), CASES)
def test_every_answer_is_that_of_the_usual_server(
    module: str, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    if interface == "wsgi" and os.name != "posix":
        pytest.skip("gunicorn is POSIX's")
    monkeypatch.syspath_prepend(str(APPS))
    app = importlib.import_module(module).app
    usual = gunicorn(module) if interface == "wsgi" else under_uvicorn(app)
    different = []
    # uvicorn closes the connection of an app that raised, at any time after its answer.
    alone = httpx.Limits(max_keepalive_connections=0)
    with (
        usual as address,
        LiveApp(app, interface) as live,
        httpx.Client(base_url=address, timeout=30, limits=alone) as client,
    ):
        for method, path, arguments in REQUESTS:
            theirs, ours = answer(client, method, path, arguments), answer(live.client, method, path, arguments)
            if theirs != ours:
                different.append(
                    (method, path, {key: (theirs[key], ours[key]) for key in ours if ours[key] != theirs[key]})
                )
        if interface == "asgi":
            assert chat(address) == chat(live.address)
    assert not different


def chat(address: str) -> list[Any]:
    with connect(address.replace("http", "ws") + "/chat", subprotocols=["v1"]) as caller:  # type: ignore[list-item]
        said: list[Any] = [caller.subprotocol]
        for message in ("text", b"bytes", "x" * 200_000):
            caller.send(message)
            said.append(caller.recv())
        caller.send("bye")
        with pytest.raises(ConnectionClosed):
            caller.recv()
        return [*said, caller.close_code, caller.close_reason]
