"""A roll-out as it goes: a few lines that renew themselves on a terminal, a line a change otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from shipway.cli.output import Output, count

if TYPE_CHECKING:
    from shipway.deploy.target import Instance, Plan, Progress

__all__ = ["Live", "summary", "watched"]

_MOST_INSTANCES = 12
_CLEAR_LINE, _UP = "\x1b[2K", "\x1b[1A"


class Live:
    """What a target tells its progress to. This one shows nothing."""

    def __call__(self, progress: Progress) -> None:
        """Shows how far it is."""

    def settle(self) -> None:
        """Leaves what is shown where it is: what is said now stands below it, and is not drawn over."""


@contextmanager
def watched(out: Output, plan: Plan) -> Iterator[Live]:
    """Gives what a target tells its progress to, while its block runs; what was shown last stays on the screen."""
    if out.quiet:
        yield Live()
    elif sys.stderr.isatty():
        yield _Picture(out, plan.name)
    else:
        yield _Lines(out, plan.name)


class _Lines(Live):
    def __init__(self, out: Output, name: str) -> None:
        self._out, self._name = out, name
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        line = f"{self._name}: {summary(progress)}"
        if progress.cause:
            line += f"; {progress.cause.what}"
        if line != self._last:
            self._out.say(line)
            self._last = line


class _Picture(Live):
    def __init__(self, out: Output, name: str) -> None:
        self._out, self._name = out, name
        self._shown = 0
        self._start = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        lines = self._draw(progress)
        back = f"\r{_CLEAR_LINE}" + f"{_UP}{_CLEAR_LINE}" * self._shown
        sys.stderr.write(back + "".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
        self._shown = len(lines)

    def settle(self) -> None:
        self._shown = 0

    def _draw(self, progress: Progress) -> list[str]:
        out = self._out
        bar = _bar(progress.ready, progress.wanted)
        seconds = time.monotonic() - self._start
        lines = [f"{out.style(self._name, 'bold')}  {bar}  {summary(progress)}  {out.style(f'{seconds:.0f} s', 'dim')}"]
        shown = progress.instances[:_MOST_INSTANCES]
        width = max((len(one.name) for one in shown), default=0)
        lines += [f"  {self._dot(one)} {one.name:<{width}}  {_words(one)}" for one in shown]
        if len(progress.instances) > len(shown):
            lines.append(f"  and {len(progress.instances) - len(shown)} more")
        if progress.cause:
            lines.append(f"  {out.style('!', 'red' if progress.cause.final else 'yellow')} {progress.cause.what}")
        limit = _terminal_width()
        # A line that the terminal breaks in two would be cleared by half; one that is cut goes without its colours.
        return [line if len(text := click.unstyle(line)) < limit else text[: limit - 1] for line in lines]

    def _dot(self, one: Instance) -> str:
        return self._out.style("●", "green") if one.ready else self._out.style("○", "yellow")


def summary(progress: Progress) -> str:
    """Gives `2 of 3 ready, 1 old one left`; where none shall be left, `2 servers left to end`."""
    if progress.old and not progress.wanted:
        return f"{count(progress.old, 'server')} left to end"
    words = f"{progress.ready} of {progress.wanted} ready"
    return f"{words}, {count(progress.old, 'old one')} left" if progress.old else words


def _words(one: Instance) -> str:
    parts = [one.state]
    if not one.new:
        parts.append("old version")
    if one.track == "canary":
        parts.append("canary")
    if one.restarts:
        parts.append(count(one.restarts, "restart"))
    return ", ".join(parts)


def _bar(done: int, total: int, width: int = 20) -> str:
    filled = width if not total else min(width, width * done // total)
    return "━" * filled + "·" * (width - filled)


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
