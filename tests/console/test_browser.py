"""The page in a real browser, over WebDriver's wire protocol, against canned answers."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from served_models import classifier, linear, tensors
from shipway.console.page import content_security_policy, page

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
]

FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "window-size=1280,1000",
)  # fmt: skip
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\u2028\"'"
METRICS = """
shipway_requests_total{model="diabetes",version="3",method="predict",protocol="plain",code="200"} 90.0
shipway_requests_total{model="",version="",method="",protocol="plain",code="404"} 50.0
shipway_request_duration_seconds_bucket{model="diabetes",le="0.001"} 90.0
shipway_request_duration_seconds_bucket{model="diabetes",le="+Inf"} 90.0
shipway_inflight 4.0
"""
MORE_METRICS = METRICS.replace(" 90.0", " 190.0") + (
    'shipway_requests_total{model="diabetes",version="3",method="predict",protocol="plain",code="422"} 7.0\n'
)


class Server(ThreadingHTTPServer):
    """Serves the page as a real server does, and answers as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        models = [linear(), classifier(column=HOSTILE, categories=(HOSTILE,), classes=(HOSTILE, "stays")), tensors()]
        self.page = page(models, version="0.1.0", auth=False, request_url=None)
        self.bodies: list[str] = []
        self.scrapes = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/":
            policy = content_security_policy(self.server.page)
            self._send(200, self.server.page, "text/html; charset=utf-8", policy)
        elif self.path == "/metrics":
            self.server.scrapes += 1
            self._send(200, (METRICS if self.server.scrapes == 1 else MORE_METRICS).encode(), "text/plain")
        else:
            self._send(200, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.bodies.append(body)
        status, answer = canned(self.path, json.loads(body))
        self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json", policy: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if policy:
            self.send_header("content-security-policy", policy)
        self.end_headers()
        self.wfile.write(body)


def canned(path: str, body: Any) -> tuple[int, dict[str, object]]:
    if path == "/models/churn/predict_proba":
        return 200, {"prediction": [0.0625, 0.9375], "classes": [HOSTILE, "stays"]}
    if path == "/models/churn/predict":
        message = "column 'charge', row 0: expected a number, got null"
        return 422, {"error": {"message": message, "fix": "send one", "request_id": "r1", "column": "charge", "row": 0}}
    if path == "/models/net/run":
        return 503, {"error": {"message": "the server is ending", "fix": "ask again", "request_id": "r2"}}
    rows = [100 - 10 * row["age"] + 50 * row["bmi"] for row in (body if isinstance(body, list) else [body])]
    return 200, {"prediction": rows if isinstance(body, list) else rows[0]}


class Browser:
    """A session of a headless Chromium (https://www.w3.org/TR/webdriver2/)."""

    def __init__(self, port: int, profile: str) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        self.until_up()
        flags = (*FLAGS, f"user-data-dir={profile}")
        options = {"binary": CHROMIUM, "args": [f"--{flag}" for flag in flags]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base = f"/session/{session['sessionId']}"

    def until_up(self) -> None:
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                self._http.get("/status")
                return
            time.sleep(0.1)
        raise AssertionError("chromedriver does not start")

    def open(self, url: str) -> None:
        self._call("POST", f"{self._base}/url", {"url": "about:blank"})
        self._call("POST", f"{self._base}/url", {"url": url})

    def run(self, script: str) -> Any:
        return self._call("POST", f"{self._base}/execute/sync", {"script": script, "args": []})

    def until(self, condition: str) -> Any:
        """Gives the first true value of `condition`, within ten seconds."""
        for _ in range(100):
            if value := self.run(f"return {condition}"):
                return value
            time.sleep(0.1)
        raise AssertionError(f"never: {condition}\n{self.run('return document.body.innerText')}")

    def type(self, selector: str, text: str) -> None:
        found = self._call("POST", f"{self._base}/element", {"using": "css selector", "value": selector})
        element = f"{self._base}/element/{next(iter(found.values()))}"
        self._call("POST", f"{element}/clear", {})
        self._call("POST", f"{element}/value", {"text": text})

    def narrow(self, width: int) -> None:
        parameters: dict[str, object] = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        self.command("Emulation.setDeviceMetricsOverride", parameters)

    def command(self, name: str, parameters: dict[str, object]) -> Any:
        return self._call("POST", f"{self._base}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def complaints(self) -> list[str]:
        entries = self._call("POST", f"{self._base}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["source"] != "network" and entry["level"] == "SEVERE"]

    def close(self) -> None:
        self._call("DELETE", self._base, None)
        self._http.close()

    def _call(self, method: str, path: str, body: dict[str, object] | None) -> Any:
        answer = self._http.request(method, path, json=body).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer and "stacktrace" in answer), answer["message"]
        return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert CHROMEDRIVER
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        subprocess.Popen(
            [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as driver,
    ):
        try:
            session = Browser(port, profile)
            yield session
            session.close()
        finally:
            driver.terminate()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


ANSWER = "document.getElementById('answer')"


def test_the_form_is_made_from_the_signature_and_the_answer_is_shown(browser: Browser, server: Server) -> None:
    browser.open(server.url)
    browser.until("document.querySelectorAll('#fields input').length === 2")
    assert browser.run("return [...document.querySelectorAll('#fields input')].map(i => i.value)") == ["0.5", "1.5"]
    assert browser.run("return document.querySelector('#fields input').labels[0].textContent") == "age"
    browser.type("#field-0", "1.5\ue007")  # Enter asks
    assert browser.until(f"{ANSWER}.querySelector('.big')?.textContent") == "160"
    assert browser.until("document.getElementById('spoken').textContent") == "progression: 160"
    assert json.loads(server.bodies[0]) == {"age": 1.5, "bmi": 1.5}
    parts = browser.run(
        f"return [...{ANSWER}.querySelectorAll('.bars tbody tr')].map(r => r.innerText.split(/\\s+/)[0])"
    )
    assert parts == ["intercept", "bmi", "age"]
    assert browser.complaints() == []


def test_many_rows_written_as_json_are_answered_with_a_table(browser: Browser, server: Server) -> None:
    browser.open(server.url)
    browser.run("document.querySelector('[name=mode][value=json]').click()")
    browser.type("#raw-body", '[{"age": 0, "bmi": 0}, {"age": 0, "bmi": 1}]')
    browser.run("document.getElementById('submit').click()")
    assert browser.until(f"{ANSWER}.querySelector('table')?.innerText.split(/\\s+/)") == [
        "Row",
        "Prediction",
        "0",
        "100",
        "1",
        "150",
    ]
    browser.type("#raw-body", "[{]")
    browser.run("document.getElementById('submit').click()")
    assert "not JSON" in browser.until("document.getElementById('raw-error').textContent")
    assert len(server.bodies) == 1


def test_probabilities_have_their_numbers_beside_the_bars_and_no_name_becomes_markup(
    browser: Browser, server: Server
) -> None:
    browser.open(server.url + "#churn/predict_proba")
    browser.until("document.querySelectorAll('#fields .field').length === 5")
    browser.run("document.getElementById('submit').click()")
    assert browser.until(f"{ANSWER}.querySelector('.big')?.textContent") == "stays"
    cells = "row => [row.cells[0].textContent, row.cells[2].textContent]"
    rows = browser.run(f"return [...{ANSWER}.querySelectorAll('.bars tbody tr')].map({cells})")
    assert rows == [["stays", "93.8 %"], [HOSTILE, "6.25 %"]]
    assert browser.run("return document.querySelector('label[for=field-2]').textContent") == HOSTILE
    assert browser.run("return document.getElementById('field-2').list.options[0].value") == HOSTILE
    assert browser.run("return window.hacked ?? null") is None
    sent = server.bodies[0]
    assert json.loads(sent) == {
        "months": 9007199254740993,
        "charge": None,
        HOSTILE: HOSTILE,
        "paperless": True,
        "remark": None,
    }
    assert browser.complaints() == []


def test_an_error_is_shown_at_the_field_to_blame_and_goes_when_it_is_mended(browser: Browser, server: Server) -> None:
    browser.open(server.url + "#churn/predict")
    browser.run("document.getElementById('submit').click()")
    assert (
        browser.until("document.getElementById('field-1-error').textContent") == "expected a number, got null. send one"
    )
    assert browser.run("return [document.activeElement.id, document.activeElement.ariaInvalid]") == ["field-1", "true"]
    browser.type("#field-1", "3")
    assert browser.run("return document.getElementById('field-1-error').hidden") is True
    browser.run("document.getElementById('field-0').value = ''; document.getElementById('submit').click()")
    assert browser.until("document.getElementById('field-0-error').textContent") == "needs a value"
    assert len(server.bodies) == 1


def test_an_error_of_no_field_is_a_banner_with_the_fix(browser: Browser, server: Server) -> None:
    browser.open(server.url + "#net/run")
    browser.run("document.getElementById('submit').click()")
    banner = browser.until(f"{ANSWER}.querySelector('.banner')?.innerText")
    assert banner.split("\n")[0] == "the server is ending"
    assert "ask again" in banner
    assert "r2" in banner


@pytest.mark.parametrize("address", ["#diabetes/predict", "#churn/predict_proba"])
def test_the_curl_and_python_texts_make_the_same_call(browser: Browser, server: Server, address: str) -> None:
    browser.open(server.url + address)
    browser.run("document.getElementById('submit').click()")
    browser.until(f"{ANSWER}.querySelector('.big')?.textContent")
    words = shlex.split(browser.run("return document.getElementById('curl').textContent"))
    assert words[:2] == ["curl", f"{server.url}models/{address[1:]}"]
    assert words[-1] == server.bodies[0]
    code = browser.run("return document.getElementById('python').textContent")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert json.loads(server.bodies[1]) == json.loads(server.bodies[0])
    assert printed.getvalue().strip()


def test_the_live_figures_count_the_calls_of_models_within_the_window(browser: Browser, server: Server) -> None:
    browser.open(server.url)
    browser.until("document.getElementById('health').dataset.state === 'ready'")
    browser.until("document.querySelectorAll('.gauge dd')[6]?.textContent === '7'")
    figures = browser.run("return [...document.querySelectorAll('.gauge dd:not(.spark)')].map(d => d.textContent)")
    assert 20 < float(figures[0].split("a")[0]) < 60  # 107 calls in some two seconds
    assert figures[1:] == ["500 µs", "950 µs", "7", "3"]


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, server: Server) -> None:
    browser.narrow(360)
    try:
        for address in ("#diabetes/predict", "#churn/predict_proba", "#net/run"):
            browser.open(server.url + address)
            browser.run("document.getElementById('submit').click()")
            browser.until(f"{ANSWER}.querySelector('.big, .banner') !== null")
            assert browser.run("return document.documentElement.scrollWidth") == 360
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride", {})


def test_without_javascript_the_reference_is_all_that_shows(browser: Browser, server: Server) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(server.url)
        heights = browser.run("return ['ask', 'live', 'reference'].map(id => document.getElementById(id).offsetHeight)")
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", {"value": False})
    assert heights[:2] == [0, 0]
    assert heights[2] > 0
