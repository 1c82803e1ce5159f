"""`shipway pack`, as one meets it who has a file that fits, and as one whose file does not."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LinearRegression

from fakes.shell import Shell, Workshop
from shipway.bundle.store import Store

OWN_MODULE = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

class Mean(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean_, self.n_features_in_ = float(np.mean(y)), X.shape[1]
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)
"""


class Calls:
    """A pickle of it calls `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def _model(intercept: float = 1.0) -> LinearRegression:
    rows = np.arange(12.0).reshape(6, 2) ** 2
    return LinearRegression().fit(rows, rows @ [1.0, 2.0] + intercept)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _of_another_version(data: bytes) -> bytes:
    here = sklearn.__version__.encode()
    assert here in data
    return data.replace(bytes([len(here)]) + here, bytes([5]) + b"0.9.9")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no file or folder"),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "text": (lambda path: path.write_text("age,bmi\n1,2\n"), "a text file"),
    "bytes": (lambda path: path.write_bytes(b"\0\1\2" * 100), "no model"),
    "plain pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "a pickle of plain values"),
    "cut short": (lambda path: path.write_bytes(_half(pickle.dumps(_model()))), "cut short"),
    "cut short, compressed": (
        lambda path: (joblib.dump(_model(), path, compress=3), path.write_bytes(_half(path.read_bytes()))),
        "",
    ),
    "dangerous": (lambda path: path.write_bytes(pickle.dumps(Calls("touch pwned"))), "system"),
    "other version": (
        lambda path: path.write_bytes(_of_another_version(pickle.dumps(_model(), protocol=4))),
        "pip install scikit-learn==0.9.9",
    ),
    "folder": (lambda path: path.mkdir(), "neither a model"),
    "pipe": (lambda path: os.mkfifo(path), "neither a file nor a folder"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_model_is_refused_and_leaves_no_trace(shell: Shell, kind: str) -> None:
    if kind == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    make, words = BAD[kind]
    make(shell.folder / "model.joblib")
    assert words in shell("pack", "model.joblib", "--name", "bad").refusal(1)
    assert shell("list", "--json").facts == []
    assert not (shell.folder / "pwned").exists()
    assert shell("store", "check", "--json").facts["problems"] == []


def test_trust_opens_what_the_scan_refuses(shell: Shell) -> None:
    shell.write("model.pkl", pickle.dumps(Calls("exit 0")))
    assert "--trust" in shell("pack", "model.pkl", "--name", "bad").refusal(1)
    assert "--trust" not in shell("pack", "model.pkl", "--name", "bad", "--trust").refusal(1)


SAMPLES = {
    "is not there": (None, 2, "sample.csv"),
    "is empty": ("", 2, "sample.csv: the data is empty"),
    "has no rows": ("a,b,y\n", 2, "sample.csv has no rows"),
    "has no text": (b"\x89PNG\r\n\x1a\n\xff", 2, "save it as UTF-8"),
    "is ragged": ("a,b,y\n1,2,3\n1,2\n", 2, "line 3 has 2 cells, the header 3"),
    "names a column twice": ("a,a,y\n1,2,3\n", 2, "rename"),
    "lacks a column": ("a,y\n1,3\n", 1, "'b'"),
    "has another column": ("a,b,c,y\n1,2,3,4\n", 1, "'c'"),
    "misspells a column": ("a,bb,y\n1,2,3\n", 1, "'bb'"),
    "has a word among the numbers": ("a,b,y\n" + "1,2,3\n" * 50 + "1,many,3\n" + "1,2,3\n" * 50, 1, "'many'"),
    "misspells the target": ("a,b,yy\n1,2,3\n", 1, "did you mean 'yy'?"),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_sample_that_does_not_fit_is_refused(shell: Shell, kind: str) -> None:
    rows = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 2.0]})
    joblib.dump(LinearRegression().fit(rows, rows["a"] + rows["b"]), shell.folder / "model.joblib")
    content, code, words = SAMPLES[kind]
    if content is not None:
        shell.write("sample.csv", content)
    ran = shell("pack", "model.joblib", "--name", "m", "--sample", "sample.csv", "--target", "y")
    assert words in ran.refusal(code)
    assert shell("list", "--json").facts == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "Big_Name"), "fix: --name big-name"),
        (("--name", "a" * 300), "at most 63"),
        (("--name", ""), "choose another name"),
        (("--name", "m", "--code", "nowhere"), "nowhere is no folder"),
        (("--name", "m", "--sample", "sample.xlsx"), ".csv"),
    ],
)
def test_misuse_is_said(stocked: Shell, workshop: Workshop, words: tuple[str, ...], said: str) -> None:
    refusal = stocked("pack", str(workshop.folder / "diabetes.joblib"), *words).refusal(2)
    assert said in refusal
    assert len(refusal) < 300


def test_facts_tell_what_was_detected_and_how_well_it_compiled(shell: Shell, workshop: Workshop) -> None:
    words = ("--name", "d", "--sample", str(workshop.folder / "diabetes.csv"), "--target", "progression")
    facts = shell("pack", str(workshop.folder / "diabetes.joblib"), *words, "--json").facts
    assert set(facts) == {
        *("name", "version", "digest", "new", "framework", "kind", "evidence", "compiled", "agreement"),
        *("not_compiled", "versions", "size", "golden", "signature"),
    }
    assert (facts["name"], facts["version"], facts["new"]) == ("d", 1, True)
    assert (facts["kind"], facts["framework"], facts["compiled"]) == ("LinearRegression", "sklearn", True)
    assert facts["golden"]["synthetic"] is False
    assert {"scikit-learn", "numpy"} <= set(facts["versions"])


def test_the_same_again_is_the_same_version_until_a_new_one_is_asked_for(stocked: Shell, workshop: Workshop) -> None:
    model, sample = (str(workshop.folder / name) for name in ("churn.joblib", "churn.csv"))
    words = ("pack", model, "--name", "churn", "--sample", sample, "--target", "outcome")
    again = stocked(*words)
    assert again.code == 0
    assert again.out.startswith("churn:1 is this model already: nothing was added\n")
    counted = stocked(*words, "--new-version", "--json").facts
    assert (counted["version"], counted["new"]) == (2, True)
    versions = stocked("list", "churn", "--json").facts
    assert len({entry["digest"] for entry in versions}) == 1


@pytest.fixture
def own_mean(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder `code` beside `own.joblib`, whose pickle needs the module in it."""
    code = shell.folder / "code"
    code.mkdir()
    (code / "own_mean.py").write_text(OWN_MODULE, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(code))
        module = importlib.import_module("own_mean")
        joblib.dump(module.Mean().fit(np.eye(2), [1, 3]), shell.folder / "own.joblib")
    del sys.modules["own_mean"]
    yield code
    sys.modules.pop("own_mean", None)


