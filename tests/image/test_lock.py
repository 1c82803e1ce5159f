"""The lock: the right wheel for the base, and exactly the versions that the bundle needs. uv is not asked here."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.errors import UsageError, VersionMismatch
from shipway.image.cache import Cache
from shipway.image.lock import Lock, Target, check_lock
from shipway.spec.image import Platform

AMD64 = Target("3.11", Platform("amd64", "linux"), (2, 36))
ARM64 = Target("3.11", Platform("arm64", "linux"), (2, 36))
SHA = "a" * 64


def text_of(*filenames: str, name: str = "x", version: str = "1", sha: str = SHA, scheme: str = "https") -> str:
    wheels = ", ".join(
        f'{{ url = "{scheme}://files.test/{file}", size = 1, hashes = {{ sha256 = "{sha}" }} }}' for file in filenames
    )
    return f'lock-version = "1.0"\n[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = [{wheels}]\n'


@pytest.mark.parametrize(
    ("target", "better", "worse"),
    [
        (AMD64, "x-1-cp311-cp311-manylinux_2_28_x86_64.whl", "x-1-cp311-cp311-manylinux2014_x86_64.whl"),
        (AMD64, "x-1-cp311-cp311-manylinux_2_17_x86_64.whl", "x-1-cp38-abi3-manylinux_2_28_x86_64.whl"),
        (AMD64, "x-1-cp310-abi3-manylinux2014_x86_64.whl", "x-1-py3-none-any.whl"),
        (AMD64, "x-1-py2.py3-none-any.whl", "x-1-cp311-cp311-manylinux_2_39_x86_64.whl"),
        (AMD64, "x-1-py3-none-any.whl", "x-1-cp311-cp311-manylinux_2_28_aarch64.whl"),
        (AMD64, "x-1-py3-none-any.whl", "x-1-cp312-cp312-manylinux_2_28_x86_64.whl"),
        (AMD64, "x-1-py3-none-any.whl", "x-1-cp312-abi3-manylinux_2_28_x86_64.whl"),
        (AMD64, "x-1-py3-none-any.whl", "x-1-cp311-cp311-musllinux_1_2_x86_64.whl"),
        (AMD64, "x-1-py3-none-any.whl", "x-1-cp311-cp311-win_amd64.whl"),
        (AMD64, "x-1-py3-none-any.whl", "x-1-cp311-cp311t-manylinux_2_28_x86_64.whl"),
        (ARM64, "x-1-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", "x-1-py3-none-any.whl"),
        (AMD64, "x-1-1build-cp311-cp311-manylinux1_x86_64.whl", "x-1-py3-none-any.whl"),
    ],
)
def test_the_wheel_that_fits_best_is_taken(target: Target, better: str, worse: str) -> None:
    for files in ((better, worse), (worse, better)):
        (wheel,) = Lock.parse(text_of(*files), target).wheels
        assert wheel.filename == better


@pytest.mark.parametrize(
    "file", ["x-1-cp312-cp312-manylinux_2_28_x86_64.whl", "x-1-cp311-cp311-manylinux_2_37_x86_64.whl", "x-1.tar.gz",
             "x-1-py2-none-any.whl", "x.whl", "", "x-1-py3-none-any.whl.exe"],
)  # fmt: skip
def test_a_lock_without_a_wheel_for_the_base_is_refused(file: str) -> None:
    with pytest.raises(UsageError):
        Lock.parse(text_of(file), AMD64)


@pytest.mark.parametrize(
    "text",
    ["", "[", "packages = 1", "packages = [1]", "[[packages]]\nname = 'x'", text_of("x-1-py3-none-any.whl", sha="b"),
     text_of("x-1-py3-none-any.whl", scheme="file"), text_of("..\\\\x-1-py3-none-any.whl"),
     '[[packages]]\nname = "x"\nversion = "1"\nsdist = { url = "https://files.test/x.tar.gz" }',
     f'[[packages]]\nname = "x"\nversion = "1"\n'
     f'sdist = {{ url = "file:///x.tar.gz", size = 1, hashes = {{ sha256 = "{SHA}" }} }}'],
)  # fmt: skip
def test_what_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Lock.parse(text, AMD64)


def test_a_wheel_in_a_folder_above_cannot_leave_the_cache(tmp_path: Path) -> None:
    (wheel,) = Lock.parse(text_of("a/..%2f..%2fx-1-py3-none-any.whl"), AMD64).wheels
    assert Cache(tmp_path).wheel(wheel.sha256, wheel.filename).parent == tmp_path / "wheels" / SHA


@pytest.mark.parametrize(
    ("glibc", "tag"),
    [((2, 17), "manylinux_2_17"), ((2, 30), "manylinux_2_28"), ((2, 36), "manylinux_2_36"), ((2, 99), "manylinux_2_40"),
     ((3, 0), "manylinux_2_40")],
)  # fmt: skip
def test_the_tag_is_the_newest_that_the_base_has(glibc: tuple[int, int], tag: str) -> None:
    assert Target("3.11", Platform("amd64", "linux"), glibc).tag == f"x86_64-{tag}"
    assert Target("3.11", Platform("arm64", "linux"), glibc).tag == f"aarch64-{tag}"


@pytest.mark.parametrize(
    "target",
    [
        Target("3.11", Platform("s390x", "linux"), (2, 36)),
        Target("3.11", Platform("amd64", "windows"), (2, 36)),
        Target("3.11", Platform("amd64", "linux"), (2, 5)),
    ],
)
def test_a_base_that_no_wheels_are_for_is_refused(target: Target) -> None:
    with pytest.raises(UsageError):
        _ = target.tag


def test_a_lock_with_other_versions_than_the_bundle_needs_is_refused() -> None:
    lock = Lock.parse(text_of("x-1-py3-none-any.whl", name="X.y"), AMD64)
    check_lock(lock, {"x-y": "1"})
    for pins in ({"x_Y": "2"}, {"z": "1"}):
        with pytest.raises(VersionMismatch):
            check_lock(lock, pins)


def test_requirements_have_hashes_and_no_addresses() -> None:
    lock = Lock.parse(text_of("x-1-py3-none-any.whl"), AMD64)
    assert lock.requirements == f"x==1 --hash=sha256:{SHA}\n"


def test_a_source_archive_stands_for_what_has_no_wheel_and_only_then() -> None:
    sdist = f'sdist = {{ url = "https://files.test/x-1.tar.gz", size = 2, hashes = {{ sha256 = "{SHA}" }} }}\n'
    (source,) = Lock.parse(f'[[packages]]\nname = "x"\nversion = "1"\n{sdist}', AMD64).wheels
    assert source.is_source
    assert source.filename == "x-1.tar.gz"
    (wheel,) = Lock.parse(text_of("x-1-py3-none-any.whl") + sdist, AMD64).wheels
    assert not wheel.is_source
