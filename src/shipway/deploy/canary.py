"""Two versions side by side: what share the new one gets, and step by step on as long as it is no worse.

There is no mesh: a share is a number of servers behind one address.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from shipway.deploy.measure import subtract
from shipway.deploy.target import Measure, Order, Outcome, Plan, Status, Target, Tell, Track
from shipway.deploy.verdict import Verdict, judge
from shipway.errors import Contested, Interrupted, ReleaseFailed, ShipwayError, TargetError, UsageError

__all__ = ["Share", "read_steps", "share", "walk"]


@dataclass(frozen=True, slots=True)
class Share:
    """How servers are shared between two versions.

    Attributes:
        asked: the percent that the canary should have.
        canary: how many servers run it.
        stable: how many run the stable version.
        real: percent of the servers that the canary has.
        exact: the fewest servers of which `asked` percent is a whole number.
    """

    asked: int
    canary: int
    stable: int
    real: float
    exact: int

    @property
    def is_exact(self) -> bool:
        """Whether the canary has just what was asked."""
        return self.canary * 100 == self.asked * (self.canary + self.stable)

    def sentence(self, servers: str = "pods") -> str:
        """Says it to a person, who calls the servers `servers`."""
        total = self.canary + self.stable
        if self.is_exact:
            return f"{self.asked} % is {self.canary} of {total} {servers}"
        return (
            f"{self.asked} % of {total} {servers} is not to be had: {self.real:.3g} % is ({self.canary} of {total}); "
            f"--replicas {self.exact} gives {self.asked} %"
        )


def share(percent: int, replicas: int) -> Share:
    """Shares `replicas` servers, so that the canary has as near to `percent` as whole servers allow.

    Each version keeps one at least. Between two that are equally near, the canary gets the smaller.

    Raises:
        UsageError: no percent between 0 and 100, or fewer than two servers.
    """
    _check_percent(percent)
    exact = 100 // math.gcd(percent, 100)
    if replicas < 2:
        raise UsageError(
            f"a canary of {percent} % needs two servers at least, one of each version, and there shall be {replicas}",
            fix=f"--replicas {exact}",
        )
    nearest = -((100 - 2 * percent * replicas) // 200)
    canary = min(max(nearest, 1), replicas - 1)
    return Share(percent, canary, replicas - canary, 100 * canary / replicas, exact)


def _check_percent(percent: int) -> None:
    if not 0 < percent < 100:
        raise UsageError(
            f"a canary cannot have {percent} % of the servers", fix="give a whole percent from 1 to 99, --canary 25"
        )


def read_steps(text: str) -> tuple[int, ...]:
    """Reads `25,50,100`: percents that grow, of which only the last may be 100.

    Raises:
        UsageError: it is not that.
    """
    fix = "give percents that grow, --steps 25,50,100"
    try:
        steps = tuple(int(step) for step in text.split(","))
    except ValueError as error:
        raise UsageError(f"the steps of a canary cannot be {text!r}", fix=fix) from error
    if steps != tuple(sorted({step for step in steps if 0 < step <= 100})) or steps == (100,):
        raise UsageError(f"the steps of a canary cannot be {text!r}", fix=fix)
    return steps


def walk(
    target: Target,
    order: Order,
    steps: Sequence[int],
    *,
    seconds: float,
    every: float = 10.0,
    tell: Tell,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Gives the new version a larger share step by step, as long as it is no worse than the old one.

    After each step below 100 it is watched. Where a look finds it bad for good, or the last look of a step bad at all,
    it is taken back. A look that cannot be had is passed over, but for the last of a step. Where the steps do not end
    with 100, the canary stays at the last.

    Args:
        target: where it runs.
        order: what to release; its own `canary` is not looked at.
        steps: percents, as `read_steps` gives them.
        seconds: how long each step is watched.
        every: seconds from look to look.
        tell: told of each roll-out's progress.
        say: told in sentences of each step and each look.
        sleep: waits so many seconds.
        clock: tells the time in seconds.

    Returns:
        What the last step came to.

    Raises:
        UsageError: no such steps, or the target cannot run it.
        ReleaseFailed: a step did not become healthy (the target has restored what was before), or the canary was worse
            and was taken back; with the figures of both.
        Contested: somebody else has ended or replaced the canary.
        Interrupted: Ctrl-C; the canary still runs, and the fix says how to go on.
        TargetError: the target cannot be asked; says where a canary still runs.
    """
    given = read_steps(",".join(map(str, steps)))
    begin, outcome = clock(), Outcome(order.release.name, 0)
    walking = _Walk(target, order, tell, say, sleep, clock)
    try:
        for step in given:
            outcome = walking.go(step)
            if step < 100:
                walking.watch(seconds, every)
    except KeyboardInterrupt as error:
        raise walking.interrupted() from error
    notes = () if given[-1] == 100 else (f"the canary stays at {given[-1]} %; {walking.how_to_go_on}",)
    return replace(outcome, seconds=clock() - begin, notes=(*outcome.notes, *notes))


