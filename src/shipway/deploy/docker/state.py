"""What the containers of one release amount to: which release is in force, what runs beside it, what came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shipway.deploy.docker.containers import Container
from shipway.deploy.docker.record import ADDRESS, KEPT, Entry
from shipway.deploy.target import Result, Track

__all__ = ["State", "read_state"]


@dataclass(frozen=True, slots=True)
class State:
    """All containers of one name, in order.

    Attributes:
        name: of the release.
        relay: the one that has the port.
        lock: of a change that is going on.
        servers: those that answer, or should.
        leftovers: what failed releases left behind.
    """

    name: str
    relay: Container | None = None
    lock: Container | None = None
    servers: tuple[Container, ...] = ()
    leftovers: tuple[Container, ...] = ()

    @property
    def entries(self) -> Mapping[int, Entry]:
        """The releases of which servers are there, by number."""
        return {one.number: one.entry for one in self.servers if one.entry is not None}

    def numbers(self, track: Track) -> tuple[int, ...]:
        """Gives the numbers of the releases of which a track has servers, rising."""
        return tuple(sorted({one.number for one in self.servers if one.track == track}))

    @property
    def current(self) -> Entry | None:
        """The stable release that is in force: where two are there, the older, for the newer is not yet complete."""
        numbers = self.numbers("stable")
        return self.entries[numbers[0]] if numbers else None

    @property
    def arriving(self) -> Entry | None:
        """The stable release that is being rolled out, or was when somebody broke off."""
        numbers = self.numbers("stable")
        return self.entries[numbers[-1]] if len(numbers) > 1 else None

    @property
    def canary(self) -> Entry | None:
        """The release that runs beside the stable one."""
        numbers = self.numbers("canary")
        return self.entries[numbers[-1]] if numbers else None

    def of(self, number: int, track: Track) -> tuple[Container, ...]:
        """Gives the servers of one release on one track."""
        return tuple(one for one in self.servers if one.number == number and one.track == track)

    @property
    def total(self) -> int:
        """How many servers there shall be in all: those of the release in force and of its canary."""
        current, canary = self.current, self.canary
        stable = len(self.of(current.number, "stable")) if current else 0
        return stable + (len(self.of(canary.number, "canary")) if canary else 0)

    @property
    def address(self) -> str:
        """Where callers come, `127.0.0.1:8000`."""
        return self.relay.labels.get(ADDRESS, "") if self.relay else ""

    def history(self) -> tuple[Entry, ...]:
        """Gives the releases that are known, oldest first, each with what became of it."""
        known: dict[int, Entry] = {}
        for one in (*self.leftovers, *self.servers):
            known |= {entry.number: entry for entry in one.history if entry.number not in known}
        current, arriving, canary = self.current, self.arriving, self.canary
        for one in self.leftovers:
            if one.entry:
                known[one.number] = one.entry.with_result("failed")
        for entry in (current, canary, arriving):
            if entry:
                # A server of a later release says that this one was replaced: so it will be, once that is in force.
                known[entry.number] = entry.with_result(self._result(entry))
        return tuple(known[number] for number in sorted(known))[-KEPT:]

    def _result(self, entry: Entry) -> Result:
        if self.lock is not None and self.lock.number == entry.number:
            return "running"
        return "interrupted" if self.arriving and self.arriving.number == entry.number else "complete"

    def next_number(self) -> int:
        """Gives the number of the next release."""
        return max((entry.number for entry in self.history()), default=0) + 1

    @property
    def is_there(self) -> bool:
        """Whether there is such a release."""
        return bool(self.servers or self.leftovers or self.relay)


def read_state(name: str, containers: Sequence[Container]) -> State:
    """Sorts the containers of one release."""
    servers = [one for one in containers if one.part == "server"]
    return State(
        name,
        next((one for one in containers if one.part == "relay"), None),
        next((one for one in containers if one.part == "lock"), None),
        tuple(one for one in servers if not one.is_leftover),
        tuple(one for one in servers if one.is_leftover),
    )
