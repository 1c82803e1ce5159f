"""Folders of web apps, written as their authors would."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

FOLDERS = Path(__file__).parent.parent / "apps" / "folders"
"""Whole apps, one a folder."""


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes files below `folder`, texts without their common indentation."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dedent(content).encode() if isinstance(content, str) else content)
    return folder


def copy_app(name: str, folder: Path) -> Path:
    """Copies one of `FOLDERS` into `folder`."""
    return shutil.copytree(FOLDERS / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def tutorial(folder: Path) -> Path:
    """Copies the tutorial's app, and trains its model."""
    import joblib
    from sklearn.linear_model import LinearRegression

    app = copy_app("tutorial", folder)
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), app / "model.joblib")
    return app
