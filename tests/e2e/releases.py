"""Two real versions of one model in two real images, for tests of targets."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import shipway
from shipway.bundle.bundle import Bundle
from shipway.bundle.store import Store
from shipway.image.cache import Cache
from shipway.spec.contract import Contract
from shipway.spec.release import Release

__all__ = ["Version", "make_versions"]


@dataclass(frozen=True)
class Version:
    """One version.

    Attributes:
        bundle: of it.
        image: its name in Docker.
        row: an input.
        answer: what it gives for it.
    """

    bundle: Bundle
    image: str
    row: list[float]
    answer: float

    def release(self, name: str, configuration: str = "") -> Release:
        contract = Contract.of(self.bundle.model)
        return Release(name, self.bundle.id, self.image, contract, configuration)


def make_versions(store: Store, base_folder: Path, cache: Cache, count: int = 2) -> list[Version]:
    """Packs so many versions that differ in their answers, and loads their images into Docker."""
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    environ = {**os.environ, "SHIPWAY_STORE": str(store.layout.path), "XDG_CACHE_HOME": str(cache.path.parent)}
    made = []
    for number in range(1, count + 1):
        model = LinearRegression().fit(rows, target * number)
        bundle = shipway.pack(model, name="diabetes", sample=rows, store=store.layout.path)
        image = f"shipway-e2e/target:{number}"
        build = [sys.executable, "-m", "shipway", "build", f"diabetes:{bundle.id.version}", "--tag", image, "--load"]
        done = subprocess.run(
            [*build, "--base", f"oci:{base_folder}:base"], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        row = rows.iloc[0].to_numpy()
        answer = float(row @ np.asarray(model.coef_) + model.intercept_)
        made.append(Version(bundle, image, [float(value) for value in row], answer))
    return made
