"""`shipway predict`: the model's own answers, from and to every format, in constant memory; and what bad data gets."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakes.shell import Shell, Workshop

FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "csv": lambda frame: frame.to_csv(index=False),
    "json": lambda frame: frame.to_json(orient="records"),
    "jsonl": lambda frame: frame.to_json(orient="records", lines=True),
}
READ: dict[str, Callable[[str], list[Any]]] = {
    "csv": lambda text: [row["prediction"] for row in csv.DictReader(io.StringIO(text))],
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line)["prediction"] for line in text.splitlines()],
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("from_stdin", [False, True], ids=["file", "stdin"])
def test_predictions_are_the_models_own_in_the_datas_format(
    stocked: Shell, workshop: Workshop, kind: str, from_stdin: bool
) -> None:
    data = FORMATS[kind](workshop.people)
    words = ("--data", "-", "--format", kind) if from_stdin else ("--data", stocked.write(f"people.{kind}", data))
    ran = stocked("predict", "churn", *words, data=data.encode())
    assert ran.code == 0, ran.err
    assert READ[kind](ran.out) == list(workshop.churn.predict(workshop.people))
    assert ran.err == "120 rows predicted\n"


@pytest.mark.parametrize("kind", FORMATS)
def test_the_name_of_the_output_says_its_format(stocked: Shell, workshop: Workshop, kind: str) -> None:
    ran = stocked("predict", "churn", "--data", str(workshop.folder / "churn.csv"), "--out", f"out.{kind}")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"120 rows predicted into out.{kind}\n"
    text = (stocked.folder / f"out.{kind}").read_text(encoding="utf-8")
    assert READ[kind](text) == list(workshop.churn.predict(workshop.people))
    assert [path.name for path in stocked.folder.iterdir()] == [f"out.{kind}"]


def test_probabilities_have_a_column_a_class(stocked: Shell, workshop: Workshop) -> None:
    data = str(workshop.folder / "churn.csv")
    ran = stocked("predict", "churn", "--data", data, "--method", "predict_proba")
    head, *rows = csv.reader(io.StringIO(ran.out))
    assert head == ["prediction_leaves", "prediction_stays"]
    expected = workshop.churn.predict_proba(workshop.people)
    np.testing.assert_allclose(np.array(rows, dtype=float), expected, rtol=0, atol=1e-12)


def test_a_model_file_is_packed_and_asked(shell: Shell, workshop: Workshop) -> None:
    data = shell.write("rows.json", json.dumps([[0.01] * 10]))
    ran = shell("predict", str(workshop.folder / "diabetes.joblib"), "--data", data)
    assert ran.code == 0
    assert len(json.loads(ran.out)) == 1
    assert [entry["name"] for entry in shell("list", "--json").facts] == ["diabetes"]


def test_columns_that_the_model_does_not_know_are_passed_over(stocked: Shell) -> None:
    record = {"age": 30, "income": None, "city": "Ulm"}
    plain = stocked("predict", "churn", "--data", "-", data=json.dumps([record]).encode())
    wider = stocked("predict", "churn", "--data", "-", data=json.dumps([{"id": "x", **record}]).encode())
    assert plain.code == 0
    assert wider.out == plain.out


@pytest.mark.parametrize("kind", FORMATS)
def test_no_rows_are_no_predictions(stocked: Shell, kind: str) -> None:
    data = {"csv": b"age,income,city\n", "json": b"[]", "jsonl": b""}[kind]
    ran = stocked("predict", "churn", "--data", "-", "--format", kind, data=data)
    assert (ran.code, ran.err) == (0, "0 rows predicted\n")
    assert ran.out == ("[]\n" if kind == "json" else "")


HEAD = "age,income,city\n"
ROW = "30,3000,Ulm\n"
BAD_DATA: dict[str, list[tuple[str | bytes, int, str]]] = {
    "csv": [
        ("", 2, "the data is empty"),
        ("\n" + ROW, 2, "header"),
        ("age,incme,city\n" + ROW, 1, "did you mean 'incme'?"),
        ("age,city\n30,Ulm\n", 1, "missing column 'income'"),
        (HEAD + ROW + "30,3000\n", 2, "line 3 has 2 cells"),
        (HEAD + ROW + "old,3000,Ulm\n", 1, "column 'age', row 1: expected a number, got the text 'old'"),
        (HEAD + ROW * 1500 + "old,3000,Ulm\n", 1, "column 'age', row 1500: "),
        (HEAD + ROW + "1e999,3000,Ulm\n", 1, "column 'age', row 1"),
        (HEAD + '30,3000,"Ulm\n', 2, "no CSV"),
        (b"\xff\xfe\0\0", 2, "save it as UTF-8"),
        (HEAD + "x" * 200_000, 2, "no CSV"),
    ],
    "json": [
        ("", 2, "no JSON"),
        (HEAD + ROW, 2, "--format"),
        ("[", 2, "row 0"),
        ('[{"age": 1, "income": 2, "city": "a"}, {', 2, "row 1"),
        ("[1 2]", 2, "row 0"),
        ("null", 2, "a list of rows"),
        ('{"age": [1], "income": [1, 2], "city": ["a"]}', 2, "different lengths"),
        ("[" * 100_000, 2, "no JSON"),
        ('[{"age": "30", "income": 2, "city": "a"}]', 1, "expected a number or null, got the text '30'"),
        ('[{"age": true, "income": 2, "city": "a"}]', 1, "got true"),
        ('[{"age": 1e999, "income": 2, "city": "a"}]', 1, "within float64's range"),
        ('[{"age": [1], "income": 2, "city": "a"}]', 1, "got a list"),
        ("[[1, 2]]", 2, "a list of 3 values"),
    ],
    "jsonl": [
        ('{"age": 1', 2, "line 1 is no JSON"),
        ('[1, 2, "a"]\n[1, 2]\n', 2, "line 2"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "content", "code", "words"), [(kind, *case) for kind, cases in BAD_DATA.items() for case in cases]
)
def test_data_that_does_not_fit_is_refused_and_no_file_is_left(
    stocked: Shell, kind: str, content: str | bytes, code: int, words: str
) -> None:
    data = stocked.write(f"data.{kind}", content)
    assert words in stocked("predict", "churn", "--data", data, "--out", f"out.{kind}").refusal(code)
    assert [path.name for path in stocked.folder.iterdir()] == [data]


def test_what_fails_at_once_prints_nothing(stocked: Shell) -> None:
    assert stocked("predict", "churn", "--data", "-", data=b"[[1]]").out == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--data", "nowhere.csv"), 2, "cannot read nowhere.csv"),
        (("--data", "."), 2, "use one of .csv"),
        (("--data", "data.xlsx"), 2, "use one of .csv"),
        (("--data", "-", "--method", "predict_prob"), 2, "predict_proba"),
        (("--data", "-", "--out", "nowhere/out.csv"), 2, "fix: mkdir nowhere"),
        (("--data", "-", "--out", "out.xlsx"), 2, "use one of .csv"),
        (("--data", "-", "--out", "."), 2, "is a directory"),
    ],
)
def test_misuse_is_said(stocked: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in stocked("predict", "churn", *words, data=b"[]").refusal(code)


@pytest.mark.parametrize(
    ("ref", "code", "said"),
    [
        ("chrun", 1, "did you mean 'churn'?"),
        ("churn:7", 1, "versions 1"),
        ("churn@best", 1, "churn@best"),
        ("Churn", 2, "shipway list"),
        ("./nowhere.joblib", 1, "check the path"),
        ("oci://127.0.0.1:9/churn:1", 1, "check the network"),
        ("http://127.0.0.1:9", 1, "is the server running?"),
    ],
)
def test_a_reference_to_nothing_is_refused(stocked: Shell, ref: str, code: int, said: str) -> None:
    assert said in stocked("predict", ref, "--data", "-", data=b"[]").refusal(code)


def test_an_existing_file_stays_until_the_new_one_is_whole(stocked: Shell) -> None:
    stocked.write("out.json", "old")
    rows = [[30, 3000, "Ulm"]] * 2000 + [["old", 3000, "Ulm"]]
    ran = stocked("predict", "churn", "--data", "-", "--out", "out.json", data=json.dumps(rows).encode())
    assert "row 2000" in ran.refusal(1)
    assert [(path.name, path.read_text()) for path in stocked.folder.iterdir()] == [("out.json", "old")]


MEASURE = """
import sys
from shipway.cli.entry import run
assert run(sys.argv[1:]) == 0
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures resident memory as Linux tells it")
def test_memory_does_not_grow_with_the_rows(stocked: Shell, workshop: Workshop) -> None:
    kibibytes = []
    for times in (10, 500):
        stocked.write("people.csv", pd.concat([workshop.people] * times).to_csv(index=False))
        words = ("predict", "churn", "--data", "people.csv", "--out", "out.csv", "-q")
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *words], env=stocked.environ, capture_output=True, text=True, check=True
        )
        kibibytes.append(int(done.stdout))
    assert kibibytes[1] - kibibytes[0] < 8 * 1024
