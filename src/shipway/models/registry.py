"""Finds the adapter of an artefact or of a fitted object. One explicit list; the first that knows it wins."""

from __future__ import annotations

from pathlib import Path

from shipway.errors import NotAModel
from shipway.models.adapter import Adapter, Detection
from shipway.models.onnx import OnnxAdapter
from shipway.models.sklearn import SklearnAdapter

__all__ = ["ADAPTERS", "adapter_for_object", "adapter_named", "detect"]

ADAPTERS: tuple[Adapter, ...] = (OnnxAdapter(), SklearnAdapter())
"""Those with a clear mark of their own first: any pickle may be one of scikit-learn's."""

_KNOWN = "a scikit-learn pickle (.joblib, .pkl) or an ONNX model (.onnx)"


def detect(artefact: Path) -> tuple[Adapter, Detection]:
    """Gives the adapter that knows the artefact, by content, and what it found.

    Raises:
        NotAModel: there is nothing at the path, or no adapter knows it, or it is cut short.
    """
    if not artefact.exists():
        raise NotAModel(f"there is no file or folder {artefact}", fix="check the path")
    if not (artefact.is_file() or artefact.is_dir()):  # a pipe would be waited for, a device read without end
        raise NotAModel(f"{artefact} is neither a file nor a folder", fix="write the model to a file first")
    for adapter in ADAPTERS:
        detection = adapter.detect(artefact)
        if detection is not None:
            return adapter, detection
    raise NotAModel(f"{artefact.name} is no model: {_what(artefact)}", fix=f"give it {_KNOWN}")


def adapter_for_object(model: object) -> Adapter:
    """Gives the adapter that knows a fitted object.

    Raises:
        NotAModel: none does.
    """
    for adapter in ADAPTERS:
        if adapter.owns(model):
            return adapter
    raise NotAModel(f"a {type(model).__name__} is no model that Shipway knows", fix="give it a fitted estimator")


def adapter_named(framework: str) -> Adapter:
    """Gives the adapter that manifests call `framework`.

    Raises:
        NotAModel: there is none.
    """
    for adapter in ADAPTERS:
        if adapter.framework == framework:
            return adapter
    raise NotAModel(f"this Shipway does not know the framework {framework!r}", fix="pip install --upgrade shipway")


def _what(artefact: Path) -> str:
    if artefact.is_dir():
        return "a folder that holds no model"
    try:
        with artefact.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    if not head:
        return "an empty file"
    if artefact.suffix == ".py":
        return "a Python file"
    if head[:1] == b"\x80":
        return "a pickle of plain values"
    return "bytes of an unknown form" if b"\0" in head else "a text file"
