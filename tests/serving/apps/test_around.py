"""What stands around an app: keys, limits, time, health, metrics, the log, drain; and what passes untouched."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fakes.apps import LiveApp
from shipway.serving.http.keys import ApiKeys, hash_key, new_key
from shipway.spec.settings import Limits, Settings

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = dict[str, Any]
OPERATIONS = ("/livez", "/healthz", "/health/live", "/readyz", "/health/ready", "/metrics")


async def respond(send: Send, body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body and the request's id; over a WebSocket with each message."""
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan")
    if scope["type"] == "http":
        body = await read(receive)
        given = dict(scope["headers"])
        await respond(send, body or scope["path"].encode(), headers=((b"x-seen", given[b"x-request-id"]),))
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def limited(**limits: Any) -> Settings:
    return Settings(limits=Limits(**limits))


def test_the_answer_is_the_apps_own_and_names_its_bundle() -> None:
    with LiveApp(echo, "asgi") as live:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        headers = {"X-Request-Id": "mine", "traceparent": trace, "Accept-Encoding": "gzip"}
        answer = live.client.post("/x", content=b"y" * 10_000, headers=headers)
    assert answer.content == b"y" * 10_000
    assert answer.headers["x-request-id"] == answer.headers["x-seen"] == "mine"
    assert answer.headers["traceparent"] == trace
    assert answer.headers["shipway-bundle"].startswith("app:1@sha256:")
    assert not {"content-encoding", "content-type", "server", "vary"} & set(answer.headers)


def test_a_new_id_reaches_the_app_in_place_of_a_wrong_one() -> None:
    with LiveApp(echo, "asgi") as live:
        answers = [live.client.get("/", headers={"X-Request-Id": given}) for given in ("not one", "x" * 200)]
    for answer in answers:
        assert answer.headers["x-request-id"] == answer.headers["x-seen"]
        assert len(answer.headers["x-seen"]) == 16


def test_the_log_and_the_metrics_tell_of_each_request() -> None:
    with LiveApp(echo, "asgi") as live:
        live.client.get("/some/path")
        metrics = live.client.get("/metrics").text
    record = live.log[0]
    assert (record.http_method, record.path, record.status, record.protocol) == ("GET", "/some/path", 200, "app")
    assert (record.model, record.version, record.method, record.error) == ("app", "1", "", "")
    assert 'shipway_requests_total{code="200",method="",model="app",protocol="app",version="1"} 1.0' in metrics
    assert "shipway_model_loaded" in metrics


@pytest.mark.parametrize("path", OPERATIONS)
def test_the_servers_own_paths_are_answered_by_it_unless_the_app_owns_them(path: str) -> None:
    with LiveApp(echo, "asgi") as live:
        assert live.client.get(path).content != path.encode()
        assert live.client.head(path).status_code == 200
        assert live.client.post(path).status_code == 405
    with LiveApp(echo, "asgi", owns=(path,)) as live:
        assert live.client.get(path).content == path.encode()
        others = [other for other in OPERATIONS if other != path]
        assert all(live.client.get(other).content != other.encode() for other in others)


def test_keys_are_wanted_of_every_caller_but_those_of_health() -> None:
    key = new_key()
    with LiveApp(echo, "asgi", keys=ApiKeys(frozenset([hash_key(key)])), owns=("/healthz",)) as live:
        for path in ("/", "/metrics", "/healthz"):
            refused = live.client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert live.client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert live.client.get("/livez").status_code == live.client.get("/readyz").status_code == 200
        url = live.address.replace("http", "ws")
        with pytest.raises(InvalidStatus) as caught:
            connect(url)
        assert caught.value.response.status_code == 401
        with connect(url, additional_headers={"Authorization": f"Bearer {key}"}) as caller:
            caller.send("let in")
            assert caller.recv() == "let in"


def test_a_body_over_the_limit_is_refused_announced_or_not() -> None:
    with LiveApp(echo, "asgi", settings=limited(body_bytes=1000)) as live:
        assert live.client.post("/", content=b"x" * 1000).content == b"x" * 1000
        for content in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
            refused = live.client.post("/", content=content)
            assert (refused.status_code, refused.headers["connection"]) == (413, "close")
            assert "1000 bytes" in refused.json()["error"]["message"]


def test_an_app_that_never_answers_is_answered_for_in_time() -> None:
    freed = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await asyncio.sleep(60)
            finally:
                freed.set()

    with LiveApp(app, "asgi", settings=limited(seconds=5)) as live:
        begun = time.monotonic()
        late = live.client.get("/", headers={"Prefer": "wait=0.2"})
        assert time.monotonic() - begun < 4
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert freed.wait(5)
        assert live.log[0].error == "DeadlineExceeded"


def test_an_app_that_will_not_be_cancelled_is_answered_for_all_the_same() -> None:
    go_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["type"] == "http" and not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        if scope["type"] == "http":
            await respond(send, b"too late")

    with LiveApp(app, "asgi", settings=limited(seconds=0.2)) as live:
        assert live.client.get("/").status_code == 503
        go_on.set()
        assert live.client.get("/livez").status_code == 200


