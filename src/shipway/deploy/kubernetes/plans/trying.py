"""Tries on the cluster what a plan would do, without doing it: dry runs, and whose objects are in the way."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS, Object, kind_of
from shipway.deploy.kubernetes.api.refusals import Asked
from shipway.deploy.kubernetes.plans.difference import edited, planned
from shipway.deploy.kubernetes.plans.edits import fewest, identity, is_ours, what
from shipway.deploy.kubernetes.plans.ownership import HandOver, hand_over
from shipway.deploy.kubernetes.plans.situation import Situation
from shipway.deploy.kubernetes.plans.steps import Await, AwaitEnd, Delete, Step
from shipway.deploy.target import Change
from shipway.errors import Contested, NotAllowed

__all__ = [
    "begun_by_others",
    "changed_since",
    "refuse_foreign",
    "refuse_other",
    "require_rights",
    "to_prune",
    "try_out",
]


def refuse_foreign(cluster: Cluster, situation: Situation, wanted: Iterable[Object]) -> None:
    """Checks that nothing of somebody else's has the name of what is to be made.

    Raises:
        Contested: something has; it is never touched.
    """
    for each in wanted:
        if identity(each) in situation.objects:
            continue
        live = cluster.get(kind_of(each), each["metadata"]["name"])
        if live is not None:
            refuse_other(live, situation.name)


def refuse_other(live: Object, name: str) -> None:
    """Checks that an object is one of a release.

    Raises:
        Contested: it is not.
    """
    if not is_ours(live, name):
        raise Contested(
            f"{what(live)} is there already and is not of release {name}: it is not touched",
            fix=f"release under another --name, or delete that {live['kind']} if nobody needs it",
        )


def begun_by_others(name: str, number: int) -> Contested:
    """Gives the error of who comes second: the record of a release is there already."""
    return Contested(
        f"somebody else has just begun release {number} of {name}",
        fix=f"shipway status {name} shows it; plan again when it is done",
    )


def require_rights(cluster: Cluster, steps: Iterable[Step]) -> None:
    """Checks before anything is changed that what dry runs do not show may be done: to watch, and to delete.

    Raises:
        NotAllowed: a right is missing.
    """
    steps = tuple(steps)
    needed = {("watch", kind) for kind in ("Deployment", "ReplicaSet", "Pod") if any(map(_is_watched, steps))}
    needed |= {("delete", step.kind) for step in steps if isinstance(step, Delete)}
    for verb, kind in sorted(needed):
        if not cluster.allows(verb, KINDS[kind]):
            asked = Asked(verb, KINDS[kind], "", cluster.namespace, cluster.context)
            raise NotAllowed(
                f"the account may not {asked.right} in {asked.place}",
                fix="`shipway render --rbac` writes the Role that Shipway needs",
            )


def _is_watched(step: Step) -> bool:
    return isinstance(step, Await | AwaitEnd)


def try_out(cluster: Cluster, situation: Situation, wanted: Sequence[Object], *, force: bool) -> list[Change]:
    """Says what applying would change, in the same order, as the cluster's own dry run has it.

    Raises:
        Contested: fields belong to others, and `force` does not take them over.
        UsageError: the cluster calls an object invalid.
        Gone: the namespace or a kind is not there.
    """
    least = fewest(wanted)
    return [
        planned(*_tried(cluster, situation.objects.get(identity(each)), each, least, force=force)) for each in wanted
    ]


def changed_since(cluster: Cluster, situation: Situation, released: Sequence[Object]) -> tuple[Change, ...]:
    """Says how objects differ from what was released."""
    changes = []
    for each in released:
        live = situation.objects.get(identity(each))
        change = edited(*_tried(cluster, live, each, 0, force=True)) if live else edited(None, each, each)
        if change is not None:
            changes.append(change)
    return tuple(changes)


def to_prune(situation: Situation, wanted: Iterable[Object]) -> list[Object]:
    """Gives those objects of a release that are not of its wanted ones any more."""
    kept = {identity(each) for each in wanted}
    return [thing for key, thing in sorted(situation.objects.items()) if key not in kept]


def _tried(
    cluster: Cluster, live: Object | None, wanted: Object, at_least: int, *, force: bool
) -> tuple[Object | None, Object, Object]:
    """Gives the object as it is, as it is wanted and as it would be."""
    if live is None or wanted["kind"] != "Deployment":
        return live, wanted, cluster.apply(wanted, force=force, dry_run=True)
    # When the number of servers changes hands, one dry run cannot show what several calls come to.
    change = hand_over(wanted, live, at_least)
    asked = copy.deepcopy(wanted)
    if change != HandOver():
        asked["spec"]["replicas"] = live["spec"]["replicas"]
    answer = cluster.apply(asked, force=force, dry_run=True)
    for number in (change.hold, change.scale):
        if number is not None:
            answer["spec"]["replicas"] = number
    return live, wanted, answer
