"""From an artefact to a bundle in a store: detect, open, describe, compile, prove, record, add."""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from shipway._version import __version__
from shipway.bundle.bundle import Bundle
from shipway.bundle.golden import GoldenRows, choose_rows, record_golden, synthetic_rows
from shipway.bundle.store import Store
from shipway.errors import ArtefactError, ModelError, NotCompilable, SampleMismatch
from shipway.models.adapter import Adapter, Detection, Facts, Opening, Predictor
from shipway.spec.manifest import CompiledForm, File, Golden, Manifest, Role
from shipway.spec.reference import check_name
from shipway.spec.signature import Columns, Signature, row_count

__all__ = ["PackReport", "PackRequest", "pack"]

_GOLDEN_PATH = "golden.json"
_COMPILED_PATH = "compiled/model.onnx"
_FILE_LIMIT = 20_000
_PROBE_ROWS = 1000
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What to pack.

    Attributes:
        source: the artefact's path, or a fitted object.
        name: the model's.
        sample: rows of the training data, target included or not.
        target: the sample's column that the model predicts.
        code: folders with the modules that a pickle needs.
        trust: open a pickle whose scan shows a dangerous call.
        new_version: count the version up although the content is there already.
    """

    source: object
    name: str
    sample: Columns | None = None
    target: str | None = None
    code: Sequence[Path] = field(default=())
    trust: bool = False
    new_version: bool = False


@dataclass(frozen=True, slots=True)
class PackReport:
    """What came of it, for people.

    Attributes:
        bundle: as it stands in the store.
        new: False where the same content was there already.
        evidence: what in the artefact said what it is.
        agreement: how well the compiled form agrees, or empty.
        not_compiled: why there is none, or empty.
    """

    bundle: Bundle
    new: bool
    evidence: str
    agreement: str
    not_compiled: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    data: bytes | None
    tolerance: float
    agreement: str
    reason: str


def pack(request: PackRequest, store: Store, *, say: Step = lambda _: None) -> PackReport:
    """Packs a model into the store.

    Args:
        request: what to pack.
        store: where it goes.
        say: told what is done, a line each.

    Raises:
        UsageError: the name cannot be a model's, or the code is no folder.
        ArtefactError: it is no model, dangerous, of another version, or does not fit the sample.
        StoreError, DiskFull: it cannot be stored; the store is as it was.
    """
    check_name(request.name)
    with tempfile.TemporaryDirectory(prefix="shipway-pack-") as scratch:
        adapter, artefact, detection = _find(request, Path(scratch))
        say(f"detected {detection.framework}: {detection.evidence}")
        model = request.source if not isinstance(request.source, str | Path) else None
        if model is None:
            model = adapter.open(artefact, Opening(trust=request.trust, code=request.code))
        signature = adapter.describe(model, request.sample, request.target)
        facts = adapter.facts(model, signature, request.target)
        predictor = adapter.predictor(model, signature)
        golden, synthetic = _golden(predictor, request.sample)
        say(f"compiling the {facts.kind} to ONNX and comparing their answers")
        probe = choose_rows(request.sample, signature, _PROBE_ROWS) if request.sample is not None else golden.inputs
        compiled = _compile(adapter, model, predictor, probe)
        manifest, files = _assemble(
            request, artefact, detection, facts, signature, golden, compiled, synthetic=synthetic
        )
        notes = {"created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "shipway": __version__}
        notes |= {
            key: text for key, text in (("agreement", compiled.agreement), ("not-compiled", compiled.reason)) if text
        }
        added = store.add(manifest, files, request.name, notes=notes, new_version=request.new_version)
        return PackReport(added.bundle, added.new, detection.evidence, compiled.agreement, compiled.reason)


def _find(request: PackRequest, scratch: Path) -> tuple[Adapter, Path, Detection]:
    """Gives the adapter and the artefact; a fitted object is written to `scratch` first."""
    from shipway.models.registry import adapter_for_object, detect

    if isinstance(request.source, str | Path):
        artefact = Path(request.source)
        adapter, detection = detect(artefact)
        return adapter, artefact, detection
    adapter = adapter_for_object(request.source)
    artefact = adapter.save(request.source, scratch)
    return (
        adapter,
        artefact,
        adapter.detect(artefact) or Detection(adapter.framework, type(request.source).__name__, pickled=True),
    )


def _golden(predictor: Predictor, sample: Columns | None) -> tuple[GoldenRows, bool]:
    """Records golden rows; whether they are synthetic comes with them."""
    signature = predictor.signature
    inputs = synthetic_rows(signature) if sample is None else choose_rows(sample, signature)
    try:
        return record_golden(predictor, inputs), sample is None
    except ModelError as error:
        if sample is None:
            raise ArtefactError(
                f"the model cannot take rows drawn at random: {error.__cause__ or error.message}",
                fix="give some rows of the training data with --sample",
            ) from error
        raise SampleMismatch(
            f"the model cannot take the sample's rows: {error.__cause__ or error.message}",
            fix="mend what is named in the sample, or leave those rows out",
        ) from error


def _compile(adapter: Adapter, model: object, predictor: Predictor, sample: Columns) -> _Compiled:
    """Compiles, and proves it on the sample's rows and others; the reason where it cannot be done."""
    from shipway.models.compile.parity import probe_rows, prove, split_points, tolerance_of
    from shipway.models.onnx import load_compiled

    signature = predictor.signature
    try:
        data = adapter.compile(model, signature)
        if data is None:
            return _Compiled(None, 0.0, "", "")
        tolerance = tolerance_of(model)
        rows = probe_rows(signature, sample, split_points(model, signature))
        parity = prove(predictor, load_compiled(data, signature), rows, tolerance)
        return _Compiled(data, tolerance, str(parity), "")
    except NotCompilable as error:
        return _Compiled(None, 0.0, "", error.message)


