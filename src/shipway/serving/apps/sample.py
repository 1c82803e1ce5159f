"""The sample request, asked of the app before the server is ready."""

from __future__ import annotations

import asyncio
from typing import Any

from shipway.apps.ask import own_host
from shipway.errors import GoldenMismatch
from shipway.serving.apps.asgi import AsgiApp, Message
from shipway.spec.app import SampleRequest

__all__ = ["replay"]

_EXCERPT = 300


async def replay(app: AsgiApp, sample: SampleRequest, state: dict[str, Any], seconds: float) -> None:
    """Asks the app its sample request in memory.

    Args:
        app: an ASGI application.
        sample: the request, with the status that the app gave it when it was packed.
        state: of its lifespan.
        seconds: how long to wait for the answer.

    Raises:
        GoldenMismatch: it raises, does not answer in time, or answers with a status of another hundred.
    """
    what = f"the sample request {sample.method} {sample.path}"
    answer = _Answer(sample.body.encode("utf-8"))
    try:
        async with asyncio.timeout(seconds):
            await app(_scope(sample, state), answer.receive, answer.send)
    except TimeoutError:
        raise GoldenMismatch(
            f"the app did not answer {what} within {seconds:g} seconds", fix="[limits] seconds raises it"
        ) from None
    except (Exception, SystemExit) as error:
        raise GoldenMismatch(
            f"the app raised {type(error).__name__} at {what}: {error}", fix="mend the app, and pack it again"
        ) from error
    if answer.status // 100 != sample.status // 100:
        excerpt = " ".join(answer.excerpt.decode("utf-8", "replace").split())
        raise GoldenMismatch(
            f"the app answered {what} with {answer.status or 'nothing'}, and with {sample.status} when it was packed"
            f"{': ' if excerpt else ''}{excerpt}",
            fix="mend the app, and pack it again",
        )


def _scope(sample: SampleRequest, state: dict[str, Any]) -> dict[str, Any]:
    path, _, query = sample.path.partition("?")
    given = {name.lower(): value for name, value in sample.headers.items()}
    headers = {"host": own_host(), "user-agent": "shipway", "accept": "*/*", **given}
    if sample.body:
        headers["content-length"] = str(len(sample.body.encode("utf-8")))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": sample.method,
        "scheme": "http",
        "path": path or "/",
        "raw_path": (path or "/").encode("utf-8"),
        "query_string": query.encode("utf-8"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("localhost", 80),
        "state": state,
    }


class _Answer:
    """Takes an app's answer; of its body, only the beginning."""

    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.excerpt = b""
        self._body: bytes | None = body
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is None:
            await self._over.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.excerpt += message.get("body", b"")[: _EXCERPT - len(self.excerpt)]
            if not message.get("more_body"):
                self._over.set()
