"""A connection of uvicorn's with limits: heads are of a bounded size and whole within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from shipway.serving.http.connection import HEAD_BYTES, Connection

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]
SECONDS = 0.2


async def answer_ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def converse(talk: Talk) -> bytes:
    """Runs a conversation with a server that waits `SECONDS` for a head."""

    async def run() -> bytes:
        config = uvicorn.Config(answer_ok, log_config=None, lifespan="off")
        config.timeout_keep_alive = SECONDS  # type: ignore[assignment]
        state = ServerState()
        listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with listening:
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            try:
                return await asyncio.wait_for(talk(reader, writer), 10)
            finally:
                writer.close()

    return asyncio.run(run())


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_that_is_not_whole_in_time_ends_the_connection(begun: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(begun)
        return await reader.read()

    assert converse(talk) == b""


def test_a_trickle_does_not_buy_time_for_a_second_head() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        first = await reader.readuntil(b"ok")
        for byte in b"GET /" + b"a" * 95:
            if reader.at_eof():
                return first
            writer.write(bytes([byte]))
            await asyncio.sleep(SECONDS / 10)
        raise AssertionError("the connection was kept")

    assert b"200" in converse(talk)


@pytest.mark.parametrize("part", [b"x: y\r\n", b"a" * 1000, b"\r\n"])
def test_a_head_that_is_too_large_is_refused(part: bytes) -> None:
    # All of it is read before the end, else the answer would be lost to a reset.
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx: y\r\n" if part != b"\r\n" else b"")
        writer.write(part * (HEAD_BYTES // len(part)))
        await asyncio.sleep(SECONDS / 4)
        writer.write(part * 2)
        return await reader.read()

    assert converse(talk).startswith(b"HTTP/1.1 400 ")


def test_many_requests_on_one_connection_are_each_within_the_limit() -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * (HEAD_BYTES // 2)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for _ in range(4):
            writer.write(head)
            await asyncio.sleep(0.01)
            writer.write(b"\r\n\r\n")
            await reader.readuntil(b"ok")
        return b"done"

    assert converse(talk) == b"done"
