"""What goes wrong in an app is said with its place and what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.app_folders import write_folder
from shipway.apps.explain import Failure, explain, mend, stopped
from shipway.apps.target import Target
from shipway.errors import ArtefactError, UsageError

TARGET = Target("app", ("app",), False)


@pytest.mark.parametrize("kind", ["raises", "exits", "forks", "binds", "misses", "variable", "no app", "lifespan"])
@pytest.mark.parametrize("file", ["", "app.py"])
def test_every_failure_has_one_line_and_a_mend(tmp_path: Path, kind: str, file: str) -> None:
    error = explain(Failure(kind, "some words", "Odd", file, 3, name="thing"), TARGET, tmp_path)
    assert isinstance(error, ArtefactError)
    assert error.fix
    assert "\n" not in str(error)
    assert error.message.startswith("app.py:3: ") or not file or kind == "no app"


def test_a_failure_without_words_says_so(tmp_path: Path) -> None:
    for kind in ("raises", "exits", "lifespan"):
        assert "without a word" in explain(Failure(kind, ""), TARGET, tmp_path).message


def test_a_wrong_name_of_the_app_is_misuse_and_a_missing_module_of_its_own_is_not(tmp_path: Path) -> None:
    gone = Failure("misses", "no module", "ModuleNotFoundError", name="app")
    assert isinstance(explain(gone, TARGET, tmp_path), UsageError)
    inside = Failure("misses", "no module", "ModuleNotFoundError", "app.py", 1, name="yaml.nodes")
    error = explain(inside, TARGET, tmp_path)
    assert "the module yaml is not installed here" in error.message
    assert error.fix == "pip install pyyaml, and write pyyaml into requirements.txt"
    write_folder(tmp_path, {"inner/yaml.py": ""})
    assert "it lies in inner/" in explain(inside, TARGET, tmp_path).message
    assert explain(inside, TARGET, tmp_path).fix.startswith("pack that folder: shipway pack")
    write_folder(tmp_path, {"requirements.txt": ""})
    assert explain(inside, TARGET, tmp_path).fix.startswith("pack that folder, with requirements.txt in it: ")


@pytest.mark.parametrize(
    ("type_", "message", "mended"),
    [
        ("TypeError", "Object of type ndarray is not JSON serializable", "write .tolist() on the array"),
        ("TypeError", "Object of type Series is not JSON serializable", "write .tolist() on the series"),
        ("TypeError", "Object of type int64 is not JSON serializable", "write .item() on the number"),
        ("TypeError", "Object of type bool_ is not JSON serializable", "write .item() on the number"),
        ("TypeError", "Object of type datetime is not JSON serializable", "write .isoformat() on the time"),
        ("TypeError", "Object of type bytes is not JSON serializable", "write .decode() on the bytes"),
        ("PydanticSerializationError", "Unable to serialize unknown type: <class 'numpy.ndarray'>", ".tolist()"),
        ("ValueError", "[TypeError(\"'numpy.float64' object is not iterable\")]", ".item()"),
        ("TypeError", "Object of type Mine is not JSON serializable", ""),
        ("ValueError", "something else", ""),
    ],
)
def test_a_value_that_json_does_not_know_has_its_mend(type_: str, message: str, mended: str) -> None:
    said = mend(Failure("raises", message, type_, "app.py", 7))
    assert mended in said
    assert said.endswith("on line 7 of app.py") is bool(mended)


def test_the_line_of_a_stopped_app_is_its_own_innermost_one(tmp_path: Path) -> None:
    frames = [tmp_path / "venv/site-packages/x.py", tmp_path / "pkg/deep.py", tmp_path / "app.py", Path("/lib/y.py")]
    listed = "".join(f'  File "{file}", line {number} in f\n' for number, file in enumerate(frames, 1))
    trace = f'Thread 0x01 (most recent call first):\n  File "{tmp_path / "other.py"}", line 9 in g\n\n'
    trace += f"Current thread 0x02 (most recent call first):\n{listed}"
    error = stopped("time", "import", 0, trace, "", 2.5, tmp_path)
    assert error.message == "pkg/deep.py:2: the app is not done after 2.5 s when it is imported"
    assert error.fix.startswith("mend line 2 of pkg/deep.py")
    assert "--timeout SECONDS" in error.fix


def test_an_app_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    ended = stopped("itself", "lifespan", -9, "", f"one\nout of memory{'!' * 500}\n\n", 1, tmp_path).message
    assert ended.startswith("the app ends its process when it starts up (its lifespan), with signal 9: out of memory")
    assert len(ended) < 320
    assert stopped("itself", "sample", 3, "", "", 1, tmp_path).message.endswith("answers the sample, with status 3")
    assert stopped("output", "unknown", 0, "", "", 1, tmp_path).message == "the app prints without end when it is asked"
