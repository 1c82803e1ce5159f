"""What a cluster has under one release's name: its history and the objects that bear its labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS, Object
from shipway.deploy.kubernetes.objects.labels import INSTANCE, OURS, deployment_name, ours
from shipway.deploy.kubernetes.plans.edits import deployment_of, identity, is_ours, kinds_applied, replicas_of
from shipway.deploy.kubernetes.plans.history import RECORDS, Entry, before, current, next_number, read_all, trial
from shipway.deploy.target import Track
from shipway.errors import NotAllowed, UnknownRelease, UsageError

__all__ = ["Situation", "names_in", "read_situation"]


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is under a name.

    Attributes:
        name: of the release.
        entries: its history, oldest first.
        objects: that bear its labels, by kind and name; without the history.
        now: when it was read, by this machine's clock.
    """

    name: str
    entries: tuple[Entry, ...]
    objects: Mapping[tuple[str, str], Object]
    now: datetime

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of that name."""
        return not self.entries and not self.objects

    @property
    def number(self) -> int:
        """Of the next release."""
        return next_number(self.entries)

    @property
    def current(self) -> Entry | None:
        """The stable release that was begun last."""
        return current(self.entries)

    @property
    def good(self) -> Entry | None:
        """The last good stable release, which serves, or would be restored."""
        return before(self.entries)

    @property
    def canary(self) -> Entry | None:
        """The release that runs beside it, if one does."""
        return trial(self.entries) if self.deployment("canary") else None

    def deployment(self, track: Track) -> Object | None:
        """Gives the Deployment of a track as it is."""
        return self.objects.get(("Deployment", deployment_name(self.name, track)))

    def replicas(self, track: Track) -> int:
        """Gives how many servers a track is asked to run now; 0 where it does not run."""
        deployment = self.deployment(track)
        return int(deployment["spec"].get("replicas", 1)) if deployment else 0

    @property
    def total(self) -> int:
        """How many servers the stable release was released with; with an autoscaler, how many it has now."""
        entry = self.current
        if entry is None or not entry.is_whole:
            return self.replicas("stable")
        if "replicas" not in deployment_of(entry.objects)["spec"]:
            return self.replicas("stable")
        return replicas_of(entry.objects)

    @property
    def share(self) -> float:
        """Percent of the servers that run the canary."""
        canary, stable = self.replicas("canary"), self.replicas("stable")
        return 100.0 * canary / (canary + stable) if canary else 0.0

    def require(self) -> Entry:
        """Gives the current release.

        Raises:
            UnknownRelease: there is none.
        """
        if self.current is None and self.objects:
            raise UnknownRelease(
                f"{self.name} runs here, but shipway deploy did not release it: it has no history",
                fix=f"shipway deploy it with --name {self.name} to take it over, or go on with kubectl",
            )
        if self.current is None:
            raise UnknownRelease(f"there is no release {self.name} here", fix="shipway status lists what there is")
        return self.current

    def settled(self) -> Entry:
        """Gives the release in force, of which size and share can be changed.

        Raises:
            UnknownRelease: there is none.
            UsageError: it was not completed, or its record is damaged.
        """
        entry = self.require()
        if entry.result != "complete" or not entry.is_whole:
            state = f"is {entry.result}" if entry.is_whole else "has a damaged record"
            raise UsageError(
                f"release {entry.number} of {self.name} {state}",
                fix=f"first shipway deploy it again, or shipway rollback {self.name}",
            )
        return entry

    def former(self) -> Entry:
        """Gives the release that going back without a number means; while a canary runs, the one beside it.

        Raises:
            UnknownRelease: there is none.
        """
        entry = self.require()
        is_settled = entry.result == "complete"
        if is_settled and self.canary is not None:
            return entry
        earlier = [each for each in self.entries if is_settled or each.number < entry.number]
        found = before(earlier, entry if is_settled else None)
        if found is None:
            raise UnknownRelease(
                f"{self.name} has no earlier release to go back to", fix=f"shipway undeploy {self.name} ends it"
            )
        return found

    def numbered(self, number: int) -> Entry:
        """Gives a release of the history.

        Raises:
            UnknownRelease: there is none of that number.
        """
        for entry in self.entries:
            if entry.number == number:
                return entry
        known = ", ".join(str(entry.number) for entry in self.entries)
        raise UnknownRelease(f"{self.name} has no release {number}", fix=f"--to takes one of {known}")


def read_situation(cluster: Cluster, name: str, now: datetime, used: Collection[str] = ()) -> Situation:
    """Reads what there is under a name.

    Args:
        cluster: which.
        name: of the release.
        now: for the situation.
        used: kinds that a release to come is made of. One that is neither in them nor in the history and may not be
            read is taken for empty, so that an account needs no rights that it has no use for.

    Raises:
        NotAllowed: a kind that is needed may not be read.
    """
    objects: dict[tuple[str, str], Object] = {}
    refused: list[NotAllowed] = []
    unread: set[str] = set()
    for kind in kinds_applied():
        try:
            found = cluster.list(kind, ours(name)).items
        except NotAllowed as error:
            unread.add(kind.kind)
            refused.append(error)
            continue
        for thing in found:
            if not is_ours(thing, name):
                continue  # the cluster was asked for these labels only; what is deleted does not hang on its answer
            objects[identity(thing)] = thing
    entries = read_all(name, [thing for (kind, _), thing in objects.items() if kind == "ConfigMap"])
    for entry in entries:
        del objects["ConfigMap", entry.name]
    needed = {"Deployment", "ConfigMap", *used, *(each["kind"] for entry in entries for each in entry.objects)}
    if unread & needed:
        raise refused[0]
    return Situation(name, entries, objects, now)


def names_in(cluster: Cluster) -> tuple[str, ...]:
    """Gives the names of all releases that are recorded, sorted; what `kubectl apply` alone has made is none."""
    things = cluster.list(KINDS["ConfigMap"], {**OURS, **RECORDS}).items
    names = {str((thing["metadata"].get("labels") or {}).get(INSTANCE, "")) for thing in things}
    return tuple(sorted(names - {""}))
