"""Commands on web apps, in this process: pack, show, list, and what they say where a verb is for models."""

from __future__ import annotations

import pytest

from fakes.app_folders import copy_app, tutorial, write_folder
from fakes.shell import Shell


def test_pack_says_what_it_found_and_show_says_it_again(shell: Shell) -> None:
    copy_app("fastapi_lifespan", shell.folder)
    ran = shell("pack", "fastapi_lifespan", "--name", "houses")
    assert ran.code == 0, ran.err
    assert "packed houses:1" in ran.out
    assert "main:app (fastapi, ASGI)" in ran.out
    assert "requirements.txt:1" in ran.err  # not pinned
    shown = shell("show", "houses")
    assert "main:app" in shown.out
    assert "pydantic" in shown.out
    assert shell("show", "houses", "--json").facts["manifest"]["package"] == "app"
    assert [row["name"] for row in shell("list", "--json").facts] == ["houses"]
    again = shell("pack", "fastapi_lifespan", "--name", "houses", "--json").facts
    assert (again["new"], again["version"], again["app"], again["owns"]) == (False, 1, "main:app", ["/healthz"])


def test_the_tutorial_as_it_stands_is_refused_with_its_sample_and_packed_with_a_warning_without(shell: Shell) -> None:
    tutorial(shell.folder)
    shell.write("request.json", "[[0.5]]")
    said = shell("pack", "tutorial", "--name", "t", "--sample", "request.json").refusal(1)
    assert "app.py:12" in said
    assert ".tolist()" in said
    assert shell("list", "--json").facts == []
    ran = shell("pack", "tutorial", "--name", "t")
    assert ran.code == 0, ran.err
    assert "prediction.tolist()" in ran.err
    assert "meta is no key" in ran.err  # broken manifests hinder nothing: Shipway writes its own


def test_a_sample_that_is_refused_is_packed_with_a_warning_that_says_what_the_app_takes(shell: Shell) -> None:
    copy_app("bottle_app", shell.folder)
    shell.write("request.json", '{"path": "/doubled", "json": {"number": 2}}')
    ran = shell("pack", "bottle_app", "--name", "b", "--sample", "request.json")
    assert ran.code == 0, ran.err
    assert "request.json: POST /doubled is answered with 404: the app has POST /double" in ran.err
    assert 'fix: write "path": "/double" into the sample' in ran.err


def test_apps_that_were_not_chosen_are_in_the_report(shell: Shell) -> None:
    bare = "def {}(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"
    write_folder(shell.folder / "two", {"app.py": bare.format("app") + bare.format("admin")})
    ran = shell("pack", "two", "--name", "two", "--json")
    assert ran.facts["app"] == "app:app"
    assert any("--app app:admin" in note for note in ran.facts["notes"])


@pytest.mark.parametrize("files", [{}, {"README.md": "# hello"}, {"data/train.csv": "a,b"}])
def test_a_folder_with_neither_a_model_nor_an_app_is_told_so(shell: Shell, files: dict[str, str]) -> None:
    write_folder(shell.folder / "empty", files).mkdir(exist_ok=True)
    said = shell("pack", "empty", "--name", "e").refusal(1)
    assert "neither a model (.joblib, .onnx, .pickle, .pkl) nor a web app: no Python file; looked for Flask" in said
    assert "name a model's file, or the folder that app.py lies in" in said
    assert "neither a model" in shell("serve", "./empty").refusal(1)


def test_an_installed_projects_folder_is_packed_and_its_import_root_shown(shell: Shell) -> None:
    app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"
    write_folder(shell.folder / "shop", {"pyproject.toml": "[project]\nname = 'shop'\n", "src/shop/web.py": app})
    facts = shell("pack", "shop", "--name", "shop", "--json").facts
    assert (facts["app"], facts["import_root"]) == ("shop.web:app", "src")
    assert "import root" in shell("show", "shop").out


def test_render_takes_an_app(shell: Shell) -> None:
    write_folder(shell.folder / "app", {
        "app.py": "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n",
        "Dockerfile": "FROM python:3.11-slim\nWORKDIR /code\nEXPOSE 5000\nCMD gunicorn app:app\n",
    })  # fmt: skip
    assert shell("pack", "app", "--name", "bare").code == 0
    text = shell("render", "bare", "--to", "kubernetes", "--image", "registry.example/bare:1").out
    assert "containerPort: 5000" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pack", "app", "--name", "a", "--target", "y"), "--target means nothing to a web app"),
        (("pack", "app", "--name", "a", "--app", "nowhere:app"), "nowhere"),
        (("predict", "bare", "--data", "-", "--format", "json"), "shipway serve bare:1"),
        (("serve", "bare", "bare"), "one app"),
        (("serve", "app"), "./app if you mean the file or folder here"),
        (("build", "bare", "--tag", "b:1", "--with-dockerfile"), "has no Dockerfile of its own"),
        (("build", "bare", "--tag", "b:1", "--with-dockerfile", "--check"), "give it with --tag alone"),
        (("pack", "app", "--name", "a", "--compare"), "nothing to compare"),
    ],
)
def test_what_cannot_be_done_with_an_app_says_what_to_do_instead(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    copy_app("bare_wsgi", shell.folder).rename(shell.folder / "app")
    assert shell("pack", "app", "--name", "bare").code == 0
    ran = shell(*words)
    assert ran.code in (1, 2)
    assert said in ran.refusal(ran.code)


def test_options_of_apps_mean_nothing_to_a_model(shell: Shell) -> None:
    shell.write("model.joblib", b"")
    assert "--include means nothing to a model" in shell(
        "pack", "model.joblib", "--name", "m", "--include", "x"
    ).refusal(2)
