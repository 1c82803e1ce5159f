"""What every target can do with a release, and the values that it is told in.

A change is first a plan: what would be created, changed and deleted. A person looks at it, then it is carried out and
watched. Deploying, rolling back, promoting, scaling and taking down are all plans, so each can be looked at, each is
watched until it is healthy, and each is told in the same words. A new target is one class of this protocol that passes
the contract suite in `tests/contract/`, and an entry in `deploy/targets.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from shipway.spec.release import Release

__all__ = [
    "Action",
    "Cause",
    "Change",
    "Instance",
    "LogLine",
    "Measure",
    "Operator",
    "Order",
    "Outcome",
    "Plan",
    "Progress",
    "Record",
    "Result",
    "Status",
    "Target",
    "Tell",
    "Track",
]

Action = Literal["create", "update", "delete", "keep"]
"""What becomes of one object."""

Track = Literal["stable", "canary"]
"""Which of two versions that run side by side."""

Result = Literal["running", "complete", "failed", "interrupted", "replaced"]
"""What became of a release: `running` while it is rolled out, `replaced` where a later one is complete."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a release does not become ready, as a person would say it.

    Attributes:
        kind: a fixed word for it, for programs and for the table in `docs/kubernetes.md`: `image-not-found`.
        what: one sentence: what is wrong, without a full stop.
        why: one sentence: how it came to be, in the platform's own words where they help.
        fix: one sentence or command: what to do.
        final: waiting longer does not mend it; False for what may pass by itself, such as a slow start.
    """

    kind: str
    what: str
    why: str
    fix: str
    final: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What a plan does to one object.

    Attributes:
        action: what is done.
        what: which object, `Deployment diabetes`.
        difference: unified diff of its text as it is and as it will be; empty where nothing is compared.
    """

    action: Action
    what: str
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One release in the history of a name.

    Attributes:
        number: counts from 1.
        bundle: `name:version@sha256:…`.
        image: as the target was told, with its digest where that is known.
        who: the account that released it, as the target knows it; empty where it does not.
        when: when it was begun, in UTC.
        reason: `deploy`, `canary 25 %`, `promote 3`, `rollback to 2`, `scale to 5`, `restore 2`.
        result: what became of it.
    """

    number: int
    bundle: str
    image: str
    who: str
    when: datetime
    reason: str
    result: Result


@dataclass(frozen=True, slots=True)
class Instance:
    """One running server: a pod, a container.

    Attributes:
        name: its name on the target.
        track: which version it is of.
        ready: whether it gets calls.
        state: one or two words: `ready`, `starting`, `pulling`, `waiting for a node`, `crashed`, `ending`.
        restarts: how often it was started again.
        new: whether it is of the release that is being rolled out.
    """

    name: str
    track: Track
    ready: bool
    state: str
    restarts: int = 0
    new: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a roll-out is.

    Attributes:
        wanted: how many servers shall run.
        updated: how many of the new version there are.
        ready: how many of the new version are ready.
        old: how many of the old version have not ended.
        instances: all of them; those that are on their way out are `ending`, or not among them.
        cause: what holds it up, as far as is known by now.
        done: whether it is complete.
        failed: whether the target has given up, or `cause` is final.
    """

    wanted: int
    updated: int
    ready: int
    old: int
    instances: tuple[Instance, ...] = ()
    cause: Cause | None = None
    done: bool = False
    failed: bool = False


Tell = Callable[[Progress], None]
"""Told each time that something has changed."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who works on a target, and where from.

    Attributes:
        environ: the environment of the command.
        home: the account's folder.
        is_present: whether a person is there to be asked.
        warn: told of what a target wants said, a sentence each.
    """

    environ: Mapping[str, str]
    home: Path
    is_present: bool = False
    warn: Callable[[str], None] = lambda _: None

    @property
    def name(self) -> str:
        """Of the account, as the machine knows it; empty where it does not."""
        return self.environ.get("USER") or self.environ.get("USERNAME", "")


