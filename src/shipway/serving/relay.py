"""What stands before the servers of one release on Docker, as a Service does on Kubernetes.

`python -m shipway.serving.relay serve HOST` listens, and forwards each connection to one of the servers that the name
HOST stands for: on a network of Docker or Podman that is one alias, shared by all of them. About every second it asks
each whether it is ready, and new connections go only to those that are, spread evenly. So no call is lost when servers
are replaced: one that is told to stop says so first, goes on answering for its drain time and lets its callers connect
anew, and by then the relay sends them elsewhere.

It forwards bytes and knows no request: TLS, HTTP/2 and whatever comes later pass as they are. It runs in a container of
the servers' own image, so it imports nothing but the standard library and costs 20 MB.

`python -m shipway.serving.relay get URL…` asks what has no port outside: the relay's own state, a server's metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, cast

__all__ = ["STATE_PORT", "Relay", "Server", "get", "main"]

STATE_PORT = 8001
"""Where the relay tells its state, on its own loopback only."""

State = Literal["ready", "silent", "unready"]

_CONNECT_SECONDS = 2.0
_PROBE_SECONDS = 2.0
_HALF_OPEN_SECONDS = 60.0
_QUIET_SECONDS = 1.0
# Connections taken in one round of the loop too: more of them would keep it from its probes under great load.
_BACKLOG = 128
_LARGEST_ANSWER = 8 * 1024 * 1024
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_NOBODY = b'{"error":{"code":"unavailable","message":"no server is ready"}}'
_FULL = b'{"error":{"code":"unavailable","message":"too many connections are open"}}'


@dataclass(slots=True)
class Server:
    """One server, as the relay knows it.

    Attributes:
        address: of it on the network.
        state: `ready`: gets connections. `silent`: was ready and does not say anything now, as one under great load;
            gets connections where no other is ready. `unready`: said so, or refused.
        open: how many connections it has from here.
        last: when it was last chosen, as a count of choices.
    """

    address: str
    state: State = "unready"
    open: int = 0
    last: int = 0


@dataclass(slots=True)
class Relay:
    """Knows the servers, chooses one for each connection, and carries its bytes.

    Attributes:
        host: the name that stands for all servers.
        port: of the servers, for calls.
        probe_port: of the servers, for readiness.
        ready_path: what answers 200 there where calls may come.
        most: how many connections may be open at once.
        interval: seconds between two looks at the servers.
        say: told what changes, a line each time.
        servers: those that it knows, by address.
        draining: whether it was told to end.
        connections: those that are open.
    """

    host: str
    port: int = 8000
    probe_port: int = 8002
    ready_path: str = "/readyz"
    most: int = 4096
    interval: float = 1.0
    say: Callable[[str], None] = lambda _: None
    servers: dict[str, Server] = field(default_factory=dict)
    draining: bool = False
    connections: set[_Caller] = field(default_factory=set)
    _chosen: int = 0

    def choose(self, refused: Sequence[str] = ()) -> Server | None:
        """Gives the server for a new connection: the one with the fewest, and of those the one that waited longest."""
        for state in ("ready", "silent"):
            able = [one for one in self.servers.values() if one.state == state and one.address not in refused]
            if able:
                self._chosen += 1
                best = min(able, key=lambda one: (one.open, one.last))
                best.last = self._chosen
                return best
        return None

    async def watch(self) -> None:
        """Looks at the servers again and again, until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self.interval)

    async def look(self) -> None:
        """Finds the servers and asks each whether it is ready."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            addresses = {str(entry[4][0]) for entry in found}
        except OSError:  # no server runs, or the resolver is late: those that are known are asked all the same
            addresses = set(self.servers)
        for address in addresses - set(self.servers):
            self.servers[address] = Server(address)
        for address in set(self.servers) - addresses:
            self.say(f"{address} is gone")
            del self.servers[address]
        await asyncio.gather(*(self._probe(server) for server in self.servers.values()))

    async def _probe(self, server: Server) -> None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                status, _ = await get(server.address, self.probe_port, self.ready_path)
            state: State = "ready" if status == 200 else "unready"
        except TimeoutError:
            state = "unready" if server.state == "unready" else "silent"
        except (OSError, ValueError):
            state = "unready"
        self.mark(server, state)

    def mark(self, server: Server, state: State) -> None:
        """Notes how a server is."""
        if server.state != state:
            server.state = state
            self.say(f"{server.address} is {state}")

    def protocol(self) -> asyncio.Protocol:
        """Gives the protocol for one caller's connection."""
        return _Caller(self)

    def state(self) -> bytes:
        """Gives all that it knows, as JSON."""
        servers = [{"address": one.address, "state": one.state, "open": one.open} for one in self.servers.values()]
        return json.dumps({"servers": servers, "open": len(self.connections), "draining": self.draining}).encode()

    def is_full(self) -> bool:
        """Whether no more connections may be opened."""
        return len(self.connections) >= self.most

    async def drain(self, seconds: float) -> None:
        """Lets the connections end: an idle one at once, any other when it is idle or has had `seconds`."""
        self.draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.connections:
            for caller in tuple(self.connections):
                if loop.time() >= end or caller.is_idle(loop.time()):
                    caller.end()
            await asyncio.sleep(0.05)


