"""Containers, networks and images of Docker or Podman as values, and the few things that are done with them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from shipway.bundle.folder import BUNDLE_LABEL
from shipway.deploy.docker.names import command, failed_name, is_failed, network_of
from shipway.deploy.docker.record import (
    HISTORY,
    NUMBER,
    PART,
    RECORD,
    RELEASE,
    TRACK,
    Entry,
    decode_history,
)
from shipway.deploy.target import Track
from shipway.errors import Contested, MachineError, PortInUse, TargetError, UsageError
from shipway.oci.engine import Engine

__all__ = ["Container", "Containers", "ImageFacts", "Limits"]

_SERVING = ("-P", "-m", "shipway.serving")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may take, and what becomes of it when it ends.

    Attributes:
        memory: bytes; 0 for no limit.
        cpus: cores; 0 for no limit.
        processes: and threads; 0 for no limit.
        restart: the policy's name.
    """

    memory: int = 0
    cpus: float = 0
    processes: int = 0
    restart: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of ours.

    Attributes:
        id, name: of it.
        release: whose it is.
        part: `server`, `relay` or `lock`.
        labels: all of its labels.
        image_id: of the image that it was made of.
        status: `created`, `running`, `restarting`, `exited`, …, in the engine's words.
        exit_code: of its last end.
        out_of_memory: whether the kernel ended it for its memory.
        restarts: how often the engine has started it again.
        error: why the engine could not start it.
        address: on the release's network; empty while it does not run.
        on_network: whether it is on the release's network.
        limits: as the engine has them now.
        number: of the release that it is of.
        track, entry, history: of a server; what its labels say.
    """

    id: str
    name: str
    release: str
    part: str
    labels: Mapping[str, str]
    image_id: str
    status: str
    exit_code: int = 0
    out_of_memory: bool = False
    restarts: int = 0
    error: str = ""
    address: str = ""
    on_network: bool = True
    limits: Limits = Limits()
    track: Track = "stable"
    number: int = 0
    entry: Entry | None = None
    history: tuple[Entry, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it runs, or will again by itself."""
        return self.status in ("running", "restarting")

    @property
    def is_leftover(self) -> bool:
        """Whether it is what a failed release left behind: its name says so, for labels cannot."""
        return self.part == "server" and is_failed(self.name)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What matters of an image here.

    Attributes:
        id: by which the engine knows it for good.
        name: as it was told, with its digest where that is known.
        bundle: which it holds.
        python: the interpreter that starts the server.
    """

    id: str
    name: str
    bundle: str
    python: str


class Containers:
    """One engine.

    Args:
        engine: Docker or Podman.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tool = engine.tool

    def list(self, release: str | None = None) -> tuple[Container, ...]:
        """Gives Shipway's containers, of one release or of all, sorted by name."""
        label = RELEASE if release is None else f"{RELEASE}={release}"
        ids = self._call("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}").split()
        if not ids:
            return ()
        # One that has gone in between is missing in the output, and the engine complains: that is no failure.
        found = self._json(self._run("container", "inspect", *ids).stdout)
        return tuple(sorted(map(_container, found), key=lambda one: one.name))

    def has_network(self, name: str) -> bool:
        """Whether there is a network of that name."""
        return self._run("network", "inspect", name).returncode == 0

    def create_network(self, release: str) -> None:
        """Makes a release's network."""
        self._call("network", "create", "--label", f"{RELEASE}={release}", network_of(release))

    def remove_network(self, release: str) -> None:
        """Removes a release's network, if it is there."""
        self._run("network", "rm", network_of(release))

    def image(self, name: str) -> ImageFacts:
        """Gives the facts of an image, which is pulled where it is not here.

        Raises:
            TargetError: it is not here and cannot be pulled.
            UsageError: it is no image of Shipway's.
        """
        inspected = self._run("image", "inspect", name)
        if inspected.returncode:
            pulled = self._run("pull", "--quiet", name)
            inspected = self._run("image", "inspect", name)
            if pulled.returncode or inspected.returncode:
                raise TargetError(
                    f"{self.tool} has no image {name} and cannot pull it: {_last(pulled.stderr)}",
                    fix=f"shipway build REF --tag {name} --load, or {self.tool} login",
                )
        found = self._json(inspected.stdout)[0]
        config = found.get("Config") or {}
        bundle, entrypoint = (config.get("Labels") or {}).get(BUNDLE_LABEL), config.get("Entrypoint") or []
        if not bundle or tuple(entrypoint[1:4]) != _SERVING:
            raise UsageError(f"{name} is no image of Shipway's", fix=f"make one: shipway build REF --tag {name} --load")
        digests = [text.partition("@")[2] for text in found.get("RepoDigests") or []]
        digest = f"@{digests[0]}" if digests and "@" not in name else ""
        return ImageFacts(found["Id"], name + digest, bundle, entrypoint[0])

    def create(self, name: str, words: Sequence[str]) -> str:
        """Makes a container and does not start it; gives its id.

        Raises:
            Contested: there is one of that name already.
        """
        done = self._run("create", "--name", name, *words)
        if done.returncode == 0:
            return done.stdout.strip().splitlines()[-1]
        if "already in use by" in done.stderr:
            raise Contested(
                f"{self.tool} has a container called {name} already",
                fix=f"another deploy may be at work: {command('status')}; "
                f"if it is not Shipway's, {self.tool} rm {name}",
            )
        raise self._refused("create", done.stderr)

    def start(self, name: str, where: str = "") -> None:
        """Starts a container.

        Raises:
            PortInUse: another process listens on its port, `where`.
        """
        done = self._run("start", name)
        if done.returncode:
            if any(word in done.stderr for word in ("already allocated", "address already in use")):
                raise PortInUse(f"port {where} is in use on this machine", fix="--port with a free one")
            raise self._refused("start", done.stderr)

    def stop(self, ids: Sequence[str], seconds: int | None = None) -> None:
        """Asks containers to end, and waits so long, or as long as each was promised."""
        if ids:
            self._call("stop", *([] if seconds is None else ["-t", str(seconds)]), *ids)

    def remove(self, ids: Sequence[str]) -> None:
        """Removes containers, running or not; those that are gone already are passed over."""
        for one in ids:
            done = self._run("rm", "--force", "--volumes", one)
            if done.returncode and "o such container" not in done.stderr and "no container with" not in done.stderr:
                raise self._refused("rm", done.stderr)

    def set_apart(self, container: Container) -> None:
        """Takes a container off its network, lets it end for good when it ends, and calls it failed."""
        self._run("network", "disconnect", "--force", network_of(container.release), container.id)
        if self._run("update", "--restart", "no", container.id).returncode:  # Podman 4 cannot
            self.stop([container.id])
        self._call("rename", container.id, failed_name(container.name))

    def ask(self, relay: Container, python: str, urls: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Asks URLs from inside the relay's container; gives `url`, `status` (0 for no answer) and `body` of each."""
        done = self._run("exec", relay.id, python, "-m", "shipway.serving.relay", "get", *urls)
        if done.returncode:
            return [{"url": url, "status": 0, "body": _last(done.stderr)} for url in urls]
        return cast("Sequence[Mapping[str, Any]]", self._json(done.stdout))

    def last_lines(self, container: Container, tail: int = 20) -> tuple[str, ...]:
        """Gives what a container wrote last."""
        with self._engine.lines([self.tool, "logs", "--tail", str(tail), container.id]) as stream:
            return tuple(line.rstrip("\r\n") for line in stream)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return self._engine.program([self.tool, *arguments])
        except MachineError as error:  # it does not end
            raise TargetError(error.message, fix=error.fix) from error

    def _call(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise self._refused(arguments[0], done.stderr)
        return done.stdout.strip()

    def _refused(self, verb: str, stderr: str) -> TargetError:
        return TargetError(
            f"{self.tool} {verb} failed: {_last(stderr)}", fix=f"{self.tool} info says whether it is well"
        )

    def _json(self, text: str) -> Any:
        try:
            return msgspec.json.decode(text)
        except msgspec.MsgspecError as error:
            raise TargetError(
                f"{self.tool} answers what is no JSON", fix=f"{self.tool} version; Docker 20.10 or Podman 4 at least"
            ) from error


def _container(found: Mapping[str, Any]) -> Container:
    state, labels = found["State"], found["Config"].get("Labels") or {}
    release = labels.get(RELEASE, "")
    network = (found.get("NetworkSettings") or {}).get("Networks") or {}
    part = labels.get(PART, "")
    facts: dict[str, Any] = {}
    if part == "server":
        try:
            facts = {"entry": Entry.decode(labels[RECORD]), "history": decode_history(labels[HISTORY])}
            facts["track"] = "canary" if labels[TRACK] == "canary" else "stable"
        except (KeyError, ValueError) as error:
            name = found["Name"].lstrip("/")
            raise TargetError(
                f"the labels of the container {name} cannot be read: {error}",
                fix="it was made by another version of Shipway, or by hand: use that version, or remove it",
            ) from error
    return Container(
        id=found["Id"],
        name=found["Name"].lstrip("/"),
        release=release,
        part=part,
        labels=labels,
        image_id=found.get("Image", ""),
        status=state["Status"],
        exit_code=state.get("ExitCode", 0),
        out_of_memory=bool(state.get("OOMKilled")),
        restarts=found.get("RestartCount", 0),
        error=state.get("Error", ""),
        number=int(number) if (number := labels.get(NUMBER, "")).isdecimal() else 0,
        address=(network.get(network_of(release)) or {}).get("IPAddress", "") or "",
        on_network=network_of(release) in network,
        limits=_limits(found.get("HostConfig") or {}),
        **facts,
    )


def _limits(host: Mapping[str, Any]) -> Limits:
    cpus = (host.get("NanoCpus") or 0) / 1e9 or (host.get("CpuQuota") or 0) / (host.get("CpuPeriod") or 100_000)
    restart = (host.get("RestartPolicy") or {}).get("Name") or "no"
    return Limits(host.get("Memory") or 0, max(cpus, 0.0), max(host.get("PidsLimit") or 0, 0), restart)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return (
        lines[-1].removeprefix("Error response from daemon: ").removeprefix("Error: ") if lines else "no reason given"
    )
