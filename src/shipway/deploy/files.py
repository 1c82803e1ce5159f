"""Writes rendered files into a folder, and never over a file that is somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shipway.deploy.targets import MARK
from shipway.errors import UsageError
from shipway.oci.files import file_errors, write_whole

__all__ = ["write_files"]


def write_files(files: Mapping[str, str], folder: Path) -> tuple[Path, ...]:
    """Writes each text under its name, as UTF-8; makes the folder where it is missing.

    A file that is there is replaced only if it begins with Shipway's mark; all are looked at before any is written.

    Returns:
        The paths, in the order of `files`.

    Raises:
        UsageError: a file of that name is not Shipway's; nothing was written.
        DiskFull, StoreError: the file system refuses.
    """
    texts = {folder / name: text.encode() for name, text in files.items()}
    foreign = [path.name for path, text in texts.items() if not _is_ours(path, text)]
    if foreign:
        raise UsageError(
            f"{' and '.join(foreign)} in {folder} would be lost: not rendered by Shipway",
            fix="choose another folder with --output, or move what is there away",
        )
    for path, text in texts.items():
        write_whole(path, text)
    return tuple(texts)


def _is_ours(path: Path, text: bytes) -> bool:
    """Whether nothing is lost when `text` is written to `path`."""
    with file_errors(path):
        try:
            with path.open("rb") as stream:
                there = stream.read(len(text) + 1)
        except FileNotFoundError:
            return True
    return there == text or there.startswith(MARK.encode())
