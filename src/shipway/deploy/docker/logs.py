"""The logs of several containers as one."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress

from shipway.deploy.docker.containers import Container
from shipway.deploy.target import LogLine
from shipway.oci.engine import Engine

__all__ = ["MOST_CHARACTERS", "WAITING", "followed", "read"]

MOST_CHARACTERS = 16 * 1024 * 1024
"""What is held of each server's log, the newest, until all are merged by time."""

WAITING = 1000
"""Lines that wait for a slow reader, before the engine waits too."""

_LOOK_SECONDS = 1.0


def read(engine: Engine, servers: Iterable[Container], tail: int) -> Iterator[LogLine]:
    """Gives the last lines of each server, merged by time."""
    lines: list[LogLine] = []
    for one in servers:
        with engine.lines(_command(engine, one, "--tail", str(tail))) as stream:
            lines += _newest(_line(one, text) for text in stream)
    yield from sorted(lines, key=lambda line: line.time)


def followed(engine: Engine, servers: Callable[[], tuple[Container, ...]], tail: int) -> Iterator[LogLine]:
    """Gives the last lines of each server, then each line as it is written, of servers to come as well.

    Ends when no server is left.

    Args:
        engine: whose.
        servers: gives those that are there now.
        tail: how many lines of each to begin with.
    """
    following = _Following(engine, tail)
    try:
        while now := servers():
            for one in now:
                following.join(one)
            yield from following.take(_LOOK_SECONDS)
        while following.goes_on:
            yield from following.take(_LOOK_SECONDS / 10)
    finally:
        following.end()


class _Following:
    """Reads the logs of servers in threads that feed one queue; where that is full, they wait, and so do the engines.

    Args:
        engine: whose.
        tail: how many lines of each to begin with.
    """

    def __init__(self, engine: Engine, tail: int) -> None:
        self._engine, self._tail = engine, tail
        self._lines: queue.Queue[LogLine] = queue.Queue(WAITING)
        self._ended = threading.Event()
        self._streams: dict[str, tuple[threading.Thread, ExitStack]] = {}
        self._seen: dict[str, str] = {}

    def join(self, server: Container) -> None:
        """Reads a server's log, if it is not read already: where it crashed and runs anew, from there on."""
        thread, stack = self._streams.get(server.id, (None, ExitStack()))
        seen = self._seen.get(server.id, "")
        if thread is None and server.status == "created":
            return
        if thread is not None and (thread.is_alive() or server.status != "running" or not seen):
            return
        stack.close()
        begin = ("--since", seen) if seen else ("--tail", str(self._tail))
        stream = stack.enter_context(self._engine.lines(_command(self._engine, server, "--follow", *begin)))
        thread = threading.Thread(target=self._pour, args=(server, stream, seen), daemon=True)
        self._streams[server.id] = (thread, stack)
        thread.start()

    def take(self, seconds: float) -> Iterator[LogLine]:
        """Gives what comes within so many seconds."""
        end = time.monotonic() + seconds
        with suppress(queue.Empty):
            while (left := end - time.monotonic()) > 0:
                yield self._lines.get(timeout=left)

    @property
    def goes_on(self) -> bool:
        """Whether there is, or will be, more to take."""
        return not self._lines.empty() or any(thread.is_alive() for thread, _ in self._streams.values())

    def end(self) -> None:
        """Ends the streams, and with them the threads."""
        self._ended.set()
        for _, stack in self._streams.values():
            stack.close()

    def _pour(self, server: Container, stream: Iterator[str], seen: str) -> None:
        with suppress(ValueError):  # the stream was closed: nobody listens any more
            for text in stream:
                line = _line(server, text)
                if line.time and line.time <= seen:
                    continue  # an engine's `--since` gives the last line once more
                self._seen[server.id] = line.time or self._seen.get(server.id, "")
                while not self._ended.is_set():
                    with suppress(queue.Full):
                        self._lines.put(line, timeout=_LOOK_SECONDS)
                        break


def _newest(lines: Iterable[LogLine]) -> Iterable[LogLine]:
    """Keeps the newest lines, as many as may be held."""
    kept: deque[LogLine] = deque()
    held = 0
    for line in lines:
        kept.append(line)
        held += len(line.text)
        while held > MOST_CHARACTERS:
            held -= len(kept.popleft().text)
    return kept


def _command(engine: Engine, server: Container, *options: str) -> list[str]:
    return [engine.tool, "logs", "--timestamps", *options, server.id]


def _line(server: Container, text: str) -> LogLine:
    """Reads a line that begins with its time; what the engine itself has to say does not."""
    words = text.rstrip("\r\n")
    stamp, _, rest = words.partition(" ")
    return LogLine(server.name, rest, stamp) if stamp[:4].isdecimal() and "T" in stamp else LogLine(server.name, words)
