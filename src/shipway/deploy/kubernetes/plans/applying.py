"""Carries plans out: records, applies, watches, prunes; and brings back what was before where a release fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from shipway.deploy.kubernetes.api.cluster import AlreadyThere, Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS, Object, kind_of
from shipway.deploy.kubernetes.health.address import address_of, node_port
from shipway.deploy.kubernetes.health.following import follow, follow_end
from shipway.deploy.kubernetes.plans.history import RESULT_ANNOTATION, Entry, read_all, to_forget
from shipway.deploy.kubernetes.plans.ownership import REPLICAS_MANAGER, hand_over
from shipway.deploy.kubernetes.plans.planning import Planner
from shipway.deploy.kubernetes.plans.steps import Apply, Await, AwaitEnd, Delete, KubernetesPlan, Step
from shipway.deploy.kubernetes.plans.trying import begun_by_others, refuse_other
from shipway.deploy.target import Cause, Outcome, Progress, Result, Tell
from shipway.errors import Contested, Interrupted, ReleaseFailed, ShipwayError

__all__ = ["Carrier", "Superseded"]

_END_SECONDS = 120.0
_UNKNOWN = Cause("unknown", "it did not become ready", "the cluster does not say why", "shipway status shows its pods")


class Superseded(Contested):
    """Somebody else has put an end to the release that is being carried out."""


class _Failed(Exception):
    """A roll-out failed."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress


