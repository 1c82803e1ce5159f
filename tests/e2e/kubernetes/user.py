"""A user at work on a cluster: the commands as they are typed, and what an administrator sees of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.health.snapshot import condition

__all__ = ["NAME", "Models", "Object", "User", "process_of", "seconds_of", "wait"]

Object = dict[str, Any]
NAME = "diabetes"
_SECONDS = 300


@dataclass(frozen=True)
class Models:
    """Two versions of one model, in a store and as images that the cluster's nodes can pull.

    Attributes:
        store: folder of the store.
        images: of version 1 and 2, by digest.
        repository: that holds both.
        flags: that `deploy` needs to ask the registry.
        row: an input.
        answers: what each bundle, as `name:version@digest`, answers to it.
    """

    store: Path
    images: tuple[str, str]
    repository: str
    flags: tuple[str, ...]
    row: tuple[float, ...]
    answers: dict[str, float]


@dataclass(frozen=True)
class User:
    """Someone with a kubeconfig, a namespace and a folder of their own.

    Attributes:
        access: the same cluster as its administrator reaches it.
        cluster: opened with it.
        models: to release.
        folder: where commands run.
        environ: with which.
    """

    access: Access
    cluster: Cluster
    models: Models
    folder: Path
    environ: dict[str, str]

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begins one of Shipway's commands."""
        return subprocess.Popen(
            [sys.executable, "-m", "shipway", *words],
            env=self.environ, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, which has to be with `code`."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=_SECONDS)
        finally:
            process.kill()
        assert process.returncode == code, f"{' '.join(words)}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, code, out, err)

    def facts(self, *words: str) -> Any:
        """Gives what a command says with `--json`."""
        return json.loads(self(*words, "--json").stdout)

    def deploying(self, version: int, *flags: str) -> tuple[str, ...]:
        """Gives the command that releases a version; a later `--image` or `--name` beats that given here."""
        image = ("--image", self.models.images[version - 1])
        return (
            "deploy", f"{NAME}:{version}", "--to", "kubernetes", "--yes", "--namespace", self.namespace,
            *image, *self.models.flags, *flags,
        )  # fmt: skip

    def deploy(self, version: int, *flags: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Releases a version."""
        return self(*self.deploying(version, *flags), code=code)

    def change(self, verb: str, *words: str, name: str = NAME, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a verb that changes a release."""
        return self(verb, name, *words, "--yes", "--namespace", self.namespace, code=code)

    def status(self, name: str = NAME) -> Any:
        """Gives how a release is."""
        return self.facts("status", name, "--namespace", self.namespace)

    def all_of(self, kind: str, **labels: str) -> tuple[Object, ...]:
        """Gives all objects of a kind."""
        return self.cluster.list(KINDS[kind], labels).items

    def pods(self, track: str = "", name: str = NAME) -> list[Object]:
        """Gives the pods that are not ending."""
        labels = {"app.kubernetes.io/instance": name, **({"io.shipway/track": track} if track else {})}
        return [
            pod for pod in self.cluster.list(KINDS["Pod"], labels).items if "deletionTimestamp" not in pod["metadata"]
        ]

    def ready(self, track: str = "") -> list[Object]:
        """Gives those of them that are ready."""
        return [pod for pod in self.pods(track) if condition(pod, "Ready").get("status") == "True"]

    def evict(self, pod: Object) -> int:
        """Asks for a pod to be moved, as a node drain does; gives the status of the answer."""
        from shipway.deploy.kubernetes.api.session import open_client

        about = {"name": pod["metadata"]["name"], "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": about}
        with open_client(self.access) as client:
            path = KINDS["Pod"].path(self.namespace, about["name"], "eviction")
            return client.post(self.access.server + path, json=eviction).status_code


def wait(what: Callable[[], Any], seconds: float = 60, every: float = 0.2) -> Any:
    """Waits until something is so, and gives it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(every)
    return found


def seconds_of(when: str) -> float:
    """Gives a time of the API in seconds since the epoch."""
    return datetime.fromisoformat(when).timestamp()


def process_of(pod: Object) -> int:
    """Gives the number of a pod's server among the processes of this machine; skips where it does not run here."""
    uid = str(pod["metadata"]["uid"])
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            groups, command = (folder / "cgroup").read_text(), (folder / "cmdline").read_text()
        except OSError:
            continue
        if "shipway.serving" in command and (uid in groups or uid.replace("-", "_") in groups):
            return int(folder.name)
    pytest.skip("the servers' processes are not on this machine, so none can be hung or killed here")
