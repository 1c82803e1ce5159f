"""A load generator: calls come at a given rate whatever becomes of them, half on kept connections, and each is checked.

Nothing is tried again: a call that fails is counted. `asking` calls by `shipway.AsyncClient`, which does try again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from shipway.client.client import AsyncClient
from shipway.errors import ShipwayError

__all__ = ["Expected", "Report", "asking", "during", "run"]

_CLIENT_SECONDS = 5.0
_IDLE_SECONDS = 4.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Expected: TypeAlias = float | Sequence[float] | Mapping[str, float]
"""The answer; or those of each version that may give one; or that of each bundle, which the answer then has to name."""


@dataclass(slots=True)
class Report:
    """What came of the calls.

    Attributes:
        sent: how many were made.
        failed: got no answer with 200.
        wrong: got another answer than one of the expected, or than that of the bundle which it names.
        reasons: why those that failed did, with how often.
        answers: how often each expected answer came, by its place.
        failed_at: when those that failed were made, in seconds since the epoch.
    """

    sent: int = 0
    failed: int = 0
    wrong: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    failed_at: list[float] = field(default_factory=list)


async def run(address: str, seconds: float, rate: float, row: Sequence[float], expected: Expected) -> Report:
    """Posts `row` to `address` (`host:port` or an http URL) for a while; every second call keeps its connection.

    Args:
        address: where the server is.
        seconds: how long.
        rate: calls a second; the next is sent whether or not the last was answered.
        row: the model's input.
        expected: what is right.
    """
    async with during(address, rate, row, expected) as report:
        await asyncio.sleep(seconds)
    return report


@asynccontextmanager
async def during(address: str, rate: float, row: Sequence[float], expected: Expected) -> AsyncIterator[Report]:
    """Calls as `run` does for as long as the block takes; the report is whole when the block has ended."""
    host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    load = _Load(host.strip("[]"), int(port or 80), json.dumps([list(row)]).encode(), expected)
    async with _sending(load, rate) as report:
        yield report


@asynccontextmanager
async def asking(address: str, rate: float, row: Sequence[float], expected: Sequence[float]) -> AsyncIterator[Report]:
    """Calls as `during` does, through one `shipway.AsyncClient`."""
    client = AsyncClient(f"http://{address}", timeout=_CLIENT_SECONDS)
    async with client, _sending(_Asking(client, row, expected), rate) as report:
        yield report


@asynccontextmanager
async def _sending(load: _Load, rate: float) -> AsyncIterator[Report]:
    sending = asyncio.create_task(load.send(rate))
    try:
        yield load.report
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await load.finish()


class _Load:
    seconds = 20.0

    def __init__(self, host: str, port: int, body: bytes, expected: Expected) -> None:
        self.report = Report()
        self._where = (host, port)
        self._body = body
        self._bundles = tuple(expected) if isinstance(expected, Mapping) else ()
        if isinstance(expected, Mapping):
            self._right = tuple(expected.values())
        else:
            self._right = (expected,) if isinstance(expected, int | float) else tuple(expected)
        self._kept: list[tuple[float, Connection]] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def send(self, rate: float) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while True:
            await asyncio.sleep(max(0.0, begin + self.report.sent / rate - loop.time()))
            self.report.sent += 1
            task = asyncio.create_task(self._call(keep=self.report.sent % 2 == 0))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def finish(self) -> None:
        await asyncio.gather(*self._calls)
        for _, (_, writer) in self._kept:
            writer.close()
        await asyncio.sleep(0.05)

    async def _call(self, *, keep: bool) -> None:
        begin = time.time()
        try:
            async with asyncio.timeout(self.seconds):
                status, bundle, answer = await self._ask(keep=keep)
        except (OSError, EOFError, ValueError) as error:
            self._fail(begin, f"{type(error).__name__}: {error}"[:120])
            return
        if status != 200:
            self._fail(begin, f"{status} {answer[:80]!r}")
            return
        value = json.loads(answer)["prediction"]
        place = self._place(bundle, value[0] if isinstance(value, list) else value)
        if place is None:
            self.report.wrong += 1
        else:
            self.report.answers[place] += 1

    def _fail(self, begin: float, reason: str) -> None:
        self.report.failed += 1
        self.report.failed_at.append(begin)
        self.report.reasons[reason] += 1

    def _place(self, bundle: str, value: float) -> int | None:
        for place, right in enumerate(self._right):
            is_meant = not self._bundles or self._bundles[place] == bundle
            if is_meant and abs(value - right) <= 1e-9 * abs(right):
                return place
        return None

    async def _ask(self, *, keep: bool) -> tuple[int, str, bytes]:
        """Gives the status, the bundle that the answer names, and the answer."""
        reader, writer = await self._connection(keep=keep)
        try:
            how = b"" if keep else b"Connection: close\r\n"
            writer.write(
                b"POST / HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
                % (how, len(self._body), self._body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower().decode("latin-1")
            answer = await reader.readexactly(int(_header(head, "content-length")))
        except BaseException:
            writer.close()
            raise
        if keep and _header(head, "connection") != "close":
            self._kept.append((asyncio.get_running_loop().time(), (reader, writer)))
        else:
            writer.close()
        return int(head.split(" ", 2)[1]), _header(head, "shipway-bundle"), answer

    async def _connection(self, *, keep: bool) -> Connection:
        """Gives a kept connection that has not ended and was used just now, as good clients do, else a new one."""
        now = asyncio.get_running_loop().time()
        while keep and self._kept:
            used, (reader, writer) = self._kept.pop(0)
            if not reader.at_eof() and now - used < _IDLE_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self._where)


class _Asking(_Load):
    seconds = 4 * (_CLIENT_SECONDS + 3)

    def __init__(self, client: AsyncClient, row: Sequence[float], expected: Sequence[float]) -> None:
        super().__init__("", 0, b"", expected)
        self._client = client
        self._row = list(row)

    async def _ask(self, *, keep: bool) -> tuple[int, str, bytes]:
        try:
            answer = await self._client.predict([self._row])
        except ShipwayError as error:
            raise ValueError(error.message) from error
        return 200, "", json.dumps({"prediction": answer.tolist()}).encode()


def _header(head: str, name: str) -> str:
    return head.partition(f"\r\n{name}:")[2].partition("\r\n")[0].strip()
