"""An app's server as a process: its supervisor, its end, and how little it imports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes.apps import app_bundle, write_app, write_bundle
from fakes.process import ServerProcess
from shipway.bundle.bundle import Bundle
from shipway.errors import UsageError
from shipway.serving.apps.application import AppApplication
from shipway.serving.choose import application_for
from shipway.serving.http.access import no_log
from shipway.spec.app import SampleRequest
from shipway.spec.settings import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets are inherited and signals sent on POSIX only")

APP = """
import ctypes, os, pathlib, subprocess, sys, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit":
        os._exit(7)
    if path == "/crash":
        ctypes.string_at(0)
    if path == "/slow":
        time.sleep(0.5)
    if path == "/orphan":
        subprocess.run(["sh", "-c", "sleep 1 &"], check=True)
    if path == "/hold":
        ctypes.PyDLL(None).sleep(600)  # never lets go of the interpreter
    body = {
        "/pid": str(os.getpid()), "/name": __name__, "/cwd": os.getcwd(), "/modules": " ".join(sys.modules),
        "/environment": os.environ.get("FROM_DOCKERFILE", "") + os.environ.get("FLASK_DEBUG", ""),
    }.get(path, "fine").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

if __name__ == "__main__":
    raise SystemExit("never")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path, {"app.py": APP}, "app:app", "wsgi", environment={"FROM_DOCKERFILE": "yes"})


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_serves_from_its_folder_without_numpy_and_without_the_engine(folder: Path) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "0", environ={"FLASK_DEBUG": "1"}) as server:
        address = server.address()

        def get(path: str) -> str:
            return server.client.get(address + path).text

        assert (get("/name"), Path(get("/cwd"))) == ("app", (folder / "app" / "artefact").resolve())
        assert get("/environment") == "yes"
        modules = set(get("/modules").split())
        assert not {"numpy", "onnx", "onnxruntime", "sklearn", "httpx"} & modules
        assert not [name for name in modules if name.startswith(("shipway.models", "shipway.serving.engine"))]
        assert "FLASK_DEBUG is not passed on" in server.log
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


@pytest.mark.parametrize(("way", "said"), [("/exit", "ended with code 7"), ("/crash", "was ended by SIGSEGV")])
def test_an_app_that_ends_its_process_is_started_again_on_the_same_socket(folder: Path, way: str, said: str) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        address = server.address()
        before = server.client.get(f"{address}/pid").text
        with pytest.raises(httpx.RemoteProtocolError):
            server.client.get(address + way)
        wait_for(lambda: (answer := server.client.get(f"{address}/pid")).status_code == 200 and answer.text != before)
        assert f"the app's process {said}; it is started again" in server.log
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


def test_what_is_in_flight_is_finished_when_it_is_told_to_end(folder: Path) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        port = int(server.address().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            time.sleep(0.2)
            server.signal(signal.SIGTERM)
            assert caller.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.exit_code() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGHUP, 0)])
def test_signals_are_passed_on(folder: Path, number: signal.Signals, code: int) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        server.address()
        server.signal(number)
        assert server.exit_code() == code


