"""A load generator: keep-alive connections that each send the same request again as soon as it is answered."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

SERVER_CORE, CLIENT_CORE = 0, 1


class Connection(asyncio.Protocol):
    """Sends, counts the answers, and sends again. An answer is whole, and right, when it ends as the first one did."""

    def __init__(self, request: bytes, expected: bytes) -> None:
        self.request, self.expected = request, expected
        self.answers = self.wrong = 0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.buffer.endswith(self.expected):
            self.answers += 1
            self.wrong += not self.buffer.startswith(b"HTTP/1.1 200")
            self.buffer = b""
            self.transport.write(self.request)


async def _load(port: int, request: bytes, expected: bytes, connections: int, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(request, expected), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds / 4)
    before, begin = sum(protocol.answers for _, protocol in made), time.perf_counter()
    await asyncio.sleep(seconds)
    answers, took = sum(protocol.answers for _, protocol in made) - before, time.perf_counter() - begin
    wrong = sum(protocol.wrong for _, protocol in made)
    for transport, _ in made:
        transport.abort()
    if wrong:
        raise SystemExit(f"{wrong} answers were wrong")
    return answers / took


def rate(port: int, body: object, *, connections: int = 32, seconds: float = 4.0) -> float:
    """Gives the right answers a second that the server on `port` gives to `POST /` with `body`."""
    content = json.dumps(body).encode()
    url = urllib.request.Request(f"http://127.0.0.1:{port}/", content, {"content-type": "application/json"})
    with urllib.request.urlopen(url) as answer:
        expected = answer.read()
    head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    os.sched_setaffinity(0, {CLIENT_CORE})
    return asyncio.run(_load(port, head.encode() + content, expected, connections, seconds))


def free_port() -> int:
    """Gives a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    command: list[str], port: int, *, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server on one core until the block ends."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environ or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    try:
        wait_for(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Waits until the server listens and is ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    sys.exit("the server did not start")
