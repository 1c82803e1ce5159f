"""The relay between real sockets: servers on addresses of loopback of their own, behind one name."""

from __future__ import annotations

import ast
import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shipway.serving import relay as module
from shipway.serving.relay import Relay, get

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS gives loopback one address only")


@dataclass
class FakeServer:
    """Answers on one address of loopback: calls by `handler`, readiness by `status`."""

    address: str
    handler: Handler
    status: int = 200
    silent: bool = False
    served: int = 0
    listeners: list[asyncio.Server] = field(default_factory=list)

    async def start(self, port: int, probe_port: int) -> None:
        self.listeners = [
            await asyncio.start_server(self._call, self.address, port),
            await asyncio.start_server(self._probe, self.address, probe_port),
        ]

    async def stop_calls(self) -> None:
        self.listeners[0].close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served += 1
        try:
            await self.handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _probe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await asyncio.sleep(10 if self.silent else 0)
            writer.write(b"HTTP/1.1 %d x\r\n\r\n" % self.status)
        finally:
            writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, to the caller's end of it."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@dataclass
class Stage:
    """A relay in front of servers.

    Attributes:
        relay: as it is.
        port: where callers come.
        servers: behind it.
    """

    relay: Relay
    port: int
    servers: list[FakeServer]

    async def call(self, data: bytes = b"hello") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@asynccontextmanager
async def stage(monkeypatch: pytest.MonkeyPatch, *handlers: Handler, most: int = 100) -> AsyncIterator[Stage]:
    port, probe_port = free_ports(2)
    servers = [FakeServer(f"127.0.0.{number}", handler) for number, handler in enumerate(handlers, 2)]
    for server in servers:
        await server.start(port, probe_port)
    relay = Relay("servers", port, probe_port, most=most, interval=0.05)

    async def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        if not servers:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(2, 1, 6, "", (server.address, port)) for server in servers]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    await relay.look()
    monkeypatch.undo()
    listener = await asyncio.get_running_loop().create_server(relay.protocol, "127.0.0.1", 0)
    built = Stage(relay, listener.sockets[0].getsockname()[1], servers)
    try:
        yield built
    finally:
        listener.close()
        await relay.drain(0)
        for server in built.servers:
            for one in server.listeners:
                one.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports close in the loop's next rounds


async def look_again(built: Stage) -> None:
    """Asks the servers once more, without the resolver."""
    await asyncio.gather(*(built.relay._probe(server) for server in built.relay.servers.values()))


def test_connections_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch, echo, echo, echo) as built:
            for _ in range(30):
                assert await built.call() == b"hello"
            assert [server.served for server in built.servers] == [10, 10, 10]

    asyncio.run(run())


def test_kept_connections_count_when_the_next_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch, echo, echo) as built:
            kept = [await asyncio.open_connection("127.0.0.1", built.port) for _ in range(6)]
            for reader, writer in kept:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            assert [server.open for server in built.relay.servers.values()] == [3, 3]
            for _, writer in kept:
                writer.close()
            while built.relay.connections:
                await asyncio.sleep(0.01)
            assert [server.open for server in built.relay.servers.values()] == [0, 0]

    asyncio.run(run())


def test_large_bodies_pass_whole_both_ways_at_the_pace_of_the_slower_end(monkeypatch: pytest.MonkeyPatch) -> None:
    body = bytes(range(256)) * 65_536  # 16 MiB
    most_waiting = 0

    async def run() -> None:
        nonlocal most_waiting
        async with stage(monkeypatch, echo) as built:
            reader, writer = await asyncio.open_connection("127.0.0.1", built.port)

            async def send() -> None:
                writer.write(body)
                await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            received = bytearray()
            while chunk := await reader.read(1 << 18):
                received += chunk
                for caller in built.relay.connections:
                    most_waiting = max(most_waiting, caller.transport.get_write_buffer_size())
                await asyncio.sleep(0.002)
            await sending
            writer.close()
            assert received == body

    asyncio.run(run())
    assert most_waiting < 2 * 1024 * 1024


def test_an_answer_comes_after_the_caller_has_closed_its_half(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()
        await asyncio.sleep(0.05)
        writer.write(asked.upper())

    async def run() -> None:
        async with stage(monkeypatch, late) as built:
            assert await built.call(b"question") == b"QUESTION"

    asyncio.run(run())


def test_the_servers_end_reaches_the_caller_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async def run() -> None:
        async with stage(monkeypatch, bye) as built:
            reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
            assert await asyncio.wait_for(reader.read(), 1) == b"bye"
            writer.close()

    asyncio.run(run())


def test_a_reset_is_passed_on_as_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"half an ans")
        await writer.drain()
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def run() -> None:
        async with stage(monkeypatch, reset) as built:
            reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
            writer.write(b"?")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()

    asyncio.run(run())


def test_a_refused_connection_is_tried_on_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch, echo, echo) as built:
            await built.servers[0].stop_calls()  # the relay has not yet heard of it
            for _ in range(4):
                assert await built.call() == b"hello"
            assert built.servers[1].served == 4
            assert built.relay.servers[built.servers[0].address].state == "unready"

    asyncio.run(run())


def test_a_server_that_says_503_gets_no_new_connection_and_keeps_its_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch, echo, echo) as built:
            reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            draining = next(server for server in built.servers if server.served)
            draining.status = 503
            await look_again(built)
            for _ in range(4):
                assert await built.call() == b"hello"
            assert draining.served == 1
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"
            writer.close()

    asyncio.run(run())


