"""Shares of a canary, and its way step by step, on a target in memory with time and callers of its own."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.target import Behaviour, FakeTarget, a_release, silent
from shipway.deploy.canary import read_steps, share, walk
from shipway.deploy.target import Order, Outcome, Plan
from shipway.errors import Contested, Interrupted, ReleaseFailed, TargetError, UnknownRelease, UsageError

PERCENTS = st.integers(1, 99)
REPLICAS = st.integers(2, 500)


@given(PERCENTS, REPLICAS)
def test_shares_sum_up_and_each_version_has_a_server(percent: int, replicas: int) -> None:
    shared = share(percent, replicas)
    assert shared.canary + shared.stable == replicas
    assert min(shared.canary, shared.stable) >= 1
    assert shared.real == 100 * shared.canary / replicas


@given(PERCENTS, REPLICAS)
def test_no_other_number_of_servers_is_nearer(percent: int, replicas: int) -> None:
    wanted = Fraction(percent * replicas, 100)
    nearest = min(range(1, replicas), key=lambda canary: (abs(canary - wanted), canary))
    assert share(percent, replicas).canary == nearest


@given(PERCENTS, PERCENTS, REPLICAS)
def test_a_larger_percent_never_gets_fewer(one: int, other: int, replicas: int) -> None:
    lower, upper = sorted((one, other))
    assert share(lower, replicas).canary <= share(upper, replicas).canary


@given(PERCENTS)
def test_the_fewest_servers_of_which_it_is_exact_are_the_fewest(percent: int) -> None:
    exact = share(percent, 2).exact
    assert share(percent, exact).is_exact
    assert not any(share(percent, fewer).is_exact for fewer in range(2, exact))


def test_what_is_not_to_be_had_is_said() -> None:
    expected = "10 % of 3 pods is not to be had: 33.3 % is (1 of 3); --replicas 10 gives 10 %"
    assert share(10, 3).sentence() == expected
    assert share(25, 4).sentence("containers") == "25 % is 1 of 4 containers"


@pytest.mark.parametrize(("percent", "replicas"), [(0, 4), (100, 4), (-1, 4), (25, 1), (25, 0)])
def test_what_cannot_be_shared_is_refused_with_what_can(percent: int, replicas: int) -> None:
    with pytest.raises(UsageError) as refused:
        share(percent, replicas)
    assert refused.value.fix


@pytest.mark.parametrize("text", ["", "x", "50,25", "25,25", "0,50", "25,101", "100", "25,,50", "25.5"])
def test_steps_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_steps(text)


def test_steps_are_read() -> None:
    assert read_steps("25, 50,100") == (25, 50, 100)
    assert read_steps("5") == (5,)


def stepping(
    target: FakeTarget, steps: tuple[int, ...] = (25, 50, 100), said: list[str] | None = None, version: int = 2
) -> Outcome:
    lines = said if said is not None else []
    order = Order(a_release(version))
    return walk(
        target,
        order,
        steps,
        seconds=60,
        every=10,
        tell=silent,
        say=lines.append,
        sleep=target.sleep,
        clock=target.clock,
    )


def with_a_release(**arguments: object) -> FakeTarget:
    target = FakeTarget(**arguments)  # type: ignore[arg-type]
    target.carry_out(target.plan(Order(a_release(1))), silent)
    target.done.clear()
    return target


def serves(target: FakeTarget) -> str:
    return target.status("diabetes").current.image.rpartition(":")[2]


def test_a_good_canary_goes_all_the_way() -> None:
    target, said = with_a_release(), list[str]()
    outcome = stepping(target, said=said)
    assert target.done == ["canary 25 %", "canary 50 %", "promote 2"]
    assert serves(target) == "2"
    assert target.status("diabetes").canary is None
    assert outcome.seconds == 120
    assert sum("no worse" in line for line in said) > 6


def test_steps_that_do_not_end_with_100_leave_the_canary_and_say_so() -> None:
    target = with_a_release()
    outcome = stepping(target, (25, 50))
    assert target.status("diabetes").share == 50
    assert serves(target) == "1"
    assert "shipway promote diabetes --on memory" in outcome.notes[-1]


class Noting(FakeTarget):
    """Says of each canary what share it is."""

    def plan(self, order: Order) -> Plan:
        return replace(super().plan(order), notes=(f"about {order.canary} %",))


def test_a_note_is_said_once_and_that_of_the_first_step_by_who_has_shown_its_plan() -> None:
    target, said = Noting(replicas=4), list[str]()
    target.carry_out(target.plan(Order(a_release(1))), silent)
    stepping(target, said=said)
    assert [line for line in said if "about" in line] == ["about 50 %"]


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        (Behaviour(errors=0.2), "fail more often"),
        (Behaviour(seconds=0.04), "slower"),
        (Behaviour(golden_wrong=1), "golden rows of the canary are wrong"),
        (Behaviour(readable=False), "could be read"),
    ],
    ids=lambda value: "" if isinstance(value, Behaviour) else value,
)
def test_a_bad_canary_is_taken_back(behaviour: Behaviour, word: str) -> None:
    target = with_a_release(behaviours={2: behaviour})
    with pytest.raises(ReleaseFailed, match=word) as failed:
        stepping(target)
    assert "at the step of 25 %" in failed.value.message
    assert "shipway status diabetes --on memory" in failed.value.fix
    assert "the stable version serves alone" in failed.value.message
    assert serves(target) == "1"
    assert target.status("diabetes").canary is None
    assert target.status("diabetes").progress.wanted == 4


def test_a_canary_that_crashes_is_taken_back() -> None:
    target = with_a_release()
    sleep = target.sleep

    def crash(seconds: float) -> None:
        target.behaviours[2] = Behaviour(crashes=1)
        sleep(seconds)

    target.sleep = crash  # type: ignore[method-assign]
    with pytest.raises(ReleaseFailed, match="crashed"):
        stepping(target)
    assert serves(target) == "1"


def test_what_turns_bad_late_is_taken_back_from_there() -> None:
    target = with_a_release()
    sleep = target.sleep

    def turn(seconds: float) -> None:
        if target.status("diabetes").share == 50:
            target.behaviours[2] = Behaviour(errors=0.5)
        sleep(seconds)

    target.sleep = turn  # type: ignore[method-assign]
    with pytest.raises(ReleaseFailed, match="at the step of 50 %") as failed:
        stepping(target)
    assert "canary: " in failed.value.message
    assert "stable: " in failed.value.message
    assert target.done == ["canary 25 %", "canary 50 %", "rollback to 1"]


def test_without_callers_golden_rows_decide_and_it_is_said() -> None:
    target, said = with_a_release(calls=0), list[str]()
    stepping(target, said=said)
    assert serves(target) == "2"
    assert any("golden rows alone" in line for line in said)


def test_a_canary_that_does_not_become_ready_is_the_targets_to_restore() -> None:
    target = with_a_release(behaviours={2: Behaviour(ready=False)})
    with pytest.raises(ReleaseFailed, match="crash"):
        stepping(target)
    assert serves(target) == "1"
    assert target.history("diabetes")[-1].result == "failed"


def test_ctrl_c_leaves_the_canary_and_says_how_to_go_on() -> None:
    target = with_a_release()
    target.fails["sleep"] = [None, KeyboardInterrupt()]
    with pytest.raises(Interrupted, match=r"still runs .* at the step of 25 %") as broken:
        stepping(target)
    assert "shipway promote diabetes --on memory" in broken.value.fix
    assert "shipway rollback diabetes --on memory" in broken.value.fix
    assert target.status("diabetes").share == 25


def test_ctrl_c_before_the_first_step_says_that_nothing_was_changed() -> None:
    target = with_a_release()
    target.fails["plan"] = [KeyboardInterrupt()]
    with pytest.raises(Interrupted, match="before anything was changed"):
        stepping(target)


def test_a_look_that_cannot_be_had_is_passed_over() -> None:
    target, said = with_a_release(), list[str]()
    target.fails["measure"] = [None, TargetError("no answer"), TargetError("no answer")]
    stepping(target, said=said)
    assert serves(target) == "2"
    assert sum("no answer" in line for line in said) == 2


def test_where_no_look_can_be_had_it_says_what_still_runs() -> None:
    target = with_a_release()
    target.fails["measure"] = [None, *(TargetError("no answer") for _ in range(6))]
    with pytest.raises(TargetError, match="no answer; the canary of diabetes still runs") as failed:
        stepping(target)
    assert "shipway rollback" in failed.value.fix


def test_a_taking_back_that_fails_is_said_with_its_cause() -> None:
    target = with_a_release(behaviours={2: Behaviour(errors=0.5)})
    target.fails["plan_rollback"] = [TargetError("no answer")]
    with pytest.raises(ReleaseFailed, match="taking it back failed too: no answer") as failed:
        stepping(target)
    assert failed.value.fix == "shipway rollback diabetes --on memory"


@pytest.mark.parametrize("done", ["ended", "replaced"])
def test_nobody_elses_canary_is_promoted_or_ended(done: str) -> None:
    target = with_a_release(behaviours={2: Behaviour(errors=0.5)})
    sleep = target.sleep

    def interfere(seconds: float) -> None:
        if target.done == ["canary 25 %"]:
            other = (
                target.plan(Order(a_release(3), canary=25))
                if done == "replaced"
                else target.plan_rollback("diabetes", None)
            )
            target.carry_out(other, silent)
        sleep(seconds)

    target.sleep = interfere  # type: ignore[method-assign]
    with pytest.raises(Contested, match=f"somebody else has {done}") as caught:
        stepping(target)
    assert "shipway status diabetes --on memory" in caught.value.fix
    assert len(target.done) == 2


def test_a_canary_needs_a_version_to_run_beside() -> None:
    with pytest.raises(UnknownRelease):
        stepping(FakeTarget())


def test_a_walk_that_was_broken_off_can_be_walked_again() -> None:
    target = with_a_release()
    target.fails["sleep"] = [KeyboardInterrupt()]
    with pytest.raises(Interrupted):
        stepping(target)
    stepping(target)
    assert target.done == ["canary 25 %", "canary 50 %", "promote 2"]
    assert serves(target) == "2"
