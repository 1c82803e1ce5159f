"""The access log: one record a request, as a line of text for people or of JSON for machines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Literal, TextIO

import msgspec

from shipway.monitor.access import AccessRecord
from shipway.spec.paths import OPERATIONS, V2_LIVE, V2_READY

__all__ = ["AccessLog", "choose_log", "json_lines", "no_log", "text_lines", "without_probes"]


AccessLog = Callable[[AccessRecord], None]

_PROBED = frozenset((*OPERATIONS, V2_LIVE, V2_READY))


class _Lines:
    """Writes lines to a stream, those of one turn of the event loop at once.

    A write is a system call, and a busy server answers many requests a turn. A stream that cannot be written to, as its
    disk is full or its reader gone, ends nobody's request.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        text = "".join(self._lines)
        self._lines.clear()
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def text_lines(stream: TextIO) -> AccessLog:
    """Gives a log that writes lines for people."""
    lines = _Lines(stream)

    def write(record: AccessRecord) -> None:
        asked = f" {record.model}:{record.version} {record.method} rows={record.rows}" if record.model else ""
        error = f" {record.error}" if record.error else ""
        path = record.path.encode("unicode_escape").decode("ascii")
        lines.add(
            f"{time.strftime('%H:%M:%S')} {record.client or '-'} {record.http_method} {path} {record.status}"
            f" {record.seconds * 1000:.1f}ms{asked}{error} id={record.id}\n"
        )

    return write


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record as JSON, its members in the order in which one reads them."""

    time: str
    client: str
    http_method: str
    path: str
    status: int
    seconds: float
    request_id: str
    model: str = ""
    version: str = ""
    method: str = ""
    rows: int = 0
    error: str = ""


def json_lines(stream: TextIO) -> AccessLog:
    """Gives a log that writes JSON lines; times are UTC."""
    encode = msgspec.json.Encoder().encode
    lines, clock = _Lines(stream), _Clock()

    def write(record: AccessRecord) -> None:
        line = _Line(
            clock.text(),
            record.client,
            record.http_method,
            record.path,
            record.status,
            round(record.seconds, 6),
            record.id,
            record.model,
            record.version,
            record.method,
            record.rows,
            record.error,
        )
        lines.add(encode(line).decode() + "\n")

    return write


class _Clock:
    """Tells the time in UTC; makes its text anew only once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def text(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return self._text


def choose_log(kind: Literal["auto", "text", "json", "off"], stream: TextIO) -> AccessLog:
    """Gives the log that the setting `server.log` asks for; `auto` is text on a terminal and JSON otherwise."""
    if kind == "off":
        return no_log
    as_text = kind == "text" or (kind == "auto" and stream.isatty())
    return without_probes((text_lines if as_text else json_lines)(stream))


def without_probes(log: AccessLog) -> AccessLog:
    """Gives a log without the answers to those who only look whether the server is well.

    A platform asks several times a second, and would drown what callers ask. Where an app answers such a path itself,
    its answers are told.
    """

    def write(record: AccessRecord) -> None:
        if record.path not in _PROBED or record.model or record.status not in (200, 503):
            log(record)

    return write


def no_log(record: AccessRecord) -> None:
    """A log that writes nothing."""
