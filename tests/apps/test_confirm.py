"""Apps are imported in a child that may do its worst; what went wrong is told with the line and the mend."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import pytest

from fakes.app_folders import FOLDERS, tutorial, write_folder
from shipway.apps.confirm import Confirmed, confirm
from shipway.apps.sample import parse_sample
from shipway.errors import ArtefactError, ShipwayError, UsageError
from shipway.spec.app import SampleRequest

WSGI = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"
SECONDS = 30.0


def answered(folder: Path, target: str, sample: SampleRequest) -> tuple[int, str, str]:
    answer = confirm(folder, target, seconds=SECONDS, sample=sample).answer
    assert answer is not None
    return answer.request.status, answer.request.path, answer.body


def refused(folder: Path, text: str, target: str = "app:app", **how: object) -> ShipwayError:
    write_folder(folder, {"app.py": text})
    with pytest.raises(ShipwayError) as raised:
        confirm(folder, target, **{"seconds": SECONDS, **how})  # type: ignore[arg-type]
    return raised.value


def json_sample(value: object, path: str = "", method: str = "POST") -> SampleRequest:
    return SampleRequest(method, path, {"content-type": "application/json"}, msgspec.json.encode(value).decode())


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("bare_wsgi", "wsgi:application", ("wsgi", "callable", ())),
        ("bare_asgi", "asgi:app", ("asgi", "callable", ())),
        ("bottle_app", "server:app", ("wsgi", "bottle", ())),
        ("django_project", "shop.wsgi:application", ("wsgi", "django", ("/metrics",))),
        ("django_project", "shop.asgi:application", ("asgi", "django", ("/metrics",))),
        ("fastapi_lifespan", "main:app", ("asgi", "fastapi", ("/healthz",))),
        ("quart_socket", "app:app", ("asgi", "quart", ())),
    ],
)
def test_each_framework_is_confirmed(name: str, target: str, expected: tuple[str, str, tuple[str, ...]]) -> None:
    found = confirm(FOLDERS / name, target, seconds=SECONDS)
    assert (found.interface, found.framework, found.owns) == expected
    assert not list((FOLDERS / name).rglob("__pycache__"))


@pytest.mark.parametrize(
    ("name", "target", "sample", "expected"),
    [
        (
            "bare_wsgi",
            "wsgi:application",
            SampleRequest("PUT", "/a%20b?c=d", {}, "é"),
            (200, "/a%20b?c=d", "PUT /a b é"),
        ),
        ("bare_asgi", "asgi:app", SampleRequest("PUT", "/a%20b", {}, "é"), (200, "/a%20b", "PUT /a b é")),
        ("bottle_app", "server:app", json_sample({"number": 21}), (200, "/double", '{"double": 42}')),
        ("fastapi_lifespan", "main:app", json_sample({"rooms": 3}), (200, "/predict", '{"prediction":6.0}')),
        (
            "django_project",
            "shop.wsgi:application",
            json_sample({"rooms": 4}, "/price/"),
            (200, "/price/", '{"price": 250.0}'),
        ),
        ("fastapi_lifespan", "main:app", json_sample({"rooms": "x"}, "/predict"), (422, "/predict", "")),
        ("quart_socket", "app:app", SampleRequest("GET", "/"), (200, "/", "hello")),
    ],
)
def test_the_sample_is_answered_as_by_a_server(
    name: str, target: str, sample: SampleRequest, expected: tuple[int, str, str]
) -> None:
    status, path, body = answered(FOLDERS / name, target, sample)
    assert (status, path) == expected[:2]
    assert body == expected[2] or status == 422


def test_the_tutorial_is_mended_by_one_word(tmp_path: Path) -> None:
    app = tutorial(tmp_path)
    with pytest.raises(ArtefactError) as raised:
        confirm(app, "app:app", seconds=SECONDS, sample=parse_sample(b"[[2.0]]"))
    assert "app.py:12: the app raises TypeError: Object of type ndarray is not JSON" in raised.value.message
    assert raised.value.fix == "write .tolist() on the array on line 12 of app.py"
    source = (app / "app.py").read_text(encoding="utf-8")
    (app / "app.py").write_text(source.replace("prediction})", "prediction.tolist()})"), encoding="utf-8")
    found = confirm(app, "app:app", seconds=SECONDS, sample=parse_sample(b"[[2.0]]"))
    assert found.answer is not None
    assert found.answer.request.status == 200
    assert found.opened == ("app.py", "model.joblib")


@pytest.mark.parametrize(
    ("text", "says", "fix"),
    [
        (
            "x = 1\nraise ValueError('no')",
            "app.py:2: the app raises ValueError: no when it is imported",
            "line 2 of app.py",
        ),
        ("def f(\n", "app.py:1: the app raises SyntaxError", "line 1 of app.py"),
        ("import sys\nsys.exit(3)", "app.py:2: the app ends its process when it is imported: SystemExit: 3", "line 2"),
        ("import os\nos._exit(3)", "ends its process when it is imported, with status 3", ""),
        (
            "import nothing_like_it",
            "app.py:1: the module nothing_like_it is not installed here",
            "pip install nothing-like-it",
        ),
        ("import os\n\nos.environ['DB']", "app.py:3: the variable DB is not set", "ENV DB="),
        ("open('gone.csv')", "app.py:1: the app raises FileNotFoundError", "copy gone.csv into the folder"),
        ("app = {}", "app:app is a dict", "--app"),
        ("def app(x): ...", "app:app is a function", "--app"),
        ("x = 1", "there is no app:app", "--app"),
        (
            "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8123))\ns.listen()",
            "app.py:3: the app opens port 8123 when it is imported",
            "__main__",
        ),
        (
            "import socket\ntry:\n  socket.create_server(('127.0.0.1', 8123))\nexcept BaseException: pass\n" + WSGI,
            "app.py:3: the app opens port 8123",
            "__main__",
        ),
        (
            "from wsgiref.simple_server import make_server\n" + WSGI + "make_server('', 8124, app).serve_forever()",
            "app.py:5: the app opens port 8124",
            "__main__",
        ),
    ],
)
def test_a_bad_import_is_told_with_its_line(tmp_path: Path, text: str, says: str, fix: str) -> None:
    error = refused(tmp_path, text)
    assert says in error.message
    assert fix in error.fix


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("call", ["os.fork()", "multiprocessing.get_context('fork').Process(target=print).start()"])
def test_a_fork_is_told_with_its_line(tmp_path: Path, call: str) -> None:
    error = refused(tmp_path, f"import multiprocessing, os\n{call}\n{WSGI}")
    assert "app.py:2: the app forks when it is imported" in error.message


@pytest.mark.parametrize(
    "loop", ["while True: pass", "import time; time.sleep(600)", "import threading; threading.Event().wait()"]
)
def test_an_import_that_hangs_is_ended_and_told_with_its_line(tmp_path: Path, loop: str) -> None:
    error = refused(tmp_path, f"x = 1\n{loop}", seconds=1.0)
    assert error.message == "app.py:2: the app is not done after 1 s when it is imported"


@pytest.mark.parametrize("call", ["print('x' * 1000)", "os.write(1, b'x' * 1000)", "os.write(2, b'x' * 1000)"])
def test_a_flood_of_words_is_ended_and_told(tmp_path: Path, call: str) -> None:
    error = refused(tmp_path, f"import os\nwhile True: {call}")
    assert "the app prints without end when it is imported" in error.message
    assert sys.platform == "win32" or error.message.startswith("app.py:2: ")


def test_a_crash_is_told_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "import ctypes\n\nctypes.string_at(0)")
    assert "app.py:3: the app ends its process when it is imported" in error.message


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_nothing_that_was_started_outlives_it(tmp_path: Path) -> None:
    text = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open("pid", "w").write(str(child.pid))
        """
    write_folder(tmp_path, {"app.py": text})
    (tmp_path / "app.py").write_text((tmp_path / "app.py").read_text() + WSGI)
    found = confirm(tmp_path, "app:app", seconds=SECONDS)
    assert [(one.kind, one.line) for one in found.noted] == [("starts", 3), ("writes", 4)]
    pid = int((tmp_path / "pid").read_text())
    assert _ends(pid)


