"""A target in memory, with time and callers of its own: releases go in, servers answer and count."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shipway.deploy.canary import share
from shipway.deploy.target import (
    Cause,
    Change,
    Instance,
    LogLine,
    Measure,
    Order,
    Outcome,
    Plan,
    Progress,
    Record,
    Status,
    Tell,
    Track,
)
from shipway.errors import Contested, ReleaseFailed, UnknownRelease, UsageError
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, math.inf)
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_KEPT = 10


def a_release(version: int = 1, name: str = "diabetes") -> Release:
    """Gives a release of a version, in an image whose tag is the version."""
    bundle = BundleId(name, version, "sha256:" + f"{version:064x}")
    return Release(name, bundle, f"registry.example/{name}:{version}", Contract())


@dataclass(frozen=True)
class Behaviour:
    """How the servers of one version behave.

    Attributes:
        errors: rate of calls that fail.
        seconds: median duration of a call; the durations are log-normal.
        golden_wrong: of 20 golden rows.
        ready: whether they ever become ready.
        crashes: how often each was started again by the time it is looked at.
        readable: whether their metrics can be read.
    """

    errors: float = 0.0
    seconds: float = 0.004
    golden_wrong: int = 0
    ready: bool = True
    crashes: int = 0
    readable: bool = True


@dataclass(frozen=True)
class _State:
    """All that is known under one name: a plan leads from one such value to another."""

    stable: int
    replicas: int
    canary: int = 0
    canary_replicas: int = 0
    records: tuple[Record, ...] = ()
    releases: Mapping[int, Release] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FakePlan(Plan):
    """Leads from the state `before` to the state `after`; None where there is no such release."""

    before: _State | None = None
    after: _State | None = None


class FakeTarget:
    """Fulfils `Target`. `sleep` and `clock` are its time; while it sleeps, callers call.

    Args:
        replicas: how many servers a new release has.
        calls: a second, by all callers.
        behaviours: how versions of bundles behave that are not well.
        seed: of the callers.

    Attributes:
        fails: what the next calls of a method raise, by its name; None lets one pass.
        done: reasons of the plans that were carried out.
    """

    def __init__(
        self,
        replicas: int = 4,
        *,
        calls: float = 50.0,
        behaviours: Mapping[int, Behaviour] | None = None,
        seed: int = 0,
    ) -> None:
        self.replicas = replicas
        self.calls = calls
        self.behaviours = dict(behaviours or {})
        self.now = 0.0
        self.fails: dict[str, list[BaseException | None]] = {}
        self.done: list[str] = []
        self._states: dict[str, _State] = {}
        self._counted: dict[tuple[str, int], Measure] = {}
        self._random = random.Random(seed)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self._fail("sleep")
        self.now += seconds
        for name, state in self._states.items():
            for _ in range(round(seconds * self.calls)):
                to_canary = self._random.random() * (state.replicas + state.canary_replicas) < state.canary_replicas
                self._answer(name, state, state.canary if to_canary else state.stable)

    def _answer(self, name: str, state: _State, number: int) -> None:
        behaviour = self._behaviour(state, number)
        counted = self._counted.get((name, number), Measure(0, 0, dict.fromkeys(_BOUNDS, 0)))
        seconds = behaviour.seconds * math.exp(0.5 * self._random.gauss(0, 1))
        self._counted[name, number] = replace(
            counted,
            requests=counted.requests + 1,
            errors=counted.errors + (self._random.random() < behaviour.errors),
            seconds={bound: count + (seconds <= bound) for bound, count in counted.seconds.items()},
        )

    def command(self, verb: str, name: str = "") -> str:
        return f"shipway {verb} {name} --on memory".replace("  ", " ")

    def plan(self, order: Order) -> Plan:
        self._fail("plan")
        name, release = order.release.name, order.release
        state = self._states.get(name)
        if order.canary is not None:
            return self._plan_canary(self._state(name), release, order.canary)
        number = _next(state)
        after = replace(state or _State(0, self.replicas), stable=number, canary=0, canary_replicas=0)
        if state:
            after = replace(after, replicas=state.replicas + state.canary_replicas)
        if state and not state.canary and state.releases[state.stable] == release:
            return FakePlan(name, "deploy", 0, (Change("keep", "servers"),), before=state, after=state)
        return self._new(state, after, release, number, "deploy")

    def _plan_canary(self, state: _State, release: Release, percent: int) -> Plan:
        name, reason = release.name, f"canary {percent} %"
        shared = share(percent, state.replicas + state.canary_replicas)
        after = replace(state, replicas=shared.stable, canary_replicas=shared.canary)
        if state.canary and state.releases[state.canary] == release:
            if after == state:
                return FakePlan(name, reason, 0, (Change("keep", "servers"),), before=state, after=state)
            return FakePlan(name, reason, state.canary, (Change("update", "servers"),), before=state, after=after)
        number = _next(state)
        return self._new(state, replace(after, canary=number), release, number, reason)

    def plan_rollback(self, name: str, to: int | None) -> Plan:
        self._fail("plan_rollback")
        state = self._state(name)
        if state.canary and to in (None, state.stable):
            after = replace(state, replicas=state.replicas + state.canary_replicas, canary=0, canary_replicas=0)
            change = (Change("delete", "canary"),)
            return FakePlan(name, f"rollback to {state.stable}", 0, change, before=state, after=after)
        earlier = [record.number for record in state.records if record.number < state.stable]
        good = [
            number
            for number in earlier
            if _record(state, number).result in ("complete", "replaced")
            and not _record(state, number).reason.startswith("canary")
            and state.releases[number] != state.releases[state.stable]
        ]
        goal = to if to is not None else max(good, default=0)
        if goal not in state.releases:
            raise UnknownRelease(f"{name} has no release {goal or 'before this one'}", fix=f"shipway status {name}")
        number, all_servers = _next(state), state.replicas + state.canary_replicas
        after = replace(state, stable=number, replicas=all_servers, canary=0, canary_replicas=0)
        return self._new(state, after, state.releases[goal], number, f"rollback to {goal}")

    def plan_promote(self, name: str) -> Plan:
        self._fail("plan_promote")
        state = self._state(name)
        if not state.canary:
            raise UnknownRelease(f"{name} has no canary", fix="shipway deploy --canary 25")
        number, all_servers = _next(state), state.replicas + state.canary_replicas
        after = replace(state, stable=number, replicas=all_servers, canary=0, canary_replicas=0)
        return self._new(state, after, state.releases[state.canary], number, f"promote {state.canary}")

    def plan_scale(self, name: str, replicas: int, most: int | None = None) -> Plan:
        self._fail("plan_scale")
        state = self._state(name)
        if most is not None:
            raise UsageError("this target has no autoscaler", fix=f"shipway scale {name} {replicas}")
        number = _next(state)
        after = replace(state, stable=number, replicas=replicas)
        return self._new(state, after, state.releases[state.stable], number, f"scale to {replicas}")

    def plan_undeploy(self, name: str) -> Plan:
        self._fail("plan_undeploy")
        return FakePlan(name, "undeploy", 0, (Change("delete", "servers"),), before=self._state(name))

    def carry_out(self, plan: Plan, tell: Tell, *, restore: bool = True) -> Outcome:
        assert isinstance(plan, FakePlan)
        self._fail("carry_out")
        if self._states.get(plan.name) != plan.before:
            raise Contested(f"{plan.name} has changed since the plan was made", fix="the same command again")
        self.done.append(plan.reason)
        if plan.after is None:
            del self._states[plan.name]
            return Outcome(plan.name, 0)
        new = _is_new(plan)
        release = plan.after.releases[plan.number] if new else None
        if release and not self.behaviours.get(release.bundle.version, Behaviour()).ready:
            self._give_up(plan, tell, restore=restore)
        self._states[plan.name] = plan.after
        status = self.status(plan.name)
        tell(status.progress)
        return Outcome(plan.name, plan.number, address=f"http://{plan.name}", seconds=0.0)

    def _give_up(self, plan: FakePlan, tell: Tell, *, restore: bool) -> None:
        assert plan.after is not None
        cause = Cause("crash", "its servers crash", "exit code 1", "look at its log")
        tell(Progress(plan.after.replicas, 1, 0, plan.before.replicas if plan.before else 0, cause=cause, failed=True))
        earlier = plan.before.records if restore and plan.before else plan.after.records[:-1]
        records = (*earlier, replace(plan.after.records[-1], result="failed"))
        kept = plan.before if restore and plan.before else plan.after
        self._states[plan.name] = replace(kept, records=records, releases=plan.after.releases)
        what = f"release {plan.before.stable} serves on" if restore and plan.before else "nothing serves"
        raise ReleaseFailed(f"{cause.what}: {cause.why}; {what}", fix=cause.fix)

    def names(self) -> tuple[str, ...]:
        self._fail("names")
        return tuple(sorted(self._states))

    def status(self, name: str) -> Status:
        self._fail("status")
        state = self._state(name)
        servers = state.replicas + state.canary_replicas
        return Status(
            name,
            "in memory",
            _record(state, state.stable),
            _record(state, state.canary) if state.canary else None,
            100 * state.canary_replicas / servers if servers else 0.0,
            Progress(state.replicas, state.replicas, state.replicas, 0, self._instances(state), done=True),
            f"http://{name}",
        )

    def _instances(self, state: _State) -> tuple[Instance, ...]:
        counts: tuple[tuple[Track, int, int], ...] = (
            ("stable", state.stable, state.replicas),
            ("canary", state.canary, state.canary_replicas),
        )
        return tuple(
            Instance(f"{track}-{index}", track, True, "ready", self._behaviour(state, number).crashes)
            for track, number, count in counts
            for index in range(count)
        )

    def history(self, name: str) -> tuple[Record, ...]:
        self._fail("history")
        return self._state(name).records

    def logs(self, name: str, *, follow: bool, tail: int) -> Iterator[LogLine]:
        self._fail("logs")
        for instance in self._instances(self._state(name)):
            yield from [LogLine(instance.name, "serving", _BEGIN.isoformat())][:tail]

    def measure(self, name: str) -> Mapping[Track, Measure]:
        self._fail("measure")
        state = self._state(name)
        measures: dict[Track, Measure] = {"stable": self._measure(name, state, state.stable, state.replicas)}
        if state.canary:
            measures["canary"] = self._measure(name, state, state.canary, state.canary_replicas)
        return measures

    def _measure(self, name: str, state: _State, number: int, servers: int) -> Measure:
        behaviour = self._behaviour(state, number)
        if not behaviour.readable:
            return Measure(0, 0)
        counted = self._counted.get((name, number), Measure(0, 0))
        wrong = behaviour.golden_wrong * servers
        return replace(counted, golden=20 * servers, golden_wrong=wrong, instances=servers)

    def _behaviour(self, state: _State, number: int) -> Behaviour:
        return self.behaviours.get(state.releases[number].bundle.version, Behaviour())

    def _state(self, name: str) -> _State:
        if name not in self._states:
            raise UnknownRelease(f"there is no release {name}", fix="shipway status")
        return self._states[name]

    def _new(self, state: _State | None, after: _State, release: Release, number: int, reason: str) -> Plan:
        """Gives a plan that makes a release."""
        when = _BEGIN + timedelta(seconds=self.now)
        record = Record(number, str(release.bundle), release.image, "me", when, reason, "complete")
        before: tuple[Record, ...] = state.records if state else ()
        if not reason.startswith("canary"):
            before = tuple(replace(one, result="replaced") if one.result == "complete" else one for one in before)
        kept = {record.number for record in (*before, record)[-_KEPT:]} | {after.stable, after.canary}
        records = tuple(one for one in (*before, record) if one.number in kept)
        releases = {one.number: (state.releases if state else {}).get(one.number, release) for one in records}
        change = Change("update" if state else "create", "servers", f"-{state and state.stable}\n+{number}\n")
        after = replace(after, records=records, releases=releases)
        return FakePlan(release.name, reason, number, (change,), before=state, after=after)

    def _fail(self, method: str) -> None:
        waiting = self.fails.get(method)
        error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error


def _next(state: _State | None) -> int:
    return state.records[-1].number + 1 if state else 1


def _record(state: _State, number: int) -> Record:
    return next(record for record in state.records if record.number == number)


def _is_new(plan: FakePlan) -> bool:
    known = plan.before.releases if plan.before else {}
    return plan.after is not None and plan.number in plan.after.releases and plan.number not in known


def silent(_: Any) -> None:
    """Tells nobody."""
