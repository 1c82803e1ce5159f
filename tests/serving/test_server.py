"""The server as a process: it starts, is ready, drains and ends as its contract says."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from fakes.folders import write_folder
from fakes.process import ServerProcess
from fakes.server import FakeServer
from shipway.bundle.bundle import Bundle
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.store import Store
from shipway.errors import MachineError, PortInUse
from shipway.serving.application import Application
from shipway.serving.http.access import no_log
from shipway.serving.http.keys import hash_key, new_key
from shipway.serving.listeners import bind
from shipway.serving.loading import load_model
from shipway.serving.server import serve
from shipway.spec.settings import Server, Settings

CODE = Path(__file__).parents[1] / "fakes" / "code"
ROW = dict.fromkeys(("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"), 0.01)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@pytest.fixture(scope="module")
def folder(diabetes: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(diabetes, tmp_path_factory.mktemp("models") / "diabetes").parent


@pytest.fixture(scope="module")
def sleepy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that takes half a second, and that only its own pickle can be."""
    sys.path.insert(0, str(CODE))
    try:
        from sleepy import Sleepy
    finally:
        sys.path.remove(str(CODE))
    rows = np.arange(20.0).reshape(10, 2)
    model = make_pipeline(Sleepy(0.5), LinearRegression()).fit(rows, rows.sum(axis=1))
    store = Store.at(tmp_path_factory.mktemp("sleepy") / "store")
    bundle = pack(PackRequest(model, "sleepy", code=(CODE,)), store).bundle
    assert bundle.model.compiled is None
    return write_folder(bundle, tmp_path_factory.mktemp("sleepy-models") / "sleepy").parent


def test_it_answers_and_names_the_bundle(folder: Path, diabetes: Bundle) -> None:
    with ServerProcess(str(folder)) as server:
        answer = server.client.post(server.address() + "/", json=ROW)
        assert answer.status_code == 200
        assert answer.headers["shipway-bundle"] == str(diabetes.id)
        assert '"status":200' in server.log


def test_sigterm_drains_and_ends_with_0(folder: Path) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "1") as server:
        address = server.address()
        server.signal(signal.SIGTERM)
        begin = time.monotonic()
        while server.client.get(address + "/readyz").status_code == 200:
            assert time.monotonic() - begin < 0.9
        assert server.client.post(address + "/", json=ROW).status_code == 200
        assert server.exit_code() == 0
        assert time.monotonic() - begin >= 0.9


def test_an_interrupt_ends_without_waiting(folder: Path) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "60") as server:
        server.address()
        server.signal(signal.SIGINT)
        assert server.exit_code(10) == 0


@pytest.fixture
def slow_server(sleepy: Path) -> Iterator[tuple[ServerProcess, list[httpx.Response | Exception]]]:
    """A server that is answering a call which takes half a second; the answers gather in the list."""
    answers: list[httpx.Response | Exception] = []
    with ServerProcess(str(sleepy), "--drain-seconds", "0", "--allow-pickle") as server:
        address = server.address()

        def ask() -> None:
            try:
                answers.append(httpx.post(address + "/", json=[1, 2], timeout=30))
            except httpx.HTTPError as error:
                answers.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.25)
        yield server, answers
        thread.join(30)


def test_what_is_in_flight_is_finished_before_the_end(slow_server: tuple[ServerProcess, list[httpx.Response]]) -> None:
    server, answers = slow_server
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    time.sleep(0.1)
    assert [answer.status_code for answer in answers] == [200]


def test_a_second_signal_ends_at_once(slow_server: tuple[ServerProcess, list[httpx.Response]]) -> None:
    server, _ = slow_server
    server.signal(signal.SIGINT)
    time.sleep(0.05)
    server.signal(signal.SIGINT)
    assert server.exit_code(0.3) == 130


