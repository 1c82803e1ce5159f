"""Files that appear whole or not at all, and errors of the file system as ours."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from shipway.errors import DiskFull, ShipwayError, StoreError

__all__ = ["TEMPORARY", "file_errors", "publish", "read_bounded", "temporary", "write_whole"]

TEMPORARY = ".tmp-"
"""How the names of files begin that are not yet whole; a kill leaves them behind."""


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raises what the file system says about `path` as an error of ours.

    Raises:
        DiskFull: no space or quota is left.
        StoreError: anything else that the file system refuses.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space is left at {path}", fix="free some space there; shipway store gc") from error
        raise StoreError(
            f"cannot use {path}: {error.strerror or error}", fix="check the folder and its rights"
        ) from error


@contextmanager
def temporary(folder: Path) -> Iterator[BinaryIO]:
    """Opens a file in `folder` that goes away when the block ends, unless `publish` gave it its name.

    Raises:
        DiskFull, StoreError: the file system refuses.
    """
    with file_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=TEMPORARY, delete=False) as stream:
            try:
                yield cast("BinaryIO", stream)
            finally:
                stream.close()
                Path(stream.name).unlink(missing_ok=True)


def publish(stream: BinaryIO, target: Path) -> None:
    """Gives a temporary file its name, in one step, once its bytes are on the disk.

    Raises:
        DiskFull, StoreError: the file system refuses.
    """
    with file_errors(target):
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        Path(stream.name).chmod(0o644)
        _replace(Path(stream.name), target)
        _sync_folder(target.parent)


def write_whole(target: Path, data: bytes) -> None:
    """Writes a file that has all of `data` or is not there; one that was there is replaced.

    Raises:
        DiskFull, StoreError: the file system refuses.
    """
    with temporary(target.parent) as stream:
        stream.write(data)
        publish(stream, target)


def read_bounded(path: Path, limit: int, what: str, error: type[ShipwayError]) -> bytes:
    """Reads a file of at most `limit` bytes.

    Raises:
        `error`: it cannot be read or is larger.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as cause:
        raise error(f"{what} {path} cannot be read: {cause.strerror or cause}") from cause
    if len(data) > limit:
        raise error(f"{what} {path} is larger than {limit} bytes")
    return data


def _replace(source: Path, target: Path, attempts: int = 50) -> None:
    """Moves `source` to `target`; Windows refuses that for as long as somebody reads the target."""
    for _ in range(attempts - 1):
        try:
            source.replace(target)
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(0.02)
        else:
            return
    source.replace(target)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
