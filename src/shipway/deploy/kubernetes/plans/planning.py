"""Makes the plans of every verb from what is on the cluster; each is tried there before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shipway.deploy.canary import share
from shipway.deploy.kubernetes.api.cluster import AlreadyThere, Cluster
from shipway.deploy.kubernetes.api.kinds import Object
from shipway.deploy.kubernetes.objects.labels import deployment_name
from shipway.deploy.kubernetes.plans.edits import (
    autoscaler_of,
    beside,
    between,
    deployment_of,
    fewest,
    in_order,
    replicas_of,
    what,
    with_replicas,
)
from shipway.deploy.kubernetes.plans.history import Entry, draft, record_name, running
from shipway.deploy.kubernetes.plans.situation import Situation, read_situation
from shipway.deploy.kubernetes.plans.steps import Apply, Await, AwaitEnd, Delete, KubernetesPlan, Step
from shipway.deploy.kubernetes.plans.trying import begun_by_others, refuse_foreign, require_rights, to_prune, try_out
from shipway.deploy.target import Change, Track
from shipway.errors import Contested, UnknownRelease, UsageError

__all__ = ["METRICS_API", "Planner"]

METRICS_API = "metrics.k8s.io/v1beta1"
"""What an autoscaler asks for CPU figures; metrics-server brings it."""

_NO_METRICS = (
    "this cluster has no metrics API (no metrics-server), so the autoscaler cannot see any load: it keeps the fewest "
    "servers and adds none"
)
# Ways in are closed first, so that no new call comes; the rest stays until the servers have ended.
_TAKEN_FIRST = ("Ingress", "ServiceMonitor", "HorizontalPodAutoscaler", "Service")


@dataclass(frozen=True, slots=True)
class _Release:
    """What is to be recorded of a release, beside its objects."""

    reason: str
    image: str
    track: Track = "stable"
    percent: int = 100


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans.

    Attributes:
        cluster: on which they are tried.
        now: gives the time, in UTC.
    """

    cluster: Cluster
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def read(self, name: str, used: Sequence[Object] = ()) -> Situation:
        """Gives what there is under a name."""
        return read_situation(self.cluster, name, self.now(), {each["kind"] for each in used})

    def release(self, name: str, objects: Sequence[Object], image: str, *, force: bool) -> KubernetesPlan:
        """Plans to let a release replace the stable version, and a canary if one runs.

        Raises:
            Contested, UsageError: as `Target.plan` says.
        """
        situation = self.read(name, objects)
        given_up, notes = self._free(situation, override=force)
        plan = self._stable(situation, objects, _Release("deploy", image), force=force, given_up=given_up)
        notes += self.on_autoscaler(objects) + _on_size(situation, objects)
        return replace(plan, notes=(*notes, *plan.notes))

    def canary(self, name: str, objects: Sequence[Object], image: str, percent: int, *, force: bool) -> KubernetesPlan:
        """Plans to run a release beside the stable version.

        Raises:
            Contested, UsageError: as `Target.plan` says.
        """
        situation = self.read(name, objects)
        given_up, notes = self._free(situation, override=force)
        if situation.current is None or situation.deployment("stable") is None:
            raise UsageError(
                f"nothing runs as {name}, so there is nothing to try a canary beside", fix="leave --canary out"
            )
        current = situation.settled()
        stable: tuple[Object, ...] = ()
        if autoscaler_of(current.objects) is None:
            fixed = autoscaler_of(objects) is None
            total = max(situation.total, replicas_of(objects) if fixed else 0)
            shared = share(percent, total)
            objects = with_replicas(objects, total) if fixed else tuple(objects)
            stable = (deployment_of(with_replicas(current.objects, shared.stable)),)
            trial, sentence = beside(objects, current.objects, shared.canary), shared.sentence()
        else:
            trial, sentence = _beside_autoscaled(situation, objects, current, percent)
        release = _Release(f"canary {percent} %", image, "canary", percent)
        return self._trial(
            situation, objects, trial, stable, release, force=force, given_up=given_up, notes=(*notes, sentence)
        )

    def rollback(self, name: str, to: int | None) -> KubernetesPlan:
        """Plans to go back; see `Target.plan_rollback`.

        Raises:
            UnknownRelease: there is nothing to go back to.
        """
        situation = self.read(name)
        situation.require()
        given_up, notes = self._free(situation, override=True)
        entry = situation.former() if to is None else situation.numbered(to)
        if not entry.is_whole:
            raise UnknownRelease(f"the record of release {entry.number} is damaged", fix="go back to another: --to N")
        if entry.result in {"failed", "interrupted"}:
            notes += (f"release {entry.number} was {entry.result}",)
        if situation.canary is not None:
            notes += (f"this ends the canary, release {situation.canary.number}",)
        release = _Release(f"rollback to {entry.number}", entry.record.image)
        plan = self._winning(situation, entry.objects, release, given_up)
        notes += _on_size(situation, entry.objects)
        return replace(plan, notes=(*notes, *plan.notes))

    def restore(self, name: str, entry: Entry) -> KubernetesPlan:
        """Plans to bring a release back after another has failed."""
        situation = self.read(name)
        release = _Release(f"restore {entry.number}", entry.record.image)
        return self._stable(situation, entry.objects, release, force=True, given_up=())

    def promote(self, name: str) -> KubernetesPlan:
        """Plans to let the canary replace the stable version.

        Raises:
            UnknownRelease: there is none.
        """
        situation = self.read(name)
        situation.require()
        canary = situation.canary
        if canary is None or not canary.is_whole:
            raise UnknownRelease(f"{name} has no canary", fix=f"shipway deploy … --name {name} --canary 25 begins one")
        if canary.result == "failed":
            raise UsageError(
                f"the canary of {name}, release {canary.number}, failed", fix=f"shipway rollback {name} ends it"
            )
        given_up, notes = self._free(situation, override=False)
        release = _Release(f"promote {canary.number}", canary.record.image)
        plan = self._winning(situation, canary.objects, release, given_up)
        notes += self.on_autoscaler(canary.objects)
        return replace(plan, notes=(*notes, *plan.notes))

    def scale(self, name: str, replicas: int, most: int | None, cpu_percent: int) -> KubernetesPlan:
        """Plans another number of servers.

        Raises:
            UnknownRelease: no release of that name.
            UsageError: no such number can run, or a canary runs.
        """
        situation = self.read(name)
        given_up, notes = self._free(situation, override=False)
        current = situation.settled()
        if situation.canary is not None:
            raise UsageError(
                f"a canary runs beside {name}, and shares its servers with it",
                fix=f"first shipway promote {name}, or shipway rollback {name}; --canary with --replicas changes both",
            )
        if most is None:
            objects, reason = with_replicas(current.objects, replicas), f"scale to {replicas}"
            if autoscaler_of(current.objects) is not None:
                notes += ("the autoscaler is taken away: the number is fixed from now on",)
        else:
            objects = between(current.objects, replicas, most, cpu_percent)
            reason = f"scale to {replicas}-{most}"
            notes += self.on_autoscaler(objects)
        plan = self._winning(situation, objects, _Release(reason, current.record.image), given_up)
        return replace(plan, notes=(*notes, *plan.notes))

    def undeploy(self, name: str) -> KubernetesPlan:
        """Plans to take everything of a name away.

        Raises:
            UnknownRelease: there is nothing.
        """
        situation = self.read(name)
        if situation.is_empty:
            raise UnknownRelease(f"there is no release {name} here", fix="shipway status lists what there is")
        notes = self._free(situation, override=True)[1]
        steps = (
            *self.clearing(situation),
            *(Delete("ConfigMap", entry.name, entry.uid) for entry in situation.entries),
        )
        require_rights(self.cluster, steps)
        changes = tuple(Change("delete", f"{s.kind} {s.name}") for s in steps if isinstance(s, Delete))
        return KubernetesPlan(name, "undeploy", 0, changes, notes, steps=steps)

    def clearing(self, situation: Situation) -> tuple[Step, ...]:
        """Gives the steps that take the objects of a name away, its history left: no call that has begun is lost.

        What lets calls in goes first, then the servers, which answer what they have; what protects them goes last.
        """
        first = [situation.objects[key] for key in sorted(situation.objects, key=_taken) if key[0] in _TAKEN_FIRST]
        servers = [thing for (kind, _), thing in sorted(situation.objects.items()) if kind == "Deployment"]
        rest = [
            thing for (kind, _), thing in sorted(situation.objects.items()) if kind not in {*_TAKEN_FIRST, "Deployment"}
        ]
        return (*map(_delete, first), *map(_delete, servers), AwaitEnd(), *map(_delete, rest))

    def ending(self, situation: Situation) -> tuple[Step, ...]:
        """Gives the steps that end a canary and give the stable version its servers back."""
        current = situation.require()
        stable = deployment_name(situation.name, "stable")
        back: list[Step] = []
        if current.is_whole and autoscaler_of(current.objects) is None:
            back = [Apply(deployment_of(current.objects)), Await(stable, is_told=False)]
        return (*back, *map(_delete, to_prune(situation, current.objects) if current.is_whole else ()))

    def _winning(
        self, situation: Situation, objects: Sequence[Object], release: _Release, given_up: tuple[Entry, ...]
    ) -> KubernetesPlan:
        """Plans a release that a person asks for to mend things: what others have changed is taken over, and said."""
        try:
            return self._stable(situation, objects, release, force=False, given_up=given_up)
        except Contested as error:
            plan = self._stable(situation, objects, release, force=True, given_up=given_up)
            return replace(plan, notes=(f"{error.message}: this is taken over", *plan.notes))

    def _stable(
        self,
        situation: Situation,
        objects: Sequence[Object],
        release: _Release,
        *,
        force: bool,
        given_up: tuple[Entry, ...],
    ) -> KubernetesPlan:
        """Plans to make the stable version what `objects` say, and to take away what is not among them."""
        objects = in_order(objects)
        refuse_foreign(self.cluster, situation, objects)
        changes = try_out(self.cluster, situation, objects, force=force)
        pruned = to_prune(situation, objects)
        # An autoscaler that goes would change the number of servers that the Deployment gets meanwhile.
        early = [thing for thing in pruned if thing["kind"] == "HorizontalPodAutoscaler"]
        late = [thing for thing in pruned if thing not in early]
        steps: tuple[Step, ...] = (
            *map(_delete, early),
            *(Apply(each, fewest(objects)) for each in objects),
            Await(deployment_name(situation.name, "stable")),
            *map(_delete, late),
        )
        changes = [
            *(Change("delete", what(each)) for each in early),
            *changes,
            *(Change("delete", what(each)) for each in late),
        ]
        is_settled = situation.current is not None and situation.current.result == "complete" and not given_up
        return self._plan(situation, objects, release, changes, steps, force, given_up, is_settled=is_settled)

    def _trial(
        self,
        situation: Situation,
        objects: Sequence[Object],
        trial: Sequence[Object],
        stable: Sequence[Object],
        release: _Release,
        *,
        force: bool,
        given_up: tuple[Entry, ...],
        notes: tuple[str, ...],
    ) -> KubernetesPlan:
        """Plans a canary: what grows comes before what shrinks, so that there are never too few servers."""
        current = situation.require()
        refuse_foreign(self.cluster, situation, trial)
        grow: tuple[Step, ...] = (*map(Apply, trial), Await(deployment_name(situation.name, "canary")))
        stable_grows = bool(stable) and stable[0]["spec"]["replicas"] > situation.replicas("stable")
        size: tuple[Step, ...] = ()
        if stable:
            size = (*map(Apply, stable), Await(deployment_name(situation.name, "stable"), is_told=stable_grows))
        order = (*stable, *trial) if stable_grows else (*trial, *stable)
        changes = try_out(self.cluster, situation, order, force=force)
        late = to_prune(situation, [*current.objects, *trial])
        changes += [Change("delete", what(each)) for each in late]
        steps = (*(size + grow if stable_grows else grow + size), *map(_delete, late))
        is_settled = situation.canary is not None and situation.canary.result == "complete" and not given_up
        plan = self._plan(situation, objects, release, changes, steps, force, given_up, is_settled=is_settled)
        return replace(plan, notes=notes)

    def _plan(
        self,
        situation: Situation,
        objects: Sequence[Object],
        release: _Release,
        changes: Sequence[Change],
        steps: tuple[Step, ...],
        force: bool,
        given_up: tuple[Entry, ...],
        *,
        is_settled: bool,
    ) -> KubernetesPlan:
        """Puts a plan together; one that would change nothing makes no release."""
        name = situation.name
        if is_settled and all(change.action == "keep" for change in changes):
            return KubernetesPlan(name, release.reason, 0, tuple(changes), former=situation.current)
        number = situation.number
        record = draft(
            name, number, objects, reason=release.reason, image=release.image, who=self.cluster.who(),
            when=situation.now, track=release.track, percent=release.percent,
        )  # fmt: skip
        try:
            self.cluster.create(record, dry_run=True)
        except AlreadyThere as error:
            raise begun_by_others(name, number) from error
        require_rights(self.cluster, steps)
        return KubernetesPlan(
            name,
            release.reason,
            number,
            (Change("create", f"ConfigMap {record_name(name, number)}"), *changes),
            steps=steps,
            record=record,
            former=situation.current,
            back=situation.good,
            force=force,
            given_up=given_up,
        )

    def _free(self, situation: Situation, *, override: bool) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
        """Gives the releases that this one puts an end to, and what to say of them.

        Raises:
            Contested: another is being rolled out, and nobody says that this one should win.
        """
        busy, stale = running(situation.entries, situation.now)
        if busy is None and stale is None:
            return (), ()
        entry = busy or stale
        assert entry is not None
        who = entry.record.who or "somebody"
        said = f"release {entry.number} of {situation.name} ({entry.record.reason})"
        since = f"{entry.record.when:%H:%M:%S} UTC"
        if busy is not None and not override:
            raise Contested(
                f"{said} is being rolled out by {who} since {since}",
                fix=f"wait until it is done; where it was broken off, --force goes on now, and without it one can from "
                f"{entry.given_up_at():%H:%M} UTC; shipway rollback {situation.name} puts an end to it",
            )
        verb = "is being rolled out" if busy else "was left unfinished"
        notes = (f"{said} {verb} by {who} since {since}: this puts an end to it",)
        return tuple(each for each in situation.entries if each.result == "running"), notes

    def on_autoscaler(self, objects: Iterable[Object]) -> tuple[str, ...]:
        """Says where an autoscaler among some objects cannot see any load."""
        missing = autoscaler_of(objects) is not None and not self.cluster.serves(METRICS_API)
        return (_NO_METRICS,) if missing else ()