def test_a_signal_while_models_load_ends_it(sleepy: Path) -> None:
    # Warming up calls the model some times, half a second each: the signal comes long before it is ready.
    with ServerProcess(str(sleepy), "--allow-pickle", "--drain-seconds", "0") as server:
        end = time.monotonic() + 20
        while time.monotonic() < end and not _handles(server.process.pid, signal.SIGTERM):
            time.sleep(0.01)
        server.signal(signal.SIGTERM)
        assert server.exit_code(10) == 0
        assert "serving" not in server.log


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, as Linux tells it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return bool(caught >> (number - 1) & 1)


def test_a_pickle_that_was_not_packed_here_is_opened_only_by_policy(sleepy: Path) -> None:
    with ServerProcess(str(sleepy)) as server:
        assert server.exit_code() == 1
        assert "allow_pickle" in server.log
        assert "Traceback" not in server.log


def test_a_damaged_bundle_is_not_served(folder: Path, tmp_path: Path, diabetes: Bundle) -> None:
    copy = write_folder(diabetes, tmp_path / "models" / "diabetes")
    (copy / "compiled" / "model.onnx").write_bytes(b"other")
    with ServerProcess(str(copy.parent)) as server:
        assert server.exit_code() == 1
        assert "error: compiled/model.onnx" in server.log
        assert "Traceback" not in server.log


