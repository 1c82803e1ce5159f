"""On objects as a 1.36 node gave them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fakes.exchanges import EXCHANGES, seen
from shipway.deploy.kubernetes.plans.ownership import HandOver, Owner, hand_over, owners, without_foreign

APPLIED = Owner("shipway", "Apply", "")


def deployment(scenario: str, **wanted: Any) -> dict[str, Any]:
    """Gives the last state of the stable Deployment in a recording with these fields of its specification."""
    found = [
        each
        for each in seen(EXCHANGES / f"{scenario}.jsonl.gz", "Deployment")
        if each["metadata"]["name"] == "diabetes"
        and each["metadata"].get("managedFields")
        and wanted.items() <= each["spec"].items()
    ]
    return copy.deepcopy(found[-1])


def without_number(live: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {key: value for key, value in live["spec"].items() if key != "replicas"}}


def test_what_was_applied_is_ours() -> None:
    live = deployment("first")
    assert owners(live, "spec", "replicas") == {APPLIED}
    assert owners(live, "spec", "paused") == frozenset()
    assert owners({"metadata": {}}, "spec") == frozenset()


def test_a_number_that_we_give_up_is_held_first_for_else_it_would_fall_to_one() -> None:
    live = deployment("first")
    assert hand_over(without_number(live), live) == HandOver(hold=live["spec"]["replicas"])
    assert hand_over(without_number(live), live, at_least=5) == HandOver(hold=5)


def test_a_number_that_another_holds_can_be_left_out() -> None:
    live = deployment("autoscaler", replicas=2)
    assert {owner.manager for owner in owners(live, "spec", "replicas")} == {"shipway-replicas"}
    assert hand_over(without_number(live), live) == HandOver()
    assert hand_over(without_number(live), live, at_least=3) == HandOver(scale=3)


def test_a_number_that_an_autoscaler_has_set_is_taken_over_through_the_scale() -> None:
    live = deployment("autoscaler", replicas=2)
    assert hand_over({"spec": {"replicas": 1}}, live) == HandOver(scale=1)
    assert hand_over({"spec": {"replicas": 2}}, live) == HandOver()


def test_a_number_that_a_person_has_set_stays_contested() -> None:
    live = deployment("first")
    live["metadata"]["managedFields"].append(
        {
            "manager": "kubectl",
            "operation": "Update",
            "subresource": "scale",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    )
    assert hand_over({"spec": {"replicas": 9}}, live) == HandOver()


def foreign(live: dict[str, Any], fields: dict[str, Any], **entry: str) -> dict[str, Any]:
    changed = copy.deepcopy(live)
    changed["metadata"]["managedFields"].append(
        {"manager": "somebody", "operation": "Update", "fieldsV1": fields, **entry}
    )
    return changed


def test_what_nobody_else_has_touched_stays_as_it_is() -> None:
    live = deployment("first")
    assert without_foreign(live) == live


def test_what_others_have_added_is_taken_away_and_nothing_else() -> None:
    live = deployment("first")
    changed = foreign(
        live,
        {
            "f:metadata": {"f:labels": {"f:team": {}}, "f:annotations": {"f:note": {}}},
            "f:spec": {
                "f:template": {
                    "f:metadata": {"f:annotations": {".": {}, "f:restarted": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"server"}': {
                                "f:env": {'k:{"name":"EXTRA"}': {".": {}, "f:name": {}, "f:value": {}}},
                                "f:image": {},
                            }
                        },
                        "f:nodeSelector": {".": {}, "f:disk": {}},
                    },
                }
            },
        },
    )
    changed["metadata"]["labels"]["team"] = "a"
    changed["metadata"].setdefault("annotations", {})["note"] = "kept: annotations are free for all"
    template = changed["spec"]["template"]
    template["metadata"]["annotations"]["restarted"] = "now"
    template["spec"]["containers"][0]["env"].append({"name": "EXTRA", "value": "1"})
    template["spec"]["nodeSelector"] = {"disk": "ssd"}
    cleaned = without_foreign(changed)
    assert cleaned["spec"] == live["spec"], "the image is ours too, so it stays"
    assert cleaned["metadata"]["labels"] == live["metadata"]["labels"]
    assert cleaned["metadata"]["annotations"]["note"]


def test_values_of_a_set_are_found() -> None:
    thing = {"spec": {"names": ["ours", "theirs"]}, "metadata": {}}
    changed = foreign({**thing, "metadata": {"managedFields": []}}, {"f:spec": {"f:names": {'v:"theirs"': {}}}})
    assert without_foreign(changed)["spec"] == {"names": ["ours"]}


def test_what_a_controller_writes_to_a_subresource_is_no_addition() -> None:
    live = deployment("first")
    changed = foreign(live, {"f:spec": {"f:replicas": {}}, "f:status": {}}, subresource="scale")
    assert without_foreign(changed)["spec"] == live["spec"]


@pytest.mark.parametrize("key", ["k:{", "k:[]", "v:", "i:9", "x:y", "f:gone"])
def test_paths_that_lead_nowhere_are_passed_over(key: str) -> None:
    live = deployment("first")
    changed = foreign(live, {"f:spec": {key: {}, "f:template": {"f:spec": {"f:containers": {key: {"f:image": {}}}}}}})
    assert without_foreign(changed)["spec"] == live["spec"]
