"""From a bundle to a predictor in this process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import check_files, inside
from shipway.bundle.golden import GoldenRows
from shipway.errors import DangerousPickle, VersionMismatch
from shipway.models.adapter import Opening, Predictor

__all__ = ["check_versions", "open_predictor", "read_golden", "tolerance_of"]

_CODE = "code/"


def open_predictor(bundle: Bundle, *, allow_pickle: bool) -> Predictor:
    """Opens a bundle: its compiled form where it has one, else the original.

    Args:
        bundle: what to open; every file is checked against its digest first.
        allow_pickle: whether an original that is a pickle may be opened although it was not packed in this store.

    Raises:
        CorruptBlob: a file is not what its digest says.
        DangerousPickle: the original is a pickle, and nobody allowed to open it.
        VersionMismatch: other versions are installed than it was packed with.
        ArtefactError, MissingDependency: it does not open.
    """
    check_files(bundle)
    manifest = bundle.model
    if manifest.compiled:
        from shipway.models.onnx import load_compiled

        return load_compiled(bundle.files[manifest.compiled.path], manifest.signature)
    trusted = allow_pickle or bundle.origin == "packed"
    if manifest.pickled and not trusted:
        raise _foreign_pickle(bundle)
    check_versions(manifest.versions)
    from shipway.models.registry import adapter_named

    adapter = adapter_named(manifest.framework)
    with _as_folder(bundle) as folder:
        artefact = folder / inside(manifest.artefact)
        # The manifest came with the bundle: whether it is a pickle, its bytes say.
        if not trusted and ((found := adapter.detect(artefact)) is None or found.pickled):
            raise _foreign_pickle(bundle)
        code = folder / _CODE
        # What was packed was scanned and allowed then; the digest says that it is still the same.
        opening = Opening(trust=trusted, code=(code,) if code.is_dir() else ())
        model = adapter.open(artefact, opening)
        return adapter.predictor(model, manifest.signature)


def _foreign_pickle(bundle: Bundle) -> DangerousPickle:
    return DangerousPickle(
        f"{bundle.id.name} has no compiled form, and its original is a pickle that was not packed here",
        fix="[server] allow_pickle = true, if you trust whoever packed it",
    )


def read_golden(bundle: Bundle) -> GoldenRows:
    """Reads the golden rows."""
    text = bundle.files[bundle.model.golden.path].read_bytes()
    return GoldenRows.from_json(text, bundle.model.signature)


def tolerance_of(bundle: Bundle) -> float | None:
    """Gives how much a number may differ from the golden rows; None for the default of its dtype."""
    return bundle.model.compiled.tolerance if bundle.model.compiled else None


def check_versions(wanted: Mapping[str, str]) -> None:
    """Checks that the distributions that an original needs are installed in the same minor version.

    Raises:
        VersionMismatch: some are not; the fix installs them.
    """
    wrong = {name: have for name, version in wanted.items() if _minor(have := _installed(name)) != _minor(version)}
    if wrong:
        have = ", ".join(f"{name} {version or 'is not installed'}" for name, version in wrong.items())
        pins = " ".join(f"'{name}=={wanted[name]}'" for name in wrong)
        raise VersionMismatch(
            f"the model was packed with other versions than are here: {have}", fix=f"pip install {pins}"
        )


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


@contextmanager
def _as_folder(bundle: Bundle) -> Iterator[Path]:
    """Gives a folder with the bundle's files under their own names; a store's blobs have others."""
    artefact = bundle.model.artefact
    code = [path for path in bundle.files if path.startswith(_CODE)]
    own = bundle.files.get(artefact)
    if own is not None and not code and own.name == Path(artefact).name:
        yield own.parents[len(Path(artefact).parts) - 1]
        return
    with tempfile.TemporaryDirectory(prefix="shipway-") as name:
        folder = Path(name)
        for file in bundle.manifest.files:
            if file.role in ("artefact", "code"):
                target = folder / inside(file.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.files[file.path], target)
        yield folder
