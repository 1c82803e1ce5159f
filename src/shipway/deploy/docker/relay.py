"""What a release's relay is asked: who gets calls, and what servers have counted, which no port outside tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from shipway.deploy.docker.containers import Container, Containers
from shipway.deploy.docker.state import State
from shipway.deploy.measure import add, read_measure
from shipway.deploy.target import Measure, Track
from shipway.errors import TargetError

__all__ = ["measures", "ready_addresses"]

_STATE_URL = "http://127.0.0.1:8001/"


class _Server(msgspec.Struct):
    address: str
    state: str


class _State(msgspec.Struct):
    servers: list[_Server]


def ready_addresses(containers: Containers, state: State) -> frozenset[str]:
    """Gives the addresses of the servers that get calls; none where the relay does not answer."""
    asked = _ask(containers, state, [_STATE_URL])
    try:
        told = msgspec.json.decode(asked[_STATE_URL], type=_State)
    except (KeyError, msgspec.MsgspecError):
        return frozenset()
    return frozenset(one.address for one in told.servers if one.state == "ready")


def measures(containers: Containers, state: State) -> Mapping[Track, Measure]:
    """Reads what the servers of each track have counted; one that cannot be read is left out."""
    running = {_metrics_url(one): one for one in state.servers if one.status == "running" and one.address and one.entry}
    told = _ask(containers, state, list(running))
    found: dict[Track, list[Measure]] = defaultdict(list)
    for one in state.servers:
        found[one.track] += []
    for url, body in told.items():
        try:
            found[running[url].track].append(read_measure(body))
        except TargetError:
            continue
    return {track: add(one) if one else Measure(0, 0) for track, one in found.items()}


def _metrics_url(server: Container) -> str:
    assert server.entry is not None
    return f"http://{server.address}:{server.entry.runs.contract.metrics_port}/metrics"


def _ask(containers: Containers, state: State, urls: list[str]) -> dict[str, str]:
    """Gives what each URL answers with 200."""
    python = next((entry.runs.python for entry in state.entries.values()), "")
    if state.relay is None or state.relay.status != "running" or not python or not urls:
        return {}
    asked = containers.ask(state.relay, python, urls)
    return {str(one["url"]): str(one["body"]) for one in asked if one["status"] == 200}
