"""What it takes to render a release for Kubernetes, from the values to the text of all files: smallest, and with all.

The time of the call only, as a release pays it that is rendered again; nothing of the command around it.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from shipway.deploy.targets import render
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release
from shipway.spec.settings import Deploy, Kubernetes

ROUNDS = 200
GOAL = 0.1
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
SMALLEST = Release("diabetes", BundleId("diabetes", 1, DIGEST), "registry.example/diabetes:1", Contract())
ALL = Kubernetes(
    namespace="models",
    replicas=2,
    max_replicas=8,
    cpu_percent=60,
    service="NodePort",
    cpu="500m",
    memory="1Gi",
    cpu_limit="2",
    memory_limit="2Gi",
    gpu=1,
    keys="api-keys",
    pull_secret="registry",
    ingress="diabetes.example",
    ingress_class="nginx",
    ingress_tls="diabetes-tls",
    network_policy=True,
    allow_from=("ingress-nginx", "apps"),
    service_monitor=True,
    monitor_labels=("release=prometheus",),
    kustomization=True,
)


def measure(release: Release, options: Kubernetes) -> tuple[int, float]:
    """Gives the number of files, and the median of the seconds that it takes to render them."""
    deploy, took = Deploy(kubernetes=options), []
    files = render(release, "kubernetes", deploy)
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        render(release, "kubernetes", deploy)
        took.append(time.perf_counter() - begin)
    return len(files), statistics.median(took)


def main() -> None:
    everything = replace(SMALLEST, configuration="[limits]\nrows = 1000\n")
    for label, release, options in (
        ("smallest release", SMALLEST, Kubernetes(disruption_budget=False)),
        ("with all options", everything, ALL),
    ):
        count, seconds = measure(release, options)
        ratio = seconds / GOAL
        print(f"{label}, {count:2} files  {seconds * 1000:5.1f} ms  {ratio:5.3f} of 100 ms  (goal: under 1)")


if __name__ == "__main__":
    main()
