"""An app that hangs is replaced, and one that is slow, stopped or busy is not."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from fakes.apps import write_bundle
from fakes.process import ServerProcess
from shipway.spec.app import Interface

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a supervisor hears its worker on POSIX only")

WSGI = """
import os, re, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/explodes":
        re.match(r"(a+)+$", "a" * 60 + "b")  # never lets go of the interpreter
    if path == "/waits":
        time.sleep(600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
ASGI = """
import os, re, time

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/explodes":
        re.match(r"(a+)+$", "a" * 60 + "b")
    if scope["path"] == "/waits":
        time.sleep(600)  # holds the event loop alone
    if scope["path"] == "/slow":
        time.sleep(1.2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
APPS: dict[Interface, str] = {"wsgi": WSGI, "asgi": ASGI}
TESTS = str(Path(__file__).parents[2])


@pytest.fixture
def start(tmp_path: Path) -> Callable[[Interface, str], ServerProcess]:
    """Starts a server whose supervisor waits for two seconds more than a request may take."""

    def started(interface: Interface, seconds: str) -> ServerProcess:
        folder = write_bundle(tmp_path, {"app.py": APPS[interface]}, "app:app", interface)
        environ = {"PYTHONPATH": TESTS, "SHIPWAY_LIMITS__SECONDS": seconds, "SHIPWAY_APPS__THREADS": "1"}
        return ServerProcess(str(folder), "--drain-seconds", "0", environ=environ, module="fakes.impatient")

    return started


@pytest.mark.parametrize(
    ("interface", "path", "line"),
    [("wsgi", "/explodes", 7), ("asgi", "/explodes", 7), ("asgi", "/waits", 9)],
)
def test_an_app_that_holds_everything_up_is_replaced_and_the_log_says_where_it_was(
    start: Callable[..., ServerProcess], interface: Interface, path: str, line: int
) -> None:
    with start(interface, "0.5") as server:
        address = server.address()
        before = server.client.get(address).text
        with pytest.raises(httpx.RemoteProtocolError):
            server.client.get(address + path)
        assert _answer_of_another(server, address, before)
        assert "the app has hung for" in server.log
        assert f'app.py", line {line} in app' in server.log
        assert "was ended by SIGABRT; it is started again" in server.log
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


def test_an_app_whose_threads_are_all_lost_is_replaced(start: Callable[..., ServerProcess]) -> None:
    with start("wsgi", "0.5") as server:
        address = server.address()
        before = server.client.get(address).text
        assert server.client.get(address + "/waits").status_code == 503
        assert _answer_of_another(server, address, before)
        assert 'app.py", line 9 in app' in server.log


def _answer_of_another(server: ServerProcess, address: str, before: str) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(httpx.RemoteProtocolError):  # it was being ended
            answer = server.client.get(address)
            if answer.status_code == 200 and answer.text != before:
                return answer.text
        time.sleep(0.1)
    return ""


def test_calls_that_hold_the_event_loop_one_after_the_other_are_load_and_no_hang(
    start: Callable[..., ServerProcess],
) -> None:
    with start("asgi", "1") as server, ThreadPoolExecutor(5) as pool:
        address = server.address()
        before = server.client.get(address).text

        def ask(number: int) -> str:
            return httpx.get(address + "/slow", timeout=30).text

        # Those that come while the first is answered are all taken up in one turn of the event loop.
        assert set(pool.map(ask, range(5))) == {before}
        assert server.client.get(address).text == before
        assert "hung" not in server.log


def test_a_server_that_was_stopped_for_longer_goes_on(start: Callable[..., ServerProcess]) -> None:
    with start("wsgi", "1") as server:
        address = server.address()
        before = server.client.get(address).text
        for number, seconds in ((signal.SIGSTOP, 4), (signal.SIGCONT, 2)):
            for pid in (server.process.pid, int(before)):
                os.kill(pid, number)
            time.sleep(seconds)
        assert server.client.get(address).text == before
        assert "hung" not in server.log
