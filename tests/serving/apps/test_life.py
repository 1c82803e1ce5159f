"""An app's start and end: lifespan, and the sample request that stands before readiness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fakes.apps import LiveApp
from shipway.errors import ArtefactError, GoldenMismatch
from shipway.spec.app import SampleRequest
from shipway.spec.settings import Limits, Settings

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = dict[str, Any]


class Living:
    """An ASGI app that knows its lifespan, and answers with what it put into the state."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.said = fails, list[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["requests"] = scope["state"].get("requests", 0) + 1
            body = f"{scope['state']['model']} {scope['state']['requests']}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        while True:
            what = (await receive())["type"]
            self.said.append(what)
            if what.endswith(self.fails or "never"):
                await send({"type": f"{what}.failed", "message": "Traceback\n  no\nValueError: no model here"})
                return
            scope["state"]["model"] = "loaded"
            await send({"type": f"{what}.complete"})
            if what == "lifespan.shutdown":
                return


def test_the_app_is_told_of_the_start_and_the_end_and_its_state_reaches_each_request() -> None:
    app = Living()
    with LiveApp(app, "asgi") as live:
        assert app.said == ["lifespan.startup"]
        assert [live.client.get("/").text for _ in range(2)] == ["loaded 1", "loaded 1"]
    assert app.said == ["lifespan.startup", "lifespan.shutdown"]


def test_a_start_that_fails_ends_the_servers_start_with_its_reason() -> None:
    with pytest.raises(ArtefactError, match="ValueError: no model here"), LiveApp(Living("startup"), "asgi"):
        pass


def test_an_end_that_fails_is_told_and_ends_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    with LiveApp(Living("shutdown"), "asgi"):
        pass
    assert "no model here" in caplog.text


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/raises":
        raise ValueError("no such column")
    fine = body == b'{"a": 1}' and environ["CONTENT_TYPE"] == "application/json" and environ["QUERY_STRING"] == "q=1"
    start("200 OK" if fine else "422 No", [("Content-Type", "text/plain")])
    return [b"so it is"]


JSON = {"Content-Type": "application/json"}
SAMPLE = SampleRequest("POST", "/predict?q=1", JSON, '{"a": 1}', 200)


def test_the_sample_request_is_answered_before_the_server_is_ready() -> None:
    with LiveApp(wsgi, sample=SAMPLE) as live:
        assert live.client.get("/readyz").status_code == 200
        assert 'shipway_golden_rows{model="app",result="right",version="1"} 1.0' in live.client.get("/metrics").text


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (SampleRequest("POST", "/predict", JSON, "{}", 200), "with 422, and with 200 when it was packed: so it is"),
        (SampleRequest("POST", "/predict?q=1", JSON, '{"a": 1}', 404), "with 200, and with 404"),
        (SampleRequest("GET", "/raises"), "raised ValueError at the sample request GET /raises: no such column"),
    ],
)
def test_a_sample_that_is_answered_otherwise_ends_the_start(sample: SampleRequest, said: str) -> None:
    with pytest.raises(GoldenMismatch, match=said.replace("?", r"\?")), LiveApp(wsgi, sample=sample):
        pass


def test_another_status_of_the_same_hundred_will_do() -> None:
    sample = SampleRequest("POST", "/predict?q=1", JSON, '{"a": 1}', 201)
    with LiveApp(wsgi, sample=sample) as live:
        assert live.client.get("/readyz").status_code == 200


def test_a_sample_that_is_never_answered_ends_the_start_in_time() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert (await receive())["type"] == "http.request"
            await receive()

    settings = Settings(limits=Limits(seconds=0.2))
    live = LiveApp(app, "asgi", settings=settings, sample=SampleRequest("GET"))
    with pytest.raises(GoldenMismatch, match=r"within 0\.2 seconds"), live:
        pass
