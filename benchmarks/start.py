"""From nothing to the first right answer, beside a bare Python that imports numpy and onnxruntime; and resident memory.

The server is the container's: `python -m shipway.serving FOLDER`, with a compiled linear regression.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from load import free_port
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import shipway
from shipway.bundle.folder import folder_files

ROUNDS = 7
BARE = "import numpy, onnxruntime"


def write_models(folder: Path) -> tuple[Path, dict[str, float], float]:
    data = load_diabetes(as_frame=True)
    model = LinearRegression().fit(data.data, data.target)
    bundle = shipway.pack(model, name="diabetes", sample=data.data, store=folder / "store")
    for path, source in folder_files(bundle).items():
        target = folder / "models" / "diabetes" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    return folder / "models", data.data.iloc[0].to_dict(), float(model.predict(data.data[:1])[0])


def bare() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", BARE], check=True)
    return time.perf_counter() - begin


def serve(models: Path, record: dict[str, float], expected: float) -> tuple[float, float]:
    """Gives the seconds to the first right answer, and MiB resident after a thousand more."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    request = urllib.request.Request(url, json.dumps(record).encode(), {"content-type": "application/json"})
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "shipway.serving", str(models), "--port", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        answer = None
        while answer is None:
            try:
                answer = json.load(urllib.request.urlopen(request))
            except OSError:
                time.sleep(0.005)
        took = time.perf_counter() - begin
        assert abs(answer["prediction"] - expected) < 1e-9
        for _ in range(1000):
            urllib.request.urlopen(request).read()
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return took, pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        models, record, expected = write_models(Path(name))
        rounds = [(bare(), *serve(models, record, expected)) for _ in range(ROUNDS)]
    imports, starts, resident = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare Python importing numpy and onnxruntime  {imports:6.2f} s")
    print(f"start to first right answer                  {starts:6.2f} s  (goal: under 1 s)")
    print(f"ratio                                        {starts / imports:6.2f}    (goal: under 2.5)")
    print(f"resident                                     {resident:6.0f} MiB (goal: under 120 MB)")


if __name__ == "__main__":
    main()
