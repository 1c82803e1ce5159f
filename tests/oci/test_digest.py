"""Digests name content, and nothing but a digest is taken for one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import CorruptBlob
from shipway.oci.digest import check_digest, sha256_bytes, sha256_file


@given(st.binary(max_size=100))
def test_bytes_are_named_by_their_sha256(data: bytes) -> None:
    assert sha256_bytes(data) == "sha256:" + hashlib.sha256(data).hexdigest()
    assert check_digest(sha256_bytes(data)) == sha256_bytes(data)


def test_a_file_has_the_digest_and_size_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 100_000)
    assert sha256_file(file) == (sha256_bytes(b"x" * 100_000), 100_000)


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:ABC", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "md5:" + "a" * 32,
     "sha256:../../" + "a" * 58, "sha256:" + "a" * 64 + "\n", "sha512:" + "a" * 64],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CorruptBlob):
        check_digest(text)
