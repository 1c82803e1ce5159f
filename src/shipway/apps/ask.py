"""Asks an app in memory: one request by WSGI (PEP 3333) or ASGI 3.0, with lifespan. Standard library only, as `child`.

https://peps.python.org/pep-3333/, https://asgi.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["Asked", "Lifespan", "ask_all", "ask_asgi", "ask_wsgi", "own_host", "sample_path"]

_BODY = 1 << 20
_SHOWN = 2_000
_PARAMETERS = "<{*:"
Request = Mapping[str, Any]
Result = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """What came back.

    Attributes:
        status: of HTTP; 0 where nothing came.
        body: its beginning.
        errors: what the app wrote to the server's error stream.
        raised: the error that came through instead.
    """

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    errors: str = ""
    raised: BaseException | None = None


def ask_wsgi(application: Any, request: Request) -> Asked:
    """Asks a WSGI app."""
    asked, errors = Asked(), io.StringIO()

    def start_response(status: str, _headers: Any, _exc_info: Any = None) -> Any:
        asked.status = int(status[:3])
        return asked.body.extend

    try:
        chunks = application(_environ(request, errors), start_response)
        try:
            for chunk in chunks:
                asked.body += chunk
                if len(asked.body) > _BODY:
                    break
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
    except (Exception, SystemExit) as error:
        asked.raised = error
    asked.errors = errors.getvalue()
    return asked


async def ask_asgi(application: Any, request: Request, state: dict[str, Any] | None = None) -> Asked:
    """Asks an ASGI app.

    Args:
        application: it.
        request: method, path, headers and body.
        state: of the lifespan; None where the app has none.
    """
    asked, over = Asked(), asyncio.Event()
    waiting = [{"type": "http.request", "body": request["body"].encode(), "more_body": False}]

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            asked.status = int(message["status"])
        elif message["type"] == "http.response.body":
            asked.body += message.get("body", b"")
            if not message.get("more_body", False) or len(asked.body) > _BODY:
                over.set()
        await asyncio.sleep(0)  # so that an app that only sends can be ended

    scope = _scope(request) | ({} if state is None else {"state": dict(state)})
    call = asyncio.ensure_future(application(scope, receive, send))
    ended = asyncio.ensure_future(over.wait())
    await asyncio.wait({call, ended}, return_when=asyncio.FIRST_COMPLETED)
    over.set()
    # An app may end its work after its answer; one that streams without end is told by a cancellation.
    await asyncio.wait({call}, timeout=None if len(asked.body) <= _BODY else 0)
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        pass
    except (Exception, SystemExit) as error:
        asked.raised = error
    return asked


class Lifespan:
    """The start and the end of an ASGI app.

    Attributes:
        state: what the app keeps for its requests; None where it has no lifespan.
        failed: why it does not start; empty where it does.
        raised: the error behind that.
    """

    def __init__(self, application: Any) -> None:
        self.application = application
        self.state: dict[str, Any] | None = {}
        self.failed = ""
        self.raised: BaseException | None = None
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the app; one that raises before it has answered has no lifespan (ASGI, lifespan protocol)."""
        self._task = asyncio.ensure_future(self._run())
        await self._inbox.put({"type": "lifespan.startup"})
        message = await self._outbox.get()
        if message["type"] == "lifespan.startup.failed":
            self.failed = message.get("message", "") or "it gives no reason"
            await self._task
        elif message["type"] == "none":
            self.state = None

    async def stop(self) -> None:
        """Ends the app, if it was started."""
        if self._task is not None and not self._task.done():
            await self._inbox.put({"type": "lifespan.shutdown"})
            await self._outbox.get()
            self._task.cancel()

    async def _send(self, message: Any) -> None:
        if not message["type"].startswith("lifespan."):
            raise RuntimeError(f"{message['type']} is no answer to a lifespan")
        await self._outbox.put(message)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.application(scope, self._inbox.get, self._send)
        except (Exception, SystemExit) as error:
            self.raised = error
        finally:
            await self._outbox.put({"type": "none"})


def sample_path(request: Request, table: list[Result]) -> tuple[str, list[str]]:
    """Gives the path that a sample is for: its own, else the only route of its method, else `/`.

    The routes come with it where there are several, none of them `/`.
    """
    if request["path"]:
        return request["path"], []
    fitting = [
        one["path"]
        for one in table
        if request["method"] in one["methods"] and not any(sign in one["path"] for sign in _PARAMETERS)
    ]
    if len(set(fitting)) <= 1 or "/" in fitting:
        return fitting[0] if len(set(fitting)) == 1 else "/", []
    return "", sorted(set(fitting))


