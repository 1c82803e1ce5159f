"""A folder becomes the manifest of a bundle, and what was seen on the way is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.app_folders import copy_app, tutorial, write_folder
from shipway.apps.dockerfile import DockerfileFacts, read_dockerfile
from shipway.apps.files import collect
from shipway.apps.pack import AppRequest, Needs, inspect_app, needs_of, taken_over
from shipway.errors import ArtefactError
from shipway.spec.app import AppManifest, read_manifest

WSGI = "def app(environ, start_response):\n    start_response('404 No', [])\n    return [b'']\n"


def needs(folder: Path, files: dict[str, str], dockerfile: str = "") -> Needs:
    return needs_of(collect(write_folder(folder, files)), read_dockerfile(dockerfile))


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
    write_folder(tmp_path, {"app.py": WSGI, "requirements.txt": "flask==3.1.0\r\n".encode("utf-16")})
    assert needs_of(collect(tmp_path), DockerfileFacts()).requirements == ("flask==3.1.0",)
    write_folder(tmp_path, {"requirements.txt": b"fl\xe4sk"})
    with pytest.raises(ArtefactError, match="no text in UTF-8"):
        needs_of(collect(tmp_path), DockerfileFacts())


def test_a_slip_of_the_pen_is_refused_with_the_name_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"requirements.txt:1 lists flaks, .* did you mean flask\?"):
        needs(tmp_path, {"requirements.txt": "flaks"})


def test_an_empty_folder_has_no_facts(tmp_path: Path) -> None:
    assert needs_of(collect(tmp_path), DockerfileFacts()) == Needs((), {}, ())
    with pytest.raises(ArtefactError, match="no Python file"):
        inspect_app(AppRequest(tmp_path))


def test_an_app_is_no_model(tmp_path: Path) -> None:
    assert isinstance(
        read_manifest(inspect_app(AppRequest(write_folder(tmp_path, {"app.py": WSGI}))).manifest.to_json()), AppManifest
    )
