"""The whole target against what a 1.36 node answered when the same was done there (`fakes/scenarios.py`)."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fakes.exchanges import EXCHANGES, Replay, seen
from fakes.releases import RELEASE
from fakes.scenarios import SCENARIOS, quietly, release
from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.plans.edits import APPLIED
from shipway.deploy.kubernetes.plans.steps import Await, Delete
from shipway.deploy.kubernetes.target import KubernetesTarget
from shipway.deploy.target import Order, Outcome, Plan, Progress, Target
from shipway.errors import Contested, Interrupted, ReleaseFailed, TargetError, UnknownRelease, UsageError
from shipway.spec.settings import Kubernetes

REGISTRY = "127.0.0.1:5000"
Change = tuple[str, str, Any]


@contextmanager
def replayed(scenario: str, *, speed: float = 20.0) -> Iterator[tuple[Replay, KubernetesTarget]]:
    """Gives a target on a recorded cluster on which time runs faster."""
    replay = Replay(EXCHANGES / f"{scenario}.jsonl.gz")
    target = KubernetesTarget(replay.cluster(), SCENARIOS[scenario].options, clock=lambda: speed * time.monotonic())
    with target:
        yield replay, target
    assert not replay.unknown


def run(scenario: str) -> tuple[Outcome, list[Change], list[Progress]]:
    told: list[Progress] = []
    with replayed(scenario) as (replay, target):
        outcome = SCENARIOS[scenario].run(target, REGISTRY, told.append)
    return outcome, replay.changes(), told


def paths(changes: list[Change]) -> list[str]:
    return [f"{method} {path.rpartition('/namespaces/recorded/')[2]}" for method, path, _ in changes]


def results(changes: list[Change]) -> dict[str, str]:
    """Gives what releases were marked as."""
    return {
        path.rpartition("/")[2]: body["metadata"]["annotations"]["io.shipway/result"]
        for method, path, body in changes
        if method == "PATCH" and "-release-" in path
    }


def test_it_is_a_target() -> None:
    target: Target = KubernetesTarget(Replay(EXCHANGES / "first.jsonl.gz").cluster(), Kubernetes())
    assert callable(target.plan)


def test_a_first_release_is_recorded_before_anything_is_made() -> None:
    outcome, changes, told = run("first")
    assert paths(changes)[0] == "POST configmaps"
    assert outcome.number == 1
    assert told[-1].done
    assert results(changes) == {"diabetes-release-1": "complete"}
    assert outcome.address == "kubectl --namespace recorded port-forward service/diabetes 8000:80"


def test_what_is_planned_is_shown_with_its_differences() -> None:
    with replayed("first") as (replay, target):
        plan = target.plan(Order(release(1, REGISTRY)))
        assert replay.changes() == [], "a plan changes nothing"
    assert (plan.reason, plan.number, plan.is_empty) == ("deploy", 1, False)
    assert [change.action for change in plan.changes] == ["create"] * 5
    assert plan.changes[0].what == "ConfigMap diabetes-release-1"
    assert "+kind: Deployment" in plan.changes[-1].difference


def test_the_same_again_changes_nothing() -> None:
    outcome, changes, told = run("again")
    assert (changes, told) == ([], [])
    assert outcome.notes
    assert outcome.number == 1


def test_status_tells_what_runs() -> None:
    with replayed("again") as (_, target):
        status = target.status("diabetes")
    assert (status.current.number, status.current.result) == (1, "complete")
    assert status.progress.done
    assert status.edited == ()
    assert status.place == "context recorded, namespace recorded"


def test_a_release_that_fails_is_explained_and_the_one_before_is_brought_back() -> None:
    told: list[Progress] = []
    with replayed("fails") as (replay, target):
        plan = target.plan(Order(release(2, REGISTRY, "nope")))
        with pytest.raises(ReleaseFailed) as caught:
            target.carry_out(plan, told.append)
    assert f"{REGISTRY}/diabetes:nope" in caught.value.message
    assert "release 1 was brought back and serves" in caught.value.message
    assert caught.value.fix
    marked = results(replay.changes())
    assert marked == {
        "diabetes-release-1": "replaced",
        "diabetes-release-2": "failed",
        "diabetes-release-3": "complete",
    }
    records = [body["data"]["reason"] for method, _, body in replay.changes() if method == "POST"]
    assert records == ["deploy", "restore 1"]
    assert any(progress.failed for progress in told)
    assert told[-1].done


def test_a_wreck_is_left_where_that_is_wanted() -> None:
    with replayed("fails") as (replay, target):
        plan = target.plan(Order(release(2, REGISTRY, "nope")))
        with pytest.raises(ReleaseFailed, match="left as they are, and those of release 1 go on serving"):
            target.carry_out(plan, quietly, restore=False)
    assert results(replay.changes()) == {"diabetes-release-2": "failed"}


def test_an_autoscaler_gets_the_number_without_a_moment_of_one_server() -> None:
    outcome, changes, _ = run("autoscaler")
    on_deployment = [body["spec"] for method, path, body in changes if path.endswith("deployments/diabetes")]
    assert on_deployment[0] == {"replicas": 2}, "somebody else holds the number first"
    assert "replicas" not in on_deployment[1], "then it is given up"
    assert paths(changes).index("PATCH horizontalpodautoscalers/diabetes") > paths(changes).index(
        "PATCH deployments/diabetes"
    )
    assert outcome.number == 4


def test_a_plain_word_is_said_where_an_autoscaler_can_see_nothing() -> None:
    with replayed("autoscaler") as (_, target):
        plan = target.plan_scale("diabetes", 2, 3)
    assert any("metrics-server" in note for note in plan.notes)
    assert plan.reason == "scale to 2-3"


def test_an_autoscaler_goes_before_the_number_is_fixed() -> None:
    _, changes, _ = run("fixed")
    order = paths(changes)
    gone = order.index("DELETE horizontalpodautoscalers/diabetes")
    assert gone < order.index("PATCH deployments/diabetes/scale") < order.index("PATCH deployments/diabetes")


def test_a_canary_is_up_before_the_stable_version_shrinks() -> None:
    outcome, changes, told = run("canary")
    order = [path for path in paths(changes) if "deployments" in path]
    assert set(order) == {"PATCH deployments/diabetes-canary", "PATCH deployments/diabetes", *order}
    canary = next(body for _, path, body in changes if path.endswith("diabetes-canary"))
    assert canary["spec"]["replicas"] == 1
    assert outcome.number == 6
    assert {one.track for one in told[-1].instances} == {"stable", "canary"}
    assert results(changes) == {"diabetes-release-6": "complete"}, "the stable release stays in force"


def test_promoting_ends_the_canary_after_the_stable_version_has_all_its_servers() -> None:
    with replayed("promote") as (replay, target):
        status = target.status("diabetes")
        assert status.canary is not None
        assert status.share == 50
        assert status.edited == (), "a canary's share is no edit"
        plan = target.plan_promote("diabetes")
        steps = list(plan.steps)
        end = next(step for step in steps if isinstance(step, Delete))
        assert (end.name, end.kind) == ("diabetes-canary", "Deployment")
        assert steps.index(Await("diabetes")) < steps.index(end)
        target.carry_out(plan, quietly)
    assert results(replay.changes()) == {
        "diabetes-release-5": "replaced",
        "diabetes-release-6": "replaced",
        "diabetes-release-7": "complete",
    }


def test_going_back_is_a_release_of_its_own() -> None:
    outcome, changes, _ = run("rollback")
    record = next(body for method, _, body in changes if method == "POST")
    assert record["data"]["reason"] == "rollback to 5"
    assert outcome.number == 8


def test_taking_down_closes_the_door_first_and_forgets_the_history_last() -> None:
    _, changes, told = run("undeploy")
    order = paths(changes)
    assert all(path.startswith("DELETE") for path in order)
    assert order[0] == "DELETE services/diabetes"
    assert order.index("DELETE deployments/diabetes") < order.index("DELETE serviceaccounts/diabetes")
    assert order[-8:] == [f"DELETE configmaps/diabetes-release-{number}" for number in range(1, 9)]
    assert all(body["preconditions"]["uid"] for _, _, body in changes), "only the very ones that were seen"
    assert told[-1].old == 0


def test_ctrl_c_says_what_it_left_and_how_to_go_on() -> None:
    def break_off(progress: Progress) -> None:
        raise KeyboardInterrupt

    with replayed("fails") as (replay, target):
        plan = target.plan(Order(release(2, REGISTRY, "nope")))
        with pytest.raises(Interrupted) as caught:
            target.carry_out(plan, break_off)
    assert "release 2 of diabetes (deploy) was broken off" in caught.value.message
    assert "shipway rollback diabetes" in caught.value.fix
    assert results(replay.changes()) == {"diabetes-release-2": "interrupted"}


class Api:
    """A cluster that has some objects, gives them whatever is asked for, and lets nothing be changed but by DELETE."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self._objects = objects
        self.deleted: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if "reviews" in request.url.path or request.url.path.startswith("/apis/metrics"):
            return httpx.Response(200, json={"status": {"allowed": True}})
        if "watch" in request.url.params:
            return httpx.Response(200, content=b"")
        plural, _, name = request.url.path.partition("/namespaces/models/")[2].partition("/")
        kind = next(kind for kind in KINDS.values() if kind.plural == plural)
        if request.method == "DELETE":
            self.deleted.append((kind.kind, name))
            return httpx.Response(200, json={})
        if request.method == "GET" and name:
            found = [each for each in self._objects if (each["kind"], each["metadata"]["name"]) == (kind.kind, name)]
            return httpx.Response(200, json=found[0]) if found else httpx.Response(404, json=NOT_FOUND)
        if request.method == "GET":
            items = [each for each in self._objects if each["kind"] == kind.kind and kind.kind != "Pod"]
            return httpx.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": items})
        raise AssertionError(f"{request.method} {request.url}")

    def target(self) -> KubernetesTarget:
        client = httpx.Client(transport=httpx.MockTransport(self))
        return KubernetesTarget(Cluster(Access("https://x.test", "models", "dev", User()), client), Kubernetes())


