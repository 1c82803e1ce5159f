"""Docker as a program, in memory: containers, networks and images, and servers that become ready or do not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from shipway.oci.engine import Engine
from shipway.spec.reference import BundleId

__all__ = ["FakeContainer", "FakeContainers", "image_of"]

_METRICS = """\
# TYPE shipway_requests_total counter
shipway_requests_total{code="200",method="predict",model="diabetes",protocol="plain",version="1"} 7.0
# TYPE shipway_golden_rows gauge
shipway_golden_rows{model="diabetes",result="right",version="1"} 20.0
"""


def image_of(bundle: BundleId) -> dict[str, Any]:
    """Gives what `image inspect` tells of the image of a bundle."""
    return {
        "Id": f"sha256:{bundle.version:064d}",
        "RepoDigests": [],
        "Config": {
            "Labels": {"io.shipway.bundle": str(bundle)},
            "Entrypoint": ["/usr/bin/python3", "-P", "-m", "shipway.serving", "/models"],
        },
    }


@dataclass
class FakeContainer:
    """One container, with the words that it was made with."""

    id: str
    name: str
    words: list[str]
    status: str = "created"
    exit_code: int = 0
    out_of_memory: bool = False
    restarts: int = 0
    error: str = ""
    address: str = ""
    host: dict[str, Any] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.networks = self.values("--network")
        memory = self._value("--memory") or "0m"
        self.host = {
            "Memory": int(memory[:-1]) * {"m": 2**20, "g": 2**30}[memory[-1]],
            "NanoCpus": int(float(self._value("--cpus") or 0) * 1e9),
            "PidsLimit": int(self._value("--pids-limit") or 0),
            "RestartPolicy": {"Name": self._value("--restart") or "no"},
        }

    def _value(self, option: str) -> str:
        return next(iter(self.values(option)), "")

    def values(self, option: str) -> list[str]:
        return [self.words[index + 1] for index, word in enumerate(self.words) if word == option]

    @property
    def labels(self) -> dict[str, str]:
        return dict(text.partition("=")[::2] for text in self.values("--label"))

    @property
    def image(self) -> str:
        return next((word for word in self.words if word.startswith("sha256:")), self.words[-1])

    @property
    def is_server(self) -> bool:
        return self.labels.get("io.shipway.release.part") == "server"

    def inspected(self) -> dict[str, Any]:
        state = {
            "Status": self.status,
            "ExitCode": self.exit_code,
            "OOMKilled": self.out_of_memory,
            "Error": self.error,
        }
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Image": self.image,
            "RestartCount": self.restarts,
            "State": state,
            "Config": {"Labels": self.labels},
            "HostConfig": self.host,
            "NetworkSettings": {"Networks": {network: {"IPAddress": self.address} for network in self.networks}},
        }


@dataclass
class FakeContainers:
    """An engine.

    Attributes:
        images: what `image inspect` tells, by name and by id.
        registry: what `pull` can fetch.
        containers, networks: what is there.
        behave: what becomes of a server when it is started.
        refuse: what a command that begins with these words says instead.
        before: called before each command; a test changes things there, or interrupts.
        said: each command.
        logs: what containers wrote.
    """

    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    registry: dict[str, dict[str, Any]] = field(default_factory=dict)
    containers: list[FakeContainer] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    behave: Callable[[FakeContainer], None] = lambda container: None
    refuse: dict[str, str] = field(default_factory=dict)
    before: Callable[[Sequence[str]], None] = lambda words: None
    said: list[list[str]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    _made: int = 0

    @property
    def engine(self) -> Engine:
        return Engine("docker", self.program, self.lines)

    @property
    def names(self) -> set[str]:
        return {one.name for one in self.containers}

    def add_image(self, name: str, bundle: BundleId) -> None:
        self.images[name] = self.images[image_of(bundle)["Id"]] = image_of(bundle)

    def find(self, name: str) -> FakeContainer | None:
        return next((one for one in self.containers if name in (one.name, one.id)), None)

    def program(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        words = list(command[1:])
        self.said.append(words)
        self.before(words)
        refusal = next((text for begin, text in self.refuse.items() if " ".join(words).startswith(begin)), None)
        try:
            if refusal is not None:
                raise LookupError(refusal)
            out = getattr(self, f"_{words[0]}")(words[1:])
        except LookupError as error:
            return subprocess.CompletedProcess(command, 1, "", f"Error response from daemon: {error.args[0]}\n")
        return subprocess.CompletedProcess(command, 0, out or "", "")

    @contextmanager
    def lines(self, command: Sequence[str]) -> Iterator[Iterator[str]]:
        one = self._known(command[-1])
        yield iter(self.logs.get(one.name, "").splitlines(keepends=True))

    def _known(self, name: str) -> FakeContainer:
        one = self.find(name)
        if one is None:
            raise LookupError(f"No such container: {name}")
        return one

    def _ps(self, words: list[str]) -> str:
        label, _, value = words[-1].removeprefix("label=").partition("=")
        fit = [one for one in self.containers if label in one.labels and value in ("", one.labels[label])]
        return "\n".join(one.id for one in fit)

    def _container(self, words: list[str]) -> str:
        return json.dumps([one.inspected() for one in self.containers if one.id in words])

    def _image(self, words: list[str]) -> str:
        if words[1] not in self.images:
            raise LookupError(f"No such image: {words[1]}")
        return json.dumps([self.images[words[1]]])

    def _pull(self, words: list[str]) -> None:
        if words[-1] not in self.registry:
            raise LookupError("manifest unknown")
        found = self.registry[words[-1]]
        self.images[words[-1]] = self.images[found["Id"]] = found

    def _create(self, words: list[str]) -> str:
        if self.find(words[1]):
            raise LookupError(f'Conflict. The container name "/{words[1]}" is already in use by container "x".')
        self._made += 1
        self.containers.append(FakeContainer(f"id{self._made}", words[1], words[2:]))
        return f"id{self._made}"

    def _start(self, words: list[str]) -> None:
        one = self._known(words[0])
        if one.status != "running":
            one.status, one.address = "running", f"10.0.0.{one.id[2:]}"
            if one.is_server:
                self.behave(one)

    def _stop(self, words: list[str]) -> None:
        for one in map(self._known, words[2:] if words[0] == "-t" else words):
            one.status, one.address = "exited", ""

    def _rm(self, words: list[str]) -> None:
        self.containers.remove(self._known(words[-1]))

    def _rename(self, words: list[str]) -> None:
        self._known(words[0]).name = words[1]

    def _update(self, words: list[str]) -> None:
        self._known(words[-1]).host["RestartPolicy"] = {"Name": words[1]}

    def _network(self, words: list[str]) -> None:
        if words[0] == "create":
            self.networks.append(words[-1])
        elif words[0] in ("inspect", "rm") and words[1] not in self.networks:
            raise LookupError(f"network {words[1]} not found")
        elif words[0] == "rm":
            self.networks.remove(words[1])
        elif words[0] == "disconnect":
            self._known(words[-1]).networks.remove(words[-2])

    def _exec(self, words: list[str]) -> str:
        if self._known(words[0]).status != "running":
            raise LookupError("Container is not running")
        return json.dumps([self._answer(url) for url in words[words.index("get") + 1 :]])

    def _answer(self, url: str) -> dict[str, Any]:
        if url.endswith("/metrics"):
            return {"url": url, "status": 200, "body": _METRICS}
        servers = [
            {"address": one.address, "state": "ready", "open": 0}
            for one in self.containers
            if one.is_server and one.status == "running" and one.exit_code == 0 and not one.name.startswith("slow")
        ]
        return {"url": url, "status": 200, "body": json.dumps({"servers": servers})}