def test_a_port_in_use_is_said_and_mended(folder: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with ServerProcess(str(folder), "--port", str(port)) as server:
            assert server.exit_code() == 1
            assert f"port {port} is in use" in server.log
            assert "fix: --port 0" in server.log


@pytest.fixture
def free_port() -> int:
    with bind("127.0.0.1", 0) as listener:
        return int(listener.getsockname()[1])


def test_the_platform_has_a_listener_of_its_own_that_drains_and_ends_with_the_first(
    folder: Path, tmp_path: Path, free_port: int
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(hash_key(new_key()), encoding="utf-8")
    environ = {"SHIPWAY_SERVER__METRICS_PORT": str(free_port), "SHIPWAY_AUTH__KEYS": str(keys)}
    with ServerProcess(str(folder), "--drain-seconds", "1", environ=environ) as server:
        callers, platform = server.address(), f"http://127.0.0.1:{free_port}"
        get = server.client.get
        assert (get(platform + "/metrics").status_code, get(callers + "/metrics").status_code) == (200, 401)
        assert (get(platform + "/models").status_code, get(callers + "/models").status_code) == (404, 401)
        # Whom a caller claims to have asked does not matter, only where the connection came in.
        lie = {"host": f"127.0.0.1:{free_port}"}
        assert get(callers + "/metrics", headers=lie).status_code == 401
        server.signal(signal.SIGTERM)
        end = time.monotonic() + 0.9
        while get(platform + "/readyz").status_code == 200:
            assert time.monotonic() < end
        assert get(platform + "/metrics").status_code == 200
        assert server.exit_code() == 0
        with pytest.raises(httpx.ConnectError):
            get(platform + "/livez")


def test_there_is_one_listener_unless_a_second_is_asked_for(folder: Path) -> None:
    with ServerProcess(str(folder)) as server:
        server.address()
        assert len(_listening(server.process.pid)) == 1


def _listening(pid: int) -> set[str]:
    """Gives the inodes of a process's listening sockets, as Linux tells them."""
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    return listening & {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


def test_a_second_port_in_use_is_said_and_mended(folder: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        with ServerProcess(str(folder), environ={"SHIPWAY_SERVER__METRICS_PORT": port}) as server:
            assert server.exit_code() == 1
            assert f"port {port} is in use" in server.log
            assert "fix: set server.metrics_port" in server.log


def test_both_listeners_cannot_have_one_port(folder: Path, free_port: int) -> None:
    environ = {"SHIPWAY_SERVER__METRICS_PORT": str(free_port)}
    with ServerProcess(str(folder), "--port", str(free_port), environ=environ) as server:
        assert server.exit_code() == 2
        assert "Traceback" not in server.log


def test_golden_rows_that_were_replayed_are_in_the_metrics(diabetes: Bundle) -> None:
    model = load_model(diabetes, allow_pickle=False)
    text = FakeServer(model).request("GET", "/metrics").text
    assert 'shipway_golden_rows{model="diabetes",result="right",version="1"} 20.0' in text
    assert 'shipway_golden_rows{model="diabetes",result="wrong",version="1"} 0.0' in text


def test_addresses_that_cannot_be_had_are_errors_of_ours() -> None:
    with pytest.raises(MachineError):
        bind("192.0.2.1", 0)
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(PortInUse):
            bind("127.0.0.1", taken.getsockname()[1])


def test_settings_come_from_the_environment_and_a_wrong_one_is_refused(folder: Path) -> None:
    with ServerProcess(str(folder), environ={"SHIPWAY_LIMITS__ROWS": "1"}) as server:
        assert server.client.post(server.address() + "/", json=[ROW, ROW]).status_code == 413
    with ServerProcess(str(folder), environ={"SHIPWAY_LIMITS__ROW": "1"}) as server:
        assert server.exit_code() == 2
        assert "did you mean 'rows'?" in server.log


IMPORTS = """
import sys
from pathlib import Path
import shipway.serving.__main__
from shipway.bundle.folder import read_models
from shipway.serving.application import Application
from shipway.serving.http.access import no_log
from shipway.spec.settings import Settings
Application(Settings(), no_log, None).open(read_models(Path(sys.argv[1])))
print("\\n".join(sys.modules))
"""


def test_starting_imports_no_room_and_no_framework_that_serving_does_not_need(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS, str(folder)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "shipway.serving.application" in loaded
    assert "onnxruntime" in loaded
    rooms = {"shipway.oci", "shipway.image", "shipway.deploy", "shipway.cli", "shipway.client", "shipway.bundle.store"}
    frameworks = {"sklearn", "pandas", "joblib", "skl2onnx", "onnx", "scipy", "httpx", "filelock"}
    assert loaded & (rooms | frameworks) == set()


NO_HTTP = (
    b"\x00\xff" * 50,
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n[1",
)


def test_bytes_that_are_no_http_get_no_traceback_and_harm_nobody(folder: Path) -> None:
    with ServerProcess(str(folder)) as server:
        address = server.address()
        port = int(address.rpartition(":")[2])
        for data in NO_HTTP:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
        assert server.client.post(address + "/", json=ROW).status_code == 200
        assert "Traceback" not in server.log


def test_after_serving_signals_mean_what_they_meant_before(diabetes: Bundle) -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    before = handlers()
    application = Application(Settings(), no_log, None)
    settings = Server(port=0, drain_seconds=0)
    serve(application, [diabetes], settings, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert handlers() == before


def test_a_head_without_end_is_refused_and_harms_nobody(folder: Path) -> None:
    with ServerProcess(str(folder)) as server:
        address = server.address()
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    connection.sendall(b"a" * 2**20)
                pytest.fail("64 MiB of a head were taken")
        assert server.client.post(address + "/", json=ROW).status_code == 200
        assert "Traceback" not in server.log


def test_an_unknown_category_of_a_strict_encoder_is_the_callers_fault(tmp_path: Path) -> None:
    rows = pd.DataFrame({"city": ["Bonn", "Ulm"] * 10})
    model = make_pipeline(OneHotEncoder(), LinearRegression()).fit(rows, np.arange(20.0))
    sample = {"city": rows["city"].to_numpy(dtype=object)}
    bundle = pack(PackRequest(model, "city", sample), Store.at(tmp_path / "store")).bundle
    assert bundle.model.compiled
    server = FakeServer(load_model(bundle, allow_pickle=False))
    assert server.post("/", {"city": "Ulm"}).status_code == 200
    refused = server.post("/", {"city": "Rome"})
    assert refused.status_code == 422, refused.text
