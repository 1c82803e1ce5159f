"""Whether a canary is worse: chance condemns nobody, and what is worse is found with enough calls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.deploy.target import Measure
from shipway.deploy.verdict import LEAST_CALLS, judge

BOUNDS = np.array([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, math.inf])


def measured(durations: np.ndarray, errors: int, wrong: int = 0) -> Measure:
    counts = np.searchsorted(np.sort(durations), BOUNDS, side="right").tolist()
    return Measure(len(durations), errors, dict(zip(BOUNDS.tolist(), counts, strict=True)), 20, wrong, instances=1)


def calls(count: int, errors: int = 0, seconds: float = 0.004) -> Measure:
    return measured(np.full(count, seconds), errors)


def condemned(stable: tuple[int, float, float], canary: tuple[int, float, float], rounds: int) -> float:
    """Gives the rate of bad verdicts on versions of so many calls, rate of errors and median duration."""
    generator = np.random.default_rng(20_000)

    def draw(count: int, rate: float, seconds: float) -> Measure:
        durations = seconds * np.exp(0.7 * generator.standard_normal(count))
        return measured(durations, int(generator.binomial(count, rate)))

    return sum(not judge(draw(*stable), draw(*canary)).good for _ in range(rounds)) / rounds


@pytest.mark.parametrize(("stable", "canary"), [(100, 100), (300, 100), (1000, 20), (100, 300), (2000, 2000)])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02, 0.3])
def test_the_same_behaviour_is_condemned_less_than_once_in_a_thousand_looks(
    stable: int, canary: int, rate: float
) -> None:
    # At the rate that is promised, two of 500 looks or more would condemn it in one of eleven such runs.
    assert condemned((stable, rate, 0.004), (canary, rate, 0.004), 500) <= 1 / 500


@pytest.mark.parametrize("sizes", [(100, 100), (1000, 20), (40, 10), (30, 300)])
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_errors_by_chance_condemn_less_than_once_in_2000_looks(sizes: tuple[int, int], rate: float) -> None:
    """Summed over all outcomes, not drawn."""
    stable_chances, canary_chances = (binomial(size, rate) for size in sizes)
    total = 0.0
    for errors in np.flatnonzero(stable_chances > 1e-7).tolist():
        # More errors of the canary are never better, so the least that condemn it are found by halving.
        low, high = 0, sizes[1] + 1
        while low < high:
            middle = (low + high) // 2
            is_good = judge(Measure(sizes[0], errors), Measure(sizes[1], middle, golden=20, instances=1)).good
            low, high = (middle + 1, high) if is_good else (low, middle)
        total += stable_chances[errors] * canary_chances[low:].sum()
    assert total <= 0.0005 + 1e-6


def binomial(count: int, rate: float) -> np.ndarray:
    ways = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(count + 1)]
    k = np.arange(count + 1)
    chances: np.ndarray = np.exp(np.array(ways) + k * math.log(rate) + (count - k) * math.log1p(-rate))
    return chances


def test_a_doubled_rate_of_errors_is_found_with_enough_calls() -> None:
    assert condemned((5000, 0.02, 0.004), (5000, 0.04, 0.004), 100) > 0.95
    assert condemned((9000, 0.02, 0.004), (3000, 0.04, 0.004), 100) > 0.95


def test_doubled_durations_are_found_with_enough_calls() -> None:
    assert condemned((500, 0.0, 0.02), (500, 0.0, 0.04), 100) > 0.95
    assert condemned((900, 0.0, 0.02), (100, 0.0, 0.06), 100) > 0.95


def test_few_calls_that_all_fail_are_enough() -> None:
    verdict = judge(calls(90), calls(10, errors=10))
    assert not verdict.good
    assert verdict.final
    assert not verdict.enough
    assert "10 of 10 calls failed (100 %)" in verdict.reason
    assert "0 of 90 calls failed" in verdict.reason


def test_one_error_condemns_nobody() -> None:
    assert judge(calls(1000), calls(20, errors=1)).good


def test_a_difference_too_small_to_matter_is_none() -> None:
    assert judge(calls(10**6), calls(10**6, errors=900)).good
    assert not judge(calls(10**6), calls(10**6, errors=1100)).good


def test_with_too_few_calls_golden_rows_decide_and_it_is_said() -> None:
    few = judge(calls(1000), calls(LEAST_CALLS - 1, seconds=4.0))
    assert few.good
    assert not few.enough
    assert "golden rows alone" in few.reason
    assert judge(calls(0), Measure(0, 0, golden=20, instances=1)).good


def test_with_neither_calls_nor_golden_rows_nothing_speaks_for_it() -> None:
    verdict = judge(calls(1000), Measure(5, 0, instances=1))
    assert not verdict.good
    assert not verdict.final


def test_a_wrong_golden_row_condemns_at_once() -> None:
    verdict = judge(calls(1000), measured(np.full(1000, 0.004), 0, wrong=1))
    assert not verdict.good
    assert verdict.final
    assert "19 of 20 golden rows right" in verdict.reason


def test_a_canary_that_cannot_be_read_is_not_good_but_may_come_to_be() -> None:
    verdict = judge(calls(1000), Measure(0, 0))
    assert not verdict.good
    assert not verdict.final


def test_times_of_next_to_nothing_may_double() -> None:
    assert judge(calls(5000, seconds=0.0004), calls(5000, seconds=0.0008)).good


COUNTS = st.integers(0, 3000)


@settings(max_examples=200, deadline=None)
@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_more_errors_of_the_canary_are_never_better(stable: int, failed: int, canary: int, errors: int) -> None:
    failed, errors = min(failed, stable), min(errors, canary)
    before = judge(calls(stable, failed), calls(canary, max(0, errors - 1)))
    after = judge(calls(stable, failed), calls(canary, errors))
    assert before.good or not after.good


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS)
def test_a_version_is_no_worse_than_itself(count: int, errors: int) -> None:
    assert judge(calls(count, min(errors, count)), calls(count, min(errors, count))).good
