"""A sample is a whole request, or the body of one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.apps.sample import parse_sample, read_sample
from shipway.errors import UsageError
from shipway.spec.app import SampleRequest

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[[1, 2]]", SampleRequest("POST", "", JSON, "[[1, 2]]")),
        (b' {"age": 3}\n', SampleRequest("POST", "", JSON, '{"age": 3}')),
        (b'{"path": "/x", "age": 3}', SampleRequest("POST", "", JSON, '{"path": "/x", "age": 3}')),
        (b'{"path": "somewhere"}', SampleRequest("POST", "", JSON, '{"path": "somewhere"}')),
        (b'\xef\xbb\xbf[1]', SampleRequest("POST", "", JSON, "[1]")),
        (b'{"path": "/x", "method": ""}', SampleRequest("GET", "/x", {}, "")),
        (b'{"path": "/x"}', SampleRequest("GET", "/x", {}, "")),
        (b'{"path": "/x", "json": {"a": 1}}', SampleRequest("POST", "/x", JSON, '{"a":1}')),
        (b'{"path": "/x", "json": null}', SampleRequest("POST", "/x", JSON, "null")),
        (b'{"path": "/x", "body": "a", "headers": {"X-A": "b"}}', SampleRequest("POST", "/x", {"x-a": "b"}, "a")),
        (b'{"path": "/x", "method": "put", "json": 1, "headers": {"Content-Type": "t"}}',
         SampleRequest("PUT", "/x", {"content-type": "t"}, "1")),
    ],
)  # fmt: skip
def test_it_is_read(text: bytes, expected: SampleRequest) -> None:
    assert parse_sample(text) == expected


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"path": "/", "json": 1, "body": "1"}'])
def test_what_is_none_is_refused(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        parse_sample(text)
    (tmp_path / "s.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"s\.json"):
        read_sample(tmp_path / "s.json")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_sample(tmp_path / "gone.json")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with suppress(UsageError):
        parse_sample(text)
