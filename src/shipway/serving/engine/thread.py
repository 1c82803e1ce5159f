"""One thread for one model: calls wait in its queue, in the order in which they came."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["ModelThread"]

Result = TypeVar("Result")
_Call = Callable[[], None]


class ModelThread:
    """Runs calls one at a time.

    The thread is a daemon, which those of `concurrent.futures` are not: a model that hangs does not keep the process
    from ending.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Puts a call into the queue; one whose future is cancelled before its turn is passed over."""
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(run)
        return future

    def close(self) -> None:
        """Ends the thread after the calls that are in the queue."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
