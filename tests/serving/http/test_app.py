"""What stands around every protocol: ids, keys, time, health, metrics, log."""

from __future__ import annotations

import asyncio
import base64
import errno
import io
import time
from collections.abc import AsyncIterator, Callable
from typing import TextIO

import httpx
import pytest

from fakes.models import adding, sleeping
from fakes.server import FakeServer
from shipway.errors import UsageError
from shipway.serving.application import Application
from shipway.serving.http.access import AccessLog, json_lines, text_lines
from shipway.serving.http.keys import ApiKeys, hash_key, new_key
from shipway.serving.state import Phase
from shipway.spec.settings import Limits, Settings

KEY = new_key()
KEYS = ApiKeys.parse(f"# ours\n\n{hash_key(KEY)} the web shop\n")


def test_the_callers_request_id_and_trace_are_returned() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = FakeServer(adding()).post("/", [1, 2], headers={"x-request-id": "mine-1", "traceparent": trace})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["traceparent"] == trace


@pytest.mark.parametrize("given", ["with space", "x" * 129, "é", ""])
def test_an_id_that_would_disturb_a_log_is_replaced(given: str) -> None:
    answer = FakeServer(adding()).post("/", [1, 2], headers={"x-request-id": given.encode()})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 16


def test_with_keys_every_call_but_health_needs_one() -> None:
    server = FakeServer(adding(), keys=KEYS)
    for method, path in (("POST", "/"), ("GET", "/"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/models"),
                         ("POST", "/models/sum"), ("GET", "/v2"), ("POST", "/v2/models/sum/infer")):  # fmt: skip
        answer = server.request(method, path, content=b"[1,2]")
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in (
        "/livez",
        "/readyz",
        "/healthz",
        "/health/live",
        "/health/ready",
        "/v2/health/live",
        "/v2/health/ready",
    ):
        assert server.request("GET", path).status_code == 200, path


def test_a_key_lets_in_and_a_wrong_one_does_not() -> None:
    server = FakeServer(adding(), keys=KEYS)
    assert server.post("/", [1, 2], headers={"authorization": f"Bearer {KEY}"}).json() == {"prediction": 3.0}
    assert server.post("/", [1, 2], headers={"authorization": f"bearer  {KEY} "}).status_code == 200
    for wrong in (f"Bearer {new_key()}", f"Token {KEY}", KEY, "Bearer", "Bearer ", "Basic !!!", "Bearer \xff"):
        assert server.post("/", [1, 2], headers={"authorization": wrong.encode("latin-1")}).status_code == 401, wrong


def test_a_browser_is_asked_for_the_key_and_may_send_it_as_password() -> None:
    server = FakeServer(adding(), keys=KEYS)
    asked = server.request("GET", "/", headers={"accept": "text/html"})
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic")
    basic = base64.b64encode(f"me:{KEY}".encode()).decode()
    page = server.request("GET", "/", headers={"accept": "text/html", "authorization": f"Basic {basic}"})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_keys_are_not_in_the_log_nor_in_the_answer() -> None:
    server = FakeServer(adding(), keys=KEYS)
    answer = server.post("/", ["x"], headers={"authorization": f"Bearer {KEY}"})
    assert KEY not in answer.text + repr(server.log)


@pytest.mark.parametrize("text", ["", "# none\n", "shipway_plain_key", "sha256:abc", "md5:" + "0" * 64])
def test_a_file_without_hashed_keys_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="key"):
        ApiKeys.parse(text)


def test_while_starting_only_health_is_answered() -> None:
    server = FakeServer()
    assert server.request("GET", "/livez").status_code == 200
    assert server.request("GET", "/readyz").status_code == 503
    refused = server.post("/", [1, 2])
    assert refused.status_code == 503
    assert refused.headers["retry-after"]


@pytest.mark.parametrize(("path", "status"), [("/v2/health/live", 200), ("/v2/health/ready", 503)])
def test_v2s_health_is_answered_while_starting_too(path: str, status: int) -> None:
    assert FakeServer().request("GET", path).status_code == status


def test_after_a_body_that_is_too_large_the_connection_ends() -> None:
    server = FakeServer(adding(), settings=Settings(limits=Limits(body_bytes=10)))
    assert server.request("POST", "/", content=b" " * 11).headers["connection"] == "close"


