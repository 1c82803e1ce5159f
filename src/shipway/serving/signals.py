"""Signals heard for a while, by whatever the process is just then."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

__all__ = ["heard"]


@contextlib.contextmanager
def heard(names: Iterable[str], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Lets signals reach a handler until the block ends; then they mean to the process what they meant before.

    Args:
        names: of signals, such as `SIGTERM`; those that this system does not know are passed over.
        handler: called in the main thread, between two byte codes of anything.
    """
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in known}
    try:
        yield
    finally:
        for number, former in before.items():
            if former is not None:  # one that is not Python's cannot be set from here
                signal.signal(number, former)
