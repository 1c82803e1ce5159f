"""The tutorial's Flask app by `POST /`, one row of a linear regression, on one core: Shipway beside gunicorn.

    PYTHONPATH=src python benchmarks/app.py        needs wrk and gunicorn; Linux, two cores

All servers run at once, pinned to one core, and are asked in turn, so that a machine whose speed drifts favours none.
A busy machine gives a server less of its core than it could use; so beside answers a second of the clock stand answers
a second of CPU time, which is what one core all to itself would give. gunicorn keeps no access log by default, Shipway
does.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import joblib
import msgspec
from load import CLIENT_CORE, SERVER_CORE, free_port
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import folder_files
from shipway.spec.app import AppManifest
from shipway.spec.manifest import File
from shipway.spec.reference import BundleId

ROUNDS, SECONDS = 7, 2
CONNECTIONS = (8, 32)
TICKS = os.sysconf("SC_CLK_TCK")

APP = """
import joblib
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load('model.joblib')

@app.route('/', methods=['POST'])
def predict():
    data = request.get_json()
    prediction = model.predict(data)
    return jsonify({'prediction': prediction.tolist()})

if __name__ == '__main__':
    app.run(debug=True, host='0.0.0.0', port=8000)
"""
BRIDGED = "from a2wsgi import WSGIMiddleware\nfrom app import app as wsgi\napp = WSGIMiddleware(wsgi, workers=4)\n"
WRK = 'wrk.method = "POST"\nwrk.body = [==[{body}]==]\nwrk.headers["Content-Type"] = "application/json"\n'


@dataclass
class Server:
    """One server under test."""

    name: str
    command: list[str]
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    by_clock: list[float] = field(default_factory=list)
    by_cpu: list[float] = field(default_factory=list)


def main() -> None:
    rows, target = load_diabetes(return_X_y=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source" / "artefact"
        source.mkdir(parents=True)
        joblib.dump(LinearRegression().fit(rows, target), source / "model.joblib")
        (source / "app.py").write_text(APP)
        (folder / "bridged.py").write_text(BRIDGED)
        models = write_bundle(folder / "source", folder / "models")
        script = folder / "post.lua"
        script.write_text(WRK.format(body=json.dumps(rows[:1].tolist())))
        servers = servers_of(folder, models)
        with ExitStack() as stack:
            for server in servers:
                stack.enter_context(running(server, source))
            for connections in CONNECTIONS:
                for _ in range(ROUNDS):
                    for server in servers:
                        ask(server, script, connections)
                report(servers, connections)


def servers_of(folder: Path, models: Path) -> list[Server]:
    """Gives gunicorn as it is by default and with threads, uvicorn with a2wsgi, and Shipway."""
    servers = []

    def add(name: str, *command: str) -> None:
        port = free_port()
        servers.append(Server(name, [sys.executable, "-m", *(word.format(port=port) for word in command)], port))

    gunicorn = ("gunicorn", "--bind", "127.0.0.1:{port}", "app:app")
    add("gunicorn", *gunicorn)
    for threads in (1, 2, 4, 8):
        add(f"gunicorn, {threads} threads", *gunicorn, "--worker-class", "gthread", "--threads", str(threads))
    add(
        "a2wsgi",
        "uvicorn",
        "--port",
        "{port}",
        "--no-access-log",
        "--app-dir",
        str(folder),
        "bridged:app",
    )
    add("shipway", "shipway.serving", str(models), "--port", "{port}")
    for threads in (1, 2, 8):
        add(f"shipway, {threads} threads", "shipway.serving", str(models), "--port", "{port}")
        servers[-1].environ = {"SHIPWAY_APPS__THREADS": str(threads)}
    return servers


def write_bundle(source: Path, models: Path) -> Path:
    """Writes the app's bundle as it lies in an image; gives the folder of such folders."""
    places = {path.relative_to(source).as_posix(): path for path in source.rglob("*.*")}
    files = tuple(
        File(name, "artefact", digest(path.read_bytes()), path.stat().st_size) for name, path in sorted(places.items())
    )
    manifest = AppManifest("flask", "wsgi", "app:app", "3.11", (), {}, files)
    oci = msgspec.json.encode({"config": {"digest": digest(manifest.to_json())}})
    bundle = Bundle(BundleId("tutorial", 1, digest(oci)), manifest, places, oci)
    for name, content in folder_files(bundle).items():
        file = models / "tutorial" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return models


def digest(data: bytes) -> str:
    """Gives the digest of some bytes."""
    return "sha256:" + sha256(data).hexdigest()


@contextmanager
def running(server: Server, folder: Path) -> Iterator[None]:
    """Runs a server on one core until the block ends."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    server.process = subprocess.Popen(
        server.command,
        cwd=folder,
        env={**os.environ, **server.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    try:
        end = time.monotonic() + 120
        while not answers(server.port):
            if time.monotonic() > end or server.process.poll() is not None:
                raise SystemExit(f"{server.name} did not start")
            time.sleep(0.1)
        yield
    finally:
        server.process.terminate()
        server.process.wait(60)


def answers(port: int) -> bool:
    """Whether the app answers there."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", b"[[0,0,0,0,0,0,0,0,0,0]]")
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(server: Server, script: Path, connections: int) -> None:
    """Asks one server for a while, and notes both rates."""
    assert server.process is not None
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), f"http://127.0.0.1:{server.port}/"]
    before = cpu_seconds(server.process.pid)
    text = subprocess.run(
        wrk, capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE})
    ).stdout
    used = cpu_seconds(server.process.pid) - before
    requests, rate = re.search(r"(\d+) requests in", text), re.search(r"Requests/sec:\s+([\d.]+)", text)
    if requests is None or rate is None or "Non-2xx" in text:
        raise SystemExit(f"{server.name}: {text}")
    server.by_clock.append(float(rate[1]))
    server.by_cpu.append(int(requests[1]) / used)


def cpu_seconds(pid: int) -> float:
    """Gives the CPU time of a process and of its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for one in (str(pid), *children):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def report(servers: list[Server], connections: int) -> None:
    """Prints the medians and Shipway's ratios to each, and begins anew."""
    ours = next(one for one in servers if one.name == "shipway")
    print(f"{connections} connections           by CPU time   ratio     by the clock   ratio")
    for server in servers:
        columns = ""
        for theirs, own in ((server.by_cpu, ours.by_cpu), (server.by_clock, ours.by_clock)):
            ratio = statistics.median(mine / other for mine, other in zip(own, theirs, strict=True))
            columns += f"{statistics.median(theirs):11,.0f}/s {ratio:7.2f}   "
        print(f"{server.name:22}{columns}")
    threaded = [one for one in servers if one.name.startswith("gunicorn,")]
    best = max(threaded, key=lambda one: statistics.median(one.by_cpu))
    print(f"goals: gunicorn at least 1.30; {best.name}, its best, at least 1.00\n")
    for server in servers:
        server.by_clock.clear()
        server.by_cpu.clear()


if __name__ == "__main__":
    main()
