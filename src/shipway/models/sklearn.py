"""scikit-learn: estimators and pipelines, from joblib or pickle files."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import io
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shipway.errors import (
    DangerousPickle,
    DiskFull,
    MissingDependency,
    MissingSymbol,
    NotAModel,
    ShipwayError,
    UsageError,
    VersionMismatch,
)
from shipway.models.adapter import Detection, Facts, Opening, Predictor
from shipway.models.allowed import MODEL_LIBRARIES, verdict
from shipway.models.payload import read_payload
from shipway.models.scan import PickleScan, scan_pickle
from shipway.spec.signature import Columns, Signature

__all__ = ["SklearnAdapter"]

_INSTALL = 'pip install "shipway[sklearn]"'
_VERSION = re.compile(r"\d+(\.\d+)*[0-9A-Za-z.]*", re.ASCII)
# Protocol and compression are fixed, so that the same fitted object gives the same bytes.
_PROTOCOL = 5


class SklearnAdapter:
    """Knows scikit-learn's estimators, and others' that follow its conventions."""

    @property
    def framework(self) -> str:
        """`sklearn`."""
        return "sklearn"

    def detect(self, artefact: Path) -> Detection | None:
        """Finds a pickle that holds an estimator, or names that a scan cannot pass: opening that one says why.

        Raises:
            NotAModel: a pickle that is cut short or broken, or a file that cannot be read.
        """
        if not artefact.is_file():
            return None
        payload = read_payload(artefact)
        if payload is None:
            return None
        try:
            scan = scan_pickle(payload.data)
        except NotAModel:
            if payload.certain:
                raise
            return None
        estimators = [name for name in scan.globals if name.startswith("sklearn.")]
        foreign = [".".join(name) for name in scan.foreign]
        telling = (*estimators, *foreign, *scan.dangerous)
        return Detection(self.framework, f"pickle of {telling[0]}", pickled=True) if telling else None

    def owns(self, model: object) -> bool:
        """Whether a base class of the object is scikit-learn's."""
        return any(base.__module__.split(".")[0] == "sklearn" for base in type(model).__mro__)

    def save(self, model: object, folder: Path) -> Path:
        """Writes `model.joblib`.

        Raises:
            DiskFull: no space is left.
            MissingDependency: joblib is not installed.
            UsageError: the object cannot be pickled, for example because it holds a lambda.
        """
        joblib = _import("joblib")
        path = folder / "model.joblib"
        try:
            joblib.dump(model, path, compress=0, protocol=_PROTOCOL)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(f"no space is left in {folder}", fix="free some space, then try again") from error
            raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
        except Exception as error:
            raise UsageError(
                f"the model cannot be pickled: {error}",
                fix="move lambdas and local classes to the top level of a module, and name its folder with --code",
            ) from error
        return path

    def open(self, artefact: Path, opening: Opening) -> object:
        """Opens the pickle, after the scan and only the bytes that were scanned.

        Raises:
            DangerousPickle, MissingSymbol, VersionMismatch, NotAModel, MissingDependency.
        """
        joblib = _import("joblib")
        _import("sklearn")
        payload = read_payload(artefact)
        if payload is None:
            raise NotAModel(f"{artefact} is no pickle", fix="save the model with joblib.dump(model, path)")
        scan = scan_pickle(payload.data)
        _check_versions(scan)
        with _on_path(opening.code):
            if not opening.trust:
                _check_names(scan, artefact, opening.code)
            _import_names(scan, trust=opening.trust)
            try:
                return joblib.load(io.BytesIO(payload.data))
            except Exception as error:
                raise NotAModel(
                    f"{artefact.name} cannot be opened: {type(error).__name__}: {error}",
                    fix="save the model again with the versions that are installed here",
                ) from error

    def facts(self, model: object, signature: Signature, target: str | None = None) -> Facts:
        """Gives class, versions and, of a plain linear model, the formula; `target` names a regression's output."""
        from shipway.models.sklearn_facts import describe_kind, installed_versions, linear_formula

        return Facts(describe_kind(model), installed_versions(model), linear_formula(model, signature, target))

    def describe(self, model: object, sample: Columns | None, target: str | None) -> Signature:
        """Reads the signature from the estimator's attributes, the sample, and its answer to one row.

        Raises:
            SampleMismatch, NotAModel.
        """
        from shipway.models.sklearn_signature import describe_signature

        _import("sklearn")
        try:
            return describe_signature(model, sample, target)
        except ShipwayError:
            raise
        except Exception as error:  # the attributes of others' classes may raise anything
            raise NotAModel(f"the {type(model).__name__} cannot be described: {error}") from error

    def predictor(self, model: object, signature: Signature) -> Predictor:
        """Makes the estimator callable.

        Raises:
            MissingDependency: it was fitted on named columns and pandas is not installed.
        """
        from shipway.models.sklearn_predictor import SklearnPredictor, input_maker

        return SklearnPredictor(model, signature, input_maker(model, signature.inputs))

    def compile(self, model: object, signature: Signature) -> bytes:
        """Gives the model as ONNX.

        Raises:
            NotCompilable: no form that the runtime takes can be had.
        """
        from shipway.models.compile import compile_sklearn

        return bytes(compile_sklearn(model, signature))


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(f"{name} is not installed", fix=_INSTALL) from error