NOT_FOUND = {"kind": "Status", "reason": "NotFound", "code": 404, "details": {"kind": "services"}}
OURS = {"app.kubernetes.io/instance": "diabetes", "app.kubernetes.io/managed-by": "shipway"}
NAMES = ["diabetes", "diabetes-canary", "diabetes-release-1", "diabetes-config-12345678", "other"]
LABELS = st.dictionaries(
    st.sampled_from([*OURS, "app.kubernetes.io/component", "io.shipway/release"]),
    st.sampled_from(["diabetes", "shipway", "release", "1", "other"]),
)


def things(kinds: Sequence[str] = APPLIED, names: Sequence[str] = NAMES) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda kind, name, labels, replicas: {
            "apiVersion": KINDS[kind].api,
            "kind": kind,
            "metadata": {"name": name, "labels": labels, "uid": f"uid-{name}"},
            "spec": {"replicas": replicas},
        },
        st.sampled_from(kinds),
        st.sampled_from(names),
        LABELS | st.just(OURS),
        st.integers(0, 3),
    )


def is_ours(thing: dict[str, Any]) -> bool:
    return bool(OURS.items() <= thing["metadata"]["labels"].items())


def identity(thing: dict[str, Any]) -> tuple[str, str]:
    return thing["kind"], thing["metadata"]["name"]


