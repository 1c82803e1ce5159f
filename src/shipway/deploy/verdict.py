"""Whether a canary is worse than the version that it shall replace, from what the servers of both have counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shipway.deploy.measure import quantile
from shipway.deploy.target import Measure

__all__ = ["ERROR_MARGIN", "LATENCY_FACTOR", "LATENCY_SECONDS", "LEAST_CALLS", "Verdict", "judge"]

ERROR_MARGIN = 0.001
"""A canary may be seen to fail this much more often: one call in a thousand is no reason to hold a version back."""

LATENCY_FACTOR = 1.25
"""A canary may take this many times as long, as its p95."""

LATENCY_SECONDS = 0.001
"""And this much longer: what a machine's other work does to a model that takes next to no time."""

LEAST_CALLS = 100
"""So many calls of each version are enough to say that one is no worse."""

_QUANTILE = 0.95
# One look in 2,000 may blame chance on the canary, for each test: a roll-out looks some twenty times.
_CHANCE = 0.0005


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of a canary.

    Attributes:
        good: nothing speaks against it.
        reason: one sentence, with the figures that it rests on.
        enough: there were calls enough to compare; without, `good` says no more than that its golden rows are right
            and that its calls do not fail plainly more often.
        final: it is bad, whatever further calls may show.
    """

    good: bool
    reason: str
    enough: bool
    final: bool = False


def judge(stable: Measure, canary: Measure) -> Verdict:
    """Compares what two versions counted in the same time.

    A canary is bad where one of these holds:

    - None of its servers could be read, or one has a wrong golden row.
    - It fails more often: by more than `ERROR_MARGIN`, and by more than chance gives. That is Fisher's exact test,
      one-sided at 1 in 2,000: of all ways in which as many failures could have fallen on these calls, the share that
      puts as many or more on the canary (R. A. Fisher, The Design of Experiments, 1935, chapter 2; A. Agresti,
      Categorical Data Analysis, 3rd ed. 2013, section 3.5). It is exact, so it holds for few calls too, and where the
      stable version never fails.
    - With `LEAST_CALLS` of each, it is slower: its p95 is over `LATENCY_FACTOR` times that of the stable version plus
      `LATENCY_SECONDS`, and by more than chance gives. That is the same test of the calls that took long, as in the
      median test with a higher quantile in the median's place (W. J. Conover, Practical Nonparametric Statistics, 3rd
      ed. 1999, section 4.3). What differs within one bucket of the histogram is not seen.

    Where calls of both versions behave alike and do not depend on each other, one look so condemns the canary less
    often than once in 1,000; `tests/deploy/test_verdict.py` holds it to that.
    """
    if not canary.instances:
        return Verdict(False, "no server of the canary could be read", enough=False)
    enough = min(stable.requests, canary.requests) >= LEAST_CALLS
    figures = f"canary: {_figures(canary)}; stable: {_figures(stable)}"
    against = _against(stable, canary, enough=enough)
    if against:
        return Verdict(False, f"{against} ({figures})", enough, final=True)
    if enough:
        return Verdict(True, f"no worse than the stable version ({figures})", enough)
    calls = f"{canary.requests:.0f} calls of the canary and {stable.requests:.0f} of the stable version"
    few = f"{calls} are too few to compare ({LEAST_CALLS} of each are needed)"
    if not canary.golden:
        return Verdict(False, f"{few}, and it tells of no golden rows: nothing speaks for it", enough)
    return Verdict(True, f"{few}: judged by its golden rows alone, all {canary.golden:.0f} are right", enough)


def _against(stable: Measure, canary: Measure, *, enough: bool) -> str:
    """Gives what speaks against the canary, or an empty text."""
    if canary.golden_wrong:
        return "golden rows of the canary are wrong"
    if _fails_more_often(stable, canary):
        return "calls of the canary fail more often"
    if enough and _is_slower(stable, canary):
        return "the canary is slower"
    return ""


def _fails_more_often(stable: Measure, canary: Measure) -> bool:
    is_more = _error_rate(canary) - _error_rate(stable) > ERROR_MARGIN
    return is_more and _chance(stable.requests, stable.errors, canary.requests, canary.errors) < _CHANCE


def _error_rate(measure: Measure) -> float:
    return measure.errors / measure.requests if measure.requests else 0.0


def _is_slower(stable: Measure, canary: Measure) -> bool:
    p95 = quantile(canary.seconds, _QUANTILE)
    if not p95 > LATENCY_FACTOR * quantile(stable.seconds, _QUANTILE) + LATENCY_SECONDS:
        return False
    # What is long depends on all calls together and not on which version they asked, or the test would not be exact.
    stable_calls, canary_calls = stable.seconds[math.inf], canary.seconds[math.inf]
    least = min((1 - _QUANTILE) * (stable_calls + canary_calls), canary_calls / 2)
    for bound in sorted(set(stable.seconds) & set(canary.seconds), reverse=True):
        stable_long, canary_long = stable_calls - stable.seconds[bound], canary_calls - canary.seconds[bound]
        if stable_long + canary_long >= least:
            return _chance(stable_calls, stable_long, canary_calls, canary_long) < _CHANCE
    return False


def _chance(stable_calls: float, stable_hit: float, canary_calls: float, canary_hit: float) -> float:
    """Gives the chance that as many of the hit calls or more are the canary's, if each call is hit as likely.

    The tail of the hypergeometric distribution, in logarithms, for the numbers of ways are beyond all floats.
    """
    calls = round(stable_calls), round(canary_calls)
    hit, on_canary = round(stable_hit) + round(canary_hit), round(canary_hit)
    all_ways = _log_ways(sum(calls), hit)
    return math.fsum(
        math.exp(_log_ways(calls[1], count) + _log_ways(calls[0], hit - count) - all_ways)
        for count in range(on_canary, min(hit, calls[1]) + 1)
    )


def _log_ways(calls: int, hit: int) -> float:
    """Gives the logarithm of the number of ways to choose the calls that are hit."""
    return math.lgamma(calls + 1) - math.lgamma(hit + 1) - math.lgamma(calls - hit + 1)


def _figures(measure: Measure) -> str:
    calls, golden = "no calls", "no golden rows"
    if measure.requests:
        rate = f"{100 * _error_rate(measure):.3g} %"
        calls = f"{measure.errors:.0f} of {measure.requests:.0f} calls failed ({rate})"
    if measure.seconds and measure.requests:
        calls += f", p95 {1000 * quantile(measure.seconds, _QUANTILE):.3g} ms"
    if measure.golden:
        golden = f"{measure.golden - measure.golden_wrong:.0f} of {measure.golden:.0f} golden rows right"
    return f"{calls}, {golden}"
