"""Records what a real cluster answers, for `tests/deploy/kubernetes/test_target.py`.

`KUBECONFIG=… SHIPWAY_E2E_REGISTRY=… python tests/e2e/kubernetes/record.py FOLDER`, with `tests` on the path.
It makes and deletes the namespace `recorded`. Each scenario begins with what the one before has left.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from fakes.exchanges import Recorder
from fakes.scenarios import SCENARIOS, Scenario
from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.credentials import Credentials
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.api.kubeconfig import read_access
from shipway.deploy.kubernetes.api.session import Session
from shipway.deploy.kubernetes.target import KubernetesTarget
from shipway.errors import ShipwayError

NAMESPACE = "recorded"


def record(access: Access, scenario: Scenario, run: Callable[[KubernetesTarget], object], path: Path) -> None:
    """Runs a scenario and writes what was said."""
    recorder = Recorder(Session(access, Credentials(access)))
    cluster = Cluster(access, httpx.Client(transport=recorder))
    try:
        with KubernetesTarget(cluster, scenario.options) as target:
            run(target)
    except ShipwayError as error:
        sys.stdout.write(f"{path.name}: {type(error).__name__}: {error}\n")
    recorder.write(path)
    sys.stdout.write(f"{path.name}: {len(recorder.entries)} exchanges, {path.stat().st_size >> 10} KiB\n")


def main(folder: Path) -> None:
    """Records all scenarios."""
    registry = os.environ["SHIPWAY_E2E_REGISTRY"]
    access = read_access([Path(os.environ["KUBECONFIG"])], context=None, namespace=NAMESPACE, environ=os.environ)
    with Cluster.open(access) as cluster:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        try:
            for name, scenario in SCENARIOS.items():
                record(access, scenario, lambda target: scenario.run(target, registry), folder / f"{name}.jsonl.gz")  # noqa: B023
        finally:
            cluster.delete(KINDS["Namespace"], NAMESPACE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
