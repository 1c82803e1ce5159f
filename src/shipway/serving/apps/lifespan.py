"""The start and the end of an ASGI app (Lifespan protocol, version 2.0)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from shipway.errors import ArtefactError
from shipway.serving.apps.asgi import AsgiApp, Message

__all__ = ["Lifespan"]

_logger = logging.getLogger("shipway.apps")


class Lifespan:
    """Tells an app when the server starts and ends.

    An app that raises before it answers does not know the protocol, which the specification allows.

    Args:
        app: the ASGI application.

    Attributes:
        state: what the app put there at its start; each request gets a copy.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the app.

        Raises:
            ArtefactError: it says that it cannot start, and why.
        """
        self._task = asyncio.create_task(self._run())
        self._inbox.put_nowait({"type": "lifespan.startup"})
        answer = await self._answers.get()
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            text = str(answer.get("message", "")).strip()
            if text:
                _logger.error("the app's start failed\n%s", text)
            last = text.splitlines()[-1][:500] if text else "it gave no reason"
            raise ArtefactError(
                f"the app's start (lifespan) failed: {last}", fix="the log has its traceback; mend what it names"
            )

    async def end(self, seconds: float) -> None:
        """Ends the app, and waits for it up to `seconds`."""
        if self._task is None:
            return
        if not self._task.done():
            self._inbox.put_nowait({"type": "lifespan.shutdown"})
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._answers.get()
            except TimeoutError:
                _logger.error("the app did not end (lifespan.shutdown) within %s seconds", seconds)
            else:
                if answer is not None and answer["type"] == "lifespan.shutdown.failed":
                    _logger.error("the app's end (lifespan) failed: %s", answer.get("message", ""))
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        scope: dict[str, Any] = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._inbox.get, self._send)
        except (Exception, SystemExit) as error:
            _logger.info("the app has no lifespan, or left it: %r", error)
        finally:
            self._answers.put_nowait(None)

    async def _send(self, message: Any) -> None:
        self._answers.put_nowait(message)