def _check_versions(scan: PickleScan) -> None:
    here = str(_import("sklearn").__version__)
    other = next((version for version in scan.versions if version != here), None)
    if other is not None:
        known = _VERSION.fullmatch(other) is not None
        raise VersionMismatch(
            f"the model was saved by scikit-learn {other if known else 'of an unknown version'}; {here} is installed",
            fix=f"pip install scikit-learn=={other}" if known else "train and save it again",
        )


def _check_names(scan: PickleScan, artefact: Path, code: Sequence[Path]) -> None:
    """Refuses what no model needs, and foreign names of installed packages that are no model library."""
    unknown = tuple(
        f"{module}.{name}"
        for module, name in scan.foreign
        if module.split(".")[0] not in MODEL_LIBRARIES and _is_installed(module.split(".")[0], code)
    )
    refused = scan.dangerous + unknown
    if refused:
        shown = ", ".join(refused[:5]) + (f" and {len(refused) - 5} more" if len(refused) > 5 else "")
        raise DangerousPickle(
            f"opening {artefact.name} would use what no model needs: {shown}",
            fix="if you made this file yourself, add --trust",
        )


def _is_installed(top: str, code: Sequence[Path]) -> bool:
    """Whether the module comes from an installed package, and so from none of the user's folders."""
    if any((folder / top).is_dir() or (folder / f"{top}.py").is_file() for folder in code):
        return False
    spec = None if top == "__main__" else _find(top)
    if spec is None:
        return False  # nowhere: the error that names it comes later
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    paths = sysconfig.get_paths()
    homes = [Path(paths[key]).resolve() for key in ("purelib", "platlib", "stdlib", "platstdlib")]
    return not places or any(Path(place).resolve().is_relative_to(home) for place in places for home in homes)


def _find(top: str) -> Any:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _import_names(scan: PickleScan, *, trust: bool) -> None:
    """Imports every name that the pickle needs, so that what is missing is named before anything is opened."""
    for full in scan.globals:
        module, _, name = full.rpartition(".")
        if trust and verdict(module, name) == "dangerous":
            continue
        if module == "__main__":
            raise MissingSymbol(
                f"the pickle needs {name}, which was defined in a notebook or script",
                fix=f"move {name} to a module of its own, save the model again and add --code DIR with that module",
            )
        try:
            value = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise _missing(module, name, error) from error
        except Exception as error:
            raise MissingSymbol(f"importing {module} failed: {type(error).__name__}: {error}") from error
        home = getattr(value, "__module__", None) or module
        if not trust and module.startswith("sklearn.") and not str(home).startswith("sklearn."):
            raise DangerousPickle(f"{full} is no part of scikit-learn but {home}.{name}", fix="add --trust to open it")


def _missing(module: str, name: str, error: Exception) -> Exception:
    top = module.split(".")[0]
    if top in {"sklearn", "numpy", "scipy", "pandas"}:
        package = "scikit-learn" if top == "sklearn" else top
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            return MissingDependency(f"{package} is not installed", fix=_INSTALL)
        return VersionMismatch(
            f"the installed {package} has no {module}.{name}: the model was saved with another version",
            fix=f"pip install the version of {package} that it was saved with",
        )
    if top in MODEL_LIBRARIES:
        return MissingDependency(f"the pickle needs {module}.{name}", fix=f"pip install {top}")
    needed = error.name if isinstance(error, ModuleNotFoundError) and error.name else top
    if needed.split(".")[0] != top:
        return MissingSymbol(f"the pickle needs {module}, which needs {needed}", fix=f"install {needed}")
    return MissingSymbol(
        f"the pickle needs {module}.{name}, which cannot be imported here",
        fix=f"add --code DIR, the folder that holds {top}.py or {top}/",
    )


@contextmanager
def _on_path(folders: Sequence[Path]) -> Iterator[None]:
    """Puts folders in front of `sys.path` while a pickle is opened; its modules stay loaded."""
    entries = [str(folder.resolve()) for folder in folders]
    sys.path[:0] = entries
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for entry in entries:
            if entry in sys.path:
                sys.path.remove(entry)
