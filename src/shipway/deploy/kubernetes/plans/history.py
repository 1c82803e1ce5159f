"""The releases of a name, each one immutable ConfigMap `NAME-release-N`. Pure.

A record holds what was applied, so that going back needs nothing but the cluster. It is made before anything is
changed, by a call that fails where it is there already: of two who deploy at once, one gets the number. What became of
the release stands in an annotation, for the metadata of an immutable ConfigMap may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec

from shipway.deploy.kubernetes.api.kinds import KINDS, Object
from shipway.deploy.kubernetes.objects.labels import BUNDLE_ANNOTATION, TRACK, ours
from shipway.deploy.kubernetes.plans.edits import APPLIED, deployment_of, equal_but_for_size, is_ours
from shipway.deploy.target import Record, Result, Track
from shipway.errors import UsageError

__all__ = [
    "KEPT",
    "RECORDS",
    "RESULT_ANNOTATION",
    "Entry",
    "before",
    "current",
    "draft",
    "next_number",
    "read_all",
    "record_name",
    "running",
    "to_forget",
    "trial",
]

KEPT = 10
"""How many releases of a name are kept, besides those that are still needed."""

_COMPONENT = "app.kubernetes.io/component"
_NUMBER = "io.shipway/release"
RECORDS: Mapping[str, str] = {_COMPONENT: "release"}
"""Tells records from the ConfigMaps that a release is made of."""

RESULT_ANNOTATION = "io.shipway/result"

_LIMIT = 1 << 20
"""Bytes of a ConfigMap's data (API reference, ConfigMap)."""
_RESULTS: Mapping[str, Result] = {str(result): result for result in get_args(Result)}
_GRACE = timedelta(seconds=120)
_DEADLINE = 600


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and what going back to it takes.

    Attributes:
        record: as people see it.
        objects: all that the release is made of, as they were applied.
        track: whether it replaced the stable version or ran beside it.
        percent: of the servers that were to run it; 100 for a stable one.
        name: of the ConfigMap.
        uid: of the ConfigMap.
    """

    record: Record
    objects: tuple[Object, ...]
    track: Track = "stable"
    percent: int = 100
    name: str = ""
    uid: str = ""

    @property
    def number(self) -> int:
        """Of the release."""
        return self.record.number

    @property
    def result(self) -> Result:
        """What became of it."""
        return self.record.result

    @property
    def is_whole(self) -> bool:
        """Whether it can be gone back to."""
        return bool(self.objects)

    def given_up_at(self) -> datetime:
        """Gives when whoever began the release can no longer be watching it: the cluster itself has given up then."""
        spec = deployment_of(self.objects)["spec"] if self.is_whole else {}
        seconds = int(spec.get("progressDeadlineSeconds", _DEADLINE))
        return self.record.when + timedelta(seconds=seconds) + _GRACE


def draft(
    name: str,
    number: int,
    objects: Sequence[Object],
    *,
    reason: str,
    image: str,
    who: str,
    when: datetime,
    track: Track = "stable",
    percent: int = 100,
) -> Object:
    """Gives the ConfigMap of a release that is about to begin.

    Raises:
        UsageError: the objects are too large to be kept in one.
    """
    deployment = deployment_of(objects)
    data = {
        "objects": msgspec.json.encode(list(objects)).decode(),
        "bundle": str(deployment["metadata"].get("annotations", {}).get(BUNDLE_ANNOTATION, "")),
        "image": image,
        "reason": reason,
        "who": who,
        "when": when.astimezone(UTC).isoformat(timespec="seconds"),
        "track": track,
        "percent": str(percent),
    }
    size = sum(len(key) + len(value.encode()) for key, value in data.items())
    if size > _LIMIT:
        raise UsageError(
            f"release {name} takes {size / _LIMIT:.1f} MiB, and what a cluster keeps of one may take 1 MiB",
            fix="a smaller shipway.toml",
        )
    labels = {key: value for key, value in deployment["metadata"]["labels"].items() if key != TRACK}
    metadata: Object = {
        "name": record_name(name, number),
        "labels": {**labels, **ours(name), **RECORDS, _NUMBER: str(number)},
        "annotations": {RESULT_ANNOTATION: "running"},
    }
    return {
        "apiVersion": KINDS["ConfigMap"].api,
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": data,
    }


def record_name(name: str, number: int) -> str:
    """Gives the name of a record's ConfigMap."""
    return f"{name}-release-{number}"


