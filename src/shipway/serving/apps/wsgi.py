"""A WSGI app (PEP 3333) as an ASGI one: its code runs on threads, the event loop carries the bytes.

Most answers are one block of a known length: those cross from the thread to the loop once. Longer ones cross block by
block, a few at a time, so that an answer of any size takes constant memory. See docs/decisions/0015 for why this is our
own and for what it costs.
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, BinaryIO, cast

from shipway.serving.apps.asgi import Message, Receive, Scope, Send
from shipway.serving.apps.environ import make_environ
from shipway.serving.apps.threads import Slot, Threads

__all__ = ["WsgiApp", "WsgiBridge"]

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType]

_logger = logging.getLogger("shipway.apps")
# A body up to this size is gathered before a thread is taken: a slow caller then holds none.
_GATHERED_BYTES = 1024 * 1024
_BLOCKS_UNDER_WAY = 8
_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade"]
)  # fmt: skip
_WITHOUT_BODY = frozenset((204, 304))


class WsgiBridge:
    """An ASGI application around a WSGI one.

    Args:
        app: the WSGI application.
        threads: on which it runs.
        seconds: the longest that its answer may take to begin, and then to go on.
    """

    def __init__(self, app: WsgiApp, threads: Threads, seconds: float) -> None:
        self._app = app
        self._threads = threads
        self._seconds = seconds
        self._mail = _Mail()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request.

        Raises:
            Exception: whatever the app raised before its answer was whole.
        """
        if scope["type"] != "http":
            raise ValueError(f"WSGI has no {scope['type']}")
        body = await _gather(scope, receive)
        if body is None:
            return
        content, whole = body
        stream: BinaryIO = io.BytesIO(content)
        source = None
        if not whole:
            source = _Source(content, receive)
            stream = cast("BinaryIO", io.BufferedReader(source, 65536))
        environ = make_environ(scope, stream, multithread=len(self._threads) > 1)
        call = _Call(self._app, environ, self._seconds, self._mail)
        self._threads.submit(call.run)
        await call.answer(send, receive if source is None else None)


async def _gather(scope: Scope, receive: Receive) -> tuple[bytes, bool] | None:
    """Gives the body's beginning, and whether it is all of it; None where the caller has gone."""
    names = [name for name, _ in scope["headers"]]
    if b"content-length" not in names and b"transfer-encoding" not in names:
        return b"", True
    parts, size, more = [], 0, True
    while more and size <= _GATHERED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part, more = message.get("body", b""), message.get("more_body", False)
        parts.append(part)
        size += len(part)
    return b"".join(parts), not more


class _Source(io.RawIOBase):
    """A body that is read from the app's thread while it still arrives. uvicorn stops reading when nobody takes it."""

    def __init__(self, begun: bytes, receive: Receive) -> None:
        self._part = memoryview(begun)
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._part and self._more:
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the caller has gone, or sent more than the limit")
            self._part = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        size = min(len(self._part), len(buffer))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size

    async def _next(self) -> Message:
        return cast("Message", await self._receive())


class _Gone(BaseException):
    """Nobody wants the rest of the answer. Not an Exception: it passes through the app's own handlers."""


class _Mail:
    """Carries what threads have for calls to the event loop; what several post before it looks wakes it once."""

    def __init__(self) -> None:
        self._letters: deque[tuple[_Call, Sequence[Message] | BaseException]] = deque()
        self._is_announced = False

    def post(self, call: _Call, what: Sequence[Message] | BaseException) -> None:
        """Posts, from a thread."""
        self._letters.append((call, what))
        if not self._is_announced:
            self._is_announced = True
            call.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_announced = False  # before looking: what is posted from here on is announced anew
        while self._letters:
            call, what = self._letters.popleft()
            call.take(what)


