"""What a registry costs: memory while a large blob travels, and the bytes of a push after one layer changed.

    python benchmarks/registry.py HOST [MEGABYTES]      HOST of a registry that anybody may push to, 127.0.0.1:5000

Prints JSON; each push and pull runs in a process of its own. Memory is what it grew by from the first request on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from shipway.oci.descriptor import EMPTY_CONFIG, LAYER_TAR, MANIFEST, Descriptor, OciManifest
from shipway.oci.layout import Layout
from shipway.oci.registry import open_registry
from shipway.oci.transfer import pull, push

REPOSITORY = "shipway/benchmark"
SMALL = 1 << 20


def noise(size: int) -> Iterator[bytes]:
    for begin in range(0, size, SMALL):
        yield os.urandom(min(SMALL, size - begin))


def add(layout: Layout, large: Descriptor) -> Descriptor:
    """Gives a new artefact of a large layer and a small one of its own."""
    layout.put_bytes(b"{}")
    small = Descriptor(LAYER_TAR, *layout.put_stream(noise(SMALL)))
    text = OciManifest(EMPTY_CONFIG, (large, small), artifact_type="application/x-benchmark").to_json()
    return Descriptor(MANIFEST, *layout.put_bytes(text))


def peak_bytes() -> int:
    """Gives the peak of this program alone, and begins a new one: Linux only."""
    lines = dict(line.partition(":")[::2] for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")
    return int(lines["VmHWM"].split()[0]) * 1024


def step(host: str, folder: str, action: str, digest: str, size: int) -> None:
    """Pushes or pulls, in a process of its own."""
    with open_registry(host, lambda *_: None) as registry:
        registry.has_blob(REPOSITORY, EMPTY_CONFIG)  # what is imported and connected by then is no growth
        layout = Layout.create(Path(folder))
        peak_bytes()  # the peak of importing all that is over
        before, begin = peak_bytes(), time.perf_counter()
        if action == "push":
            sent = push(registry, REPOSITORY, ("1",), Descriptor(MANIFEST, digest, size), layout).sent_bytes
        else:
            pull(registry, REPOSITORY, digest, layout)
            sent = 0
        seconds = time.perf_counter() - begin
    peak = peak_bytes()
    print(json.dumps({"grew": peak - before, "seconds": seconds, "sent": sent, "peak": peak}))


def measure(host: str, folder: Path, action: str, entry: Descriptor) -> dict[str, float]:
    command = [sys.executable, __file__, host, str(folder), action, entry.digest, str(entry.size)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main(host: str, megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = Layout.create(folder / "here")
        large = Descriptor(LAYER_TAR, *layout.put_stream(noise(megabytes * SMALL)))
        first, second = add(layout, large), add(layout, large)
        pushed = measure(host, folder / "here", "push", first)
        again = measure(host, folder / "here", "push", second)
        pulled = measure(host, folder / "there", "pull", first)
        whole = first.size + sum(part.size for part in layout.manifest(first).references)
    figures = {
        "blob_mb": megabytes,
        "push_memory_over_blob": round(pushed["grew"] / large.size, 5),
        "push_peak_mb": round(pushed["peak"] / 1e6, 1),
        "pull_memory_over_blob": round(pulled["grew"] / large.size, 5),
        "pull_peak_mb": round(pulled["peak"] / 1e6, 1),
        "sent_after_one_layer_changed_over_image": round(again["sent"] / whole, 5),
        "push_seconds_over_pull_seconds": round(pushed["seconds"] / pulled["seconds"], 2),
        "push_mb_a_second": round(whole / 1e6 / pushed["seconds"], 1),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    if len(sys.argv) == 6:
        step(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    elif len(sys.argv) in (2, 3):
        main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 1024)
    else:
        print("needs a registry: python benchmarks/registry.py 127.0.0.1:5000")
