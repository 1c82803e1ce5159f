"""The ASGI front (asgiref specification 3.0, HTTP 2.5): runs under uvicorn, and mounts in others' apps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from shipway.serving.http.message import Handler, HttpRequest

__all__ = ["AsgiApp", "AsgiFront", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiFront:
    """An ASGI application around a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection of the ASGI server."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        # Mounted below a prefix, `path` holds the prefix too.
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        body = _Body(receive)
        address = client[0] if client else ""
        request = HttpRequest(scope["method"], path, dict(scope["headers"]), address, body.next_part, body.gone)
        try:
            response = await self._handler(request)
        except ConnectionError:
            return  # there is nobody to answer
        headers = [(b"content-type", response.content_type), *response.headers]
        if isinstance(response.body, bytes):
            headers.append((b"content-length", b"%d" % len(response.body)))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            content = b"" if request.method == "HEAD" else response.body
            await send({"type": "http.response.body", "body": content})
            return
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for part in response.body:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    async def next_part(self) -> bytes:
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the caller has gone")
            self._more = message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        return b""

    async def gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
