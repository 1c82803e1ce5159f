"""Progress of long work: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

from shipway.cli.output import Output

__all__ = ["Progress", "progress"]

_SECONDS_BETWEEN_LINES = 5.0


class Progress(Protocol):
    """Told how far the work is."""

    def __call__(self, done: int, note: str) -> None:
        """Tells how much is done, in the unit of the total, and how to say it in words."""


@contextmanager
def progress(out: Output, label: str, total: int) -> Iterator[Progress]:
    """Shows progress on standard error while its block runs.

    Args:
        out: says nothing where that is quiet.
        label: what is being done.
        total: how much is to be done, in any unit; 0 where that is not known.
    """
    if out.quiet:
        yield lambda done, note: None  # noqa: ARG005
    elif sys.stderr.isatty() and total:
        with click.progressbar(
            length=total, label=label, file=sys.stderr, item_show_func=lambda note: note or ""
        ) as bar:
            yield lambda done, note: bar.update(max(0, done - bar.pos), note)
    else:
        yield _Lines(out, label, total)


class _Lines:
    def __init__(self, out: Output, label: str, total: int) -> None:
        self._out, self._label, self._total = out, label, total
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def __call__(self, done: int, note: str) -> None:
        if time.monotonic() >= self._next:
            share = f"{100 * done // self._total} %, " if self._total else ""
            self._out.say(f"{self._label}: {share}{note}")
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
