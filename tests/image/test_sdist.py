"""Wheels of source archives: pure Python alone, made once."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from shipway.errors import ArtefactError, CorruptBlob
from shipway.image.cache import Cache
from shipway.image.lock import LockedWheel
from shipway.image.sdist import wheel_of

SOURCE = LockedWheel("x", "1", "https://files.test/x-1.tar.gz", "a" * 64, 1)


class Uv:
    """Builds as uv does: leaves a wheel of that name in the folder, or none."""

    def __init__(self, made: str, returncode: int = 0) -> None:
        self.made, self.returncode, self.asked = made, returncode, 0

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        self.asked += 1
        if self.made:
            (Path(command[command.index("--out-dir") + 1]) / self.made).write_bytes(b"wheel")
        return subprocess.CompletedProcess(command, self.returncode, b"", b"error: no gcc")


def archive_of(folder: Path, *names: str) -> Path:
    path = folder / "x-1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return path


@pytest.fixture
def pure(tmp_path: Path) -> Path:
    return archive_of(tmp_path, "x-1/x.py", "x-1/pyproject.toml", "x-1/tests/helper.c")


@pytest.mark.parametrize("name", ["x-1/src/x.pyx", "x-1/x.C", "x-1/lib.rs"])
def test_source_for_a_compiler_is_refused_before_anything_is_built(tmp_path: Path, name: str) -> None:
    uv = Uv("x-1-py3-none-any.whl")
    with pytest.raises(ArtefactError, match="needs a compiler"):
        wheel_of(SOURCE, archive_of(tmp_path, "x-1/x.py", name), Cache(tmp_path), uv)
    assert uv.asked == 0


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x-1.tar.gz").write_bytes(b"no archive")
    with pytest.raises(CorruptBlob):
        wheel_of(SOURCE, tmp_path / "x-1.tar.gz", Cache(tmp_path), Uv(""))


def test_it_is_made_once_and_kept_by_the_archives_hash(tmp_path: Path, pure: Path) -> None:
    uv, cache = Uv("x-1-py3-none-any.whl"), Cache(tmp_path)
    first = wheel_of(SOURCE, pure, cache, uv)
    assert first.read_bytes() == b"wheel"
    assert wheel_of(SOURCE, pure, cache, uv) == first
    assert uv.asked == 1
    assert SOURCE.sha256 in first.parts


@pytest.mark.parametrize(("made", "code"), [("x-1-cp311-cp311-linux_x86_64.whl", 0), ("", 1), ("", 0)])
def test_what_needs_a_compiler_is_refused_with_the_way_out(tmp_path: Path, pure: Path, made: str, code: int) -> None:
    with pytest.raises(ArtefactError, match="needs a compiler") as caught:
        wheel_of(SOURCE, pure, Cache(tmp_path), Uv(made, code))
    assert "--with-dockerfile" in caught.value.fix
    assert not list(tmp_path.glob("wheels/*/*.whl"))
