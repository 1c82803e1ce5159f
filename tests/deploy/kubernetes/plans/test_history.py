from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.releases import CASES, EVERYTHING, PLAIN, RELEASE
from shipway.deploy.kubernetes.objects.render import objects
from shipway.deploy.kubernetes.plans import history
from shipway.deploy.kubernetes.plans.edits import deployment_of, in_order, with_replicas
from shipway.deploy.kubernetes.plans.history import Entry, draft, read_all
from shipway.deploy.target import Record, Result, Track
from shipway.errors import UsageError
from shipway.spec.settings import Kubernetes

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OBJECTS = in_order(objects(*PLAIN))
RESULTS: list[Result] = ["running", "complete", "failed", "interrupted", "replaced"]


def image(tag: int) -> tuple[dict[str, Any], ...]:
    made = copy.deepcopy(OBJECTS)
    deployment_of(made)["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry.example/diabetes:{tag}"
    return made


def entry(
    number: int, result: Result = "replaced", track: Track = "stable", made: tuple[dict[str, Any], ...] | None = None
) -> Entry:
    record = Record(number, "diabetes:1@x", "image", "me", NOW, "deploy", result)
    return Entry(record, image(number) if made is None else made, track, name=f"diabetes-release-{number}")


def written(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"reason": "deploy", "image": "i", "who": "me", "when": NOW}
    return draft("diabetes", 3, OBJECTS, **(arguments | changes))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("track", ["stable", "canary"])
def test_what_is_written_is_read_back(case: Any, track: Track) -> None:
    made, name = in_order(objects(*case)), case.release.name
    record = draft(name, 12, made, reason="r", image="i", who="w", when=NOW, track=track, percent=25)
    (read,) = read_all(name, [record])
    assert read.objects == made
    assert (read.track, read.percent, read.number, read.result) == (track, 25, 12, "running")
    assert read.record == Record(12, str(case.release.bundle), "i", "w", NOW, "r", "running")


def test_a_record_cannot_be_changed_and_is_ours() -> None:
    record = written()
    assert record["immutable"] is True
    assert record["metadata"]["name"] == "diabetes-release-3"
    assert record["metadata"]["labels"]["app.kubernetes.io/component"] == "release"
    assert all(isinstance(value, str) for value in record["data"].values())


def test_what_is_too_large_to_keep_is_said() -> None:
    large = objects(
        type(RELEASE)(RELEASE.name, RELEASE.bundle, RELEASE.image, RELEASE.contract, "#" * 2**20), EVERYTHING.options
    )
    with pytest.raises(UsageError, match="1 MiB"):
        draft("diabetes", 1, large, reason="r", image="i", who="w", when=NOW)


def damage(**changes: Any) -> dict[str, Any]:
    record = written()
    record["data"] |= changes.pop("data", {})
    record["metadata"] |= changes
    return record


@pytest.mark.parametrize(
    "record",
    [
        damage(name="diabetes-release-4"),
        damage(name="other"),
        damage(labels={}),
        damage(labels={**written()["metadata"]["labels"], "app.kubernetes.io/component": "server"}),
        damage(labels={**written()["metadata"]["labels"], "io.shipway/release": "x"}),
        damage(labels={**written()["metadata"]["labels"], "app.kubernetes.io/instance": "other"}),
    ],
)
def test_what_is_no_record_of_the_name_is_passed_over(record: dict[str, Any]) -> None:
    assert read_all("diabetes", [record]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", "[1]", "[[" * 3000, '[{"kind": "Secret"}]', '[{"kind": "Deployment", "metadata": 1}]',
        '[{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "x", "labels": {}}, "spec": {}}]',
    ],
)  # fmt: skip
def test_a_damaged_record_is_shown_and_not_gone_back_to(text: str) -> None:
    (read,) = read_all("diabetes", [damage(data={"objects": text, "when": "never", "percent": "many"})])
    assert not read.is_whole
    assert read.number == 3
    assert history.before([read]) is None
    assert read.given_up_at() > read.record.when


def test_an_object_of_somebody_else_makes_a_record_unfit() -> None:
    foreign = copy.deepcopy(OBJECTS)
    foreign[0]["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    record = written()
    record["data"]["objects"] = draft("diabetes", 3, foreign, reason="", image="", who="", when=NOW)["data"]["objects"]
    assert not read_all("diabetes", [record])[0].is_whole


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(RESULTS), st.sampled_from(["stable", "canary"])), max_size=25))
def test_what_is_needed_is_never_forgotten(kept: list[tuple[Result, Track]]) -> None:
    entries = [entry(n, result, track) for n, (result, track) in enumerate(kept, 1)]
    forgotten = history.to_forget(entries)
    left = [each for each in entries if each not in forgotten]
    assert len(left) >= min(len(entries), history.KEPT)
    assert history.next_number(left) == history.next_number(entries)
    assert history.current(left) == history.current(entries)
    assert history.trial(left) == history.trial(entries)
    assert history.before(left) == history.before(entries)
    now = history.current(entries)
    assert history.before(left, now) == history.before(entries, now)
    assert all(each in left for each in entries if each.result == "running")
    assert len(left) <= history.KEPT + 5 + sum(each.result == "running" for each in entries)


def test_ten_are_kept() -> None:
    entries = [*(entry(n) for n in range(1, 30)), entry(30, "complete")]
    assert [each.number for each in history.to_forget(entries)] == list(range(1, 21))


def test_going_back_passes_over_failures_canaries_and_other_sizes() -> None:
    entries = [
        entry(1),
        entry(2),
        entry(3, "failed"),
        entry(4, "replaced", "canary"),
        entry(5, made=with_replicas(image(6), 9)),
        entry(6, "complete"),
    ]
    assert history.before(entries, entries[-1]) == entries[1]
    assert history.before(entries) == entries[-1]
    assert history.before(entries[:1], entries[0]) is None


def test_a_release_is_being_rolled_out_until_the_cluster_itself_has_given_up() -> None:
    entries = [entry(1, "complete"), entry(2, "running")]
    deadline = deployment_of(OBJECTS)["spec"]["progressDeadlineSeconds"]
    assert history.running(entries, NOW + timedelta(seconds=deadline)) == (entries[1], None)
    assert history.running(entries, NOW + timedelta(seconds=deadline + 600)) == (None, entries[1])
    assert history.running(entries[:1], NOW) == (None, None)


def test_a_canary_that_another_release_has_followed_is_none() -> None:
    assert history.trial([entry(1), entry(2, "complete", "canary")]) is not None
    assert history.trial([entry(1), entry(2, "replaced", "canary")]) is None
    assert history.trial([entry(1), entry(2, "failed", "canary")]) is not None, "its wreck may have been kept"


def test_numbers_count_up_from_one() -> None:
    assert history.next_number([]) == 1
    assert history.next_number([entry(1), entry(7)]) == 8


def test_options_decide_the_size_that_is_recorded() -> None:
    made = objects(RELEASE, Kubernetes(replicas=5))
    record = draft("diabetes", 1, made, reason="r", image="i", who="w", when=NOW)
    assert deployment_of(read_all("diabetes", [record])[0].objects)["spec"]["replicas"] == 5
