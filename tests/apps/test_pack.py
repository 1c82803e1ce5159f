"""A folder becomes the manifest of a bundle, and what was seen on the way is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fakes.app_folders import copy_app, tutorial, write_folder
from shipway.apps.dockerfile import read_dockerfile
from shipway.apps.files import collect
from shipway.apps.pack import AppRequest, Needs, inspect_app, needs_of, taken_over
from shipway.errors import ArtefactError
from shipway.spec.app import AppManifest, read_manifest

WSGI = "def app(environ, start_response):\n    start_response('404 No', [])\n    return [b'']\n"


def needs(folder: Path, files: Mapping[str, str | bytes], dockerfile: str = "") -> Needs:
    found = collect(write_folder(folder, files))
    return needs_of(found, found.source(), read_dockerfile(dockerfile))


def test_the_tutorial_is_packed_as_it_stands(tmp_path: Path) -> None:
    said: list[str] = []
    packed = inspect_app(AppRequest(tutorial(tmp_path)), said.append)
    manifest = packed.manifest
    assert (manifest.framework, manifest.interface, manifest.target) == ("flask", "wsgi", "app:app")
    assert (manifest.workdir, manifest.port, manifest.requirements) == ("/app", 8000, ("flask", "scikit-learn"))
    assert {"flask", "scikit-learn", "numpy", "joblib", "werkzeug"} <= manifest.versions.keys()
    assert [file.path for file in manifest.files] == sorted(packed.files) == [
        f"artefact/{name}" for name in ("Dockerfile", "app.py", "deployment.yaml", "model.joblib", "requirements.txt")
    ]  # fmt: skip
    assert read_manifest(manifest.to_json()) == manifest
    assert any("app.py:16" in note for note in packed.notes if "debug" in note)
    assert packed.findings == ()
    assert said[0] == "found app:app (app.py:4): app = Flask(__name__)"


def test_the_sample_goes_with_it(tmp_path: Path) -> None:
    folder = copy_app("bottle_app", tmp_path)
    sample = write_folder(tmp_path / "aside", {"sample.json": '{"number": 2}'}) / "sample.json"
    found = inspect_app(AppRequest(folder, sample=sample)).manifest.sample
    assert found is not None
    assert (found.method, found.path, found.body, found.status) == ("POST", "/double", '{"number": 2}', 200)


def test_the_same_folder_is_the_same_manifest(tmp_path: Path) -> None:
    one, two = (write_folder(tmp_path / name, {"app.py": WSGI, "b/c.txt": "x"}) for name in "xy")
    assert inspect_app(AppRequest(one)).manifest.to_json() == inspect_app(AppRequest(two)).manifest.to_json()


def test_the_dockerfile_is_believed_though_it_is_ignored(tmp_path: Path) -> None:
    dockerfile = "FROM x\nWORKDIR /srv\nENV MODE=fast API_KEY=abc FLASK_DEBUG=1\nEXPOSE 9000\nCMD gunicorn b:app\n"
    needing = f"import os\nos.environ['MODE']\n{WSGI}"
    write_folder(tmp_path, {"app.py": WSGI, "b.py": needing, "Dockerfile": dockerfile, ".dockerignore": "Dockerfile"})
    packed = inspect_app(AppRequest(tmp_path))
    manifest = packed.manifest
    assert (manifest.target, manifest.workdir, manifest.port) == ("b:app", "/srv", 9000)
    assert manifest.environment == {"MODE": "fast"}
    assert "artefact/Dockerfile" not in packed.files
    assert b"abc" not in manifest.to_json()


def test_what_is_opened_and_stays_out_is_said(tmp_path: Path) -> None:
    text = f"open('data.csv').close()\nopen('log.txt', 'a').close()\n{WSGI}"
    write_folder(tmp_path, {"app.py": text, "data.csv": "x", ".dockerignore": "*.csv\n"})
    notes = inspect_app(AppRequest(tmp_path)).notes
    assert "the app opens data.csv, which stays out: take it with --include data.csv" in notes
    assert "app.py:2 writes into its folder, which an image has read-only: log.txt" in notes


@pytest.mark.parametrize(
    ("name", "value", "goes"),
    [
        ("MODE", "fast", True), ("MODEL_PATH", "/app/m", True), ("PATH", "/x", False), ("PIP_NO_CACHE_DIR", "1", False),
        ("DB_PASSWORD", "x", False), ("OPENAI_API_KEY", "x", False), ("FLASK_DEBUG", "1", False), ("DEBUG", "0", True),
        ("FLASK_ENV", "development", False), ("PORT", "80", False), ("PYTHONUNBUFFERED", "1", False),
        ("TOKENIZERS_PARALLELISM", "x", True), ("API_TOKENS", "x", False),
    ],
)  # fmt: skip
def test_only_variables_of_the_app_go_with_it(name: str, value: str, goes: bool) -> None:
    kept, notes = taken_over({name: value})
    assert kept == ({name: value} if goes else {})
    assert not any(value in note for note in notes if "secret" in note and value == "x" and f"={value}" in note)


def test_requirements_come_from_the_file_the_dockerfile_or_the_imports(tmp_path: Path) -> None:
    assert needs(tmp_path / "a", {"requirements.txt": "flask", "prod.txt": "numpy"}).requirements == ("flask",)
    named = needs(
        tmp_path / "b", {"requirements.txt": "flask", "prod.txt": "numpy"}, "FROM x\nRUN pip install -r ./prod.txt"
    )
    assert named.requirements == ("numpy",)
    installs = needs(tmp_path / "c", {"app.py": "import flask"}, "FROM x\nRUN pip install flask joblib")
    assert installs.requirements == ("flask", "joblib")
    added = needs(tmp_path / "d", {"app.py": "import flask, joblib", "requirements.txt": "flask"})
    assert added.requirements == ("flask", "joblib")
    assert "app.py:1 imports joblib, which no requirement brings: joblib is added" in added.notes


def test_requirements_of_powershell_are_read_and_those_that_are_no_text_refused(tmp_path: Path) -> None:
    listed: dict[str, str | bytes] = {"app.py": WSGI, "requirements.txt": "flask==3.1.0\r\n".encode("utf-16")}
    assert needs(tmp_path, listed).requirements == ("flask==3.1.0",)
    with pytest.raises(ArtefactError, match="no text in UTF-8"):
        needs(tmp_path, {"requirements.txt": b"fl\xe4sk"})


def test_constraints_go_beside_the_requirements_and_the_file_that_was_read_is_said(tmp_path: Path) -> None:
    files = {"requirements.txt": "flask\n-c limits.txt", "limits.txt": "werkzeug<1\nnever<2", "app.py": "import flask"}
    found = needs(tmp_path / "a", files)
    assert (found.requirements, found.constraints) == (("flask",), ("never<2", "werkzeug<1"))
    assert "werkzeug" not in found.versions
    assert not any("those of" in note for note in found.notes)
    assert any(
        note.startswith("tried here with other versions than its image has: werkzeug<1 (") for note in found.notes
    )
    project = needs(tmp_path / "b", {"pyproject.toml": "[project]\ndependencies = ['flask>=3']\n"})
    assert project.requirements == ("flask>=3",)
    assert "requirements are those of pyproject.toml: flask>=3" in project.notes


def test_what_brings_an_import_is_not_guessed_where_it_is_not_known(tmp_path: Path) -> None:
    found = needs(tmp_path, {"app.py": "import google.nowhere\nfrom google.cloud import storage"})
    assert found.requirements == ("google-cloud-storage",)
    assert any(note.startswith("app.py:1 imports google.nowhere, ") and "name it in" in note for note in found.notes)


def test_an_installed_projects_packages_are_found_below_src(tmp_path: Path) -> None:
    app = "from shop.answer import BODY\n" + WSGI.replace("b''", "BODY")
    files = {
        "src/shop/__init__.py": "",
        "src/shop/web.py": app,
        "src/shop/answer.py": "BODY = open('body.txt', 'rb').read()",
    }
    project = "[project]\nname = 'shop'\nversion = '1'\n"
    manifest = inspect_app(
        AppRequest(write_folder(tmp_path, {**files, "pyproject.toml": project, "body.txt": "x"}))
    ).manifest
    assert (manifest.target, manifest.import_root) == ("shop.web:app", "src")
    assert "artefact/src/shop/web.py" in [file.path for file in manifest.files]


def test_a_module_that_lies_in_a_folder_says_to_pack_that_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "shop", {"src/app.py": f"import help_me\n{WSGI}", "src/help_me.py": ""})
    with pytest.raises(ArtefactError) as raised:
        inspect_app(AppRequest(tmp_path / "shop"))
    assert "shipway pack shop/src" in raised.value.fix


def test_an_app_that_was_not_chosen_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": WSGI + WSGI.replace("def app", "def admin")})
    packed = inspect_app(AppRequest(tmp_path))
    assert packed.manifest.target == "app:app"
    assert "app.py:4 has another app, admin; to take it instead: --app app:admin" in packed.notes
    assert not any("--app" in note for note in inspect_app(AppRequest(tmp_path, "app:app")).notes)


FLASK = """\
from flask import Flask, request
app = Flask(__name__)
@app.post('/price/<int:number>')
def price(number):
    if number:
        return 'no such house', 404
    return {'price': request.get_json()}