HEALTH = ("/livez", "/healthz", "/health/live", "/readyz", "/health/ready", "/v2/health/live", "/v2/health/ready")


def test_the_platforms_listener_answers_health_and_metrics_without_a_key() -> None:
    server = FakeServer(adding(), keys=KEYS)
    server.as_platform = True
    for path in (*HEALTH, "/metrics"):
        assert server.request("GET", path).status_code == 200, path
    assert "shipway_model_loaded" in server.request("GET", "/metrics").text


@pytest.mark.parametrize("loaded", [True, False])
def test_the_platforms_listener_has_nothing_else(loaded: bool) -> None:
    server = FakeServer(*([adding()] if loaded else []))
    server.as_platform = True
    for method, path in (("POST", "/"), ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/models"),
                         ("POST", "/models/sum"), ("GET", "/v2"), ("POST", "/v2/models/sum/infer")):  # fmt: skip
        answer = server.request(method, path, content=b"[1,2]")
        assert answer.status_code == 404, path
        assert "/metrics" in answer.json()["error"]["fix"]


def test_the_platforms_listener_follows_the_servers_life() -> None:
    server = FakeServer()
    server.as_platform = True
    assert server.request("GET", "/readyz").status_code == 503
    assert server.request("GET", "/metrics").status_code == 200
    server.application.start([adding()])
    assert server.request("GET", "/readyz").status_code == 200
    server.application.state.phase = Phase.DRAINING
    assert server.request("GET", "/readyz").status_code == 503
    assert server.request("GET", "/livez").status_code == 200


def test_calls_of_callers_are_in_the_metrics_that_the_platform_reads() -> None:
    server = FakeServer(adding())
    server.post("/", [1, 2])
    server.as_platform = True
    text = server.request("GET", "/metrics").text
    assert 'shipway_requests_total{code="200",method="predict",model="sum",protocol="plain",version="3"} 1.0' in text


def test_while_draining_calls_are_answered_and_readiness_is_not() -> None:
    server = FakeServer(adding())
    server.application.state.phase = Phase.DRAINING
    assert server.request("GET", "/readyz").status_code == 503
    assert server.request("GET", "/livez").status_code == 200
    answer = server.post("/", [1, 2])
    assert answer.json() == {"prediction": 3.0}
    assert answer.headers["connection"] == "close"


def test_metrics_count_what_was_asked() -> None:
    server = FakeServer(adding())
    server.post("/", [1, 2])
    server.post("/", [1, 2])
    server.post("/", ["x"])
    server.post("/models/none", [1])
    text = server.request("GET", "/metrics").text
    labels = 'method="predict",model="sum",protocol="plain",version="3"'
    assert f'shipway_requests_total{{code="200",{labels}}} 2.0' in text
    assert f'shipway_requests_total{{code="422",{labels}}} 1.0' in text
    assert 'shipway_requests_total{code="404"' in text
    assert "shipway_request_duration_seconds_count{" + labels + "} 3.0" in text
    assert "shipway_inflight 1.0" in text
    assert "shipway_model_loaded{" in text


def test_an_unknown_path_makes_no_new_time_series() -> None:
    server = FakeServer(adding())
    for number in range(20):
        server.request("GET", f"/models/guess{number}")
        server.request("GET", f"/guess{number}")
    series = [
        line
        for line in server.request("GET", "/metrics").text.splitlines()
        if line.startswith("shipway_requests_total")
    ]
    assert len(series) == 1


def test_the_log_says_who_asked_what_and_how_it_ended() -> None:
    server = FakeServer(adding())
    server.post("/", [[1, 2], [3, 4]], headers={"x-request-id": "mine"})
    server.post("/", ["x"])
    good, bad = server.log
    assert (good.status, good.id, good.model, good.version, good.method, good.rows) == (
        200,
        "mine",
        "sum",
        "3",
        "predict",
        2,
    )
    assert (bad.status, bad.error) == (422, "InvalidInput")