@dataclass
class _Run:
    """One plan on its way.

    Attributes:
        plan: what is done.
        tell: told of it.
        is_recorded: whether its record has been made.
        is_begun: whether anything else may have been changed.
        last: how far the roll-out was when it was last heard of.
        notes: for the outcome.
    """

    plan: KubernetesPlan
    tell: Tell
    is_recorded: bool = False
    is_begun: bool = False
    last: Progress | None = None
    notes: list[str] = field(default_factory=list)

    def hear(self, progress: Progress) -> None:
        """Passes progress on, and keeps it."""
        self.last = progress
        self.tell(progress)


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries plans out on a cluster.

    Attributes:
        cluster: which.
        planner: makes the plans for what follows when one fails.
        clock: gives seconds.
    """

    cluster: Cluster
    planner: Planner
    clock: Callable[[], float] = time.monotonic

    def carry_out(self, plan: KubernetesPlan, tell: Tell, *, restore: bool) -> Outcome:
        """Does what a plan says; see `Target.carry_out`."""
        begin = self.clock()
        if plan.is_empty:
            number = plan.former.number if plan.former else 0
            return self._outcome(plan, number, begin, ["everything is so already: nothing was done"])
        run = _Run(plan, tell)
        try:
            self._begin(run)
            try:
                for step in plan.steps:
                    self._take(run, step)
            except _Failed as failed:
                raise self._fail(run, failed.progress, restore=restore) from None
            self._finish(plan)
        except KeyboardInterrupt as error:
            raise self._interrupted(run) from error
        except (Interrupted, ReleaseFailed):
            raise
        except ShipwayError as error:
            self._add_state(run, error)
            raise
        return self._outcome(plan, plan.number, begin, run.notes)

    def _begin(self, run: _Run) -> None:
        """Makes the record, by which the release is ours to carry out and nobody else's."""
        plan = run.plan
        if plan.record is not None:
            try:
                run.is_recorded = True  # as soon as it is asked for, it may be there
                self.cluster.create(plan.record)
            except AlreadyThere as error:
                run.is_recorded = False
                raise begun_by_others(plan.name, plan.number) from error
            except ShipwayError:
                run.is_recorded = self._is_there(plan.record)
                raise
        for entry in plan.given_up:
            self._mark(entry.name, "interrupted")
        run.is_begun = True

    def _is_there(self, record: Object) -> bool:
        """Whether a record was made after all, though the answer that says so was lost."""
        with suppress(ShipwayError):
            live = self.cluster.get(KINDS["ConfigMap"], record["metadata"]["name"])
            return live is not None and live.get("data") == record["data"]
        return False

    def _take(self, run: _Run, step: Step) -> None:
        plan = run.plan
        match step:
            case Apply():
                self._apply(plan, step)
            case Await():
                tell = run.hear if step.is_told else _quietly
                progress = follow(
                    self.cluster, plan.name, step.deployment, tell, lambda: self._check(plan), clock=self.clock
                )
                if not progress.done:
                    raise _Failed(progress)
                self._check(plan)  # what is done may be what somebody else has begun
            case AwaitEnd():
                left = follow_end(self.cluster, plan.name, run.hear, seconds=_END_SECONDS, clock=self.clock)
                if left:
                    run.notes.append(f"{left} servers had not ended after {_END_SECONDS:.0f} s: the cluster ends them")
            case Delete():
                self.cluster.delete(KINDS[step.kind], step.name, uid=step.uid)

    def _apply(self, plan: KubernetesPlan, step: Apply) -> None:
        wanted = step.object
        kind, name = kind_of(wanted), wanted["metadata"]["name"]
        live = self.cluster.get(kind, name)
        if live is not None:
            refuse_other(live, plan.name)
            if kind.kind == "Deployment":
                self._hand_over(wanted, live, step.at_least)
        self.cluster.apply(wanted, force=plan.force)
        if live is None and kind.kind == "Deployment" and step.at_least:
            self._hold(wanted, step.at_least)

    def _hand_over(self, wanted: Object, live: Object, at_least: int) -> None:
        """Lets the number of servers change hands without a moment in which it is another one."""
        change = hand_over(wanted, live, at_least)
        if change.hold is not None:
            self._hold(wanted, change.hold)
        if change.scale is not None:
            self.cluster.scale(KINDS["Deployment"], wanted["metadata"]["name"], change.scale)

    def _hold(self, deployment: Object, replicas: int) -> None:
        held = {
            "apiVersion": deployment["apiVersion"],
            "kind": deployment["kind"],
            "metadata": {"name": deployment["metadata"]["name"]},
            "spec": {"replicas": replicas},
        }
        # What is forced here is our own: it is asked only where nobody else owns the number.
        self.cluster.apply(held, manager=REPLICAS_MANAGER, force=True)

    def _check(self, plan: KubernetesPlan) -> str:
        """Checks that nobody has put an end to this release in the meantime.

        Returns:
            The version of its record.

        Raises:
            Contested: somebody has.
        """
        if plan.record is None:
            return ""
        live = self.cluster.get(KINDS["ConfigMap"], plan.record["metadata"]["name"])
        entry = next(iter(read_all(plan.name, [live])), None) if live else None
        if live is None or entry is None or entry.result != "running":
            raise Superseded(
                f"somebody else has put an end to release {plan.number} of {plan.name} in the meantime",
                fix=f"shipway status {plan.name} says what runs",
            )
        return str(live["metadata"]["resourceVersion"])

    def _finish(self, plan: KubernetesPlan) -> None:
        """Marks the release as complete and those before it as replaced, and forgets the oldest."""
        if plan.record is None:
            return
        self._mark(plan.record["metadata"]["name"], "complete", self._check(plan))
        entries = self._entries(plan.name)
        this = next((entry for entry in entries if entry.number == plan.number), None)
        for entry in entries:
            is_over = this is not None and (this.track == "stable" or entry.track == "canary")
            if entry.number != plan.number and is_over and _is_in_force(entry):
                self._mark(entry.name, "replaced")
        # What is left over is forgotten by the next release: it is no reason to fail this one.
        with suppress(ShipwayError):
            for entry in to_forget(self._entries(plan.name)):
                self.cluster.delete(KINDS["ConfigMap"], entry.name, uid=entry.uid)

    def _entries(self, name: str) -> tuple[Entry, ...]:
        return self.planner.read(name).entries

    def _mark(self, record: str, result: Result, version: str = "") -> None:
        metadata: Object = {"annotations": {RESULT_ANNOTATION: result}}
        if version:
            metadata["resourceVersion"] = version
        self.cluster.merge(KINDS["ConfigMap"], record, {"metadata": metadata})

    def _try_to_mark(self, run: _Run, result: Result) -> None:
        if run.plan.record is not None and run.is_recorded:
            with suppress(ShipwayError):
                self._mark(run.plan.record["metadata"]["name"], result)

    def _fail(self, run: _Run, progress: Progress, *, restore: bool) -> ReleaseFailed:
        """Gives the error of a release that failed, after what was before has been brought back."""
        plan, cause = run.plan, progress.cause or _UNKNOWN
        self._try_to_mark(run, "failed")
        if not restore:
            former = f"those of release {plan.back.number} go on serving" if plan.back else "nothing serves"
            serves = f"the servers of release {plan.number} are left as they are, and {former}"
        else:
            serves = self._bring_back(run)
        return ReleaseFailed(f"{cause.what}: {cause.why}; {serves}", fix=cause.fix)

    def _bring_back(self, run: _Run) -> str:
        """Brings back what was before a release that failed; says what serves now."""
        plan = run.plan
        try:
            if plan.record is not None and plan.record["data"]["track"] == "canary":
                self._take_all(run, self.planner.ending(self.planner.read(plan.name)))
                return f"the canary was ended, and release {plan.former.number if plan.former else '?'} serves alone"
            if plan.back is None:
                self._take_all(run, self.planner.clearing(self.planner.read(plan.name)))
                return f"there was none before it to bring back, so nothing of {plan.name} runs now"
            again = self.planner.restore(plan.name, plan.back)
            self.carry_out(again, run.tell, restore=False)
        except (Interrupted, ReleaseFailed):
            raise
        except (ShipwayError, _Failed) as error:
            why = error.message if isinstance(error, ShipwayError) else (error.progress.cause or _UNKNOWN).what
            return f"bringing back what was before failed too: {why}"
        return f"release {plan.back.number} was brought back and serves"

    def _take_all(self, run: _Run, steps: tuple[Step, ...]) -> None:
        # The record of what failed says so already: nobody need put an end to it.
        cleaning = replace(run, plan=replace(run.plan, record=None, force=True))
        for step in steps:
            self._take(cleaning, step)

    def _interrupted(self, run: _Run) -> Interrupted:
        """Gives the error of a plan that was broken off: what state it left, and how to go on."""
        plan = run.plan
        self._try_to_mark(run, "interrupted")
        if not run.is_begun:
            return Interrupted(f"{plan.reason} of {plan.name} was broken off before anything was changed")
        if plan.record is None:
            return Interrupted(
                f"{plan.reason} of {plan.name} was broken off: part of it may be left",
                fix=f"shipway {plan.reason.split()[0]} {plan.name} again",
            )
        state = "the cluster goes on by itself"
        if run.last is not None:
            state = (
                f"{run.last.ready} of {run.last.wanted} new servers are ready, {run.last.old} of the old run; {state}"
            )
        verb = plan.reason.split()[0]
        back = f"shipway rollback {plan.name} goes back" if plan.back else f"shipway undeploy {plan.name} ends it"
        return Interrupted(
            f"release {plan.number} of {plan.name} ({plan.reason}) was broken off: {state}",
            fix=f"shipway {'deploy' if verb == 'canary' else verb} again finishes it, {back}",
        )

    def _add_state(self, run: _Run, error: ShipwayError) -> None:
        """Adds to an error what it left."""
        if not run.is_begun:
            self._try_to_mark(run, "failed")
            return
        if isinstance(error, Superseded):
            return
        self._try_to_mark(run, "interrupted")
        made = f"release {run.plan.number}" if run.plan.number else run.plan.reason
        again = f"shipway status {run.plan.name} shows what there is; the same command goes on"
        error.message = f"{error.message}; {made} of {run.plan.name} is unfinished"
        error.fix = f"{error.fix}; {again}" if error.fix else again

    def _outcome(self, plan: KubernetesPlan, number: int, begin: float, notes: list[str]) -> Outcome:
        address = ""
        with suppress(ShipwayError):
            objects = self.planner.read(plan.name).objects.values()
            address = address_of(plan.name, self.cluster.namespace, objects)
            notes = [*notes, *node_port(objects)]
        return Outcome(plan.name, number, address, self.clock() - begin, tuple(notes))


def _is_in_force(entry: Entry) -> bool:
    return entry.result == "complete" or (entry.track == "canary" and entry.result in {"interrupted", "running"})


def _quietly(progress: Progress) -> None:
    del progress
