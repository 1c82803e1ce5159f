"""A bundle as the stages see it: its manifest, and where each of its files lies on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shipway.errors import UsageError
from shipway.spec.app import AnyManifest, AppManifest
from shipway.spec.manifest import Manifest
from shipway.spec.reference import BundleId

__all__ = ["Bundle", "Origin"]

Origin = Literal["packed", "foreign"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One version of one model or app. It is the same value for a bundle in a store, in a folder and in an image.

    Attributes:
        id: name, version and digest.
        manifest: what it holds and needs.
        files: each file of the manifest, by its path in the bundle, with the place of its bytes on this machine (a
            blob of the store has another name there).
        oci_manifest: exact bytes of the OCI manifest, whose sha256 is the digest.
        origin: `packed` where the owner of this store packed it here; only the store says so, never the bundle.
        notes: what stands beside it: when, by which Shipway, how well the compiled form agreed.
    """

    id: BundleId
    manifest: AnyManifest
    files: Mapping[str, Path]
    oci_manifest: bytes
    origin: Origin = "foreign"
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def app(self) -> AppManifest | None:
        """Its manifest, where it is a web app and no model."""
        return self.manifest if isinstance(self.manifest, AppManifest) else None

    @property
    def model(self) -> Manifest:
        """Its manifest, where it is a model.

        Raises:
            UsageError: it is a web app, whose answers are its own.
        """
        if isinstance(self.manifest, AppManifest):
            raise UsageError(
                f"{self.id.name}:{self.id.version} is a web app, not a model: only its own routes say what it answers",
                fix=f"shipway serve {self.id.name}:{self.id.version}, then call it by HTTP",
            )
        return self.manifest