class _Call:
    """One call of the app: `run` on its thread, `answer` on the event loop."""

    __slots__ = (
        "_app",
        "_blocks",
        "_complete",
        "_environ",
        "_gone",
        "_head",
        "_left",
        "_mail",
        "_outbox",
        "_posted",
        "_room",
        "_seconds",
        "_slot",
        "_status",
        "_until",
        "_waiter",
        "loop",
    )

    def __init__(self, app: WsgiApp, environ: dict[str, Any], seconds: float, mail: _Mail) -> None:
        self._app, self._environ, self._seconds, self._mail = app, environ, seconds, mail
        self.loop = asyncio.get_running_loop()
        self._until = time.monotonic() + seconds
        self._outbox: deque[Sequence[Message] | BaseException] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room: threading.Semaphore | None = None
        self._gone = self._complete = self._posted = False
        self._head: list[tuple[bytes, bytes]] | None = None
        self._status = 0
        self._left: int | None = None

    # On the event loop.

    async def answer(self, send: Send, receive: Receive | None) -> None:
        """Sends what the app answers.

        Args:
            send: takes ASGI messages.
            receive: where nobody else reads from it: tells when the caller has gone while a long answer is sent.
        """
        watch: asyncio.Task[None] | None = None
        try:
            while True:
                while not self._outbox:
                    self._waiter = self.loop.create_future()
                    await self._waiter
                posted = self._outbox.popleft()
                if isinstance(posted, BaseException):
                    raise posted
                for message in posted:
                    await send(message)
                if not posted[-1].get("more_body"):
                    return
                if watch is None and receive is not None:
                    watch = asyncio.create_task(self._until_gone(receive))
                if self._room is not None:
                    self._room.release()
        finally:
            self._leave()
            if watch is not None:
                watch.cancel()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._leave()
        self.take(ConnectionError("the caller has gone"))

    def _leave(self) -> None:
        self._gone = True
        if self._room is not None:
            self._room.release()

    def take(self, what: Sequence[Message] | BaseException) -> None:
        """Takes what the thread posted."""
        self._outbox.append(what)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # On the app's thread.

    def run(self, slot: Slot) -> None:
        """Calls the app and posts its answer."""
        if self._gone:
            return
        self._slot = slot
        slot.until = self._until
        try:
            self._run()
        except _Gone:
            pass
        except BaseException as error:
            if self._complete or self._gone:
                _logger.error(
                    "request %s failed after its answer", self._environ.get("HTTP_X_REQUEST_ID"), exc_info=error
                )
            else:
                self._post(error)

    def _run(self) -> None:
        blocks = self._app(self._environ, self._start_response)
        try:
            for block in blocks:
                if block:
                    self._write(block)
            self._finish()
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExceptionInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            if self._posted:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self._head is not None:
            raise RuntimeError("start_response was called twice without exc_info")
        self._status = int(status[:3])
        self._left = None
        self._head = []
        for name, value in headers:
            key = name.lower()
            if key in _HOP_BY_HOP:
                continue  # the server's to say (PEP 3333)
            if key == "content-length" and self._status == 204:
                continue  # such an answer has none (RFC 9110, 8.6)
            if key == "content-length":
                self._left = int(value)
            self._head.append((key.encode("latin-1"), value.encode("latin-1")))
        return self._write

    def _write(self, block: bytes) -> None:
        """Hands a block over; what goes past the app's own Content-Length is left out."""
        if not isinstance(block, bytes):
            raise TypeError(f"the app's answer holds {type(block).__name__} where WSGI has bytes")
        if self._complete:
            return
        if self._left is not None:
            block = block[: self._left]
            self._left -= len(block)
        self._complete = self._left == 0
        self._post([*self._start(), {"type": "http.response.body", "body": block, "more_body": not self._complete}])

    def _finish(self) -> None:
        """Ends an answer whose end no length has told."""
        if self._complete:
            return
        if self._left and self._environ["REQUEST_METHOD"] != "HEAD" and self._status not in _WITHOUT_BODY:
            raise RuntimeError(f"the app's answer is {self._left} bytes shorter than its Content-Length")
        start = self._start()
        self._complete = True
        self._post([*start, {"type": "http.response.body", "body": b"", "more_body": False}])

    def _start(self) -> Sequence[Message]:
        if self._posted:
            return ()
        if self._head is None:
            raise RuntimeError("the app did not call start_response")
        return ({"type": "http.response.start", "status": self._status, "headers": self._head},)

    def _post(self, what: Sequence[Message] | BaseException) -> None:
        if self._posted and not isinstance(what, BaseException):
            if self._room is None:
                self._room = threading.Semaphore(_BLOCKS_UNDER_WAY)
            self._room.acquire()
            self._slot.until = time.monotonic() + self._seconds
        if self._gone:
            raise _Gone
        self._posted = True
        try:
            self._mail.post(self, what)
        except RuntimeError:  # the loop has ended
            raise _Gone from None
