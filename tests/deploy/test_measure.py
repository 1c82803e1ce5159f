"""What servers tell of themselves: read, summed, and the difference between two looks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.models import adding, raising, sleeping
from fakes.server import FakeServer
from shipway.deploy.measure import MOST_CHARACTERS, add, quantile, read_measure, subtract
from shipway.deploy.target import Measure
from shipway.errors import TargetError
from shipway.monitor.access import AccessRecord
from shipway.monitor.metrics import Metrics
from shipway.spec.reference import BundleId

BUNDLE = BundleId("m", 1, "sha256:" + "0" * 64)


def told(calls: Sequence[tuple[int, float]] = (), *, method: str = "predict", model: str = "m") -> str:
    """Gives what a server tells that has answered calls, by status and duration."""
    metrics = Metrics()
    metrics.loaded(BUNDLE, 20)
    for status, seconds in calls:
        metrics.request(AccessRecord("", "POST", "/", status, seconds, "id", "plain", model, "1", method, 1, ""))
    return metrics.exposition().decode()


def measure(calls: Sequence[tuple[int, float]]) -> Measure:
    return read_measure(told(calls))


def test_a_server_is_read_as_it_counts() -> None:
    seen = measure([(200, 0.002), (500, 0.3), (503, 40.0), (422, 0.0001), (429, 0.001), (499, 0.01)])
    assert (seen.requests, seen.errors, seen.instances) == (6, 2, 1)
    assert (seen.golden, seen.golden_wrong) == (20, 0)
    assert (seen.seconds[0.0001], seen.seconds[0.0025], seen.seconds[30.0], seen.seconds[math.inf]) == (1, 3, 5, 6)


def test_a_real_server_is_read() -> None:
    server = FakeServer(adding(), raising(RuntimeError("no"), "broken"), sleeping(0.001, "slow"))

    async def talk(client: httpx.AsyncClient) -> str:
        for path in ("/", "/models/slow", "/models/broken"):
            await client.post(path, json=[1, 2])
        for path in ("/models/sum", "/v2/models/sum/ready", "/nothing"):
            await client.get(path)
        return (await client.get("/metrics")).text

    seen = read_measure(server.ask(talk))
    assert (seen.requests, seen.errors) == (3, 1)
    assert seen.seconds[math.inf] == 3


def test_only_calls_of_models_count() -> None:
    for method, model in (("", ""), ("", "m")):
        seen = read_measure(told([(200, 0.1), (503, 0.1)], method=method, model=model))
        assert (seen.requests, seen.errors, dict(seen.seconds)) == (0, 0, {})


def test_wrong_golden_rows_are_seen() -> None:
    text = re.sub(r'(result="wrong",version="1"\}) 0\.0', r"\1 3.0", told())
    seen = read_measure(text)
    assert (seen.golden, seen.golden_wrong) == (23, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>404</html>",
        "\x00\xff",
        "up 1\n",
        "shipway_requests_total{",
        told([(200, 0.1)]).replace('le="0.1"', 'le="x"'),
        told([(200, 0.1)]).replace('code="200",', ""),
        re.sub(r'(le="\+Inf".*\}) 1\.0', r"\1 0.0", told([(200, 0.1)])),
        re.sub(r'.*le="\+Inf".*\n', "", told([(200, 0.1)])),
        re.sub(r"(shipway_requests_total\{.*\}) 1\.0", r"\1 NaN", told([(200, 0.1)])),
        re.sub(r"(shipway_requests_total\{.*\}) 1\.0", r"\1 -1", told([(200, 0.1)])),
        re.sub(r"(shipway_requests_total\{.*\}) 1\.0", r"\1 1e999", told([(200, 0.1)])),
        told() + "#" * MOST_CHARACTERS,
    ],
    ids=lambda text: text[:20] if len(text) < 100 else f"damaged {hash(text) % 1000}",
)
def test_rubbish_is_the_targets_error(text: str) -> None:
    with pytest.raises(TargetError):
        read_measure(text)


@settings(max_examples=100, deadline=None)
@given(st.text(), st.integers(0, 400), st.integers(0, 60))
def test_whatever_a_text_is_it_is_read_or_refused(rubbish: str, at: int, cut: int) -> None:
    text = told([(200, 0.1), (500, 2.0)])
    middle = text.index("shipway_requests_total{") + at
    for damaged in (rubbish, text[:middle] + rubbish + text[middle + cut :]):
        try:
            seen = read_measure(damaged)
        except TargetError:
            continue
        assert 0 <= seen.errors <= seen.requests


CALLS = st.lists(st.tuples(st.sampled_from([200, 422, 500]), st.floats(0, 50)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(CALLS, CALLS)
def test_two_servers_counted_what_one_would_have(
    first: list[tuple[int, float]], second: list[tuple[int, float]]
) -> None:
    together, alone = add([measure(first), measure(second)]), measure(first + second)
    assert (together.requests, together.errors, together.seconds) == (alone.requests, alone.errors, alone.seconds)
    assert (together.instances, together.golden) == (2, 40)


@settings(max_examples=40, deadline=None)
@given(CALLS, CALLS)
def test_the_difference_is_what_came_between(before: list[tuple[int, float]], after: list[tuple[int, float]]) -> None:
    between, expected = subtract(measure(before + after), measure(before)), measure(after)
    assert (between.requests, between.errors) == (expected.requests, expected.errors)
    assert all(count == expected.seconds.get(bound, 0) for bound, count in between.seconds.items())


def test_of_no_servers_nothing_is_known() -> None:
    assert add([]) == Measure(0, 0)
    assert subtract(Measure(0, 0), Measure(0, 0)) == Measure(0, 0)


def test_servers_with_other_bounds_are_summed_where_both_have_one() -> None:
    other = Measure(2, 0, {0.1: 1, 0.2: 2, math.inf: 2}, instances=1)
    assert add([measure([(200, 0.05)]), other]).seconds == {0.1: 2, math.inf: 3}


def test_a_server_that_was_started_again_counts_from_0() -> None:
    later = measure([(200, 0.1)] * 3)
    assert subtract(later, measure([(200, 0.1)] * 5)) == later


def test_a_reset_that_other_servers_hide_shows_by_counts_that_contradict_each_other() -> None:
    # One server with 100 good calls began again, another had 150 more, of which 60 failed.
    earlier, later = Measure(100, 0, instances=2), Measure(150, 60, instances=2)
    assert subtract(later, earlier) == later
    slow, fast = {0.1: 5, math.inf: 10}, {0.1: 30, math.inf: 31}
    assert subtract(Measure(31, 0, fast, instances=2), Measure(10, 0, slow, instances=2)).requests == 31


def test_a_server_that_ended_takes_its_counts_along_and_one_that_came_brings_them() -> None:
    one, two = Measure(60, 0, instances=1), Measure(50, 0, instances=2)
    assert subtract(one, two) == one
    assert subtract(Measure(80, 1, instances=2), Measure(60, 0, instances=1)).requests == 20


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=20), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_call_that_it_is(durations: list[float], share: float) -> None:
    seconds = measure([(200, duration) for duration in durations]).seconds
    rank = max(1, math.ceil(share * len(durations) - 1e-9))
    call = sorted(durations)[rank - 1]
    bounds = [bound for bound in seconds if math.isfinite(bound)]
    lower = max((bound for bound in bounds if bound < call), default=0.0)
    upper = min((bound for bound in bounds if bound >= call), default=bounds[-1])
    assert lower - 1e-12 <= quantile(seconds, share) <= upper + 1e-12


def test_within_a_bucket_calls_are_evenly_spread() -> None:
    seconds = {1.0: 0.0, 2.0: 100.0, math.inf: 100.0}
    assert quantile(seconds, 0.95) == pytest.approx(1.95)
    assert quantile({1.0: 10.0, math.inf: 20.0}, 0.95) == 1.0
    assert math.isnan(quantile({}, 0.5))
