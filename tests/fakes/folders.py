"""Bundles as folders, as they lie in an image."""

from __future__ import annotations

from pathlib import Path

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import folder_files


def write_folder(bundle: Bundle, folder: Path) -> Path:
    """Writes a bundle's folder; gives it back."""
    for path, source in folder_files(bundle).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    return folder