def _ends(pid: int) -> bool:
    """Whether a process ends within a moment; one that nobody has asked after (a zombie) has ended too."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(500):
        try:
            if ") Z " in stat.read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_code_under_main_never_runs_and_nothing_is_written_beside_the_app(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": WSGI + "if __name__ == '__main__': raise SystemExit('ran')\n"})
    assert confirm(tmp_path, "app:app", seconds=SECONDS).interface == "wsgi"
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


def test_a_factory_is_called_and_the_environment_reaches_it(tmp_path: Path) -> None:
    write_folder(
        tmp_path, {"pkg/__init__.py": f"import os\n{WSGI}def make():\n    os.environ['NEEDED']\n    return app\n"}
    )
    found = confirm(tmp_path, "pkg:make()", seconds=SECONDS, environment={"NEEDED": "1"})
    assert found == Confirmed("wsgi", "callable", opened=("pkg/__init__.py",))


def test_an_app_that_answers_every_path_owns_none(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": WSGI})
    assert confirm(tmp_path, "app:app", seconds=SECONDS).owns == ()
    own = WSGI.replace("'200 OK'", "'200 OK' if environ['PATH_INFO'] in ('/livez', '/readyz') else '404 No'")
    write_folder(tmp_path, {"app.py": own})
    assert confirm(tmp_path, "app:app", seconds=SECONDS).owns == ("/livez", "/readyz")


def test_a_health_check_that_hangs_costs_time_and_not_the_app(tmp_path: Path) -> None:
    hangs = WSGI.replace(
        "    start", "    if environ['PATH_INFO'] == '/metrics': import time; time.sleep(60)\n    start"
    )
    write_folder(tmp_path, {"app.py": hangs.replace("200 OK", "404 No")})
    assert confirm(tmp_path, "app:app", seconds=2.0).interface == "wsgi"


LIFESPAN = """
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            {}
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b"{{}}"}})
    """


def test_a_start_that_fails_is_told(tmp_path: Path) -> None:
    error = refused(
        tmp_path, LIFESPAN.format("await send({'type': 'lifespan.startup.failed', 'message': 'no db'}); return")
    )
    assert error.message == "the app does not start up: no db"
    text = (
        "from starlette.applications import Starlette\n"
        "async def start(app):\n    1 / 0\n    yield\napp = Starlette(lifespan=start)"
    )
    error = refused(
        tmp_path, text.replace("async def", "import contextlib\n@contextlib.asynccontextmanager\nasync def")
    )
    assert "app.py:5: the app does not start up: ZeroDivisionError: division by zero" in error.message


def test_a_start_that_hangs_is_told(tmp_path: Path) -> None:
    error = refused(tmp_path, LIFESPAN.format("import time; time.sleep(60)"), seconds=1.0)
    assert error.message == "app.py:5: the app is not done after 1 s when it starts up (its lifespan)"


def test_an_app_without_a_lifespan_is_one_all_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": LIFESPAN.format("raise ValueError('what is that')")})
    assert answered(tmp_path, "app:app", SampleRequest("GET", "/"))[0] == 200


FLASK = "from flask import Flask, request, jsonify\napp = Flask(__name__)\n"


@pytest.mark.parametrize(
    ("body", "says", "fix"),
    [
        (
            "import numpy; return jsonify(numpy.float32(1))",
            "app.py:4: the app raises TypeError",
            "write .item() on the number on line 4 of app.py",
        ),
        (
            "import pandas; return jsonify(pandas.DataFrame({'a': [1]}))",
            "app.py:4",
            "to_dict(orient='records') on the table on line 4 of app.py",
        ),
        (
            "raise ValueError('Expected 2D array, got 1D array instead')",
            "Expected 2D array",
            "rows, a list of lists, on line 4",
        ),
        ("return {}['x']", "app.py:4: the app raises KeyError: 'x' when / is asked", "mend line 4 of app.py"),
        ("raise SystemExit", "app.py:4: the app ends its process when / is asked", "line 4"),
        ("return 'sorry', 503", "the app answers the sample with 503: sorry", "POST /"),
    ],
)
def test_a_sample_that_fails_is_told_with_the_mend(tmp_path: Path, body: str, says: str, fix: str) -> None:
    lines = f"{FLASK}@app.post('/')\ndef f(): {body}\n"
    error = refused(tmp_path, lines, sample=json_sample({}))
    assert says in error.message
    assert fix in error.fix


def test_what_fastapi_cannot_encode_is_told_by_its_route(tmp_path: Path) -> None:
    text = (
        "import numpy\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@app.post('/p')\ndef p(): return {'x': numpy.zeros(2)}\n"
    )
    error = refused(tmp_path, text, sample=json_sample({}))
    assert error.message.startswith("app.py:4: ")
    assert ".tolist()" in error.fix


def test_bottle_keeps_its_errors_to_itself_and_they_are_told(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        "import bottle\napp = bottle.Bottle()\n@app.post('/')\ndef f():\n    return 1 / 0\n",
        sample=json_sample({}),
    )
    assert "app.py:5: the app raises ZeroDivisionError: division by zero when / is asked" in error.message


def test_a_sample_for_one_of_several_routes_is_asked_for_its_path(tmp_path: Path) -> None:
    text = f"{FLASK}@app.post('/a')\ndef a(): return 'a'\n@app.post('/b')\ndef b(): return 'b'\n"
    error = refused(tmp_path, text, sample=json_sample({}))
    assert isinstance(error, UsageError)
    assert error.message == "the sample does not say for which path it is: /a, /b"
    assert answered(tmp_path, "app:app", json_sample({}, "/b"))[2] == "b"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_answer_without_end_is_cut(tmp_path: Path, kind: str) -> None:
    wsgi = (
        "import itertools\ndef app(environ, start):\n"
        "    start('200 OK', [])\n    return itertools.repeat(b'x' * 99999)\n"
    )
    asgi = """
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 99999, "more_body": True})
        """
    write_folder(tmp_path, {"app.py": wsgi if kind == "wsgi" else asgi})
    status, _, body = answered(tmp_path, "app:app", SampleRequest("GET", "/"))
    assert (status, len(body)) == (200, 2000)


def test_a_module_in_another_folder_is_pointed_at(tmp_path: Path) -> None:
    write_folder(tmp_path, {"src/model.py": "x = 1"})
    error = refused(tmp_path, "import model")
    assert "it lies in src/" in error.message


def test_a_file_that_hides_a_package_is_told(tmp_path: Path) -> None:
    write_folder(tmp_path, {"flask.py": "from flask import Flask\napp = Flask('x')\n"})
    with pytest.raises(ArtefactError) as raised:
        confirm(tmp_path, "flask:app", seconds=SECONDS)
    assert raised.value.fix == "rename flask.py: it hides the package flask"