def _assemble(
    request: PackRequest,
    artefact: Path,
    detection: Detection,
    facts: Facts,
    signature: Signature,
    golden: GoldenRows,
    compiled: _Compiled,
    *,
    synthetic: bool,
) -> tuple[Manifest, Mapping[str, Path | bytes]]:
    files: dict[str, Path | bytes] = _tree(artefact, f"artefact/{artefact.name}")
    for folder in request.code:
        files |= {path: source for path, source in _tree(folder, "code").items() if "__pycache__" not in path}
    files[_GOLDEN_PATH] = golden.to_json()
    form = None
    if compiled.data is not None:
        files[_COMPILED_PATH] = compiled.data
        form = CompiledForm("onnx", _COMPILED_PATH, _runtime_versions(), compiled.tolerance)
    manifest = Manifest(
        framework=detection.framework,
        kind=facts.kind,
        artefact=f"artefact/{artefact.name}",
        python=".".join(platform.python_version_tuple()[:2]),
        versions=dict(sorted(facts.versions.items())),
        signature=signature,
        files=tuple(_file(path, source) for path, source in sorted(files.items())),
        golden=Golden(_GOLDEN_PATH, row_count(golden.inputs), synthetic),
        compiled=form,
        formula=facts.formula,
        pickled=detection.pickled,
    )
    return manifest, files


def _tree(root: Path, prefix: str) -> dict[str, Path | bytes]:
    """Gives the files below `root` (or the file itself) by their path in the bundle."""
    if root.is_file():
        return {prefix: root}
    found = {
        f"{prefix}/{path.relative_to(root).as_posix()}": path for path in sorted(root.rglob("*")) if path.is_file()
    }
    if len(found) > _FILE_LIMIT:
        raise ArtefactError(
            f"{root} holds {len(found)} files; at most {_FILE_LIMIT} go into a bundle", fix="name a smaller folder"
        )
    outside = next((path for path in found.values() if not path.resolve().is_relative_to(root.resolve())), None)
    if outside:
        raise ArtefactError(f"{outside} links to a file outside the artefact", fix="copy the file in its place")
    return dict(found)


def _file(path: str, source: Path | bytes) -> File:
    if isinstance(source, bytes):
        digest, size = hashlib.sha256(source).hexdigest(), len(source)
    else:
        with source.open("rb") as stream:
            digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), source.stat().st_size
    return File(path, _role(path), f"sha256:{digest}", size)


def _role(path: str) -> Role:
    match path.split("/", 1)[0]:
        case "artefact":
            return "artefact"
        case "code":
            return "code"
        case "compiled":
            return "compiled"
        case _:
            return "golden"


def _runtime_versions() -> dict[str, str]:
    from importlib import metadata

    return {"numpy": np.__version__, "onnxruntime": metadata.version("onnxruntime")}
