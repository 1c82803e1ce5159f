"""A server in this process: httpx asks the ASGI application itself."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from shipway.monitor.access import AccessRecord
from shipway.serving.application import Application
from shipway.serving.engine.engine import LoadedModel
from shipway.serving.http.keys import ApiKeys
from shipway.spec.settings import Settings

Result = TypeVar("Result")


class FakeServer:
    """Serves loaded models; its log is a list. `as_platform` asks its second listener."""

    def __init__(self, *models: LoadedModel, settings: Settings | None = None, keys: ApiKeys | None = None) -> None:
        self.log: list[AccessRecord] = []
        self.application = Application(settings or Settings(), self.log.append, keys)
        self.as_platform = False
        if models:
            self.application.start(models)
        weakref.finalize(self, self.application.close)

    def ask(self, conversation: Callable[[httpx.AsyncClient], Awaitable[Result]]) -> Result:
        """Runs a conversation with the server."""

        async def run() -> Result:
            front = self.application.operations if self.as_platform else self.application.asgi
            transport = httpx.ASGITransport(front, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await conversation(client)

        return asyncio.run(run())

    def request(self, method: str, path: str, **arguments: object) -> httpx.Response:
        """Sends one request."""
        return self.ask(lambda client: client.request(method, path, **arguments))  # type: ignore[arg-type]

    def post(self, path: str, json: object, **arguments: object) -> httpx.Response:
        """Posts JSON."""
        return self.request("POST", path, json=json, **arguments)
