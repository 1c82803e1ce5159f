"""The one protocol between Shipway and a framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shipway.spec.manifest import LinearFormula
from shipway.spec.signature import Columns, Signature

__all__ = ["Adapter", "Detection", "Facts", "Opening", "Predictor"]


class Predictor(Protocol):
    """A loaded model: named input columns in, named output columns out, rows along axis 0. Threads may share it."""

    @property
    def signature(self) -> Signature:
        """What goes in and comes out."""

    def call(self, method: str, columns: Columns, parameters: Mapping[str, object]) -> Columns:
        """Answers `method` for the rows of `columns`.

        Args:
            method: the name of one of the signature's methods.
            columns: exactly the signature's inputs, in its dtypes and shapes.
            parameters: of the request; a predictor that takes none ignores them.

        Returns:
            The method's outputs, as many rows as went in.

        Raises:
            ModelError: the model itself raised.
        """


@dataclass(frozen=True, slots=True)
class Detection:
    """What an adapter found in an artefact, without running any of it.

    Attributes:
        framework: the adapter's name.
        evidence: what in the content says so, for the user: `pickle of sklearn.linear_model._base.LinearRegression`.
        pickled: whether opening the artefact means opening a pickle.
    """

    framework: str
    evidence: str
    pickled: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """What the one who opens an artefact allows.

    Attributes:
        trust: open a pickle although the scan shows calls that no model needs.
        code: folders with the modules that a pickle needs.
    """

    trust: bool = False
    code: Sequence[Path] = field(default=())


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in a manifest about an opened model.

    Attributes:
        kind: its class, as its framework names it: `LinearRegression`, `Pipeline(StandardScaler, Ridge)`.
        versions: distributions that opening and calling it needs, with their exact versions.
        formula: of a plain linear model.
    """

    kind: str
    versions: Mapping[str, str]
    formula: LinearFormula | None = None


class Adapter(Protocol):
    """The code that knows one framework. The model between its methods is the framework's own object."""

    @property
    def framework(self) -> str:
        """The name under which manifests know it."""

    def detect(self, artefact: Path) -> Detection | None:
        """Tells whether `artefact` is of this framework, by content, without running any of it.

        Raises:
            NotAModel: it is of this framework but cut short or broken.
        """

    def owns(self, model: object) -> bool:
        """Whether a fitted object of Python is of this framework; imports nothing to find out."""

    def save(self, model: object, folder: Path) -> Path:
        """Writes a fitted object into `folder` in the framework's usual form; gives the file or folder made."""

    def open(self, artefact: Path, opening: Opening) -> object:
        """Opens the artefact.

        Raises:
            DangerousPickle, MissingSymbol, VersionMismatch, NotAModel, MissingDependency.
        """

    def facts(self, model: object, signature: Signature, target: str | None = None) -> Facts:
        """Gives what the manifest says of the model; `target` names the output of a linear regression's formula."""

    def describe(self, model: object, sample: Columns | None, target: str | None) -> Signature:
        """Reads the signature from the model and, where given, the sample.

        Args:
            model: what `open` gave.
            sample: columns as read from a file: float64, int64, bool, or object with `str` and None.
            target: the sample's column that the model predicts: no input, but it names a linear model's output.

        Raises:
            SampleMismatch: the sample lacks a column, or has one too many.
            NotAModel: it cannot predict (not fitted, no predict or transform).
        """

    def predictor(self, model: object, signature: Signature) -> Predictor:
        """Makes the opened model callable."""

    def compile(self, model: object, signature: Signature) -> bytes | None:
        """Gives the model as ONNX, or None where the artefact is itself what the runtime takes.

        Raises:
            NotCompilable: no form that the runtime takes can be had.
        """
