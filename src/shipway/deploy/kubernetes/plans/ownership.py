"""Who owns which fields of an object, by what the cluster keeps about it in `metadata.managedFields`. Pure.

Source: the API reference ("Server-Side Apply", "Field management"): `FieldsV1` is a trie whose keys are `f:NAME` for a
field, `k:{…}` for the item of a list by its keys, `v:VALUE` for a value in a set, `i:N` for an index and `.` for the
thing itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from shipway.deploy.kubernetes.api.cluster import FIELD_MANAGER
from shipway.deploy.kubernetes.api.kinds import Object

__all__ = ["REPLICAS_MANAGER", "HandOver", "Owner", "hand_over", "owners", "without_foreign"]

REPLICAS_MANAGER = f"{FIELD_MANAGER}-replicas"
"""Holds the number of servers on behalf of an autoscaler until that sets one itself."""

_AUTOSCALER_MANAGER = "kube-controller-manager"
# What others write below `metadata` (annotations, finalizers) is their own affair; labels select.
_ROOTS = (("f:spec",), ("f:data",), ("f:binaryData",), ("f:metadata", "f:labels"))

_Path: TypeAlias = tuple[str, ...]


class Owner(NamedTuple):
    """Who owns a field."""

    manager: str
    operation: str
    subresource: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """What has to be done about the number of servers before a Deployment is applied.

    Attributes:
        hold: apply this number in the name of `REPLICAS_MANAGER` first; else it would fall to 1 when we give it up.
        scale: set this number through the scale subresource first, which takes it over from an autoscaler that goes.
    """

    hold: int | None = None
    scale: int | None = None


def owners(live: Object, *path: str) -> frozenset[Owner]:
    """Gives who owns a field.

    Args:
        live: an object as the cluster has it.
        path: of the field, `spec`, `replicas`.
    """
    wanted = tuple(f"f:{name}" for name in path)
    return frozenset(owner for owner, fields in _managed(live) if _has(fields, wanted))


def hand_over(wanted: Object, live: Object, at_least: int = 0) -> HandOver:
    """Says how the number of servers changes hands when a Deployment is applied.

    A field that we applied before and leave out now is removed, and so set to its default, 1, unless somebody else
    owns it too. And a field that an autoscaler has set cannot be applied with another value, which is right for as long
    as the autoscaler is there and wrong when it goes. What a person has set stays contested.

    Args:
        wanted: the Deployment as it will be applied.
        live: as the cluster has it.
        at_least: how many servers there have to be where an autoscaler is to keep the number: it looks only now and
            then, and the roll-out would be over meanwhile.
    """
    has = int(live["spec"].get("replicas", 1))
    wants: int | None = wanted["spec"].get("replicas")
    who = owners(live, "spec", "replicas")
    applied = Owner(FIELD_MANAGER, "Apply", "")
    if wants is None:
        if who == {applied}:
            return HandOver(hold=max(has, at_least))
        return HandOver(scale=at_least if has < at_least else None)
    others = who - {applied}
    gives_up = all(owner.manager in {FIELD_MANAGER, REPLICAS_MANAGER, _AUTOSCALER_MANAGER} for owner in others)
    return HandOver(scale=wants if others and wants != has and gives_up else None)


def without_foreign(live: Object) -> Object:
    """Gives an object without what others have added to its specification, data and labels."""
    fields: list[tuple[bool, Mapping[str, Any]]] = [
        (owner.manager in {FIELD_MANAGER, REPLICAS_MANAGER}, tree)
        for owner, tree in _managed(live)
        if not owner.subresource
    ]
    # A map in which something is ours stays, whoever owns the map itself.
    ours = (path for is_ours, tree in fields if is_ours for path in _all_paths(tree))
    kept = {path[:length] for path in ours for length in range(1, len(path) + 1)}
    left: Object = copy.deepcopy(live)
    for is_ours, tree in fields:
        for path in () if is_ours else _all_paths(tree):
            under = any(path[: len(root)] == root and len(path) > len(root) for root in _ROOTS)
            if under and path not in kept:
                _remove(left, path)
    return left


def _managed(live: Object) -> Iterator[tuple[Owner, Mapping[str, Any]]]:
    for entry in live.get("metadata", {}).get("managedFields") or ():
        fields = entry.get("fieldsV1")
        if isinstance(fields, dict):
            yield (
                Owner(
                    str(entry.get("manager", "")), str(entry.get("operation", "")), str(entry.get("subresource", ""))
                ),
                fields,
            )


def _has(fields: Any, path: _Path) -> bool:
    for key in path:
        if not isinstance(fields, dict) or key not in fields:
            return False
        fields = fields[key]
    return True


def _all_paths(tree: Mapping[str, Any], above: _Path = ()) -> Iterator[_Path]:
    """Gives the path of everything that is owned, the outer before the inner."""
    for key, below in tree.items():
        if key == ".":
            continue
        path = (*above, key)
        # Without a dot the thing itself is not owned, only what lies below it.
        if not below or "." in below:
            yield path
        yield from _all_paths(below or {}, path)


def _remove(value: Any, path: _Path) -> None:
    """Takes what lies at a path out of a value, and what is empty without it."""
    key, rest = path[0], path[1:]
    place = _find(value, key)
    if place is None:
        return
    if not rest:
        del value[place]
        return
    _remove(value[place], rest)
    if value[place] in ({}, []):
        del value[place]


def _find(value: Any, key: str) -> Any:
    """Gives the key or index at which a step of a path leads on; None where it leads nowhere."""
    kind, _, text = key.partition(":")
    if kind == "f":
        return text if isinstance(value, dict) and text in value else None
    if not isinstance(value, list):
        return None
    try:
        wanted = json.loads(text)
    except ValueError:
        return None
    if kind == "k" and isinstance(wanted, dict):
        matches = (n for n, item in enumerate(value) if isinstance(item, dict) and wanted.items() <= item.items())
        return next(matches, None)
    if kind == "v":
        return value.index(wanted) if wanted in value else None
    return None
