"""References: each form is told apart, prints as it was written, and anything else is refused with a fix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import UsageError
from shipway.spec.reference import (
    NAME,
    BundleId,
    NameReference,
    PathReference,
    Reference,
    RegistryReference,
    check_name,
    parse_reference,
)

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("diabetes", NameReference("diabetes")),
        ("diabetes:12", NameReference("diabetes", version=12)),
        ("diabetes@champion", NameReference("diabetes", alias="champion")),
        (f"diabetes@{DIGEST}", NameReference("diabetes", digest=DIGEST)),
        ("diabetes@sha256:abcdef", NameReference("diabetes", digest="sha256:abcdef")),
        ("a-b_c", NameReference("a-b_c")),
        ("./diabetes", PathReference("./diabetes")),
        ("model.joblib", PathReference("model.joblib")),
        ("folder/model", PathReference("folder/model")),
        ("C:\\models\\m", PathReference("C:\\models\\m")),
        ("~/m", PathReference("~/m")),
        ("oci://registry.example/m:1", RegistryReference("registry.example/m:1")),
    ],
)
def test_each_form_is_told_apart_and_prints_as_written(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert str(parse_reference(text)) == text


@pytest.mark.parametrize("text", ["", "Diabetes", "a:0", "a:x", "a@", "a@b@c", "a b", "-a", "a--b", "a:1@b", "é"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


@given(st.text(max_size=80))
def test_a_name_is_accepted_or_a_near_one_that_is_accepted_is_proposed(text: str) -> None:
    try:
        assert check_name(text) == text
    except UsageError as error:
        if error.fix.startswith("--name "):
            assert check_name(error.fix.removeprefix("--name "))


@given(st.from_regex(NAME, fullmatch=True), st.integers(0, 10**6), st.binary(min_size=32, max_size=32))
def test_an_id_is_what_its_text_says(name: str, version: int, digest: bytes) -> None:
    bundle = BundleId(name, version, f"sha256:{digest.hex()}")
    assert BundleId.parse(str(bundle)) == bundle


@pytest.mark.parametrize("text", ["", "a:1", f"a@{DIGEST}", "a:1@sha256:abc", f"A:1@{DIGEST}", f"a:1@{DIGEST}\n"])
def test_texts_that_are_no_id_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        BundleId.parse(text)
