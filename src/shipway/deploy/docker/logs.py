"""The logs of several containers as one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

from shipway.deploy.docker.containers import Container
from shipway.deploy.target import LogLine
from shipway.oci.engine import Engine

__all__ = ["followed", "read"]

_LOOK_SECONDS = 1.0


def read(engine: Engine, servers: tuple[Container, ...], tail: int) -> Iterator[LogLine]:
    """Gives the last lines of each server, merged by time."""
    lines: list[LogLine] = []
    for one in servers:
        with engine.lines(_command(engine, one, tail, follow=False)) as stream:
            lines += [_line(one, text) for text in stream]
    yield from sorted(lines, key=lambda line: line.time)


def followed(engine: Engine, servers: Callable[[], tuple[Container, ...]], tail: int) -> Iterator[LogLine]:
    """Gives the last lines of each server, then each line as it is written, of servers to come as well.

    Ends when no server is left.

    Args:
        engine: whose.
        servers: gives those that are there now.
        tail: how many lines of each to begin with.
    """
    lines: queue.Queue[LogLine] = queue.Queue()
    known: set[str] = set()
    with ExitStack() as streams:
        while now := servers():
            for one in now:
                if one.id not in known and one.status != "created":
                    known.add(one.id)
                    stream = streams.enter_context(engine.lines(_command(engine, one, tail, follow=True)))
                    threading.Thread(target=_pour, args=(one, stream, lines), daemon=True).start()
            end = time.monotonic() + _LOOK_SECONDS
            while (left := end - time.monotonic()) > 0:
                try:
                    yield lines.get(timeout=left)
                except queue.Empty:
                    break
        while not lines.empty():
            yield lines.get()


def _pour(server: Container, stream: Iterator[str], lines: queue.Queue[LogLine]) -> None:
    with suppress(ValueError):  # the stream was closed: nobody listens any more
        for text in stream:
            lines.put(_line(server, text))


def _command(engine: Engine, server: Container, tail: int, *, follow: bool) -> list[str]:
    options = ["--follow"] if follow else []
    return [engine.tool, "logs", "--timestamps", "--tail", str(tail), *options, server.id]


def _line(server: Container, text: str) -> LogLine:
    stamp, _, rest = text.rstrip("\r\n").partition(" ")
    return LogLine(server.name, rest, stamp)
