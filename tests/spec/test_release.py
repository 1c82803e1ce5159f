from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.reference import NAME, BundleId
from shipway.spec.release import Release, release_name

RELEASE = Release("diabetes", BundleId("diabetes", 1, f"sha256:{'a' * 64}"), "registry.example/diabetes:1", Contract())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "Diabetes"),
        ("name", "my_model"),
        ("name", "my.model"),
        ("name", "1st"),  # a Service's name begins with a letter
        ("name", "-a"),
        ("name", "a-"),
        ("name", "a\n"),
        ("name", "é"),
        ("name", "a" * 64),
        ("bundle", BundleId("Bad Name", 1, f"sha256:{'a' * 64}")),
        ("bundle", BundleId("a" * 64, 1, f"sha256:{'a' * 64}")),
        ("bundle", BundleId("diabetes", 1, "sha256:cut")),
        ("image", ""),
        ("image", "registry.example/Diabetes:1"),
        ("image", "registry.example/diabetes:1 --privileged"),
        ("image", "registry.example/diabetes:1\n"),
        ("image", "registry.example/diabetes:1\nimage: other"),
        ("image", "registry.example/diabetes@sha256:cut"),
        ("image", f"registry.example/{'a' * 300}"),
    ],
)
def test_what_no_target_takes_is_refused_when_the_release_is_made(field: str, value: Any) -> None:
    with pytest.raises(UsageError):
        replace(RELEASE, **{field: value})


@pytest.mark.parametrize(
    "image",
    [
        "diabetes",
        "diabetes:1",
        "localhost:5000/models/diabetes:1.0-rc_1",
        f"registry.example/diabetes@sha256:{'0' * 64}",
        f"registry.example:443/diabetes:1@sha256:{'0' * 64}",
    ],
)
def test_every_form_of_an_image_reference_is_taken(image: str) -> None:
    assert replace(RELEASE, image=image).image == image


def test_the_fix_for_a_bad_name_is_a_name_that_is_taken() -> None:
    bundle = replace(RELEASE.bundle, name="2024_churn")
    with pytest.raises(UsageError) as raised:
        replace(RELEASE, name="2024_churn", bundle=bundle)
    assert replace(RELEASE, name=raised.value.fix.removeprefix("--name "), bundle=bundle).name == "model-2024-churn"


@given(name=st.from_regex(NAME, fullmatch=True).filter(lambda name: len(name) <= 63))
@example(name="9" * 63)
@example(name=f"1{'a' * 55}_b_c_d")  # would be cut after a '-'
@example(name="on")
def test_every_bundle_can_be_released_under_the_name_made_of_its_own(name: str) -> None:
    release = replace(RELEASE, name=release_name(name), bundle=replace(RELEASE.bundle, name=name))
    assert release.name == release_name(release.name)
