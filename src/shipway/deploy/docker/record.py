"""What a release's containers say of it in their labels: the whole history, so that nothing else has to be kept.

Labels cannot be changed, so each server carries its own release and all that came before, up to ten. What becomes of a
release afterwards shows in what runs: the newest that runs alone is in force. A release that failed leaves one stopped
container, called `….failed`, until the next one is in force and carries its record on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from shipway.deploy.target import Record, Result
from shipway.errors import UsageError
from shipway.spec.contract import Contract

__all__ = [
    "ADDRESS",
    "HISTORY",
    "KEPT",
    "NUMBER",
    "PART",
    "RECORD",
    "RELEASE",
    "TRACK",
    "WHO",
    "Entry",
    "Running",
    "decode_history",
    "encode_history",
    "kept",
]

RELEASE = "io.shipway.release"
NUMBER = "io.shipway.release.number"
TRACK = "io.shipway.release.track"
PART = "io.shipway.release.part"
RECORD = "io.shipway.release.record"
HISTORY = "io.shipway.release.history"
ADDRESS = "io.shipway.release.address"
WHO = "io.shipway.release.who"

KEPT = 10
"""Releases that a history has at most."""

_MOST_CHARACTERS = 20_000
"""Of a history, for a command line of Windows has 32,767 in all."""


class Running(msgspec.Struct, frozen=True):
    """What a server runs, and with what.

    Attributes:
        bundle: `name:version@sha256:…`.
        image: as it was told, with its digest where that is known.
        image_id: the one image that it is, whatever its name means later.
        python: of the image's interpreter.
        contract: what the server promises.
        environment: settings of the server, by variable.
        memory: most that it may take.
        cpus: most cores that it may take; 0 for no limit.
        keys: file of API keys on the engine's machine; empty for none.
    """

    bundle: str
    image: str
    image_id: str
    python: str
    contract: Contract = Contract()
    environment: dict[str, str] = {}
    memory: str = ""
    cpus: float = 0
    keys: str = ""

    def text(self) -> str:
        """Gives it as lines for people, to be compared."""
        lines = [f"bundle: {self.bundle}", f"image: {self.image}", f"image id: {self.image_id}"]
        lines += [f"memory: {self.memory}", f"cpus: {self.cpus:g}" if self.cpus else "cpus: no limit"]
        lines += [f"keys: {self.keys or 'none'}", *(f"{key}={value}" for key, value in self.environment.items())]
        return "".join(f"{line}\n" for line in lines)


class Entry(msgspec.Struct, frozen=True):
    """One release, as a label holds it.

    Attributes:
        number: counts from 1.
        runs: what its servers run.
        who, when, reason, result: as in `Record`.
    """

    number: int
    runs: Running
    who: str
    when: datetime
    reason: str
    result: Result = "running"

    def with_result(self, result: Result) -> Entry:
        """Gives the same with what became of it."""
        return msgspec.structs.replace(self, result=result)

    def record(self) -> Record:
        """Gives it as targets tell it."""
        when = self.when.astimezone(UTC)
        return Record(self.number, self.runs.bundle, self.runs.image, self.who, when, self.reason, self.result)

    def encode(self) -> str:
        """Gives its label's text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> Entry:
        """Reads a label's text.

        Raises:
            ValueError: it is none.
        """
        return msgspec.json.decode(text, type=cls)


def encode_history(entries: Sequence[Entry]) -> str:
    """Gives the label's text of a history; the oldest are left out where there are too many or they are too long."""
    chosen = list(entries[-(KEPT - 1) :])
    while chosen and len(msgspec.json.encode(chosen)) > _MOST_CHARACTERS:
        del chosen[0]
    return msgspec.json.encode(chosen).decode()


def decode_history(text: str) -> tuple[Entry, ...]:
    """Reads a label's text.

    Raises:
        ValueError: it is none.
    """
    return msgspec.json.decode(text, type=tuple[Entry, ...])


def kept(entry: Entry) -> Entry:
    """Gives the entry back if a label can hold it.

    Raises:
        UsageError: its settings are too long.
    """
    if len(entry.encode()) > _MOST_CHARACTERS // 2:
        raise UsageError(
            f"the server's settings are too long for a label: {_MOST_CHARACTERS // 2} characters are the most",
            fix="shorten shipway.toml",
        )
    return entry