def read_all(name: str, records: Iterable[Object]) -> tuple[Entry, ...]:
    """Reads records, oldest first; what is not one of `name`, or is damaged, is passed over.

    The objects of one that names kinds or objects that are not ours are left out: such a record cannot be gone back to.
    """
    entries = [entry for record in records if (entry := _read(name, record)) is not None]
    return tuple(sorted(entries, key=lambda entry: entry.number))


def _read(name: str, record: Object) -> Entry | None:
    metadata, data = record["metadata"], record.get("data") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    number = str(labels.get(_NUMBER, ""))
    is_record = is_ours(record, name) and RECORDS.items() <= labels.items()
    if not is_record or not number.isdecimal() or metadata["name"] != record_name(name, int(number)):
        return None
    percent = str(data.get("percent", ""))
    return Entry(
        Record(
            int(number),
            bundle=str(data.get("bundle", "")),
            image=str(data.get("image", "")),
            who=str(data.get("who", "")),
            when=_moment(data.get("when") or metadata.get("creationTimestamp")),
            reason=str(data.get("reason", "")),
            result=_RESULTS.get(str(annotations.get(RESULT_ANNOTATION)), "interrupted"),
        ),
        _objects(name, str(data.get("objects", ""))),
        track="canary" if data.get("track") == "canary" else "stable",
        percent=int(percent) if percent.isdecimal() else 100,
        name=metadata["name"],
        uid=str(metadata.get("uid", "")),
    )


def _objects(name: str, text: str) -> tuple[Object, ...]:
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    if not isinstance(found, list) or not all(_is_applied(each) and is_ours(each, name) for each in found):
        return ()
    return tuple(found) if any(each["kind"] == "Deployment" for each in found) else ()


def _is_applied(thing: Any) -> bool:
    """Whether something read is an object such as we apply."""
    if not isinstance(thing, dict) or thing.get("kind") not in APPLIED:
        return False
    metadata = thing.get("metadata")
    return (
        KINDS[thing["kind"]].api == thing.get("apiVersion")
        and isinstance(metadata, dict)
        and isinstance(metadata.get("name"), str)
        and isinstance(metadata.get("labels"), dict)
        and isinstance(metadata.get("annotations", {}), dict)
        and (thing["kind"] != "Deployment" or isinstance(thing.get("spec"), dict))
    )


def next_number(entries: Sequence[Entry]) -> int:
    """Gives the number of the next release."""
    return max((entry.number for entry in entries), default=0) + 1


def current(entries: Sequence[Entry]) -> Entry | None:
    """Gives the stable release that was begun last, whatever became of it."""
    return next((entry for entry in reversed(entries) if entry.track == "stable"), None)


def trial(entries: Sequence[Entry]) -> Entry | None:
    """Gives the canary that was begun last, if no later release has taken its place. It may have been taken away."""
    newest = next((entry for entry in reversed(entries) if entry.track == "canary"), None)
    return newest if newest and newest.result != "replaced" else None


def running(entries: Sequence[Entry], now: datetime) -> tuple[Entry | None, Entry | None]:
    """Gives the release that is being rolled out, and one that whoever began it has left lying."""
    newest = next((entry for entry in reversed(entries) if entry.result == "running"), None)
    if newest is None:
        return None, None
    return (newest, None) if now < newest.given_up_at() else (None, newest)


def before(entries: Sequence[Entry], entry: Entry | None = None) -> Entry | None:
    """Gives the last good stable release before one, which differs from it in more than its size.

    Args:
        entries: of a name.
        entry: the one to go back from; None for whatever comes next.
    """
    for other in reversed(entries):
        good = other.track == "stable" and other.result in {"complete", "replaced"} and other.is_whole
        if not good or (entry is not None and other.number >= entry.number):
            continue
        if entry is None or not entry.is_whole or not equal_but_for_size(other.objects, entry.objects):
            return other
    return None


def to_forget(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Gives the records that need not be kept, oldest first.

    Ten are kept, and of the older ones the release in force, its canary, the one to go back to, the last that was good
    and all that are being rolled out.
    """
    now = current(entries)
    good = next((e for e in reversed(entries) if e.track == "stable" and e.result == "complete"), None)
    needed = {entry.number for entry in (now, good, before(entries, now), trial(entries)) if entry is not None}
    needed |= {entry.number for entry in entries if entry.result == "running"}
    return tuple(entry for entry in entries[: max(0, len(entries) - KEPT)] if entry.number not in needed)


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
