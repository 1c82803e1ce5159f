"""Records: every format gives the same rows, one after the other, and says where a file goes wrong."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.bundle import records
from shipway.bundle.records import Format, format_of, infer_columns, parse_texts, read_records, read_sample
from shipway.errors import InvalidInput, UsageError
from shipway.spec.signature import Column, Method, Signature

ROWS = [{"age": 1.5, "city": "Ulm, south"}, {"age": None, "city": 'a "b"'}]
CSV = 'age,city\n1.5,"Ulm, south"\n\n,"a ""b"""\n'


def read(text: str, format_: Format, **arguments: Any) -> list[dict[str, Any]]:
    return list(read_records(io.StringIO(text, newline=""), format_, **arguments))


@pytest.mark.parametrize(
    "text", [json.dumps(ROWS), json.dumps(ROWS, indent=2), '{"age": [1.5, null], "city": ["Ulm, south", "a \\"b\\""]}']
)
def test_json_is_a_list_of_records_or_columns(text: str) -> None:
    assert read(text, "json") == ROWS


def test_json_lines_may_hold_empty_ones() -> None:
    assert read("\n".join([json.dumps(ROWS[0]), "", json.dumps(ROWS[1]), ""]), "jsonl") == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_any_usual_delimiter(delimiter: str) -> None:
    text = f"age{delimiter}city\r\n1.5{delimiter}Ulm\r\n{delimiter}Bonn\r\n"
    assert read(text, "csv") == [{"age": "1.5", "city": "Ulm"}, {"age": None, "city": "Bonn"}]


def test_csv_quotes_are_undone_and_empty_lines_passed_over() -> None:
    assert read(CSV, "csv") == [{"age": "1.5", "city": "Ulm, south"}, {"age": None, "city": 'a "b"'}]


def test_rows_that_are_lists_get_the_columns_names() -> None:
    assert read("[[1, 2], [3, 4]]", "json", columns=("a", "b")) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert read("[1, 2]", "json", columns=("a",)) == [{"a": 1}, {"a": 2}]


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.none() | st.floats(allow_nan=False) | st.text(max_size=8), min_size=1),
        min_size=1,
    ),
    st.integers(1, 50),
)
def test_json_is_read_alike_wherever_its_chunks_are_cut(rows: list[dict[str, Any]], chunk: int) -> None:
    class Slow(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            return super().read(chunk if size is not None and size >= 0 else -1)

    assert list(read_records(Slow(json.dumps(rows)), "json")) == rows


@pytest.mark.parametrize(
    ("text", "format_", "words"),
    [
        ("", "csv", "no header"),
        ("a,a\n1,2\n", "csv", "'a' twice"),
        ("a,b\n1\n", "csv", "line 2 has 1 cells, the header 2"),
        ('a,b\n"1,2\n', "csv", "no CSV"),
        ("{", "json", "no JSON"),
        ("", "json", "no JSON"),
        ("3", "json", "neither a list"),
        ('[{"a":1}', "json", "breaks off"),
        ('[{"a":1} {"a":2}]', "json", "malformed at row 1"),
        ('{"a":[1],"b":[]}', "json", "different lengths"),
        ("[" * 100_000, "json", "no JSON"),
        ('{"a":1}\n{"a"', "jsonl", "line 2"),
        ("[1,2]\n", "jsonl", "line 1"),
    ],
)
def test_malformed_data_says_where(text: str, format_: Format, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(text, format_, columns=("a", "b", "c"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_sample(tmp_path / "sample.csv")


@pytest.mark.parametrize("name", ["sample.xlsx", "sample", "sample.pkl"])
def test_unknown_formats_are_refused_with_those_that_are_read(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_of(Path(name))
    assert ".csv" in caught.value.fix


def test_missing_files_and_empty_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_sample(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match="no rows"):
        read_sample(tmp_path / "empty.csv")


def test_dtypes_are_those_that_the_values_show() -> None:
    columns = infer_columns(
        [
            {"number": "1.5", "whole": "2", "text": "x", "flag": True, "hole": "NA", "mixed": "1"},
            {"number": "", "whole": "3", "text": None, "flag": False, "hole": "4", "mixed": "one"},
        ]
    )
    assert columns["number"].tolist()[0] == 1.5
    assert math.isnan(columns["number"][1])
    assert columns["whole"].tolist() == [2.0, 3.0]
    assert columns["text"].tolist() == ["x", None]
    assert columns["flag"].dtype == np.bool_
    assert math.isnan(columns["hole"][0])
    assert columns["mixed"].tolist() == ["1", "one"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_bytes(b"\xef\xbb\xbfage\n1\n")
    assert list(read_sample(tmp_path / "sample.csv")) == ["age"]


def test_a_sample_is_read_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_SAMPLE_ROWS", 3)
    (tmp_path / "sample.csv").write_text("a\n" + "1\n" * 10)
    assert len(read_sample(tmp_path / "sample.csv")["a"]) == 3


SIGNATURE = Signature(
    (
        Column("age", "float64", nullable=True),
        Column("rooms", "int64"),
        Column("new", "bool"),
        Column("city", "string"),
    ),
    (Method("predict", (Column("predict", "float64"),)),),
)


def test_texts_become_what_the_signature_holds() -> None:
    texts = {"age": " 1e2 ", "rooms": "3", "new": "True", "city": "12", "other": "x"}
    assert parse_texts(texts, SIGNATURE, 0) == {"age": 100.0, "rooms": 3, "new": True, "city": "12", "other": "x"}
    assert parse_texts({"age": "n/a"}, SIGNATURE, 0) == {"age": None}


def test_a_text_that_is_no_number_names_its_row() -> None:
    with pytest.raises(InvalidInput, match="'age', row 7") as caught:
        parse_texts({"age": "old"}, SIGNATURE, 7)
    assert (caught.value.column, caught.value.row) == ("age", 7)
