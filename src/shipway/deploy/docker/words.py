"""The command lines by which an engine makes the containers of a release. Pure."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from shipway.deploy.docker.names import network_of
from shipway.deploy.docker.record import (
    ADDRESS,
    HISTORY,
    NUMBER,
    PART,
    RECORD,
    RELEASE,
    TRACK,
    WHO,
    Entry,
    Running,
    encode_history,
)
from shipway.deploy.target import Track
from shipway.errors import UsageError
from shipway.oci.engine import hardening
from shipway.spec.contract import Contract
from shipway.spec.settings import ENVIRONMENT_PREFIX, resolve

__all__ = [
    "ALIAS",
    "RELAY_MEMORY",
    "RELAY_PROCESSES",
    "RESTART",
    "address",
    "environment_of",
    "lock_words",
    "relay_words",
    "server_words",
]

ALIAS = "servers"
"""The name on a release's network that stands for all of its servers."""

RESTART = "always"
"""What the engine does when a container ends. With `unless-stopped`, Docker would leave all of them ended after its own
daemon crashed, for it ends them itself when it comes back; and Podman starts none again after a reboot."""

_KEYS = "/run/shipway/keys"
RELAY_MEMORY = "128m"
RELAY_PROCESSES = 64
_RELAY_DRAIN_SECONDS = 30
_NOT_SERVERS = ("deploy", "build")


def server_words(release: str, entry: Entry, track: Track, history: Sequence[Entry]) -> list[str]:
    """Gives the words after `create --name NAME` for one server."""
    runs = entry.runs
    labels = {
        RELEASE: release,
        PART: "server",
        NUMBER: str(entry.number),
        TRACK: track,
        RECORD: entry.encode(),
        HISTORY: encode_history(history),
    }
    environment = dict(runs.environment)
    if runs.cpus:
        # A process sees all cores of its machine; threads beyond the limit would only take turns.
        environment["OMP_NUM_THREADS"] = str(math.ceil(runs.cpus))
    if runs.keys:
        environment["SHIPWAY_AUTH__KEYS"] = _KEYS
    mount = ["--mount", f"type=bind,source={runs.keys},target={_KEYS},readonly"] if runs.keys else []
    cpus = ["--cpus", f"{runs.cpus:g}"] if runs.cpus else []
    return [
        *_on_network(release), "--network-alias", ALIAS, *hardening(runs.memory), *cpus,
        "--stop-timeout", str(runs.contract.termination_seconds), *_options("--label", labels),
        *_options("--env", environment), *mount, runs.image_id,
    ]  # fmt: skip


def relay_words(release: str, runs: Running, host: str, port: int) -> list[str]:
    """Gives the words after `create --name NAME` for the relay: the image's own Python runs it."""
    contract = runs.contract
    labels = {RELEASE: release, PART: "relay", ADDRESS: address(host, port)}
    return [
        *_on_network(release), "--publish", f"{address(host, port)}:{contract.port}",
        *hardening(RELAY_MEMORY, processes=RELAY_PROCESSES),
        "--stop-timeout", str(_RELAY_DRAIN_SECONDS + 5), *_options("--label", labels),
        "--entrypoint", runs.python, runs.image_id,
        "-m", "shipway.serving.relay", "serve", ALIAS, "--port", str(contract.port),
        "--server-port", str(contract.port), "--probe-port", str(contract.metrics_port), "--ready", contract.ready,
        "--drain-seconds", str(_RELAY_DRAIN_SECONDS),
    ]  # fmt: skip


def lock_words(release: str, number: int, who: str, image_id: str) -> list[str]:
    """Gives the words after `create --name NAME` for the lock: a container that is never started.

    Names are unique in an engine, and so only one of two deploys gets it.
    """
    labels = {RELEASE: release, PART: "lock", NUMBER: str(number), WHO: who}
    return [*_options("--label", labels), image_id]


def address(host: str, port: int) -> str:
    """Gives host and port as URLs and engines have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def environment_of(configuration: str, contract: Contract) -> Mapping[str, str]:
    """Gives the settings of a `shipway.toml` as variables: no file has to be kept on the engine's machine.

    What the contract promises stands over them, and is told where it is not what images say by themselves.

    Raises:
        UsageError: it is no TOML, or no settings of Shipway's.
    """
    try:
        table = tomllib.loads(configuration)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the server's settings are no TOML: {error}", fix="shipway config") from error
    resolve({}, {}, table)
    chosen = {key: value for key, value in table.items() if key not in _NOT_SERVERS}
    promised, usual = contract.environment, Contract().environment
    told = {f"{ENVIRONMENT_PREFIX}{path}": _text(value) for path, value in _flat(chosen)}
    unusual = {key: value for key, value in promised.items() if usual.get(key) != value}
    return {key: value for key, value in told.items() if key not in promised} | unusual


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        path = f"{prefix}{key.upper()}"
        found += _flat(value, f"{path}__") if isinstance(value, Mapping) else [(path, value)]
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _on_network(release: str) -> list[str]:
    return ["--network", network_of(release), "--restart", RESTART]


def _options(option: str, values: Mapping[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in (option, f"{key}={value}")]
