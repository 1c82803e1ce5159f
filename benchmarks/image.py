"""What an image costs: its size over the base, and the second build after only the model changed.

    python benchmarks/image.py BASE        BASE as for `shipway build --base`; make bench BASE=…

Prints JSON. The start of the server is measured by `benchmarks/start.py`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge

import shipway
from shipway.image.base import read_base
from shipway.image.build import Image, build, lock_note
from shipway.image.cache import Cache
from shipway.image.output import write_layout
from shipway.image.requirements import needs_of, resolve
from shipway.oci.transfer import make_pull
from shipway.spec.contract import Contract
from shipway.spec.image import ImageReference, Platform

NAME = ImageReference.parse("diabetes:1")


def build_model(model: LinearRegression | Ridge, base_name: str, folder: Path, cache: Cache) -> tuple[Image, float]:
    """Packs and builds; gives the image and the seconds from the packed bundle to the written layout."""
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    bundle = shipway.pack(model.fit(rows, target), name="diabetes", sample=rows, store=folder / "store")
    begin = time.perf_counter()
    base = read_base(base_name, Platform("amd64", "linux"), cache, make_pull(lambda *_: None))
    lock = resolve(needs_of(bundle), base.target, cache, lock_note(base))
    image = build(bundle, Contract.of(bundle.model), base, lock, cache)
    write_layout([image], folder / "out", NAME)
    return image, time.perf_counter() - begin


def main(base: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = Cache(folder / "cache")
        image, first = build_model(LinearRegression(), base, folder / "a", cache)
        _, second = build_model(Ridge(), base, folder / "a", cache)
        again = Cache(folder / "again")
        shutil.copytree(cache.path / "wheels", again.path / "wheels")
        other, rebuilt = build_model(LinearRegression(), base, folder / "b", again)
    figures = {
        "layers": {layer.title: [layer.descriptor.size, layer.unpacked] for layer in image.layers},
        "size_over_base_mb": round(image.size_over_base / 1e6, 2),
        "first_build_seconds": round(first, 2),
        "second_build_after_model_changed_seconds": round(second, 2),
        "build_with_empty_cache_but_wheels_seconds": round(rebuilt, 2),
        "same_digest_in_two_folders": image.descriptor == other.descriptor,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        print("needs a base image: make bench BASE=oci:FOLDER:TAG")
