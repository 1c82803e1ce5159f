"""Web apps on a cluster, as it is typed: they answer as under their usual server; what cannot start is explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from e2e.kubernetes.test_load import address_of
from e2e.kubernetes.user import NAME, User
from e2e.test_apps import GUNICORN, App, answers, free_port, wait_for
from fakes.app_folders import copy_app, write_folder

pytestmark = pytest.mark.kubernetes

_FLASK = """\
    {begin}

    from flask import Flask, jsonify, request

    app = Flask(__name__)
    {middle}


    @app.post("/price")
    def price():
        return jsonify(price=3 * request.get_json()["rooms"])
    """


def flask_app(folder: Path, begin: str = "", middle: str = "") -> Path:
    """Writes an app that needs nothing but Flask."""
    source = _FLASK.format(begin=begin, middle=middle)
    return write_folder(folder / "prices", {"app.py": source, "requirements.txt": "flask\n"})


PRICES = App(
    "prices", "prices", flask_app,
    (("POST", "/price", b'{"rooms": 4}'), ("POST", "/price", b"{"), ("GET", "/price", b""), ("GET", "/", b"")),
    (*GUNICORN, "app:app"),
)  # fmt: skip
ECHO = App(
    "echo", "bare_wsgi", lambda folder: copy_app("bare_wsgi", folder),
    (("POST", "/a", b"hello"), ("GET", "/a/b?c=d", b"")), (*GUNICORN, "wsgi:application"),
)  # fmt: skip


class Maker:
    """Packs, builds and pushes what a user then releases.

    Attributes:
        user: who releases it, from the same store.
        base: of the images.
    """

    def __init__(self, user: User, base: str) -> None:
        self.user, self._base = user, base

    def image(self, folder: Path, name: str, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
        """Gives a folder's bundle, `name:version`, and its image."""
        packed = json.loads(self._run("pack", str(folder), "--name", name, "--json", environ=environ))
        bundle = f"{name}:{packed['version']}"
        tag = f"{self.user.models.repository}-{bundle}"
        build = ("build", bundle, "--tag", tag, "--base", self._base, "--push", "--json")
        return bundle, json.loads(self._run(*build, *self.user.models.flags))["pushed"]["reference"]

    def release(self, bundle: str, image: str, *flags: str, code: int = 0) -> str:
        """Releases an image under the name of the tests' releases; gives what is said beside the result."""
        command = ("deploy", bundle, "--to", "kubernetes", "--image", image, "--name", NAME, "--yes")
        where = ("--namespace", self.user.namespace, "--replicas", "1", "--service", "NodePort")
        return self.user(*command, *where, *self.user.models.flags, *flags, code=code).stderr

    def _run(self, *words: str, environ: Mapping[str, str] | None = None) -> str:
        store = {"SHIPWAY_STORE": str(self.user.models.store), "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "shipway", *words],
            env={**os.environ, **store, **(environ or {})}, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def maker(request: pytest.FixtureRequest, user: User) -> Maker:
    base = os.environ.get("SHIPWAY_BUILD__BASE") or f"oci:{request.getfixturevalue('base_folder')}:base"
    return Maker(user, base)


def usual_answers(app: App, folder: Path) -> object:
    """Gives what an app answers under its usual server."""
    port = free_port()
    words = [word.replace("PORT", str(port)) for word in app.usual]
    with subprocess.Popen([sys.executable, "-W", "ignore", "-m", *words], cwd=folder, stderr=subprocess.DEVNULL) as one:
        try:
            wait_for(f"http://127.0.0.1:{port}")
            return answers(app, f"http://127.0.0.1:{port}")
        finally:
            one.terminate()


@pytest.mark.parametrize("app", [ECHO, PRICES], ids=["wsgi", "flask"])
def test_an_app_answers_as_under_its_usual_server(maker: Maker, tmp_path: Path, app: App) -> None:
    user, folder = maker.user, app.make(tmp_path)
    bundle, image = maker.image(folder, app.name)
    maker.release(bundle, image)
    assert answers(app, f"http://{address_of(user)}") == usual_answers(app, folder)
    status = user.status()
    assert status["current"]["bundle"].startswith(f"{bundle}@")
    assert [instance["state"] for instance in status["instances"]] == ["ready"]
    assert f'"model":"{app.name}"' in user("logs", NAME, "--namespace", user.namespace, "--tail", "100").stdout
    user.change("undeploy")
    assert user.pods() == []


BROKEN = {
    "variable": ("import os", 'database = os.environ["DATABASE_URL"]', "KeyError: 'DATABASE_URL'", "ENV DATABASE_URL="),
    "file": ("", 'log = open("calls.log", "a")', "OSError: [Errno 30] Read-only file system", "write below /tmp"),
}


@pytest.mark.parametrize(("begin", "middle", "said", "fix"), BROKEN.values(), ids=BROKEN)
def test_an_app_that_cannot_be_imported_there_is_explained_and_the_one_before_serves_on(
    maker: Maker, tmp_path: Path, begin: str, middle: str, said: str, fix: str
) -> None:
    user = maker.user
    good, image = maker.image(flask_app(tmp_path / "good"), "prices")
    maker.release(good, image)
    folder = flask_app(tmp_path / "bad", begin, middle)
    bad, broken = maker.image(folder, "prices", {"DATABASE_URL": "here it is set"})
    text = maker.release(bad, broken, code=1)
    assert f"importing the app failed: {said}" in text
    assert fix in text
    assert "release 1 was brought back and serves" in text
    assert user.status()["current"]["bundle"].startswith(f"{good}@")

    maker.release(bad, broken, "--no-rollback", code=1)
    cause = user.status()["cause"]
    assert (cause["kind"], said in cause["what"]) == ("server-error", True)
    assert len(user.ready()) == 1
    wait_for(f"http://{address_of(user)}", "/readyz")
