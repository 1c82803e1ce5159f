"""What a plan does on a cluster, step by step, as values: planning makes them, carrying out goes through them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from shipway.deploy.kubernetes.api.kinds import Object
from shipway.deploy.kubernetes.plans.history import Entry
from shipway.deploy.target import Plan

__all__ = ["Apply", "Await", "AwaitEnd", "Delete", "KubernetesPlan", "Step"]


@dataclass(frozen=True, slots=True)
class Apply:
    """Makes or changes an object.

    Attributes:
        object: all that we want of it.
        at_least: servers that a Deployment has from the start which leaves their number to an autoscaler; 0 where it
            does not.
    """

    object: Object
    at_least: int = 0


@dataclass(frozen=True, slots=True)
class Await:
    """Watches until a Deployment has come to what it was asked for.

    Attributes:
        deployment: its name.
        is_told: whether the person is told of it; a mere change of size is not worth it.
    """

    deployment: str
    is_told: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes an object, if it is still the very one that was seen.

    Attributes:
        kind: of the object.
        name: of the object.
        uid: of the object.
    """

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class AwaitEnd:
    """Watches until all servers have ended, each having answered the calls that it had."""


Step: TypeAlias = Apply | Await | AwaitEnd | Delete


@dataclass(frozen=True)
class KubernetesPlan(Plan):
    """A plan with what it takes to carry it out.

    Attributes:
        steps: in order.
        record: the ConfigMap of the release that it makes; None where it makes none.
        former: the stable release in force before.
        back: the last good stable release, which is restored where this one fails.
        force: take over fields that others own.
        given_up: numbers of releases that are no longer rolled out once this plan is carried out.
    """

    steps: tuple[Step, ...] = ()
    record: Object | None = None
    former: Entry | None = None
    back: Entry | None = None
    force: bool = False
    given_up: tuple[Entry, ...] = field(default=())