def ask_all(application: Any, request: Request, report: Any, caught: Any) -> None:
    """Starts the app, asks the sample and the paths of our own, ends it; each stage is told to the report."""
    if report.result["interface"] == "asgi":
        asyncio.run(_asgi(application, request, report, caught))
        return
    asking = _questions(request, report)
    for question in asking:
        _told(question, ask_wsgi(application, question), report, caught)


async def _asgi(application: Any, request: Request, report: Any, caught: Any) -> None:
    lifespan = Lifespan(application)
    report.write(stage="lifespan")
    await lifespan.start()
    if lifespan.failed:
        error = {"kind": "lifespan", "type": "", "message": lifespan.failed[-_SHOWN:]}
        if lifespan.raised is not None:
            error |= caught.describe(lifespan.raised) | {"kind": "lifespan"}
        report.write(error=error)
        return
    for question in _questions(request, report):
        _told(question, await ask_asgi(application, question, lifespan.state), report, caught)
    report.write(stage="shutdown")
    await lifespan.stop()


def _questions(request: Request, report: Any) -> Iterator[Request]:
    """Gives the sample, then a path that no app has, then the server's own."""
    sample = request["sample"]
    if sample is not None:
        path, several = sample_path(sample, report.result["routes"])
        if several:
            report.write(error={"kind": "several", "message": ", ".join(several)})
            return
        report.write(stage="sample")
        yield {**sample, "path": path, "kind": "sample"}
    report.write(stage="probe", owns=[])
    nowhere = {"method": "GET", "headers": {}, "body": "", "path": f"/shipway-{uuid.uuid4().hex}", "kind": "nowhere"}
    yield nowhere
    if report.result.get("nowhere") == 404:
        for path in request["own"]:
            yield {**nowhere, "path": path, "kind": "own"}


def _told(question: Request, asked: Asked, report: Any, caught: Any) -> None:
    """Writes down what came of a question."""
    kind, path = question["kind"], question["path"]
    if kind == "nowhere":
        report.write(nowhere=asked.status if asked.raised is None else 500)
    elif kind == "own":
        if asked.status != 404:
            report.write(owns=[*report.result["owns"], path])
    else:
        caught.read(asked.errors)
        error = caught.error if asked.raised is None else caught.describe(asked.raised)
        body = bytes(asked.body[:_SHOWN]).decode("utf-8", "replace")
        failed = error if asked.raised is not None or asked.status >= 500 or asked.status == 0 else None
        if failed is not None and not failed.get("file"):
            routed = [one for one in report.result["routes"] if one["path"] == path.partition("?")[0]]
            failed = failed | {name: one[name] for one in routed[:1] for name in ("file", "line")}
        report.write(answer={"path": path, "status": asked.status, "body": body, "error": failed})


def own_host() -> str:
    """Gives a host that the app of this process answers for: Django refuses every other."""
    with contextlib.suppress(Exception):
        allowed = sys.modules["django.conf"].settings.ALLOWED_HOSTS
        return next((name.lstrip(".") for name in allowed if name != "*"), "localhost")
    return "localhost"


def _headers(request: Request) -> dict[str, str]:
    length = {"content-length": str(len(request["body"].encode()))} if request["body"] else {}
    given = {name.lower(): value for name, value in request["headers"].items()}
    return {"host": own_host(), "user-agent": "shipway", "accept": "*/*", **given, **length}


def _environ(request: Request, errors: io.StringIO) -> dict[str, Any]:
    headers, url = _headers(request), urlsplit(request["path"])
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    length, kind = named.pop("HTTP_CONTENT_LENGTH", ""), named.pop("HTTP_CONTENT_TYPE", "")
    return {
        **named,
        "REQUEST_METHOD": request["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1"),
        "QUERY_STRING": url.query,
        "CONTENT_LENGTH": length,
        "CONTENT_TYPE": kind,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request["body"].encode()),
        "wsgi.errors": errors,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _scope(request: Request) -> dict[str, Any]:
    url = urlsplit(request["path"])
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request["method"],
        "scheme": "http",
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "replace")) for name, value in _headers(request).items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
