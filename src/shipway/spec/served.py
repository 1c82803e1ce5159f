"""What a running server tells about a model that it serves: the pages and documents are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from shipway.spec.manifest import LinearFormula
from shipway.spec.reference import BundleId
from shipway.spec.signature import Signature

__all__ = ["ServedModel"]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model that callers can ask.

    Attributes:
        id: the bundle that answers.
        signature: what it takes and gives.
        kind: the model's class, as its framework names it.
        compiled: whether the compiled form answers, or the original.
        formula: of a plain linear model.
    """

    id: BundleId
    signature: Signature
    kind: str
    compiled: bool
    formula: LinearFormula | None = None

    @property
    def name(self) -> str:
        """The model's name, which is its place in the routes."""
        return self.id.name
