"""File names are told however the source puts them together; addresses and routes are none."""

from __future__ import annotations

import pytest

from fakes.reviews import app, facts_of
from shipway.apps.findings import review

HEAD = "import os\nimport joblib\nfrom pathlib import Path\n"


def found(body: str, *files: str, kinds: tuple[str, ...] = ("file-missing", "path-outside", "writes")) -> list[str]:
    facts = facts_of(app(HEAD + body), present=files)
    return [one.what for one in review(facts) if one.kind in kinds]


@pytest.mark.parametrize(
    "path",
    [
        "'m/a.joblib'",
        "'./m/a.joblib'",
        "os.path.join('m', 'a.joblib')",
        "os.path.join(os.path.dirname(os.path.abspath(__file__)), 'm', 'a.joblib')",
        "Path('m') / 'a.joblib'",
        "Path(__file__).resolve().parent / 'm' / 'a.joblib'",
        "str(Path.cwd() / 'm/a.joblib')",
        "os.getcwd() + '/m/a.joblib'",
        "open('m/a.joblib', 'rb')",
    ],
)
@pytest.mark.parametrize("form", ["joblib.load({})", "name = {}\njoblib.load(name)"])
def test_a_path_is_the_same_file_however_it_is_written(path: str, form: str) -> None:
    body = form.format(path)
    assert found(body, "m/a.joblib") == []
    assert found(body) == ["reads m/a.joblib, which is not in the folder"]


@pytest.mark.parametrize(
    "path",
    [
        "os.environ['MODEL']",
        "f'{name}.joblib'",
        "get()",
        "'s3://bucket/a.joblib'",
        "'https://x.example/a'",
        "'data/*.csv'",
    ],
)
def test_what_the_source_does_not_say_is_not_guessed(path: str) -> None:
    assert found(f"joblib.load({path})\n") == []


def test_a_model_that_is_opened_later_is_missing_all_the_same() -> None:
    body = "import pickle\ndef start():\n    with open('a.pkl', 'rb') as file:\n        return pickle.load(file)\n"
    (one,) = [one for one in review(facts_of(app(body))) if one.kind == "file-missing"]
    assert (one.severity, one.where) == ("error", "app.py:5")


def test_a_name_that_is_assigned_twice_says_nothing() -> None:
    assert found("name = 'a'\nname = 'b'\njoblib.load(name)\n") == []


def test_a_file_that_the_app_writes_itself_is_not_missing() -> None:
    assert found("open('/tmp/a.txt', 'w')\nopen('/tmp/a.txt')\n") == []
    assert found("open('a.txt', 'w')\nopen('a.txt')\n", kinds=("file-missing",)) == []


def test_below_the_dockerfiles_working_folder_is_inside() -> None:
    files = {**app(f"{HEAD}joblib.load('/home/app/a.joblib')\n"), "Dockerfile": "FROM x:1\nWORKDIR /home/app\n"}
    found = review(facts_of(files, present=("a.joblib",)))
    assert [one.kind for one in found if one.kind in ("path-outside", "file-missing")] == []


@pytest.mark.parametrize(
    "body",
    [
        "@app.get('/home/page')\ndef f(): ...\n",
        "@app.get('/content/page.html')\ndef f(): ...\n",
        "@app.get('/')\ndef f():\n    return redirect('/home/dashboard')\n",
        "pattern = '/home/<name>/a.b'\n",
    ],
)
def test_a_route_is_no_path_of_a_machine(body: str) -> None:
    assert found(body) == []


@pytest.mark.parametrize(
    "body",
    [
        "os.chdir('/home/ada/shop')\n",
        "import sys\nsys.path.append('/Users/ada/lib')\n",
        "x = '/content/drive/model.h5'\n",
        "x = 'D:/models/a'\n",
    ],
)
def test_a_path_of_a_machine_is_told_wherever_it_stands(body: str) -> None:
    assert len(found(body)) == 1


@pytest.mark.parametrize(
    "body",
    [
        "os.makedirs('uploads', exist_ok=True)\n",
        "Path('log').mkdir()\n",
        "table.to_csv('out.csv')\n",
        "joblib.dump(model, 'new.joblib')\n",
        "import sqlite3\nsqlite3.connect('shop.db')\n",
        "import logging\nlogging.basicConfig(filename='app.log')\n",
        "open(name, 'a')\n",
    ],
)
def test_every_way_of_writing_is_told(body: str) -> None:
    (what,) = found(body)
    assert what.startswith("writes to ")


@pytest.mark.parametrize(
    "body",
    [
        "os.makedirs('/tmp/uploads')\n",
        "table.to_csv(buffer)\n",
        "import sqlite3\nsqlite3.connect(':memory:')\n",
        "open(temporary.name, 'w')\n",
        "name = f'/tmp/{number}.csv'\nopen(name, 'w')\n",
        "if __name__ == '__main__':\n    open('a', 'w')\n",
    ],
)
def test_writing_elsewhere_or_never_is_fine(body: str) -> None:
    assert found(body) == []