def test_a_silent_server_is_used_only_where_no_other_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.5)

    async def run(patch: pytest.MonkeyPatch) -> None:
        async with stage(patch, echo, echo) as built:
            first, second = built.servers
            first.silent = True
            await look_again(built)
            await built.call()
            assert (first.served, second.served) == (0, 1)
            second.silent = True
            await look_again(built)
            await built.call()
            await built.call()
            assert (first.served, second.served) == (1, 2)

    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(run(patch))


@pytest.mark.parametrize("servers", [0, 1])
def test_without_a_ready_server_the_answer_is_503(monkeypatch: pytest.MonkeyPatch, servers: int) -> None:
    async def run() -> None:
        async with stage(monkeypatch, *[echo] * servers) as built:
            for server in built.servers:
                server.status = 503
            await look_again(built)
            answer = await built.call(b"POST / HTTP/1.1\r\n\r\n" + b"x" * 100_000)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After" in answer
            assert b"no server is ready" in answer
            assert not built.relay.connections

    asyncio.run(run())


def test_a_caller_that_has_gone_already_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch) as built:
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", built.port)
                writer.write(b"x")
                writer.transport.abort()
            await asyncio.sleep(0.1)
            assert not built.relay.connections
            assert await built.call()  # and the next is answered

    asyncio.run(run())


def test_what_comes_before_a_server_has_taken_the_connection_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch, echo) as built:
            connect = asyncio.get_running_loop().create_connection

            async def slowly(*arguments: Any, **options: Any) -> Any:
                await asyncio.sleep(0.1)
                return await connect(*arguments, **options)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(asyncio.get_running_loop(), "create_connection", slowly)
                reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
                body = b"early" * 100_000
                writer.write(body)
                assert await asyncio.wait_for(reader.readexactly(len(body)), 10) == body
            writer.close()

    asyncio.run(run())


def test_one_connection_too_many_is_refused_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stage(monkeypatch, echo, most=1) as built:
            reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            assert b"too many connections" in await built.call()
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"
            writer.close()

    asyncio.run(run())


def test_a_drain_ends_idle_connections_at_once_and_waits_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.1)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(100):
            await asyncio.sleep(0.6 if asked == b"slow" else 0)
            writer.write(b"done")

    async def run(patch: pytest.MonkeyPatch) -> None:
        async with stage(patch, slow) as built:
            idle_reader, idle = await asyncio.open_connection("127.0.0.1", built.port)
            idle.write(b"fast")
            assert await idle_reader.readexactly(4) == b"done"
            busy_reader, busy = await asyncio.open_connection("127.0.0.1", built.port)
            busy.write(b"slow")
            await asyncio.sleep(0.05)
            draining = asyncio.create_task(built.relay.drain(10))
            assert await asyncio.wait_for(idle_reader.read(), 0.4) == b""
            assert await asyncio.wait_for(busy_reader.readexactly(4), 5) == b"done"
            await asyncio.wait_for(draining, 5)
            idle.close()
            busy.close()

    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(run(patch))


def test_servers_that_leave_the_name_are_forgotten_and_new_ones_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        said: list[str] = []
        port, probe_port = free_ports(2)
        relay = Relay("servers", port, probe_port, say=said.append)
        names = ["127.0.0.2"]

        async def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
            if not names:
                raise socket.gaierror(socket.EAI_AGAIN, "the resolver is late")
            return [(2, 1, 6, "", (name, port)) for name in names]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        await relay.look()
        assert set(relay.servers) == {"127.0.0.2"}
        names[:] = ["127.0.0.3"]
        await relay.look()
        assert set(relay.servers) == {"127.0.0.3"}
        assert "127.0.0.2 is gone" in said
        names.clear()
        await relay.look()
        assert set(relay.servers) == {"127.0.0.3"}

    asyncio.run(run())


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_does_not_speak_http_is_said_so(answer: bytes) -> None:
    async def run() -> None:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            with pytest.raises(ValueError, match="does not speak HTTP"):
                await get("127.0.0.1", server.sockets[0].getsockname()[1], "/")
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_the_process_relays_tells_its_state_and_ends_well_on_sigterm() -> None:
    port, server_port, state_port = free_ports(3)
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(server_port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    command = [sys.executable, "-W", "error", "-m", "shipway.serving.relay"]
    options = ["--server-port", str(server_port), "--probe-port", str(server_port), "--ready", "/", "--host",
               "127.0.0.1", "--port", str(port), "--state-port", str(state_port)]  # fmt: skip
    relay = subprocess.Popen([*command, "serve", "127.0.0.1", *options], stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 20
        states = Counter[str]()
        while not states["ready"]:
            assert time.monotonic() < end
            asked = [*command, "get", f"http://127.0.0.1:{state_port}/", "http://127.0.0.1:1/"]
            state, nobody = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
            assert nobody["status"] == 0
            if state["status"] == 200:
                states = Counter(one["state"] for one in json.loads(state["body"])["servers"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert answer.status == 200
        relay.send_signal(signal.SIGTERM)
        _, said = relay.communicate(timeout=20)
        assert relay.returncode == 0, said
        assert "127.0.0.1 is ready" in said
    finally:
        for process in (relay, server):
            process.kill()
            process.wait()


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names
    loads = "import sys, shipway.serving.relay; sys.exit(not {'numpy', 'uvicorn', 'msgspec'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", loads], check=False).returncode == 0
