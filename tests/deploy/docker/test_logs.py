"""Logs of several containers as one: bounded, and read on where a server crashes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from shipway.deploy.docker import logs
from shipway.deploy.docker.containers import Container
from shipway.oci.engine import Engine, Program

SERVER = Container("id1", "churn.1.1", "churn", "server", {}, "image", "running")


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LOOK_SECONDS", 0.05)


def stamped(number: int, text: str = "x") -> str:
    return f"2026-01-01T00:00:00.{number:09d}Z {text}\n"


@dataclass
class Writer:
    """An engine whose containers write.

    Attributes:
        streams: what each `logs` gives, one after the other.
        given: how many lines were taken from it.
        commands: each.
        open: how many of them have not ended.
    """

    streams: Iterator[Iterator[str]]
    given: int = 0
    commands: list[Sequence[str]] = field(default_factory=list)
    open: int = 0

    @property
    def engine(self) -> Engine:
        return Engine("docker", cast("Program", None), self.lines)

    @contextmanager
    def lines(self, command: Sequence[str]) -> Iterator[Iterator[str]]:
        self.commands.append(command)
        self.open += 1
        try:
            yield self._counted(next(self.streams))
        finally:
            self.open -= 1

    def _counted(self, stream: Iterator[str]) -> Iterator[str]:
        for line in stream:
            self.given += 1
            yield line


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_slow_reader_makes_the_engine_wait() -> None:
    writer = Writer(iter([(stamped(number) for number in itertools.count())]))
    followed = logs.followed(writer.engine, lambda: (SERVER,), 1)
    next(followed)
    until(lambda: writer.given >= logs.WAITING)
    time.sleep(0.1)
    assert writer.given <= logs.WAITING + 3  # taken, and in the hand of the thread
    followed.close()  # type: ignore[attr-defined]
    assert writer.open == 0


def test_no_line_is_lost_when_the_last_server_goes() -> None:
    writer = Writer(iter([(stamped(number) for number in range(3 * logs.WAITING))]))
    there = iter([(SERVER,)])
    assert len(list(logs.followed(writer.engine, lambda: next(there, ()), 1))) == 3 * logs.WAITING


def test_a_server_that_crashed_is_read_on_from_where_it_was() -> None:
    writer = Writer(iter([iter([stamped(1, "a"), stamped(2, "b")]), iter([stamped(2, "b"), stamped(3, "c")])]))
    there = iter([(SERVER,), (replace(SERVER, status="restarting"),), (SERVER,)])
    lines = list(logs.followed(writer.engine, lambda: next(there, ()), 5))
    assert [line.text for line in lines] == ["a", "b", "c"]
    assert [command[3:] for command in writer.commands] == [
        ["--follow", "--tail", "5", "id1"],
        ["--follow", "--since", "2026-01-01T00:00:00.000000002Z", "id1"],
    ]
    assert writer.open == 0


def test_an_engine_that_cannot_tell_the_log_says_so_once() -> None:
    writer = Writer(iter([iter(["Error: the log cannot be read\n"])]))
    there = iter([(SERVER,), (SERVER,), (SERVER,)])
    assert len(list(logs.followed(writer.engine, lambda: next(there, ()), 5))) == 1


def test_lines_of_one_moment_are_all_given() -> None:
    writer = Writer(iter([iter([stamped(1, "a"), stamped(1, "b")])]))
    there = iter([(SERVER,)])
    assert [line.text for line in logs.followed(writer.engine, lambda: next(there, ()), 5)] == ["a", "b"]


def test_of_too_long_a_log_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_CHARACTERS", 100)
    writer = Writer(iter([(stamped(number, "x" * 10) for number in range(50))]))
    lines = list(logs.read(writer.engine, (SERVER,), 50))
    assert [line.time for line in lines] == [stamped(number).split()[0] for number in range(40, 50)]


def test_what_the_engine_itself_says_has_no_time() -> None:
    writer = Writer(iter([iter(["Error response from daemon: gone\n"])]))
    (line,) = logs.read(writer.engine, (SERVER,), 1)
    assert (line.text, line.time) == ("Error response from daemon: gone", "")
