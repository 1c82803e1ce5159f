"""What running servers have counted, read from their own `/metrics`: a canary is judged by it, without a Prometheus.

Only calls of models count: `/metrics`, health and paths that no route has are not what a version is judged by.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from shipway.deploy.target import Measure
from shipway.errors import TargetError

__all__ = ["MOST_CHARACTERS", "add", "quantile", "read_measure", "subtract"]

MOST_CHARACTERS = 4 * 2**20
"""The longest text that is read. A server of ten models with all methods and codes tells about a tenth of it."""


def read_measure(text: str) -> Measure:
    """Reads what one server tells at `/metrics` (Prometheus' text format 0.0.4).

    Raises:
        TargetError: it is longer than `MOST_CHARACTERS`, or not what a server of Shipway tells.
    """
    from prometheus_client.parser import text_string_to_metric_families

    if len(text) > MOST_CHARACTERS:
        raise TargetError(
            f"the server's metrics have {len(text):,} characters, and {MOST_CHARACTERS:,} are read",
            fix="look at its /metrics: something else than Shipway answers there",
        )
    try:
        families = list(text_string_to_metric_families(text))
        if not any(family.name == "shipway_requests" for family in families):
            raise ValueError("there is no shipway_requests_total")
        return _measure([sample for family in families for sample in family.samples])
    # The reader of the format fails in many ways at what is none.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise TargetError(
            f"what the server tells at /metrics is not Shipway's: {error}",
            fix="shipway status says which image runs; build it again with this version",
        ) from error


def _measure(samples: Iterable[Any]) -> Measure:
    requests = errors = right = wrong = 0.0
    seconds: defaultdict[float, float] = defaultdict(float)
    for sample in samples:
        # A probe of one model's readiness names the model, but no method.
        is_call = bool(sample.labels.get("model") and sample.labels.get("method"))
        if sample.name == "shipway_requests_total" and is_call:
            requests += _count(sample)
            errors += _count(sample) if sample.labels["code"].startswith("5") else 0
        elif sample.name == "shipway_request_duration_seconds_bucket" and is_call:
            seconds[float(sample.labels["le"])] += _count(sample)
        elif sample.name == "shipway_golden_rows":
            right += _count(sample) if sample.labels["result"] == "right" else 0
            wrong += _count(sample) if sample.labels["result"] == "wrong" else 0
    measure = Measure(requests, errors, dict(sorted(seconds.items())), right + wrong, wrong, instances=1)
    if not _can_be(measure):
        raise ValueError("its counts contradict each other")
    return measure


def _count(sample: Any) -> float:
    value = float(sample.value)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{sample.name} cannot be {value}")
    return value


def _can_be(measure: Measure) -> bool:
    """Whether counters could have come to this: no more errors than calls, and no bucket under the one before it."""
    counts = [0.0, *(measure.seconds[bound] for bound in sorted(measure.seconds))]
    return (
        0 <= measure.errors <= measure.requests
        and all(lower <= upper for lower, upper in pairwise(counts))
        and (not measure.seconds or math.inf in measure.seconds)
    )


def add(measures: Iterable[Measure]) -> Measure:
    """Gives what several servers have counted together.

    Durations are kept at the bounds that all who have seen a call share: there the sums are exact. Servers of two
    versions of Shipway may have drawn them differently.
    """
    given = tuple(measures)
    timed = [measure.seconds for measure in given if measure.seconds]
    return Measure(
        requests=sum(measure.requests for measure in given),
        errors=sum(measure.errors for measure in given),
        seconds={bound: sum(seconds[bound] for seconds in timed) for bound in _shared(timed)},
        golden=sum(measure.golden for measure in given),
        golden_wrong=sum(measure.golden_wrong for measure in given),
        instances=sum(measure.instances for measure in given),
    )


def subtract(later: Measure, earlier: Measure) -> Measure:
    """Gives what the servers of one track counted from an earlier look to a later one.

    Counters begin again at 0 where a server was started again, and are gone with a server that has ended. A sum over
    servers shows that as fewer servers, as a count that fell, or as counts that contradict each other. Then `later` is
    given as it is: more than was counted in between, but all of it counted by that version. (Prometheus' `rate` takes
    what follows a reset as counted from 0 in the same way, for one server at a time.) A loss that others make up for
    stays unseen, and makes the difference too small. A server that came is counted from its start.

    Golden rows and the number of servers are not counted up: they are those of `later`.
    """
    timed = [measure.seconds for measure in (later, earlier) if measure.seconds]
    difference = Measure(
        requests=later.requests - earlier.requests,
        errors=later.errors - earlier.errors,
        seconds={bound: later.seconds.get(bound, 0) - earlier.seconds.get(bound, 0) for bound in _shared(timed)},
        golden=later.golden,
        golden_wrong=later.golden_wrong,
        instances=later.instances,
    )
    return difference if later.instances >= earlier.instances and _can_be(difference) else later


def _shared(timed: list[Mapping[float, float]]) -> list[float]:
    return sorted(set.intersection(*map(set, timed))) if timed else []


def quantile(seconds: Mapping[float, float], share: float) -> float:
    """Gives the duration under which a share of the calls lies, in seconds, from counts by upper bound.

    Within a bucket calls are taken as evenly spread, and in the one without an end as at its beginning, as Prometheus'
    `histogram_quantile` does (prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile).

    Returns:
        NaN where there are no calls.
    """
    total = max(seconds.values(), default=0)
    below, lower = 0.0, 0.0
    for bound in sorted(seconds):
        count = seconds[bound]
        if count >= share * total and count > 0:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * max(0.0, share * total - below) / (count - below)
        below, lower = count, bound
    return math.nan
