"""Folders of web apps as they stand: packed, served, built, run, rendered, they answer as under their own servers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.base import needs_mmdebstrap
from e2e.engine import docker
from fakes.app_folders import copy_app, tutorial
from shipway.bundle.store import Store
from shipway.image.base import BaseImage
from shipway.image.cache import Cache
from shipway.image.lock import Lock
from shipway.image.requirements import Needs, resolve
from shipway.image.wheels import fetch_wheels, unpack_wheel
from shipway.spec.reference import NameReference

pytestmark = [pytest.mark.e2e, needs_mmdebstrap]
SECONDS = 90
JSON = {"content-type": "application/json"}
VARYING = {"connection", "date", "keep-alive", "server", "shipway-bundle", "transfer-encoding", "x-request-id"}
Call = tuple[str, str, bytes]


@dataclass(frozen=True)
class App:
    """A folder, with what is asked of it and its usual server.

    Attributes:
        name: of its bundle.
        folder: its own name.
        make: writes the folder.
        calls: method, path and body of each.
        usual: the command of its usual server, which listens on `PORT`.
        host: that callers name.
    """

    name: str
    folder: str
    make: Callable[[Path], Path]
    calls: tuple[Call, ...]
    usual: tuple[str, ...]
    host: str = "localhost"


def mended_tutorial(folder: Path) -> Path:
    app = tutorial(folder)
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace("model.predict(data)", "model.predict(data).tolist()"))
    return app


GUNICORN = ("gunicorn", "--bind", "127.0.0.1:PORT")
UVICORN = ("uvicorn", "--port", "PORT")
APPS = (
    App("tutorial", "tutorial", mended_tutorial,
        (("POST", "/", b"[[0.5], [2]]"), ("GET", "/", b""), ("POST", "/", b"{")), (*GUNICORN, "app:app")),
    App("houses", "fastapi_lifespan", lambda folder: copy_app("fastapi_lifespan", folder),
        (("POST", "/predict", b'{"rooms": 3}'), ("POST", "/predict", b'{"rooms": "x"}'), ("GET", "/healthz", b""),
         ("GET", "/openapi.json", b""), ("GET", "/nowhere", b"")), (*UVICORN, "main:app")),
    App("shop", "django_project", lambda folder: copy_app("django_project", folder),
        (("POST", "/price/", b'{"rooms": 4}'), ("GET", "/metrics", b"")), (*GUNICORN, "shop.wsgi"), "shop.example"),
    App("echo", "quart_socket", lambda folder: copy_app("quart_socket", folder),
        (("GET", "/", b""), ("GET", "/nowhere", b"")), (*UVICORN, "app:app")),
)  # fmt: skip


class Workplace:
    """A store and a cache, as commands find them, and the folders of the apps, packed."""

    def __init__(self, folder: Path, cache: Cache, base: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.environ = {**os.environ, "SHIPWAY_STORE": str(self.store), "XDG_CACHE_HOME": str(cache.path.parent),
                        "SHIPWAY_BUILD__BASE": f"oci:{base}:base", "PYTHONWARNINGS": "error"}  # fmt: skip

    def command(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "shipway", *words], cwd=self.folder, env=self.environ, capture_output=True,
            text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    @contextmanager
    def process(self, *words: str, **options: Any) -> Iterator[None]:
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(words, env=self.environ, stdout=log, stderr=log, **options)
            try:
                yield
            finally:
                process.terminate()
                process.wait(SECONDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cache: Cache, base_folder: Path) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("apps"), cache, base_folder)
    (place.folder / "request.json").write_text("[[0.5]]")
    for app in APPS:
        made = app.make(place.folder)
        sample = ("--sample", "request.json") if app.name == "tutorial" else ()
        place.command("pack", f"./{made.name}", "--name", app.name, *sample)
    return place


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(address: str, path: str = "/") -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if path == "/" or httpx.get(f"{address}{path}", timeout=5).status_code == 200:
                httpx.get(address, timeout=5)
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


def answers(app: App, address: str) -> list[tuple[int, dict[str, str], bytes]]:
    """Gives status, headers and body of each answer, without what names the server or the moment."""
    found = []
    for method, path, body in app.calls:
        headers = {"host": app.host, **(JSON if body else {})}
        answer = httpx.request(method, address + path, content=body or None, headers=headers, timeout=30)
        own = {name: value for name, value in answer.headers.items() if name not in VARYING}
        own["allow"] = " ".join(sorted(own.get("allow", "").split(", ")))  # werkzeug writes a set
        found.append((answer.status_code, own, answer.content))
    return found


def echo(address: str) -> str:
    import websockets

    async def call() -> str:
        async with websockets.connect(address.replace("http", "ws") + "/echo") as connection:
            await connection.send("hello there")
            return str(await connection.recv())

    return asyncio.run(call())


@pytest.fixture(scope="module", params=APPS, ids=[app.name for app in APPS])
def app(request: pytest.FixtureRequest) -> App:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def usual(app: App, place: Workplace) -> list[tuple[int, dict[str, str], bytes]]:
    """What the app answers under its usual server."""
    port = free_port()
    words = [word.replace("PORT", str(port)) for word in app.usual]
    with place.process(sys.executable, "-W", "ignore", "-m", *words, cwd=place.folder / app.folder):
        wait_for(f"http://127.0.0.1:{port}")
        return answers(app, f"http://127.0.0.1:{port}")


def test_served_here_it_answers_as_under_its_usual_server(app: App, place: Workplace, usual: list[Any]) -> None:
    port = free_port()
    with place.process(sys.executable, "-m", "shipway", "serve", app.name, "--port", str(port)):
        address = f"http://127.0.0.1:{port}"
        wait_for(address, "/readyz")
        assert answers(app, address) == usual
        if app.name == "echo":
            assert echo(address) == "hello there"


@pytest.mark.usefixtures("docker_engine")
def test_in_a_hardened_container_it_answers_as_under_its_usual_server(
    app: App, place: Workplace, usual: list[Any]
) -> None:
    place.command("build", app.name, "--tag", f"shipway-e2e/{app.name}:1", "--load", "--max-size", "90")
    container = docker(
        "run", "--detach", "--read-only", "--tmpfs", "/tmp:rw,noexec", "--cap-drop", "ALL", "--memory", "512m",
        "--security-opt", "no-new-privileges", "--publish", "127.0.0.1:0:8000", f"shipway-e2e/{app.name}:1",
    )  # fmt: skip
    try:
        address = "http://" + docker("port", container, "8000/tcp").splitlines()[0]
        wait_for(address, "/readyz")
        assert docker(
            "exec", container, "/usr/bin/python3", "-c", "import os; print(os.getuid(), os.path.realpath('/app'))"
        ) == (f"65532 /models/{app.name}/artefact")
        assert answers(app, address) == usual
        if app.name == "echo":
            assert echo(address) == "hello there"
        docker("stop", "--time", "20", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        docker("rm", "--force", container)


def test_its_manifests_are_those_of_its_port_and_probes(app: App, place: Workplace) -> None:
    image = f"registry.example/{app.name}:1"
    text = place.command("render", app.name, "--to", "kubernetes", "--image", image).stdout
    documents = [document for document in yaml.safe_load_all(text) if document]
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image
    assert 8000 in [port["containerPort"] for port in container["ports"]]
    assert {"readinessProbe", "livenessProbe", "resources"} <= container.keys()


def test_the_unmended_tutorial_is_refused_with_its_line_where_a_sample_is_given(
    place: Workplace, tmp_path: Path
) -> None:
    folder = tutorial(tmp_path)
    said = place.command("pack", str(folder), "--name", "unmended", "--sample", "request.json", code=1).stderr
    assert "app.py:12" in said
    assert ".tolist()" in said
    assert [entry.id.name for entry in Store.at(place.store).list("unmended")] == []


def test_two_builds_of_the_tutorial_give_the_same_digest(place: Workplace) -> None:
    place.command("build", "tutorial", "--tag", "t:1", "--check")


def test_an_app_is_found_again_by_name_and_shown(place: Workplace) -> None:
    bundle = Store.at(place.store).find(NameReference("tutorial"))
    assert bundle.app is not None
    shown = json.loads(place.command("show", "tutorial", "--json").stdout)
    assert shown["manifest"]["target"] == "app:app"
    assert "tutorial" in place.command("list").stdout
    assert "shipway serve tutorial" in place.command("predict", "tutorial", "--data", "request.json", code=2).stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("fastapi==0.100", "starlette==0.36"), ("'fastapi==0.100' and 'starlette==0.36' disagree", "starlette>=0.27")),
        (("flaks-nonexist-zzz",), ("there is no package flaks-nonexist-zzz",)),
        (("scikit-learn==99",), ("'scikit-learn==99'", "no version of scikit-learn fits")),
        (("flask==2.0.1", "flask==3.0.0"), ("'flask==2.0.1' and 'flask==3.0.0' disagree",)),
        (("flask==99.*",), ("no version of flask fits",)),
    ],
)
def test_what_uv_really_says_is_told_in_the_authors_lines(
    base: BaseImage, cache: Cache, lines: tuple[str, ...], said: tuple[str, ...]
) -> None:
    with pytest.raises(Exception) as caught:
        resolve(Needs(lines, sources=True), base.target, cache)
    assert all(words in str(caught.value) for words in said), str(caught.value)


def test_a_pure_python_source_archive_becomes_a_wheel_and_one_that_compiles_does_not(
    base: BaseImage, cache: Cache
) -> None:
    lock = resolve(Needs(("docopt==0.6.2",), sources=True), base.target, cache)
    assert Lock.parse(lock.text, base.target) == lock
    (wheel,) = fetch_wheels(lock.wheels, cache)
    assert "docopt.py" in unpack_wheel(wheel, "docopt")


@pytest.mark.usefixtures("docker_engine")
def test_its_own_dockerfile_goes_by_docker_and_what_is_lost_is_said(place: Workplace, base_folder: Path) -> None:
    subprocess.run(["skopeo", "copy", f"oci:{base_folder}:base", "docker-daemon:shipway-e2e/python:1"], check=True)
    folder = copy_app("bare_wsgi", place.folder)
    (folder / "Dockerfile").write_text('FROM shipway-e2e/python:1\nCOPY . /app\nCMD ["python3", "/app/wsgi.py"]\n')
    place.command("pack", str(folder), "--name", "own")
    said = place.command("build", "own", "--tag", "shipway-e2e/own:1", "--with-dockerfile").stdout
    assert all(word in said for word in ("root", "65532", "python3 /app/wsgi.py", "/readyz", "drain")), said
    labels = docker("image", "inspect", "--format", "{{json .Config.Labels}}", "shipway-e2e/own:1")
    assert "io.shipway" not in labels
