"""A folder is reviewed without being run: the tutorial has all of its warts, and nothing in a folder breaks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.app_folders import FOLDERS, tutorial, write_folder
from fakes.reviews import FLASK, facts_of
from shipway.apps.files import collect
from shipway.apps.findings import examine, read_facts, review
from shipway.apps.review.finding import order
from shipway.cli.findings import findings_text
from shipway.cli.output import Output
from shipway.errors import UsageError


def test_the_tutorial_has_exactly_its_warts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.0.2")  # trained long ago, on another machine
        folder = tutorial(tmp_path)
    write_folder(folder, {".git/HEAD": "ref: refs/heads/main\n"})
    files = collect(folder)
    facts = read_facts(files, files.source(), "tutorial")
    here = {"flask": "3.1.0", "joblib": "1.4.2", "scikit-learn": "1.6.1"}
    fixed = dataclasses.replace(facts, python="3.11", today=date(2026, 1, 1), installed=here)
    golden("apps/tutorial.txt", findings_text(review(fixed), Output()) + "\n")


@pytest.mark.parametrize(
    "name", ["bare_asgi", "bare_wsgi", "bottle_app", "django_project", "fastapi_lifespan", "quart_socket"]
)
def test_the_other_apps_have_no_errors(name: str) -> None:
    assert [one for one in examine(FOLDERS / name) if one.severity == "error"] == []


def test_nothing_of_a_folder_is_run(tmp_path: Path) -> None:
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n"
    write_folder(tmp_path / "app", {"app.py": trap + FLASK, "setup.py": trap})
    assert examine(tmp_path / "app")
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_cannot_go_is_a_finding_with_its_mend(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": FLASK})
    (tmp_path / "data.csv").symlink_to(tmp_path / "nothing.csv")
    (one,) = examine(tmp_path)
    assert (one.kind, one.severity) == ("folder", "error")
    assert "data.csv" in one.what
    assert one.fix


def test_a_secret_file_is_told_beside_all_else_unless_it_is_included(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": FLASK, ".env": "PASSWORD=x\n"})
    assert [(one.kind, one.where) for one in examine(tmp_path)] == [
        ("folder", ".env"),
        ("no-requirements", "requirements.txt"),
    ]
    assert [one.kind for one in examine(tmp_path, include=[".env"])] == ["no-requirements"]


def test_requirements_are_read_wherever_they_lie_and_said_where_they_are_no_text(tmp_path: Path) -> None:
    write_folder(
        tmp_path, {"app.py": FLASK, "requirements.txt": "-r deps/web.txt", "deps/web.txt": "flask==3.0.0\nno no"}
    )
    (one,) = examine(tmp_path)
    assert (one.kind, one.where) == ("requirement", "deps/web.txt:2")
    write_folder(tmp_path, {"requirements.txt": b"fl\xe4sk"})
    (one,) = examine(tmp_path)
    assert (one.kind, one.where, one.fix) == ("requirement", "requirements.txt", "save it as UTF-8")


def test_a_constraint_that_disagrees_is_an_error_at_the_line_that_it_disagrees_with(tmp_path: Path) -> None:
    listed = {"requirements.txt": "-c limits.txt\nflask>=3\n", "limits.txt": "flask<3\n"}
    (one,) = examine(write_folder(tmp_path, {"app.py": FLASK, **listed}))
    assert (one.kind, one.where) == ("requirement", "requirements.txt:2")
    assert one.what == "disagrees with limits.txt:1: flask>=3 and flask<3"


def test_the_app_that_a_procfile_starts_is_reviewed(tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.py": FLASK, "main.py": FLASK, "requirements.txt": ""})
    assert "no-app" in [one.kind for one in examine(tmp_path)]
    write_folder(tmp_path, {"Procfile": "web: gunicorn main:app\n"})
    assert "no-app" not in [one.kind for one in examine(tmp_path)]


def test_a_constraint_on_what_comes_with_a_requirement_is_held_against_what_is_here(tmp_path: Path) -> None:
    limits = "werkzeug<1\nnothing-like-it<1\npandas<0.1\n"  # pandas is here, and does not come with flask
    write_folder(tmp_path, {"app.py": FLASK, "requirements.txt": "flask\n-c limits.txt", "limits.txt": limits})
    assert [one.where for one in examine(tmp_path) if one.kind == "other-version"] == ["limits.txt:1"]


def test_what_is_no_folder_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        examine(tmp_path / "nothing")


def test_a_secret_is_never_printed() -> None:
    word = "AKIA" + "Q" * 16
    files = {"app.py": f"{FLASK}import os\nkey = '{word}'\napp.secret_key = 'hunter2hunter2'\nopen('{word}', 'w')\n"}
    found = [one for one in review(facts_of(files)) if one.kind == "secret"]
    assert len(found) == 3
    assert not any(word in text or "hunter2" in text for one in found for text in (one.what, one.fix))


def test_findings_are_sorted_by_file_and_line_and_come_once() -> None:
    body = "".join(f"open('{number}.txt')\n" for number in range(12))
    found = review(facts_of({"b.py": FLASK + body, "a.py": "import b\nopen('x')\n" + body}))
    assert list(found) == sorted(set(found), key=order)
    lines = [int(one.where.partition(":")[2]) for one in found if one.where.startswith("b.py")]
    assert lines == sorted(lines)
    assert len(lines) == 12


def test_source_that_is_nested_deep_is_no_failure() -> None:
    text = f"{FLASK}@app.get('/')\ndef f():\n    return jsonify({'+'.join('x' * 1500)})\n"
    assert all(one.fix for one in review(facts_of({"app.py": text})))


SCRAPS = st.lists(
    st.sampled_from([
        "FROM python", "COPY . .", "RUN pip install", "USER", "EXPOSE x", "CMD [", "flask", "==1.0", "-r", "-e .",
        "kind: Pod", "metadata:", "  - a", "import numpy as np", "def f():", "    return", "jsonify(",
        "x = model.predict(y)", "open('a', 'w')", "from flask import Flask", "app = Flask(__name__)", "@app.get('/')",
        "app.run(debug=True)", "Path(__file__)", "\t", "é{", "'''",
    ]),
    max_size=12,
).map("\n".join)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(SCRAPS, SCRAPS, SCRAPS, SCRAPS)
def test_any_folder_is_reviewed_without_failing(source: str, docker: str, listed: str, objects: str) -> None:
    files = {"app.py": source, "Dockerfile": docker, "requirements.txt": listed, "k8s.yaml": objects}
    for one in review(facts_of(files)):
        assert one.where.partition(":")[0] in {*files, "."}
        assert one.what