class _End(asyncio.Protocol):
    """One end of a connection: what comes in goes out at the other, no faster than the other takes it."""

    transport: asyncio.Transport
    other: _End | None = None
    heard = 0.0  # when bytes last came in here
    ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.heard = asyncio.get_running_loop().time()
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Passes the end on; the other direction goes on for a while, for an answer may still come."""
        self.ended = True
        if self.other is None:
            return False
        if self.other.ended:  # both directions have
            self.other.transport.close()
            return False
        if not self.other.transport.is_closing():
            with suppress(OSError):  # it has gone already: its own loss is on its way
                self.other.transport.write_eof()
            asyncio.get_running_loop().call_later(_HALF_OPEN_SECONDS, self._close_if_quiet)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            if error is not None:
                # A reset is passed on as a reset: a caller must not take half an answer for a whole one.
                reset = struct.pack("ii", 1, 0)
                self.other.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                self.other.transport.abort()
            self.other.transport.close()

    def _close_if_quiet(self) -> None:
        """Closes a connection that is closed on this side, once nothing has come from the other for a while."""
        loop = asyncio.get_running_loop()
        if self.other is None or self.transport.is_closing():
            return
        quiet = loop.time() - self.other.heard
        if quiet >= _HALF_OPEN_SECONDS:
            self.transport.abort()
        else:
            loop.call_later(_HALF_OPEN_SECONDS - quiet, self._close_if_quiet)


class _Caller(_End):
    """The caller's end. What it says before a server has taken the connection is kept, and no more is read then."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._early = b""
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._relay.is_full():
            self._refuse(_FULL)
            return
        self._relay.connections.add(self)
        self._task = asyncio.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if self.other is None and not self._refused:
            # Not paused when it was made: asyncio before 3.11.3 begins to read all the same.
            self._early += data
            self.transport.pause_reading()
        super().data_received(data)

    def take(self, server: _ServerEnd) -> None:
        """Goes on with the server that has taken the connection."""
        self.other = server
        if self._early:
            super().data_received(self._early)
            self._early = b""
        self.transport.resume_reading()

    async def _connect(self) -> None:
        relay, refused = self._relay, list[str]()
        while not self.transport.is_closing():
            server = relay.choose(refused)
            if server is None:
                relay.connections.discard(self)
                self._refuse(_NOBODY)
                return
            server.open += 1
            self._server = server
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await asyncio.get_running_loop().create_connection(
                        lambda: _ServerEnd(self), server.address, relay.port
                    )
            except OSError as error:
                self._leave()
                refused.append(server.address)
                relay.mark(server, "silent" if isinstance(error, TimeoutError) else "unready")
            else:
                return

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.connections.discard(self)
        self._leave()
        super().connection_lost(error)
        self.other = None

    def is_idle(self, now: float) -> bool:
        """Whether the last word was the server's, and that a while ago: no answer is owed."""
        server = self.other
        return server is not None and server.heard > self.heard and now - server.heard > _QUIET_SECONDS

    def _leave(self) -> None:
        if self._server is not None:
            self._server.open -= 1
            self._server = None

    def end(self) -> None:
        """Closes the connection."""
        self.transport.close()

    def _refuse(self, body: bytes) -> None:
        """Says at once that nobody answers; what the caller sends is read and dropped, or it would see a reset."""
        self._refused = True
        if self.transport.is_closing():
            return
        self.transport.write(_UNAVAILABLE % (len(body), body))
        self.transport.resume_reading()
        with suppress(OSError):  # the caller has gone already
            self.transport.write_eof()
        asyncio.get_running_loop().call_later(_CONNECT_SECONDS, self.transport.abort)


