"""What becomes of an object, and what has become of it since its release, as text that a person can read. Pure."""

from __future__ import annotations

import copy
import difflib
from typing import Any

from shipway.deploy.kubernetes.api.kinds import Object
from shipway.deploy.kubernetes.plans.edits import what
from shipway.deploy.kubernetes.plans.ownership import without_foreign
from shipway.deploy.target import Change
from shipway.deploy.yaml import emit

__all__ = ["edited", "planned", "readable"]

_PLANNED, _EDITED = ("as it is", "as it will be"), ("as released", "as it is")
_SERVERS_OWN = ("managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")
_NOTES = (
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
    "io.shipway/result",
)
# What the cluster picks when an object is made.
_PICKED = {"Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")}


def planned(live: Object | None, wanted: Object, answer: Object) -> Change:
    """Gives what applying does to an object.

    Args:
        live: as the cluster has it; None where it is not there.
        wanted: as we want it.
        answer: what the cluster says that it would become.
    """
    if live is None:
        return Change("create", what(wanted), _compare("", readable(wanted), _PLANNED))
    before, after = readable(live), readable(answer)
    return Change("keep" if before == after else "update", what(wanted), _compare(before, after, _PLANNED))


def edited(live: Object | None, released: Object, answer: Object) -> Change | None:
    """Gives how an object differs from what was released; None where it does not.

    Args:
        live: as the cluster has it; None where it is gone.
        released: as it was applied.
        answer: what the cluster says that it would become if that were applied again, whoever owns its fields.
    """
    if live is None:
        return Change("delete", what(released), _compare(readable(released), "", _EDITED))
    before, after = readable(without_foreign(_with_owners_of(live, answer))), readable(live)
    return None if before == after else Change("update", what(released), _compare(before, after, _EDITED))


def readable(thing: Object) -> str:
    """Gives an object as YAML without what the cluster fills in by itself, texts of many lines line by line."""
    shown = {key: value for key, value in thing.items() if key != "status"}
    metadata = {key: value for key, value in shown.get("metadata", {}).items() if key not in _SERVERS_OWN}
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in _NOTES}
    metadata.pop("namespace", None)
    if annotations:
        metadata["annotations"] = annotations
    shown["metadata"] = metadata
    for field in _PICKED.get(str(thing.get("kind")), ()):
        if isinstance(shown.get("spec"), dict):
            shown["spec"] = {key: value for key, value in shown["spec"].items() if key != field}
    # The cluster writes these two anywhere.
    return emit(_by_lines({"apiVersion": thing.get("apiVersion"), "kind": thing.get("kind"), **shown}))


def _with_owners_of(live: Object, answer: Object) -> Object:
    """Gives the answer with the owners as they are now: its own say that all is ours."""
    merged = copy.deepcopy(answer)
    ours_now = answer.get("metadata", {}).get("managedFields") or []
    merged["metadata"]["managedFields"] = [
        *(entry for entry in ours_now if entry.get("manager", "").startswith("shipway")),
        *(
            entry
            for entry in live.get("metadata", {}).get("managedFields") or []
            if not entry.get("manager", "").startswith("shipway")
        ),
    ]
    return merged


def _by_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _by_lines(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_by_lines(each) for each in value]
    return value.splitlines() if isinstance(value, str) and "\n" in value else value


def _compare(before: str, after: str, names: tuple[str, str]) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "\n".join(lines)