def _beside_autoscaled(
    situation: Situation, objects: Sequence[Object], current: Entry, percent: int
) -> tuple[tuple[Object, ...], str]:
    """Gives a canary beside a stable version whose number of servers an autoscaler keeps, and says its share."""
    stable = max(1, situation.replicas("stable"))
    servers = share(percent, max(2, round(100 * stable / (100 - percent)))).canary
    real = 100 * servers / (servers + stable)
    return beside(objects, current.objects, servers), (
        f"an autoscaler keeps the stable version's servers, so the canary's {servers} come beside its {stable}: "
        f"{real:.3g} % now, and less when it adds more"
    )


def _on_size(situation: Situation, objects: Sequence[Object]) -> tuple[str, ...]:
    now = situation.replicas("stable") + situation.replicas("canary")
    if autoscaler_of(objects) is not None or replicas_of(objects) >= now:
        return ()
    return (f"{now} servers run now, {replicas_of(objects)} will",)


def _delete(thing: Object) -> Delete:
    return Delete(thing["kind"], thing["metadata"]["name"], str(thing["metadata"].get("uid", "")))


def _taken(key: tuple[str, str]) -> tuple[int, str]:
    return (_TAKEN_FIRST.index(key[0]) if key[0] in _TAKEN_FIRST else len(_TAKEN_FIRST), key[1])