class _ServerEnd(_End):
    """The server's end."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._caller.transport.is_closing():
            self.transport.abort()
            return
        self.heard = asyncio.get_running_loop().time()
        self.other = self._caller
        self._caller.take(self)


async def get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Asks by HTTP/1.0; gives the status and the body.

    Raises:
        OSError: nobody answers.
        ValueError: what answers does not speak HTTP, or says too much.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = bytearray()
        while chunk := await reader.read(1 << 16):
            answer += chunk
            if len(answer) > _LARGEST_ANSWER:
                raise ValueError(f"{host}:{port}{path} says more than {_LARGEST_ANSWER} bytes")
    finally:
        writer.close()
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ValueError(f"{host}:{port} does not speak HTTP")
    return int(words[1]), body


async def _tell_state(relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
            body = relay.state()
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def _serve(relay: Relay, host: str, port: int, state_port: int, drain_seconds: float) -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(asked.set))
    await relay.look()
    watching = asyncio.create_task(relay.watch())
    telling = await asyncio.start_server(
        lambda reader, writer: _tell_state(relay, reader, writer), "127.0.0.1", state_port
    )
    listening = await loop.create_server(relay.protocol, host, port, backlog=_BACKLOG)
    relay.say(f"relaying port {port} to {relay.host}:{relay.port}")
    stopped = asyncio.create_task(asked.wait())
    await asyncio.wait({stopped, watching}, return_when=asyncio.FIRST_COMPLETED)
    listening.close()
    await relay.drain(drain_seconds)
    telling.close()
    if watching.done():
        watching.result()
    # A look-up of the name that hangs in its thread would hold an orderly exit for minutes.
    os._exit(0)


async def _get_all(urls: Sequence[str]) -> list[dict[str, object]]:
    async def ask(url: str) -> dict[str, object]:
        try:
            where, _, path = url.removeprefix("http://").partition("/")
            host, _, port = where.rpartition(":")
            async with asyncio.timeout(_PROBE_SECONDS):
                status, body = await get(host.strip("[]"), int(port), f"/{path}")
        except (OSError, ValueError) as error:
            return {"url": url, "status": 0, "body": str(error)}
        return {"url": url, "status": status, "body": body.decode(errors="replace")}

    return await asyncio.gather(*(ask(url) for url in urls))


def main(arguments: Sequence[str]) -> int:
    """Relays until a signal ends it, or asks once; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shipway.serving.relay", description="Stands before servers.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="relay until a signal")
    serve.add_argument("servers", metavar="HOST", help="name that stands for all servers")
    serve.add_argument("--server-port", type=int, default=8000)
    serve.add_argument("--probe-port", type=int, default=8002)
    serve.add_argument("--ready", default="/readyz")
    serve.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a container's network is its own
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--state-port", type=int, default=STATE_PORT)
    serve.add_argument("--most", type=int, default=4096, help="connections at once")
    serve.add_argument("--drain-seconds", type=float, default=30)
    ask = verbs.add_parser("get", help="print what URLs answer, as JSON")
    ask.add_argument("urls", metavar="URL", nargs="+")
    given = parser.parse_args(arguments)
    if given.verb == "get":
        sys.stdout.write(json.dumps(asyncio.run(_get_all(given.urls))) + "\n")
        return 0
    relay = Relay(given.servers, given.server_port, given.probe_port, given.ready, given.most, say=_say)
    try:
        asyncio.run(_serve(relay, given.host, given.port, given.state_port, given.drain_seconds))
    except OSError as error:
        _say(f"error: cannot listen on {given.host}:{given.port}: {error.strerror or error}")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