def test_a_second_signal_ends_an_app_that_hears_none(folder: Path) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        port = int(server.address().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
            time.sleep(0.2)
            server.signal(signal.SIGINT)
            time.sleep(0.2)
            server.signal(signal.SIGINT)
            assert server.exit_code() == 128 + signal.SIGKILL


UNSHARE = ("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--pid", "--fork", "--kill-child")


def test_as_process_1_it_takes_leave_of_every_orphan(folder: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("no process namespace of its own can be had here")
    with ServerProcess(str(folder), "--drain-seconds", "0", prefix=UNSHARE) as server:
        address = server.address()
        (first,) = _children(server.process.pid)
        assert len(_children(first)) == 1
        server.client.get(f"{address}/orphan")
        wait_for(lambda: len(_children(first)) == 2)
        wait_for(lambda: len(_children(first)) == 1)
        with pytest.raises(httpx.RemoteProtocolError):
            server.client.get(f"{address}/exit")
        wait_for(lambda: "is started again" in server.log and len(_children(first)) == 1)
        assert server.client.get(f"{address}/name").status_code in (200, 503)
        os.kill(first, signal.SIGTERM)
        assert server.exit_code() == 0


def _children(parent: int) -> list[int]:
    """Gives a process's children, those that have ended and were not waited for included, as Linux tells them."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_a_worker_ends_when_its_supervisor_is_killed(folder: Path) -> None:
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        pid = int(server.client.get(f"{server.address()}/pid").text)
        server.signal(signal.SIGKILL)
        server.exit_code()
        wait_for(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("import no_such", 1, "app.py:1: importing the app failed"),
        ("import os\nos._exit(9)", 9, ""),
        ("app = 1", 1, "no app"),
    ],
)
def test_an_app_that_cannot_start_ends_the_server_with_the_reason(
    tmp_path: Path, source: str, code: int, said: str
) -> None:
    folder = write_bundle(tmp_path, {"app.py": source}, "app:app", "wsgi")
    with ServerProcess(str(folder)) as server:
        assert server.exit_code() == code
        assert said in server.log
        assert "Traceback" not in server.log


DJANGO = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(
    DEBUG=True, ALLOWED_HOSTS=[], ROOT_URLCONF=__name__, SECRET_KEY="of tests", LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)

def raises(request):
    raise ValueError("secret of the app")

urlpatterns = [path("", raises)]
app = get_wsgi_application()
"""


def test_djangos_debug_page_is_never_shown(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, {"app.py": DJANGO}, "app:app", "wsgi")
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        address = server.address()
        answer = server.client.get(address)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert server.client.get(address, headers={"host": "elsewhere.example"}).status_code == 400
        assert "DEBUG was on in Django's settings" in server.log
        assert "ALLOWED_HOSTS is empty" in server.log


def test_a_sample_is_asked_of_a_host_that_django_answers_for(tmp_path: Path) -> None:
    source = DJANGO.replace("ALLOWED_HOSTS=[]", "ALLOWED_HOSTS=['.shop.example']").replace(
        "raise ValueError", "return HttpResponse"
    )
    source = source.replace("import path", "import path\nfrom django.http import HttpResponse")
    sample = SampleRequest("GET", "/")
    folder = write_bundle(tmp_path, {"app.py": source}, "app:app", "wsgi", sample=sample)
    with ServerProcess(str(folder), "--drain-seconds", "0") as server:
        answer = server.client.get(server.address(), headers={"host": "shop.example"})
        assert answer.text == "secret of the app"


def test_a_module_of_the_app_does_not_take_the_place_of_one_of_the_servers(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, {"app.py": APP, "msgspec.py": "raise SystemExit('shadow')"}, "app:app", "wsgi")
    command = [sys.executable, "-P", "-m", "shipway.serving", str(folder), "--port", "0", "--drain-seconds", "0"]
    with subprocess.Popen(command, cwd=folder / "app" / "artefact", stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("serving app:1")
        process.terminate()
        assert process.wait(30) == 0


def test_files_of_a_store_have_their_own_names_while_the_app_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    write_app(tmp_path / "source", {"from_store.py": "app = lambda e, s: []", "data/model.txt": "trained"})
    made = app_bundle(tmp_path / "source", "from_store:app")
    blobs = {}
    for number, (name, place) in enumerate(made.files.items()):
        blobs[name] = place.rename(tmp_path / f"blob-{number}")
    application = AppApplication(Settings(), no_log, None, {})
    application.open([Bundle(made.id, made.manifest, blobs, made.oci_manifest)])
    unpacked = Path.cwd()
    assert (unpacked / "data" / "model.txt").read_text() == "trained"
    application.close()
    assert not unpacked.exists()


def test_one_server_serves_one_app_and_no_model_beside_it(tmp_path: Path, diabetes: Bundle) -> None:
    write_app(tmp_path, {"app.py": APP})
    app = app_bundle(tmp_path, "app:app")
    for bundles in ([app, diabetes], [diabetes, app], [app, app]):
        application = application_for(bundles, Settings(), no_log, {})
        with pytest.raises(UsageError, match="one app"):
            application.open(bundles)
        application.close()