def test_a_dear_call_is_answered_within_the_callers_patience_or_refused() -> None:
    server = FakeServer(sleeping(0.4))
    patient = server.post("/", [1, 2])
    assert patient.json() == {"prediction": 3.0}
    for headers in ({"prefer": "wait=0.2"}, {"x-envoy-expected-rq-timeout-ms": "200"}):
        hasty = FakeServer(sleeping(0.4)).post("/", [1, 2], headers=headers)
        assert hasty.status_code == 503
        assert int(hasty.headers["retry-after"]) >= 1


def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"[1,"
        await asyncio.sleep(30)

    headers = {"prefer": "wait=0.2", "content-type": "application/json"}
    begin = time.monotonic()
    answer = FakeServer(adding()).request("POST", "/", content=stalling(), headers=headers)
    assert time.monotonic() - begin < 5
    assert answer.status_code == 503
    assert "did not arrive" in answer.text


def test_a_call_that_is_cancelled_from_outside_stays_cancelled() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        await asyncio.sleep(30)
        yield b""

    async def conversation(client: httpx.AsyncClient) -> None:
        call = asyncio.create_task(client.post("/", content=stalling()))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    server = FakeServer(adding())
    server.ask(conversation)
    assert server.log[-1].status == 499


def test_more_than_may_wait_are_refused_at_once() -> None:
    async def conversation(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/", json=[number, 0]) for number in range(8)))

    answers = FakeServer(sleeping(0.05), settings=Settings(limits=Limits(waiting=2))).ask(conversation)
    assert {answer.status_code for answer in answers} == {200, 429}
    for number, answer in enumerate(answers):
        if answer.status_code == 200:
            assert answer.json() == {"prediction": float(number)}
        else:
            assert answer.headers["retry-after"]


def test_dear_calls_do_not_hold_up_cheap_ones() -> None:
    async def conversation(client: httpx.AsyncClient) -> list[str]:
        order: list[str] = []

        async def call(path: str) -> None:
            assert (await client.post(path, json=[1, 2])).status_code == 200
            order.append(path)

        await asyncio.gather(call("/models/slow"), call("/models/sum"))
        return order

    assert FakeServer(sleeping(0.2), adding()).ask(conversation) == ["/models/sum", "/models/slow"]


def test_a_head_request_is_answered_like_get_without_a_body() -> None:
    answer = FakeServer(adding()).request("HEAD", "/livez")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_page_is_for_browsers_and_the_status_for_others() -> None:
    server = FakeServer(adding())
    page = server.request("GET", "/", headers={"accept": "text/html,*/*"})
    assert b"<html" in page.content
    assert "default-src" in page.headers["content-security-policy"]
    assert server.request("GET", "/").json()["status"] == "alive"
    assert server.request("GET", "/openapi.json").json()["openapi"].startswith("3.")


def test_a_path_of_slashes_is_no_failure() -> None:
    assert FakeServer(adding()).request("GET", "/livez" + "/" * 5000).status_code == 200
    assert FakeServer(adding()).request("GET", "/nothing" + "/" * 5000).status_code == 404


class FailingStream(io.StringIO):
    """A log's stream whose reader has gone, or whose disk is full."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.ENOSPC, "no space"), ValueError("closed file")])
@pytest.mark.parametrize("lines", [json_lines, text_lines])
def test_a_log_that_cannot_be_written_harms_no_answer(lines: Callable[[TextIO], AccessLog], error: Exception) -> None:
    server = FakeServer()
    server.application = Application(Settings(), lines(FailingStream(error)), None)
    server.application.start([adding()])
    assert server.post("/", [1, 2]).json() == {"prediction": 3.0}


@pytest.mark.parametrize("lines", [json_lines, text_lines])
def test_each_request_is_one_line_of_the_log(lines: Callable[[TextIO], AccessLog]) -> None:
    stream = io.StringIO()
    server = FakeServer()
    server.application = Application(Settings(), lines(stream), None)
    server.application.start([adding()])

    async def conversation(client: httpx.AsyncClient) -> None:
        headers = [{"x-request-id": f"mine-{number}"} for number in range(20)]
        await asyncio.gather(*(client.post("/no%0Asuch%0Apath", headers=header) for header in headers))
        await asyncio.sleep(0)

    server.ask(conversation)
    written = stream.getvalue().splitlines()
    assert len(written) == 20
    assert all(f"mine-{number}" in "".join(written) for number in range(20))