@dataclass(frozen=True, slots=True)
class Order:
    """What someone wants released.

    Attributes:
        release: what to run.
        canary: percent of the servers that shall run it beside the stable version; None replaces all of them.
        force: take over fields that others have changed.
    """

    release: Release
    canary: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done. Each target has a subclass with what it needs to carry it out.

    Attributes:
        name: the release's.
        reason: as in `Record.reason`.
        number: of the release that it makes; 0 where it makes none.
        changes: object by object, in the order in which they are made.
        notes: what the person should know before saying yes, one sentence each.
    """

    name: str
    reason: str
    number: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything is already so."""
        return all(change.action == "keep" for change in self.changes)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan came to, when it came to a good end.

    Attributes:
        name, number: of the release.
        address: how callers reach it, as a URL where there is one, else the command that opens one.
        seconds: how long it took.
        notes: what the person should know, one sentence each.
    """

    name: str
    number: int
    address: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How a release is.

    Attributes:
        name: of the release.
        place: where it runs: `context kind-dev, namespace models`.
        current: the release that is in force.
        canary: the release that runs beside it, if one does.
        share: percent of the servers that run the canary; 0 without one.
        progress: of the stable version.
        address: how callers reach it.
        edited: objects that are no longer as they were released, with the difference.
        notes: one sentence each: no metrics server, an autoscaler at its limit.
    """

    name: str
    place: str
    current: Record
    canary: Record | None
    share: float
    progress: Progress
    address: str = ""
    edited: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a server wrote.

    Attributes:
        instance: the pod or container.
        text: without its end.
        time: RFC 3339, as the target stamped it; empty where it did not.
    """

    instance: str
    text: str
    time: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """What the servers of one track have counted since they started, summed; read from their own `/metrics`.

    Attributes:
        requests: answered calls of models.
        errors: those of them that ended with a 5xx.
        seconds: counts of calls by the upper bound of their duration in seconds, cumulative, `inf` last.
        golden: golden rows that were replayed.
        golden_wrong: those that differed.
        instances: how many servers were read; a server that cannot be read is left out.
    """

    requests: float
    errors: float
    seconds: Mapping[float, float] = field(default_factory=dict)
    golden: float = 0
    golden_wrong: float = 0
    instances: int = 0


class Target(Protocol):
    """A place where releases run. All raise `TargetError` where the place refuses or cannot be asked.

    Numbers of releases rise and are never given twice. Whatever changes what runs is a release. A target whose history
    holds sizes too makes one of a change of size, and of a canary's step; where it does not, `Plan.number` is 0 or that
    of the release that changes its size.
    """

    def command(self, verb: str, name: str = "") -> str:
        """Gives the command by which a person goes on here: `shipway rollback churn --on docker`."""

    def plan(self, order: Order) -> Plan:
        """Says what a release would change.

        Raises:
            UsageError: the target cannot run such a release.
            Contested: another release of that name is being rolled out, or fields belong to somebody else.
        """

    def plan_rollback(self, name: str, to: int | None) -> Plan:
        """Says what going back would change: to release number `to`, else to the last complete one before this.

        Without a number, releases that differ from the one in force only in their size are passed over, and so are
        those that have only run as canaries. While a canary runs, going back means to end it.

        Raises:
            UnknownRelease: there is no such release, or nothing to go back to.
        """

    def plan_promote(self, name: str) -> Plan:
        """Says what it would change to let the canary replace the stable version.

        Raises:
            UnknownRelease: no release of that name, or no canary.
        """

    def plan_scale(self, name: str, replicas: int, most: int | None = None) -> Plan:
        """Says what another number of servers would change; with `most`, an autoscaler keeps between the two.

        Raises:
            UnknownRelease: no release of that name.
            UsageError: the target cannot.
        """

    def plan_undeploy(self, name: str) -> Plan:
        """Says what would be deleted: all that Shipway made under that name, history included.

        Raises:
            UnknownRelease: no release of that name.
        """

    def carry_out(self, plan: Plan, tell: Tell, *, restore: bool = True) -> Outcome:
        """Does what a plan says and watches until it is healthy.

        Args:
            plan: of this target.
            tell: told of each step.
            restore: bring the previous release back where this one fails. Where its servers had not ended it serves on
                under its own number; where they had, it comes back as a release `restore N`.

        Raises:
            ReleaseFailed: it does not become healthy; with the cause, and whether the previous release was restored.
            Contested: things have changed since the plan was made.
            Interrupted: Ctrl-C; with the state that it left.
        """

    def names(self) -> tuple[str, ...]:
        """Gives the names of all releases in this place, sorted."""

    def status(self, name: str) -> Status:
        """Says how a release is.

        Raises:
            UnknownRelease: no release of that name.
        """

    def history(self, name: str) -> tuple[Record, ...]:
        """Gives the releases that are kept, oldest first.

        Raises:
            UnknownRelease: no release of that name.
        """

    def logs(self, name: str, *, follow: bool, tail: int) -> Iterator[LogLine]:
        """Gives the last `tail` lines of each server, then, with `follow`, what they write, servers to come included.

        Raises:
            UnknownRelease: no release of that name.
        """

    def measure(self, name: str) -> Mapping[Track, Measure]:
        """Reads what the servers of each track have counted; a track that does not run is not in it.

        Raises:
            UnknownRelease: no release of that name.
        """
