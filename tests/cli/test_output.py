from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.cli.output import Output, count, table
from shipway.cli.progress import progress

CELL = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_the_columns_of_a_table_begin_below_each_other(rows: list[tuple[str, str]]) -> None:
    width = max(len(first) for first, _ in rows)
    lines = table(rows).split("\n")
    assert [(line[:width].rstrip(), line[width + 2 :]) for line in lines] == rows


def test_an_empty_table_is_an_empty_text() -> None:
    assert table([]) == ""


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (300_000, "300,000 rows")])
def test_a_count_agrees_with_its_noun(number: int, text: str) -> None:
    assert count(number, "row") == text


def test_facts_are_for_standard_output_and_the_rest_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say("working")
    out.warning("odd")
    out.facts({"name": "Köln"}, "text")
    out.error("broken", "mend it")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"name": "Köln"}
    assert said.err == "working\nnote: odd\nerror: broken\nfix: mend it\n"


def test_quiet_leaves_results_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(quiet=True)
    out.say("working")
    with progress(out, "predicting", 10) as show:
        show(10, "10 rows")
    out.facts(None, "result")
    out.error("broken", "")
    assert capsys.readouterr() == ("result\n", "error: broken\n")


@pytest.mark.parametrize(("total", "expected"), [(200, "predicting: 50 %, 7 rows"), (0, "predicting: 7 rows")])
def test_progress_without_a_terminal_is_a_plain_line_now_and_then(
    total: int, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr("shipway.cli.progress.time.monotonic", lambda: next(now))
    with progress(Output(), "predicting", total) as show:
        for _ in range(3):
            show(100, "7 rows")
    assert capsys.readouterr().err.splitlines() == [expected]
