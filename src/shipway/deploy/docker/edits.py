"""What somebody has changed by hand of what was released: `docker update`, `docker network disconnect`. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace

from shipway.deploy.docker.containers import Limits
from shipway.deploy.docker.names import network_of
from shipway.deploy.docker.state import State
from shipway.deploy.docker.words import RELAY_MEMORY, RELAY_PROCESSES, RESTART
from shipway.deploy.target import Change
from shipway.oci.engine import PROCESSES

__all__ = ["edits"]

_UNITS = "kmgtp"


def edits(state: State) -> Iterator[Change]:
    """Gives the containers that are no longer as they were released, with the difference.

    What failed releases left behind is not looked at. Podman 4 does not tell what `podman update` has changed.
    """
    released = [(one, one.entry.runs.memory, one.entry.runs.cpus, PROCESSES) for one in state.servers if one.entry]
    if state.relay:
        released.append((state.relay, RELAY_MEMORY, 0.0, RELAY_PROCESSES))
    for one, memory, cpus, processes in released:
        was = Limits(_bytes(memory), cpus, processes, RESTART)
        # An engine that was told an amount in words of its own is taken at its word.
        now = one.limits if was.memory else replace(one.limits, memory=0)
        network = network_of(one.release)
        # Podman tells no networks of a container that does not run.
        before, after = _lines(was, network), _lines(now, network if one.on_network or not one.runs else "none")
        if before != after:
            lines = difflib.unified_diff(before, after, "as released", "as it is", lineterm="")
            yield Change("update", f"container {one.name}", "\n".join(lines))


def _lines(limits: Limits, network: str) -> list[str]:
    return [
        f"memory: {_amount(limits.memory)}",
        f"cpus: {limits.cpus:g}" if limits.cpus else "cpus: no limit",
        f"processes: {limits.processes or 'no limit'}",
        f"restart: {limits.restart}",
        f"network: {network}",
    ]


def _bytes(amount: str) -> int:
    """Reads an amount as engines do: a unit is a power of 1,024. 0 for what is none."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?) ?([{_UNITS}]?)i?b?", amount.lower())
    return int(float(found[1]) * 1024 ** (f" {_UNITS}".index(found[2] or " "))) if found else 0


def _amount(count: int) -> str:
    """Writes bytes with the largest unit of which they are a whole number."""
    for power in range(len(_UNITS), 0, -1):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{_UNITS[power - 1]}"
    return f"{count}b" if count else "no limit"