@app.get('/')
def home():
    return 'hello', 410
"""


@pytest.mark.parametrize(
    ("sample", "says", "fix"),
    [
        ('{"path": "/prices", "json": 1}', "POST /prices is answered with 404: the app has", '"/price/<int:number>"'),
        ('{"path": "/price/1", "json": 1}', "404 by the route /price/<int:number> (app.py:3): no such", "keep it"),
        ('{"path": "/price/0"}', "GET /price/0 is answered with 405: the app answers POST there", '"method": "POST"'),
        ('{"path": "/price/0", "body": "x"}', "with 415: the app asks for a Content-Type", '"json"'),
        ('{"path": "/price/0", "body": "x", "headers": {"Content-Type": "a/b"}}', "415: the app takes no a/b", "json"),
        ('{"path": "/"}', "GET / is answered with 410: hello", "keep it"),
    ],
)  # fmt: skip
def test_a_sample_that_the_app_refuses_is_said_with_what_it_takes(
    tmp_path: Path, sample: str, says: str, fix: str
) -> None:
    folder = write_folder(tmp_path / "app", {"app.py": FLASK})
    file = write_folder(tmp_path, {"request.json": sample}) / "request.json"
    packed = inspect_app(AppRequest(folder, sample=file))
    (one,) = packed.findings
    assert not any("sample" in note for note in packed.notes)  # one word is enough
    assert (one.kind, one.where, one.severity) == ("sample-refused", "request.json", "warning")
    assert says in one.what
    assert fix in one.fix


def test_a_slip_of_the_pen_is_refused_with_the_name_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"requirements.txt:1 lists flaks, .* did you mean flask\?"):
        needs(tmp_path, {"requirements.txt": "flaks"})


def test_an_empty_folder_has_no_facts(tmp_path: Path) -> None:
    assert needs(tmp_path, {}) == Needs((), (), {}, ())
    with pytest.raises(ArtefactError, match=r"neither a model .* nor a web app: no Python file"):
        inspect_app(AppRequest(tmp_path))


def test_an_app_is_no_model(tmp_path: Path) -> None:
    assert isinstance(
        read_manifest(inspect_app(AppRequest(write_folder(tmp_path, {"app.py": WSGI}))).manifest.to_json()), AppManifest
    )
