"""The threads on which a WSGI app's code runs: a fixed number, and what hangs in one is counted as lost."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Slot", "Threads"]


class Slot:
    """What one thread says of itself.

    Attributes:
        until: when the call that it is at has to be over, on the monotonic clock; infinite while it has none.
    """

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = math.inf


Call = Callable[[Slot], None]


class Threads:
    """Runs calls in a fixed number of threads, first come first served.

    They are daemons: one that hangs does not keep the process from ending. Nothing can end it either, so a thread whose
    call is past its time is lost until it returns.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._slots = [Slot() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(slot,), name=f"shipway-app-{number}", daemon=True)
            for number, slot in enumerate(self._slots)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def lost(self) -> int:
        """How many threads are at a call that should have been over."""
        now = time.monotonic()
        return sum(slot.until < now for slot in self._slots)

    def submit(self, call: Call) -> None:
        """Lets a thread run `call`, which raises nothing."""
        self._calls.put(call)

    def close(self, seconds: float) -> None:
        """Ends the threads; waits for those that are at a call, together up to `seconds`."""
        for _ in self._threads:
            self._calls.put(None)
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self, slot: Slot) -> None:
        while (call := self._calls.get()) is not None:
            call(slot)
            slot.until = math.inf
            del call  # what it refers to is not kept while the thread waits
