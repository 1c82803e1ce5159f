"""The manifest of a bundle: readable JSON that says what the bundle holds and what it needs.

Its bytes decide the bundle's digest. So it holds only what follows from the content: not who packed it, nor when, nor
how fast it was; those stand beside it, in the store's index.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

import msgspec

from shipway.errors import CorruptBlob
from shipway.spec.signature import Signature

__all__ = ["SCHEMA_VERSION", "CompiledForm", "File", "Golden", "LinearFormula", "Manifest", "Role", "decode_manifest"]

SCHEMA_VERSION = 1


class _Versioned(Protocol):
    """What every manifest says of its structure."""

    @property
    def schema_version(self) -> int: ...


Kind = TypeVar("Kind", bound=_Versioned)
Role = Literal["artefact", "code", "compiled", "golden"]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a bundle.

    Attributes:
        path: where it lies in the bundle's folder, POSIX, relative: `artefact/model.joblib`.
        role: what it is for.
        digest: `sha256:…` of its bytes.
        size: in bytes.
    """

    path: str
    role: Role
    digest: str
    size: int


class LinearFormula(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A linear model as numbers: output k is `intercepts[k] + sum(coefficients[k][i] * input i)`.

    Attributes:
        coefficients: one tuple an output, one number an input column, in the signature's order.
        intercepts: one an output.
        outputs: what each output is called: the target, or the classes.
    """

    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
    outputs: tuple[str, ...]


class CompiledForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form that serves in place of the original.

    Attributes:
        format: `onnx`.
        path: the file in the bundle.
        versions: distributions that run it, with the versions with which the agreement was proved.
        tolerance: largest allowed difference of a number, relative to 1 or to the number, whichever is larger.
    """

    format: Literal["onnx"]
    path: str
    versions: dict[str, str]
    tolerance: float


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The golden rows.

    Attributes:
        path: the file in the bundle.
        rows: how many.
        synthetic: whether they were drawn by a seeded generator, for want of a sample.
    """

    path: str
    rows: int
    synthetic: bool


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle holds and needs.

    Attributes:
        schema_version: of this structure.
        framework: the adapter that knows the artefact: `sklearn`, `onnx`.
        kind: the model's class, as its framework names it.
        artefact: path of the artefact in the bundle (a file, or the folder that holds its files).
        python: version (major.minor) of the Python that packed it, which is what a pickle depends on.
        versions: distributions that the original needs, with their exact versions.
        signature: names, dtypes and shapes.
        files: all of them, sorted by path.
        golden: the golden rows.
        compiled: the compiled form, or None where the original serves.
        formula: of a plain linear model.
        pickled: whether opening the original means opening a pickle.
    """

    framework: str
    kind: str
    artefact: str
    python: str
    versions: dict[str, str]
    signature: Signature
    files: tuple[File, ...]
    golden: Golden
    compiled: CompiledForm | None = None
    formula: LinearFormula | None = None
    pickled: bool = False
    schema_version: int = SCHEMA_VERSION

    @property
    def runtime_versions(self) -> dict[str, str]:
        """The distributions that serving it needs, with their versions."""
        return self.compiled.versions if self.compiled else self.versions

    def to_json(self) -> bytes:
        """Gives the one JSON text of this manifest: indented, keys in this class's order, mappings sorted."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2)

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Parses a manifest.

        Raises:
            CorruptBlob: it is no manifest, or one of a later Shipway.
        """
        return decode_manifest(text, cls)


def decode_manifest(text: bytes, kind: type[Kind]) -> Kind:
    """Parses a JSON text as a manifest of one kind, or as what all kinds share.

    Raises:
        CorruptBlob: it is none, or one of a later Shipway.
    """
    try:
        manifest = msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptBlob(
            f"not a bundle manifest that this Shipway reads: {error}", fix="upgrade Shipway, or pack it again"
        ) from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise CorruptBlob(
            f"the manifest has schema version {manifest.schema_version}; this Shipway reads up to {SCHEMA_VERSION}",
            fix="pip install --upgrade shipway",
        )
    return manifest
