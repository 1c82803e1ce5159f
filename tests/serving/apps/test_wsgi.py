"""A WSGI app behind the server: what PEP 3333 promises it, and what it cannot do to us."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest

from fakes.apps import LiveApp
from shipway.spec.settings import Apps, Limits, Settings

Start = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


def ask(app: Callable[..., Any], method: str = "GET", path: str = "/", **arguments: Any) -> httpx.Response:
    with LiveApp(app) as live:
        return live.client.request(method, path, **arguments)


def test_a_body_with_a_length_is_sent_as_it_is() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("201 Made", [*TEXT, ("Content-Length", "5"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"he", b"llo"]

    answer = ask(app)
    assert (answer.status_code, answer.content) == (201, b"hello")
    assert answer.headers["content-length"] == "5"
    assert "transfer-encoding" not in answer.headers
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_a_body_without_a_length_is_chunked() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", TEXT)
        return [b"a", b"", b"b"]

    answer = ask(app)
    assert answer.content == b"ab"
    assert answer.headers["transfer-encoding"] == "chunked"


def test_blocks_arrive_as_they_are_made() -> None:
    go_on = threading.Event()

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", TEXT)
        yield b"first"
        assert go_on.wait(20)
        yield b"second"

    with LiveApp(app) as live, live.client.stream("GET", "/") as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"first"
        go_on.set()
        assert b"".join(parts) == b"second"


def test_write_comes_before_the_iterable() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        write = start("200 OK", TEXT)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert ask(app).content == b"one two three"


def test_a_body_of_any_size_is_read_as_it_arrives() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        body = environ["wsgi.input"]
        lines = [body.readline(), body.read(5)]
        size = 0
        while part := body.read(70_000):
            size += len(part)
        start("200 OK", TEXT)
        return [b"%r %d" % (lines, size)]

    content = b"line\n12345" + b"x" * 5_000_000
    assert ask(app, "POST", content=content).content == b"[b'line\\n', b'12345'] 5000000"
    parts = (content[at : at + 100_000] for at in range(0, len(content), 100_000))
    assert ask(app, "POST", content=parts).content == b"[b'line\\n', b'12345'] 5000000"


def test_a_request_and_its_answer_may_stream_at_the_same_time() -> None:
    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", TEXT)
        while part := environ["wsgi.input"].read(65_536):
            yield part

    content = bytes(range(256)) * 12_000
    assert ask(app, "POST", content=content).content == content


class Closing:
    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.blocks, self.closed = blocks, threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks

    def close(self) -> None:
        self.closed.set()


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 65_536


def failing() -> Iterator[bytes]:
    yield b"begun"
    raise ValueError("in the middle")


@pytest.mark.parametrize(
    ("blocks", "length"), [([b"all"], "3"), ([], "0"), ([b"a", b"b"], None), (failing(), None), (failing(), "9")]
)
def test_the_iterable_is_closed_whatever_happens(blocks: Iterable[bytes], length: str | None) -> None:
    closing = Closing(blocks)

    def app(environ: Environ, start: Start) -> Closing:
        start("200 OK", [*TEXT, *([("Content-Length", length)] if length else [])])
        return closing

    with LiveApp(app) as live:
        with contextlib.suppress(httpx.RemoteProtocolError):
            live.client.get("/")
        assert closing.closed.wait(10)


def test_a_caller_who_goes_ends_an_endless_answer() -> None:
    closing = Closing(endless())

    def app(environ: Environ, start: Start) -> Closing:
        start("200 OK", TEXT)
        return closing

    with LiveApp(app) as live:
        with live.client.stream("GET", "/") as answer:
            next(answer.iter_raw())
            assert not closing.closed.is_set()
        assert closing.closed.wait(10)


def test_a_caller_who_does_not_read_holds_the_app_back() -> None:
    made = 0

    def blocks() -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 65_536

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", TEXT)
        return blocks()

    with LiveApp(app) as live, socket.create_connection(("127.0.0.1", int(live.address.rpartition(":")[2]))) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        seen = -1
        while made != seen:
            seen = made
            time.sleep(0.3)
        assert 0 < made < 1000  # what the sockets hold, and a few blocks more


def test_an_error_before_the_answer_can_change_it() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", [("X-First", "1")])
        try:
            raise ValueError
        except ValueError as error:
            start("500 Oh", TEXT, (ValueError, error, error.__traceback__))
        return [b"mended"]

    answer = ask(app)
    assert (answer.status_code, answer.content) == (500, b"mended")
    assert "x-first" not in answer.headers


def test_an_error_in_the_middle_of_the_answer_ends_the_connection() -> None:
    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", TEXT)
        yield b"begun"
        try:
            raise ValueError
        except ValueError as error:
            start("500 Oh", TEXT, (ValueError, error, error.__traceback__))

    with pytest.raises(httpx.RemoteProtocolError):
        ask(app)


def nothing(environ: Environ, start: Start) -> None:
    start("200 OK", TEXT)


def no_start(environ: Environ, start: Start) -> list[bytes]:
    return [b"x"]


def text_for_bytes(environ: Environ, start: Start) -> list[str]:
    start("200 OK", TEXT)
    return ["text"]


def too_short(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", [("Content-Length", "9")])
    return []


def exits(environ: Environ, start: Start) -> list[bytes]:
    raise SystemExit(3)


def without_database(environ: Environ, start: Start) -> list[bytes]:
    raise ConnectionRefusedError("this is not the caller's connection")


def answers_with(status: str, *headers: tuple[str, str]) -> Callable[[Environ, Start], list[bytes]]:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start(status, [*TEXT, *headers])
        return [b"x"]

    return app


NO_ANSWERS = [
    answers_with("200 OK", ("X-Note", "a\r\nSet-Cookie: b=c")),
    answers_with("200 OK", ("X-Note", "a\0b")),
    answers_with("200 OK", ("X-Note\n", "a")),
    answers_with("200 OK", ("X Note", "a")),
    answers_with("200 OK", ("X-Note", "\u20ac")),
    answers_with("200 OK", ("", "a")),
    answers_with("200 OK", ("Content-Length", "-1")),
    answers_with("200 OK", ("Content-Length", "+1")),
    answers_with("101 Switching"),
    answers_with("999 No"),
    answers_with("OK"),
]


def raises(environ: Environ, start: Start) -> list[bytes]:
    raise KeyError("secret of the app")


@pytest.mark.parametrize(
    "app", [nothing, no_start, text_for_bytes, too_short, exits, raises, without_database, *NO_ANSWERS]
)
def test_an_app_that_fails_gives_a_500_with_the_id_and_not_the_reason(
    app: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with LiveApp(app) as live:
        answer = live.client.get("/", headers={"X-Request-Id": "mine"})
        assert answer.status_code == 500
        assert answer.json()["error"]["request_id"] == "mine"
        assert "secret" not in answer.text
        assert live.client.get("/livez").status_code == 200
    assert "request mine failed" in caplog.text
    assert live.log[0].error


def test_an_answer_that_is_longer_than_its_length_is_cut_there() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", [("Content-Length", "3")])
        return [b"abcdef", b"ghi"]

    assert ask(app).content == b"abc"


def test_an_answer_that_is_shorter_than_its_length_ends_the_connection() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", [("Content-Length", "9")])
        return [b"abc"]

    with pytest.raises(httpx.RemoteProtocolError):
        ask(app)


def test_head_has_the_length_and_no_body() -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", [("Content-Length", "5")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"hello"]

    with LiveApp(app) as live:
        answer = live.client.head("/")
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "5")
        assert live.client.get("/").content == b"hello"


def test_a_file_is_sent_through_the_wrapper(tmp_path: Any) -> None:
    (tmp_path / "data").write_bytes(b"y" * 300_000)

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", TEXT)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"]((tmp_path / "data").open("rb"), 65_536)
        return wrapped

    assert ask(app).content == b"y" * 300_000


def test_a_thread_that_hangs_is_lost_until_it_returns() -> None:
    hold = threading.Event()

    def app(environ: Environ, start: Start) -> list[bytes]:
        if environ["PATH_INFO"] == "/hang":
            hold.wait(20)
        start("200 OK", TEXT)
        return [b"x"]

    settings = Settings(limits=Limits(seconds=0.3), apps=Apps(threads=2))
    with LiveApp(app, settings=settings) as live:
        late = live.client.get("/hang")
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert live.client.get("/").status_code == 200
        assert live.client.get("/livez").status_code == 200
        assert "shipway_app_threads_lost 1.0" in live.client.get("/metrics").text
        live.client.get("/hang")
        assert live.client.get("/livez").status_code == 503
        assert live.client.get("/readyz").status_code == 503
        assert live.client.get("/").status_code == 503
        hold.set()
        end = time.monotonic() + 10
        while live.client.get("/livez").status_code != 200:
            assert time.monotonic() < end
        assert live.client.get("/").status_code == 200


def test_as_many_requests_run_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(3)

    def app(environ: Environ, start: Start) -> list[bytes]:
        together.wait(10)
        start("200 OK", TEXT)
        return [b"%d" % environ["wsgi.multithread"]]

    with LiveApp(app, settings=Settings(apps=Apps(threads=3))) as live:
        answers: list[httpx.Response] = []
        threads = [threading.Thread(target=lambda: answers.append(live.client.get("/"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.content for answer in answers] == [b"1"] * 3
