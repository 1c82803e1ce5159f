"""Model files of an app's folder: what their bytes say, without opening any, against what the app asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from shipway.apps.files import AppFiles
from shipway.apps.review.facts import FolderFacts, ModelFile
from shipway.apps.review.finding import Finding
from shipway.errors import NotAModel

__all__ = ["check_models", "read_models"]

_SKLEARN = "scikit-learn"
_SUFFIXES = frozenset({".bin", ".dat", ".gz", ".joblib", ".model", ".onnx", ".p", ".pickle", ".pkl", ".sav", ".z"})
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_SIZE = 1024
_VERSION = re.compile(r"\d+(\.\d+)*[0-9A-Za-z.]*", re.ASCII)
_MOST = 50
_LARGEST = 1 << 30


def read_models(files: AppFiles) -> Iterator[ModelFile]:
    """Reads the model files, at most 50 and none over 1 GiB; nothing of them is run."""
    left = _MOST
    for path, file in files.kept.items():
        size = file.stat().st_size
        if _POINTER_SIZE > size > len(_POINTER) and file.read_bytes().startswith(_POINTER):
            yield ModelFile(path, pointer=True)
        elif file.suffix.lower() in _SUFFIXES and size <= _LARGEST and left:
            left -= 1
            try:
                found = _read(path, file)
            except NotAModel as error:
                found = ModelFile(path, broken=error.message)
            if found is not None:
                yield found


def check_models(facts: FolderFacts) -> Iterator[Finding]:
    """Finds what cannot be opened in the app's surroundings, or must not be."""
    for model in facts.models:
        if model.pointer:
            what = "is a Git LFS pointer, and not the file that it stands for"
            yield Finding("lfs-pointer", model.path, what, f"git lfs pull --include {model.path}", "error")
        elif model.broken:
            what = f"cannot be opened: {model.broken}"
            yield Finding("broken-model", model.path, what, "save or copy the model again", "error")
        if model.dangerous:
            what = f"opening it uses what no model needs: {', '.join(model.dangerous[:5])}"
            fix = "train and save the model again; where others made the file, do not open it"
            yield Finding("dangerous-pickle", model.path, what, fix, "error")
        if model.main:
            what = f"needs {', '.join(model.main[:5])} in __main__, the script that saved it: no server is that script"
            fix = f"move {model.main[0]} to a module of the folder, import it in the script, and save the model again"
            yield Finding("main-pickle", model.path, what, fix, "error")
        yield from _versions(model, facts)


def _versions(model: ModelFile, facts: FolderFacts) -> Iterator[Finding]:
    requirements = facts.requirements
    listed = next((one for one in requirements.listed if one.name == _SKLEARN), None)
    pinned = re.search(r"={2,3}\s*([\w.]+)", listed.text) if listed is not None and listed.pinned else None
    wanted = pinned[1] if pinned else facts.installed.get(_SKLEARN)
    said = f"{listed.where} has" if listed is not None and pinned else "here is"
    file = requirements.files[0] if requirements.files else "requirements.txt"
    for version in model.versions:
        known = _VERSION.fullmatch(version) is not None
        written = f"{_SKLEARN} {version}" if known else f"an unknown version of {_SKLEARN}"
        fix = f"write {_SKLEARN}=={version} in {file}" if known else "train and save it again"
        if wanted is None:
            what = f"was saved by {written}, and no version is asked for"
            yield Finding("model-version", model.path, what, fix, "warning")
        elif version != wanted:
            again = f", or train and save it again with {wanted}" if known else f" with {wanted}"
            what = f"was saved by {written}, and {said} {wanted}"
            yield Finding("model-version", model.path, what, fix + again, "error")


def _read(path: str, file: Path) -> ModelFile | None:
    """Reads one file; None for what is no model at all.

    Raises:
        NotAModel: it is cut short or broken.
    """
    from shipway.models.payload import read_payload
    from shipway.models.registry import ADAPTERS
    from shipway.models.scan import scan_pickle

    adapter, detection = next(((one, found) for one in ADAPTERS if (found := one.detect(file))), (None, None))
    if adapter is None or detection is None:
        return None
    if not detection.pickled:
        return ModelFile(path, adapter.framework, detection.evidence)
    payload = read_payload(file)
    if payload is None:
        return None
    scan = scan_pickle(payload.data)
    main = tuple(name for module, name in scan.foreign if module == "__main__")
    sure = any(name.startswith("sklearn.") for name in scan.globals)
    framework = adapter.framework if sure and not scan.dangerous and not main else ""
    return ModelFile(path, framework, detection.evidence, scan.versions, scan.dangerous, main)
