from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.exchanges import EXCHANGES, seen
from fakes.releases import EVERYTHING
from shipway.deploy.kubernetes.objects.render import objects
from shipway.deploy.kubernetes.plans.difference import edited, planned, readable
from shipway.deploy.kubernetes.plans.edits import deployment_of

LIVE: dict[str, Any] = next(each for each in seen(EXCHANGES / "fails.jsonl.gz", "Deployment") if each.get("status"))


def test_the_same_is_kept() -> None:
    assert planned(LIVE, LIVE, LIVE).action == "keep"
    assert planned(LIVE, LIVE, LIVE).difference == ""
    assert edited(LIVE, LIVE, LIVE) is None


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "resourceVersion": st.text(),
            "generation": st.integers(),
            "uid": st.text(),
            "managedFields": st.just([]),
            "creationTimestamp": st.text(),
        },
    ),
    st.dictionaries(st.text(), st.integers()),
    st.text(),
)
def test_what_the_server_fills_in_is_no_difference(
    metadata: dict[str, Any], status: dict[str, int], revision: str
) -> None:
    answer = copy.deepcopy(LIVE)
    answer["metadata"] |= metadata
    answer["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = revision
    answer["metadata"]["annotations"]["io.shipway/result"] = revision
    answer["status"] = status
    assert planned(LIVE, LIVE, answer).action == "keep"
    assert readable(answer) == readable(LIVE)


def test_another_order_of_the_two_fields_that_begin_an_object_is_no_difference() -> None:
    assert planned(LIVE, LIVE, dict(reversed(LIVE.items()))).action in {"keep", "update"}
    moved = {"kind": LIVE["kind"], **{key: value for key, value in LIVE.items() if key != "kind"}}
    assert planned(LIVE, LIVE, moved).action == "keep"


def test_a_changed_field_is_shown_as_it_is_and_as_it_will_be() -> None:
    answer = copy.deepcopy(LIVE)
    answer["spec"]["replicas"] = 7
    change = planned(LIVE, LIVE, answer)
    assert (change.action, change.what) == ("update", "Deployment diabetes")
    lines = change.difference.splitlines()
    assert lines[:2] == ["--- as it is", "+++ as it will be"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  replicas: 1", "+  replicas: 7"]


def test_what_is_not_there_is_shown_as_it_was_written_without_what_the_cluster_picks() -> None:
    wanted = deployment_of(objects(*EVERYTHING))
    change = planned(None, wanted, LIVE)
    assert change.action == "create"
    assert all(line.startswith(("+", "---", "@@")) for line in change.difference.splitlines())
    assert "status" not in change.difference


def test_texts_of_several_lines_are_compared_line_by_line() -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"f": "a = 1\nb = 2\n"}}
    other = {**one, "data": {"f": "a = 1\nb = 3\n"}}
    changed = [line for line in planned(one, one, other).difference.splitlines()[2:] if line[0] in "+-"]
    assert len(changed) == 2


def test_a_hand_that_changed_a_value_is_seen() -> None:
    live = copy.deepcopy(LIVE)
    live["spec"]["minReadySeconds"] = 99
    change = edited(live, LIVE, LIVE)
    assert change is not None
    assert "+  minReadySeconds: 99" in change.difference
    assert change.difference.startswith("--- as released\n+++ as it is")


def test_a_hand_that_added_a_field_is_seen() -> None:
    live = copy.deepcopy(LIVE)
    live["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    fields: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {".": {}, "f:disk": {}}}}}}
    live["metadata"]["managedFields"].append({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields})
    change = edited(live, LIVE, live)
    assert change is not None
    assert "nodeSelector" in change.difference


def test_what_somebody_has_deleted_is_said() -> None:
    change = edited(None, LIVE, LIVE)
    assert change is not None
    assert change.action == "delete"
