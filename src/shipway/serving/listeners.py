"""The sockets on which a server listens: opened here, or inherited from a supervisor."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence

from shipway.errors import MachineError, PortInUse, UsageError
from shipway.spec.settings import Server

__all__ = ["address_of", "bind", "bind_all", "inherit"]


def bind(host: str, port: int, *, fix: str = "") -> socket.socket:
    """Opens a listening socket; port 0 takes a free one.

    Args:
        host: address of this machine.
        port: on it.
        fix: what to do where it cannot be had; by default, the flag that sets another.

    Raises:
        PortInUse: another process listens there.
        MachineError: the address is not this machine's, or the port is not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; with it on, an answer whose head
    # and body are written apart waits 40 ms for the other end's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":  # on Windows this option would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"port {port} is in use on {host}", fix=fix or "--port 0 takes a free one") from error
        raise MachineError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", fix=fix or "--host 127.0.0.1 --port 8000"
        ) from error
    return listener


def bind_all(settings: Server) -> Iterator[socket.socket]:
    """Opens the socket for callers, then that for the platform where one is wanted."""
    if settings.metrics_port and settings.metrics_port == settings.port:
        raise UsageError(f"server.port and server.metrics_port are both {settings.port}", fix="give each its own")
    yield bind(settings.host, settings.port)
    if settings.metrics_port:
        yield bind(settings.host, settings.metrics_port, fix="set server.metrics_port to a free port, or to 0 for none")


def inherit(numbers: Sequence[int]) -> list[socket.socket]:
    """Gives the listening sockets that this process was started with, by their file descriptors."""
    found = []
    for number in numbers:
        probe = socket.socket(fileno=number)
        # By name, as in `bind`: not every system tells the protocol of a descriptor.
        found.append(socket.socket(probe.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, probe.detach()))
        found[-1].set_inheritable(False)  # what the app starts has no part in it
    return found


def address_of(listener: socket.socket) -> str:
    """Gives the address that callers use."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
