"""What has to be started and stopped so that a release becomes as it is wanted. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as from_one

from shipway.deploy.docker.containers import Container
from shipway.deploy.docker.names import network_of, server_name
from shipway.deploy.docker.record import Entry, Running
from shipway.deploy.docker.state import State
from shipway.deploy.target import Change, Plan, Track

__all__ = ["DockerPlan", "Start", "Wanted", "make_plan", "plan_end"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many servers of a release on a track."""

    entry: Entry
    track: Track
    count: int


@dataclass(frozen=True, slots=True)
class Start:
    """A server that shall be made."""

    name: str
    entry: Entry
    track: Track


@dataclass(frozen=True, slots=True)
class DockerPlan(Plan):
    """A plan for an engine.

    Attributes:
        before: the containers that were there when it was made.
        about: number of the release that becomes ready, and how many servers of it there shall be.
        starts: servers to make; all of them are ready before any of `stops` ends.
        stops: containers to end and remove.
        history: what the new servers carry on.
        relay: what the relay is made of, where it has to be made.
        host, port: where it listens.
        ends: whether all of the release goes.
    """

    before: State = field(default_factory=lambda: State(""))
    about: tuple[int, int] = (0, 0)
    starts: tuple[Start, ...] = ()
    stops: tuple[Container, ...] = ()
    history: tuple[Entry, ...] = ()
    relay: Running | None = None
    host: str = ""
    port: int = 0
    ends: bool = False


def make_plan(
    state: State,
    wanted: Sequence[Wanted],
    *,
    reason: str,
    number: int,
    host: str,
    port: int,
    has_network: bool,
    notes: Sequence[str] = (),
) -> DockerPlan:
    """Gives the plan that leads from what is there to what is wanted.

    Servers that run what is wanted already are kept. What failed releases left behind goes with the next release that
    replaces all servers, for that one carries their records on.
    """
    kept: list[Container] = []
    starts: list[Start] = []
    for want in wanted:
        fit = [one for one in state.of(want.entry.number, want.track) if one.runs][: want.count]
        kept += fit
        names = _free_names(state, want.entry.number, {start.name for start in starts})
        starts += [Start(next(names), want.entry, want.track) for _ in range(want.count - len(fit))]
    is_new = any(want.entry.number == number and want.track == "stable" for want in wanted)
    gone = [one for one in state.servers if one not in kept] + (list(state.leftovers) if is_new else [])
    newest = max(wanted, key=lambda want: want.entry.number)
    history = tuple(
        entry.with_result("replaced") if entry.result == "complete" and is_new else entry
        for entry in state.history()
        if entry.number < newest.entry.number
    )
    changes = (
        *([] if has_network else [Change("create", f"network {network_of(state.name)}")]),
        *_relay_change(state),
        *_release_change(state, wanted, number),
        *(Change("create", f"container {start.name}") for start in starts),
        *(Change("keep", f"container {one.name}") for one in kept),
        *(Change("delete", f"container {one.name}") for one in gone),
    )
    return DockerPlan(
        state.name,
        reason,
        number,
        changes,
        tuple(notes),
        before=state,
        about=(newest.entry.number, newest.count),
        starts=tuple(starts),
        stops=tuple(gone),
        history=history,
        relay=None if state.relay else newest.entry.runs,
        host=host,
        port=port,
    )


def plan_end(state: State) -> DockerPlan:
    """Gives the plan by which all of a release goes. The relay goes first: then no call comes that nobody answers."""
    relay = [state.relay] if state.relay else []
    gone = (*relay, *state.servers, *state.leftovers)
    changes = (
        *(Change("delete", f"container {one.name}") for one in gone),
        Change("delete", f"network {network_of(state.name)}"),
    )
    return DockerPlan(state.name, "undeploy", 0, changes, before=state, stops=gone, ends=True)


def _free_names(state: State, number: int, taken: set[str]) -> Iterator[str]:
    used = taken | {one.name for one in state.servers}
    return (name for index in from_one(1) if (name := server_name(state.name, number, index)) not in used)


def _relay_change(state: State) -> list[Change]:
    """Says what becomes of the relay: it is made where it is gone, and started where it was stopped."""
    if state.relay and state.relay.runs:
        return []
    return [Change("update" if state.relay else "create", f"container {state.name}")]


def _release_change(state: State, wanted: Sequence[Wanted], number: int) -> list[Change]:
    """Gives what differs between the release in force and the new one, for people."""
    new = next((want.entry for want in wanted if want.entry.number == number), None)
    if new is None:
        return []
    current = state.current
    before, after = current.runs.text() if current else "", new.runs.text()
    old = f"release {current.number}" if current else "nothing"
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), old, f"release {number}", lineterm="")
    return [Change("update" if current else "create", f"release {state.name}", "\n".join(lines))]
