"""Wheels of source archives: made by uv in an environment of their own, and kept by the archive's hash.

Only pure Python: what would be compiled here need not run in the base.
"""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shipway.errors import CorruptBlob
from shipway.image.cache import Cache
from shipway.image.conflict import needs_compiler
from shipway.image.lock import LockedWheel
from shipway.image.uv import Run, find_uv, run_uv
from shipway.oci.files import publish, temporary

__all__ = ["wheel_of"]

_LAST_WORDS = 300
_COMPILED = frozenset({".c", ".cc", ".cpp", ".cu", ".cxx", ".f", ".f90", ".for", ".go", ".pyx", ".rs"})
_ASIDE = frozenset({"doc", "docs", "example", "examples", "test", "tests"})
_MOST_MEMBERS = 50_000


def wheel_of(source: LockedWheel, archive: Path, cache: Cache, run: Run | None = None) -> Path:
    """Gives the wheel of a source archive, made once.

    Args:
        source: what the lock says of it.
        archive: its file, whose hash was checked.
        cache: where wheels are kept.
        run: how a program is run.

    Raises:
        ArtefactError: it does not build, or what comes of it is not pure Python.
        MissingDependency: uv is not installed.
    """
    place = cache.wheel(source.sha256, f"{source.name}-{source.version}-py3-none-any.whl")
    if place.is_file():
        return place
    # What has an optional part in C would be built with or without it by what this machine has: it is not begun.
    if _has_compiled(archive):
        raise needs_compiler(source.name, "the base")
    with tempfile.TemporaryDirectory(prefix="shipway-sdist-") as folder:
        done = (run or run_uv)(
            [find_uv(), "build", "--wheel", "--no-config", "--quiet", "--out-dir", folder, str(archive)]
        )
        made = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not made or not made[0].name.endswith("-none-any.whl"):
            words = done.stderr.decode("utf-8", "replace").strip()[-_LAST_WORDS:]
            error = needs_compiler(source.name, "the base")
            raise error from CorruptBlob(words) if words else None
        with temporary(place.parent) as stream:
            stream.write(made[0].read_bytes())
            publish(stream, place)
    return place


def _has_compiled(archive: Path) -> bool:
    """Whether an archive has source that a compiler takes, beside its tests and documentation.

    Raises:
        CorruptBlob: it is none, or has too many members.
    """
    for count, name in enumerate(_members(archive)):
        if count > _MOST_MEMBERS:
            raise CorruptBlob(f"{archive.name} has more than {_MOST_MEMBERS} members")
        path = PurePosixPath(name)
        if path.suffix.lower() in _COMPILED and not _ASIDE & set(path.parts[:-1]):
            return True
    return False


def _members(archive: Path) -> Iterator[str]:
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as found:
                yield from found.namelist()
        else:
            with tarfile.open(archive, "r|*") as tar:
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every member
                    yield member.name
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise CorruptBlob(f"{archive.name} is no source archive: {error}", fix="make a new lock") from error