@settings(max_examples=40, deadline=None)
@given(st.lists(things(), max_size=12, unique_by=identity))
def test_nothing_outside_our_labels_is_ever_deleted(drawn: list[dict[str, Any]]) -> None:
    api = Api(*drawn)
    mine = {identity(each) for each in drawn if is_ours(each)}
    with api.target() as target:
        if not mine:
            with pytest.raises(UnknownRelease):
                target.plan_undeploy("diabetes")
            return
        plan = target.plan_undeploy("diabetes")
        target.carry_out(plan, quietly)
    assert set(api.deleted) == mine
    assert {tuple(change.what.split(" ")) for change in plan.changes} == mine


@settings(max_examples=20, deadline=None)
@given(things(("ServiceAccount", "PodDisruptionBudget", "Service", "Deployment"), ("diabetes",)))
def test_an_object_of_somebody_else_under_our_name_is_said_and_not_touched(thing: dict[str, Any]) -> None:
    assume(not is_ours(thing))
    api = Api(thing)
    with api.target() as target, pytest.raises(Contested, match="not of release diabetes"):
        target.plan(Order(RELEASE))
    assert api.deleted == []


def test_what_is_not_there_is_unknown() -> None:
    with Api().target() as target:
        assert target.names() == ()
        for ask in (
            target.status,
            target.history,
            target.measure,
            target.plan_promote,
            target.plan_undeploy,
            lambda name: target.plan_rollback(name, None),
            lambda name: target.plan_scale(name, 2),
            lambda name: target.logs(name, follow=False, tail=1),
        ):
            with pytest.raises(UnknownRelease):
                ask("diabetes")
        with pytest.raises(UsageError, match="nothing runs as diabetes"):
            target.plan(Order(RELEASE, canary=25))


def test_what_kubectl_alone_has_applied_is_no_release_and_is_said_to_be_there() -> None:
    deployment = {"kind": "Deployment", "metadata": {"name": "diabetes", "labels": OURS}, "spec": {}}
    with Api(deployment).target() as target:
        assert target.names() == ()
        with pytest.raises(UnknownRelease, match="diabetes runs here, but shipway deploy did not release it"):
            target.status("diabetes")