class _Walk:
    """One canary on its way.

    Attributes:
        percent: the step that it is at, or on its way to; 0 before the first.
    """

    def __init__(
        self,
        target: Target,
        order: Order,
        tell: Tell,
        say: Callable[[str], None],
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self._target = target
        self._order = order
        self._tell = tell
        self._say = say
        self._sleep = sleep
        self._clock = clock
        self._name = order.release.name
        self._number = 0
        self._crashes = 0
        self.percent = 0

    @property
    def how_to_go_on(self) -> str:
        """What someone may do with a canary that runs."""
        promote, rollback = (self._target.command(verb, self._name) for verb in ("promote", "rollback"))
        return f"{promote} lets it replace the stable version, {rollback} ends it"

    def interrupted(self) -> Interrupted:
        """Gives what Ctrl-C comes to."""
        if not self.percent:
            return Interrupted("broken off before anything was changed", fix="the same command again")
        return Interrupted(f"broken off: {self._still_runs()}", fix=self.how_to_go_on)

    def _still_runs(self) -> str:
        return f"the canary of {self._name} still runs beside the stable version, at the step of {self.percent} %"

    def go(self, percent: int) -> Outcome:
        """Goes to a step, and waits until it is healthy."""
        if self.percent:
            self._own_canary()
        if percent == 100:
            return self._carry_out(self._target.plan_promote(self._name))
        plan = self._target.plan(replace(self._order, canary=percent))
        self.percent = percent
        outcome = self._carry_out(plan)
        status = self._target.status(self._name)
        self._number, self._crashes = status.canary.number if status.canary else 0, _crashes(status)
        return outcome

    def _carry_out(self, plan: Plan) -> Outcome:
        self._say(plan.reason)
        if self._number:  # the first step's notes are those of the plan that the person has agreed to
            for note in plan.notes:
                self._say(note)
        if plan.is_empty:
            return Outcome(self._name, plan.number)
        return self._target.carry_out(plan, self._tell)

    def watch(self, seconds: float, every: float) -> None:
        """Looks on for a while; takes the canary back where it is bad."""
        try:
            verdict = self._verdict(seconds, every)
        except Contested:
            raise
        except TargetError as error:
            raise TargetError(f"{error.message}; {self._still_runs()}", fix=self.how_to_go_on) from error
        if not verdict.good:
            self._take_back(verdict)

    def _verdict(self, seconds: float, every: float) -> Verdict:
        """Gives the first bad verdict that is final, else the last one."""
        end = self._clock() + seconds
        before = self._target.measure(self._name)
        while True:
            self._sleep(max(0.0, min(every, end - self._clock())))
            is_last = self._clock() >= end
            try:
                verdict = self._look(before)
            except Contested:
                raise
            except TargetError as error:
                if is_last:
                    raise
                self._say(f"{self.percent} %: {error.message}")
                continue
            self._say(f"{self.percent} %: {verdict.reason}")
            if is_last or verdict.final:
                return verdict

    def _look(self, before: Mapping[Track, Measure]) -> Verdict:
        status = self._own_canary()
        crashes = _crashes(status) - self._crashes
        if crashes > 0:
            return Verdict(False, f"servers of the canary crashed {crashes} times", enough=False, final=True)
        now = self._target.measure(self._name)
        return judge(_since(before, now, "stable"), _since(before, now, "canary"))

    def _own_canary(self) -> Status:
        """Gives how the release is, if the canary that runs is still ours: nobody else's is promoted or ended."""
        status = self._target.status(self._name)
        if status.canary is None or status.canary.number != self._number:
            done = "replaced" if status.canary else "ended"
            raise Contested(
                f"somebody else has {done} the canary of {self._name}",
                fix=f"{self._target.command('status', self._name)} says what runs",
            )
        return status

    def _take_back(self, verdict: Verdict) -> NoReturn:
        bad = f"at the step of {self.percent} %: {verdict.reason}"
        self._own_canary()
        try:
            self._carry_out(self._target.plan_rollback(self._name, None))
        except ShipwayError as error:
            raise ReleaseFailed(
                f"{bad}; taking it back failed too: {error.message}", fix=self._target.command("rollback", self._name)
            ) from error
        raise ReleaseFailed(
            f"{bad}; it was taken back, and the stable version serves alone",
            fix=f"mend its cause and deploy it again; {self._target.command('status', self._name)} says what runs",
        )


def _since(before: Mapping[Track, Measure], now: Mapping[Track, Measure], track: Track) -> Measure:
    none = Measure(0, 0)
    return subtract(now.get(track, none), before.get(track, none))


def _crashes(status: Status) -> int:
    return sum(instance.restarts for instance in status.progress.instances if instance.track == "canary")
