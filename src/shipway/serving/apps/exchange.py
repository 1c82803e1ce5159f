"""One request on its way to the app and back: limits, time, and that it is answered once."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from shipway.errors import DeadlineExceeded, ShipwayError, TooLarge, edge
from shipway.serving.apps.asgi import Message, Receive, Send
from shipway.serving.apps.operations import send_error

__all__ = ["Exchange", "check_headers", "too_large"]

_GONE: Message = {"type": "http.disconnect"}
# RFC 9110, 5.1 and 5.5.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Exchange:
    """Stands between the app and the connection.

    An answer of ours (too large, too late, failed) is sent at once, whatever the app is doing; what the app says
    afterwards goes nowhere, and what it reads is that the caller has gone.

    Args:
        receive, send: of the connection.
        id: of the request.
        wants_page: whether the caller is a browser.
        headers: what is added to the app's own, where it has none of that name.
        body_bytes: the largest body.
        on_begin: called when the answer begins.

    Attributes:
        status: of the answer; 0 before it begins.
        complete: whether the answer has been sent to its end.
        refused: the class of the error that was answered in the app's place; empty where none was.
        gone: whether the caller went before the end.
    """

    __slots__ = (
        "_alarm",
        "_body_bytes",
        "_headers",
        "_loop",
        "_on_begin",
        "_patience",
        "_receive",
        "_refusal",
        "_send",
        "_size",
        "_task",
        "_until",
        "_wants_page",
        "complete",
        "gone",
        "id",
        "is_late",
        "refused",
        "status",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        id: str,  # noqa: A002
        wants_page: bool,
        headers: list[tuple[bytes, bytes]],
        body_bytes: int,
        on_begin: Callable[[], None],
    ) -> None:
        self._receive, self._send = receive, send
        self.id = id
        self._wants_page = wants_page
        self._headers = headers
        self._body_bytes = body_bytes
        self._on_begin = on_begin
        self._size = 0
        self._loop = asyncio.get_running_loop()
        self._until = self._patience = math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._refusal: asyncio.Task[None] | None = None
        self.status = 0
        self.refused = ""
        self.complete = self.gone = self.is_late = False

    def watch(self, deadline: float, patience: float) -> None:
        """Cancels this task when the answer has not begun at `deadline`, or has not gone on for `patience` seconds."""
        self._task, self._until, self._patience = asyncio.current_task(), deadline, patience
        self._alarm = self._loop.call_at(deadline, self._ring)

    def unwatch(self) -> None:
        """Ends the watch."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _ring(self) -> None:
        # Moving an alarm at every block would cost more than ringing once too often.
        if self._loop.time() < self._until:
            self._alarm = self._loop.call_at(self._until, self._ring)
            return
        self.is_late = True
        if not self.status and not self.refused:
            self.refused = DeadlineExceeded.__name__
            error = DeadlineExceeded("the app did not answer within the time limit", fix="[limits] seconds raises it")
            self._refusal = self._loop.create_task(self._say(error))
        assert self._task is not None
        self._task.cancel()

    async def settle(self) -> None:
        """Waits until an answer of ours is sent."""
        if self._refusal is not None:
            await self._refusal

    async def receive(self) -> Any:
        """Gives the app the next part of the request."""
        if self.refused:
            return _GONE
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = not self.complete
            return message
        self._size += len(message.get("body", b""))
        if self._size > self._body_bytes:
            await self.refuse(too_large(self._body_bytes))
            return _GONE
        return message

    async def send(self, message: Any) -> None:
        """Takes a message of the app's answer."""
        if self.refused:
            return
        if message["type"] == "http.response.start":
            given, status = list(message.get("headers", ())), message["status"]
            # Once uvicorn has begun with a head that it then refuses, nothing else can be answered.
            check_headers(given)
            if not 200 <= status <= 599:
                raise ValueError(f"no answer has the status {status}")
            await self._send({**message, "headers": self._with_own(given)})
            self._begin(status)
            return
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        self._until = self._loop.time() + self._patience

    async def refuse(self, error: ShipwayError) -> None:
        """Answers with an error in the app's place; once an answer has begun, it is broken off instead."""
        if self.refused or self.complete:
            return
        self.refused = type(error).__name__
        if not self.status:
            await self._say(error)

    async def _say(self, error: ShipwayError) -> None:
        self._begin(edge(error).http)
        await send_error(self._send, error, self.id, wants_page=self._wants_page)
        self.complete = True

    def _begin(self, status: int) -> None:
        if not self.status:
            self.status = status
            self._on_begin()

    def _with_own(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        names = {name.lower() for name, _ in given}
        return [*given, *(header for header in self._headers if header[0] not in names)]


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Looks at what an app wants to send as headers.

    Raises:
        ValueError: one is none, as it has a control character or a length that is no number.
    """
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ValueError(f"no header has the name {name!r}")
        if _CONTROL.search(value):
            raise ValueError(f"the header {name!r} has a control character")
        if name.lower() == b"content-length" and not value.isdigit():
            raise ValueError(f"the header {name!r} is {value[:40]!r}, which is no length")


def too_large(limit: int) -> TooLarge:
    """Says that a body is too large."""
    return TooLarge(f"the body is over the limit of {limit} bytes", fix="[limits] body_bytes raises it")