def test_a_plan_of_another_target_is_refused() -> None:
    with Api().target() as target, pytest.raises(UsageError):
        target.carry_out(Plan("diabetes", "deploy", 1, ()), quietly)


def test_objects_for_another_namespace_are_refused() -> None:
    client = httpx.Client(transport=httpx.MockTransport(Api()))
    access = Access("https://x.test", "models", "dev", User())
    target = KubernetesTarget(Cluster(access, client), Kubernetes(namespace="other"))
    with target, pytest.raises(UsageError, match="namespace other"):
        target.plan(Order(RELEASE))


def running_record(**age: str) -> dict[str, Any]:
    """Gives the record of a release that somebody is rolling out, as the recorded node has it."""
    for each in seen(EXCHANGES / "fails.jsonl.gz", "ConfigMap"):
        if each["metadata"]["name"] == "diabetes-release-2":
            record = copy.deepcopy(each)
            record["metadata"]["annotations"]["io.shipway/result"] = "running"
            record["data"] |= age
            return record
    raise AssertionError("no such record")


def test_of_two_releases_at_once_the_later_is_refused_with_who_and_when() -> None:
    record = running_record(when="2999-01-01T00:00:00+00:00", who="bob")
    with Api(record).target() as target, pytest.raises(Contested) as caught:
        target.plan(Order(RELEASE))
    assert "bob" in caught.value.message
    assert "00:00:00" in caught.value.message
    assert "release 2" in caught.value.message


class Overtaken(Api):
    """A cluster on which somebody else makes the same record between a look and the dry run."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            return httpx.Response(200, content=request.content)
        if request.method == "POST" and request.url.path.endswith("/configmaps"):
            return httpx.Response(409, json={"kind": "Status", "reason": "AlreadyExists", "code": 409})
        return super().__call__(request)


def test_who_is_overtaken_while_planning_is_told_so() -> None:
    with Overtaken().target() as target, pytest.raises(Contested, match="somebody else has just begun release 1"):
        target.plan(Order(RELEASE))


class Seized(Api):
    """A cluster on which somebody else takes a field between the plan and the first object."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method not in {"PATCH", "POST"} or "reviews" in request.url.path:
            return super().__call__(request)
        if "release-1" in request.url.path:
            self.marked.append(json.loads(request.content)["metadata"]["annotations"]["io.shipway/result"])
        elif request.method == "PATCH" and "dryRun" not in request.url.params:
            cause = {"reason": "FieldManagerConflict", "field": ".spec.x", "message": 'conflict with "somebody"'}
            status = {"kind": "Status", "reason": "Conflict", "code": 409, "details": {"causes": [cause]}}
            return httpx.Response(409, json=status)
        return httpx.Response(200, content=request.content)


def test_a_field_that_is_taken_between_plan_and_apply_is_said_with_what_is_left() -> None:
    api = Seized()
    with api.target() as target:
        plan = target.plan(Order(RELEASE))
        with pytest.raises(Contested) as caught:
            target.carry_out(plan, quietly)
    assert "spec.x belongs to somebody; release 1 of diabetes is unfinished" in caught.value.message
    assert "--force" in caught.value.fix
    assert "the same command goes on" in caught.value.fix
    assert api.marked == ["interrupted"]


class Cut(Seized):
    """A cluster whose connection is cut after it has made the record, before it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and self.made and request.url.path.endswith("/diabetes-release-1"):
            return httpx.Response(200, json=self.made)
        is_record = request.method == "POST" and request.url.path.endswith("/configmaps")
        if is_record and "dryRun" not in request.url.params:
            self.made = json.loads(request.content)
            raise httpx.ReadError("cut")
        return super().__call__(request)


def test_a_record_whose_answer_was_lost_does_not_hold_up_the_next_release() -> None:
    api = Cut()
    with api.target() as target:
        plan = target.plan(Order(RELEASE))
        with pytest.raises(TargetError, match="broke"):
            target.carry_out(plan, quietly)
    assert api.marked == ["failed"]


def test_who_takes_down_a_release_that_is_being_rolled_out_is_told_so() -> None:
    record = running_record(when="2999-01-01T00:00:00+00:00", who="bob")
    with Api(record).target() as target:
        assert any("bob" in note for note in target.plan_undeploy("diabetes").notes)


def test_records_are_json_that_anything_can_read() -> None:
    record = running_record()
    assert {each["kind"] for each in json.loads(record["data"]["objects"])} >= {"Deployment", "Service"}