def test_an_answer_may_take_longer_than_the_limit_as_long_as_it_goes_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(6):
            await asyncio.sleep(0.15)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if scope["path"] == "/stalls":
            await asyncio.sleep(60)
        await send({"type": "http.response.body", "body": b""})

    with LiveApp(app, "asgi", settings=limited(seconds=0.5)) as live:
        assert live.client.get("/").content == b"x" * 6
        with pytest.raises(httpx.RemoteProtocolError):
            live.client.get("/stalls")


def test_more_callers_than_may_wait_are_refused_at_once() -> None:
    hold = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["type"] == "http" and not hold.is_set():
            await asyncio.sleep(0.02)
        if scope["type"] == "http":
            await respond(send, b"x")

    with LiveApp(app, "asgi", settings=limited(waiting=2)) as live:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(httpx.get(live.address, timeout=30).status_code))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        while "shipway_inflight 3.0" not in live.client.get("/metrics").text:  # these two, and this question
            time.sleep(0.02)
        refused = live.client.get("/")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert live.client.get("/readyz").status_code == 200
        hold.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert live.client.get("/").status_code == 200


async def ends(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("secret of the app")


async def exits(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(1)


async def without_database(scope: Scope, receive: Receive, send: Send) -> None:
    raise ConnectionRefusedError("this is not the caller's connection")


async def splits(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, b"x", headers=((b"x-note", b"a\r\nset-cookie: b=c"),))


async def texts(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [("x-note", "a")]})


@pytest.mark.parametrize("app", [ends, raises, exits, without_database, splits, texts])
def test_an_app_that_fails_gives_a_500_and_the_server_goes_on(
    app: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with LiveApp(app, "asgi") as live:
        for _ in range(2):
            answer = live.client.get("/", headers={"X-Request-Id": "mine"})
            assert (answer.status_code, answer.json()["error"]["request_id"]) == (500, "mine")
            assert "secret" not in answer.text
    assert "request mine" in caplog.text


def test_an_app_that_answers_and_raises_then_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, b"own", 500)
            raise ValueError("as Starlette does")

    with LiveApp(app, "asgi") as live:
        answer = live.client.get("/", headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.content) == (500, b"own")
    assert "request mine failed" in caplog.text


def test_an_app_that_dies_in_the_middle_of_its_answer_ends_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            raise ValueError

    with LiveApp(app, "asgi") as live:
        with pytest.raises(httpx.RemoteProtocolError):
            live.client.get("/")
        assert live.client.get("/livez").status_code == 200


def test_an_answer_without_end_is_held_back_by_a_caller_who_does_not_read() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            sent += 1

    with (
        LiveApp(app, "asgi", settings=limited(seconds=1)) as live,
        socket.create_connection(("127.0.0.1", int(live.address.rpartition(":")[2]))) as caller,
    ):
        caller.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        seen = -1
        while sent != seen:
            seen = sent
            time.sleep(0.3)
        assert 0 < sent < 1000
        while not live.log:
            time.sleep(0.05)
        assert live.log[0].error == "DeadlineExceeded"


def test_websockets_echo_and_are_counted_once() -> None:
    with LiveApp(echo, "asgi") as live:
        with connect(live.address.replace("http", "ws") + "/chat") as caller:
            for text in ("one", "two", "x" * 100_000):
                caller.send(text)
                assert caller.recv() == text
            assert caller.response is not None
            assert caller.response.headers["x-request-id"]
        assert [(record.path, record.status) for record in live.log] == [("/chat", 101)]


def test_a_websocket_whose_app_fails_is_closed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if scope["path"] == "/late":
                await send({"type": "websocket.accept"})
            if scope["path"] == "/splits":
                await send({"type": "websocket.accept", "headers": [(b"x-note", b"a\r\nset-cookie: b=c")]})
            raise ValueError

    with LiveApp(app, "asgi") as live:
        url = live.address.replace("http", "ws")
        for path in ("/", "/splits"):
            with pytest.raises(InvalidStatus) as refused:
                connect(url + path)
            assert refused.value.response.status_code == 500
        with connect(f"{url}/late") as caller, pytest.raises(ConnectionClosed) as closed:
            caller.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011


def test_a_websocket_is_no_matter_for_a_wsgi_app() -> None:
    with LiveApp(lambda environ, start: [], "wsgi") as live, pytest.raises(InvalidStatus):
        connect(live.address.replace("http", "ws"))


def test_a_server_that_drains_says_so_and_answers_on() -> None:
    with LiveApp(echo, "asgi") as live:
        live.application.state.phase = type(live.application.state.phase).DRAINING
        answer = live.client.get("/x")
        assert (answer.status_code, answer.content, answer.headers["connection"]) == (200, b"/x", "close")
        assert live.client.get("/readyz").status_code == 503
        assert live.client.get("/livez").status_code == 200