def test_a_pickle_that_needs_the_users_module_names_it_and_is_packed_with_it(shell: Shell, own_mean: Path) -> None:
    said = shell("pack", "own.joblib", "--name", "own").refusal(1)
    assert "own_mean.Mean" in said
    assert "--code DIR" in said
    packed = shell("pack", "own.joblib", "--name", "own", "--code", "code", "--json").facts
    assert (packed["kind"], packed["compiled"]) == ("Mean", False)
    shutil.rmtree(own_mean)
    answered = shell.apart("predict", "own", "--data", shell.write("rows.json", "[[1, 2], [3, 4]]"))
    assert (answered.code, json.loads(answered.out)) == (0, [2.0, 2.0])


def without(shell: Shell, module: str) -> dict[str, str]:
    """Gives an environment in which `module` is not installed."""
    shim = shell.folder / "shim" / module
    shim.mkdir(parents=True)
    (shim / "__init__.py").write_text(f"raise ModuleNotFoundError(name={module!r})", encoding="utf-8")
    return shell.environ | {"PYTHONPATH": str(shim.parent)}


@pytest.mark.parametrize(
    ("module", "words", "fix"),
    [
        ("sklearn", ("pack", "diabetes.joblib", "--name", "m"), "[sklearn]"),
        ("onnxruntime", ("pack", "diabetes.joblib", "--name", "m"), "[sklearn]"),
        ("onnxruntime", ("predict", "diabetes", "--data", "diabetes.csv"), "[onnx]"),
        ("sklearn", ("demo", "--once"), "[sklearn]"),
    ],
)
def test_a_framework_that_is_missing_is_named_with_the_command_that_brings_it(
    stocked: Shell, workshop: Workshop, module: str, words: tuple[str, ...], fix: str
) -> None:
    environ = without(stocked, module)
    for name in ("diabetes.joblib", "diabetes.csv"):
        shutil.copy(workshop.folder / name, stocked.folder)
    ran = stocked.apart(*words, env=environ)
    assert fix in ran.refusal(1)


def test_a_compiled_model_answers_without_its_framework(stocked: Shell, workshop: Workshop) -> None:
    data = str(workshop.folder / "diabetes.csv")
    ran = stocked.apart("predict", "diabetes", "--data", data, "-q", env=without(stocked, "sklearn"))
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) == 443


def test_a_store_that_is_none_is_left_as_it_is(shell: Shell, workshop: Workshop) -> None:
    shell.store.mkdir()
    mine = shell.store / "thesis.txt"
    mine.write_text("mine", encoding="utf-8")
    for words in (("list",), ("pack", str(workshop.folder / "diabetes.joblib"), "--name", "m")):
        assert "no OCI image layout" in shell(*words).refusal(1)
    assert list(shell.store.iterdir()) == [mine]


def test_a_file_as_store_is_refused(shell: Shell) -> None:
    shell.store.write_text("mine", encoding="utf-8")
    assert str(shell.store) in shell("list").refusal(1)
    assert shell.store.read_text(encoding="utf-8") == "mine"


def test_the_packed_bundles_are_whole(workshop: Workshop) -> None:
    assert Store.at(workshop.store).check() == ()
