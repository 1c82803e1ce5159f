"""At the HTTP seam; what a real node answered is in `answers/`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import AlreadyThere, Cluster, Event, Expired, Gone, Listing
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.errors import Contested, NotAllowed, TargetError, UsageError

ANSWERS = Path(__file__).parents[1] / "answers"
ACCESS = Access("https://dev.test", "models", "dev", User())
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
CONFIG_MAP, DEPLOYMENT, POD = KINDS["ConfigMap"], KINDS["Deployment"], KINDS["Pod"]
MAPS = "/api/v1/namespaces/models/configmaps"


def recorded(name: str, code: int) -> httpx.Response:
    path = next(ANSWERS.glob(f"status-{name}.*"))
    return httpx.Response(code, content=path.read_bytes())


class Api:
    """Answers in turn, the last answer for ever, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | dict[str, Any]) -> None:
        self._answers = [
            answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer) for answer in answers
        ]
        self.sent: list[httpx.Request] = []
        self.cluster = Cluster(ACCESS, httpx.Client(transport=httpx.MockTransport(self._answer)), sleep=lambda _: None)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    @property
    def said(self) -> tuple[str, str, dict[str, str]]:
        """Method, path and query of the last request."""
        last = self.sent[-1]
        return last.method, last.url.path, dict(last.url.params)

    @property
    def body(self) -> Any:
        return json.loads(self.sent[-1].content)


def test_an_object_is_got_and_one_that_is_not_there_is_none() -> None:
    assert Api(MAP).cluster.get(CONFIG_MAP, "a") == MAP
    assert Api(recorded("not-found", 404)).cluster.get(CONFIG_MAP, "b") is None
    assert Api(recorded("no-kind", 404)).cluster.get(KINDS["ServiceMonitor"], "b") is None


def test_something_that_is_no_cluster_is_not_taken_for_an_empty_one() -> None:
    absent = Api(recorded("no-kind", 404)).cluster
    calls: list[Callable[[], object]] = [
        partial(absent.get, CONFIG_MAP, "a"),
        partial(absent.list, DEPLOYMENT),
        partial(absent.delete, POD, "p"),
    ]
    for ask in calls:
        with pytest.raises(TargetError, match="404"):
            ask()
    for body in (b"<html>", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(TargetError, match="is not the API of a cluster"):
            Api(httpx.Response(200, content=body)).cluster.get(CONFIG_MAP, "a")


def test_a_list_says_of_its_items_what_they_are_and_comes_in_pages() -> None:
    first = {"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [{"metadata": {"name": "a"}}]}
    last = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]}
    api = Api(first, last)
    listing = api.cluster.list(CONFIG_MAP, {"a": "b", "c.io/d": "e"}, "metadata.name!=x")
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("v1", "ConfigMap")}
    assert listing.version == "7"
    query = {"labelSelector": "a=b,c.io/d=e", "fieldSelector": "metadata.name!=x", "limit": "250", "continue": "next"}
    assert api.said == ("GET", MAPS, query)


def test_a_list_whose_next_page_has_expired_is_begun_again() -> None:
    page = {"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [{"metadata": {"name": "old"}}]}
    fresh = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "new"}}]}
    api = Api(page, recorded("page-expired", 410), fresh)
    listing = api.cluster.list(CONFIG_MAP)
    assert ([item["metadata"]["name"] for item in listing.items], listing.version) == (["new"], "9")
    assert "continue" not in api.said[2]


def test_a_list_whose_pages_always_expire_or_never_end_is_given_up() -> None:
    with pytest.raises(Expired):
        Api(recorded("page-expired", 410)).cluster.list(CONFIG_MAP)
    with pytest.raises(TargetError, match="more than 100000 configmaps"):
        Api({"metadata": {"continue": "x"}, "items": []}).cluster.list(CONFIG_MAP)


def test_a_kind_that_the_cluster_lacks_has_no_objects() -> None:
    assert Api(recorded("no-kind", 404)).cluster.list(KINDS["ServiceMonitor"]) == Listing((), "")


def event(type_: str, name: str = "a", version: str = "8") -> bytes:
    document = {"metadata": {"name": name, "resourceVersion": version}}
    return json.dumps({"type": type_, "object": document}).encode() + b"\n"


def stream(*chunks: bytes) -> httpx.Response:
    return httpx.Response(200, content=iter(chunks))


def cut(*chunks: bytes) -> httpx.Response:
    def body() -> Iterator[bytes]:
        yield from chunks
        raise httpx.ReadError("reset")

    return httpx.Response(200, content=body())


def test_a_watch_gives_events_while_they_come_and_goes_on_from_where_it_was_cut() -> None:
    added, modified = event("ADDED", version="8"), event("MODIFIED", version="9")
    api = Api(
        cut(added[:5], added[5:] + modified, event("BOOKMARK", version="12"), event("DELETED", version="13")[:9]),
        stream(event("DELETED", version="14")),
        recorded("expired", 200),
    )
    events = api.cluster.watch(CONFIG_MAP, {"a": "b"}, "7", 60)
    assert [next(events).type for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]
    assert [request.url.params["resourceVersion"] for request in api.sent] == ["7", "12"]
    assert api.said[2]["allowWatchBookmarks"] == "true"
    assert api.said[2]["labelSelector"] == "a=b"
    with pytest.raises(Expired):
        next(events)
    assert api.said[2]["resourceVersion"] == "14"


def test_a_watch_ends_after_its_time() -> None:
    api = Api(stream(event("ADDED")))
    begun = time.monotonic()
    assert list(api.cluster.watch(CONFIG_MAP, {}, "7", 0)) == []
    assert api.sent == []

    def body() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.06)
            yield event("ADDED")

    slow = Api(httpx.Response(200, content=body()))
    events = list(slow.cluster.watch(CONFIG_MAP, {}, "7", 0.2))
    assert 1 <= len(events) < 10
    assert isinstance(events[0], Event)
    assert time.monotonic() - begun < 5
    assert slow.sent[0].url.params["timeoutSeconds"] == "1"


def test_an_expired_version_is_said_by_answer_and_by_event() -> None:
    for answer in (recorded("expired", 200), recorded("page-expired", 410)):
        with pytest.raises(Expired):
            list(Api(answer).cluster.watch(CONFIG_MAP, {}, "1", 60))


def test_a_watch_without_the_right_or_with_rubbish_says_so() -> None:
    with pytest.raises(NotAllowed):
        list(Api(recorded("forbidden", 403)).cluster.watch(DEPLOYMENT, {}, "1", 60))
    with pytest.raises(TargetError, match="is not the API"):
        list(Api(stream(b"<html>\n")).cluster.watch(DEPLOYMENT, {}, "1", 60))


def test_objects_are_applied_by_our_field_manager_and_strictly() -> None:
    api = Api(MAP)
    assert api.cluster.apply(MAP) == MAP
    assert api.said == ("PATCH", f"{MAPS}/a", {"fieldManager": "shipway", "fieldValidation": "Strict"})
    assert api.sent[-1].headers["content-type"] == "application/apply-patch+yaml"
    assert api.body == MAP
    api.cluster.apply(MAP, manager="other", force=True, dry_run=True)
    assert api.said[2] == {"fieldManager": "other", "fieldValidation": "Strict", "force": "true", "dryRun": "All"}


def test_fields_of_others_are_not_taken_over() -> None:
    api = Api(recorded("field-conflict", 409), MAP)
    with pytest.raises(Contested, match=r"data\.k belongs to kubectl-client-side-apply"):
        api.cluster.apply(MAP)
    assert len(api.sent) == 1


def test_fields_that_we_wrote_in_another_way_are_ours() -> None:
    api = Api(recorded("own-conflict", 409), MAP)
    assert api.cluster.apply(MAP, dry_run=True) == MAP
    assert (api.said[2]["force"], api.said[2]["dryRun"]) == ("true", "All")
    with pytest.raises(Contested):
        Api(recorded("own-conflict", 409), MAP).cluster.apply(MAP, manager="other")


@pytest.mark.parametrize(
    ("answer", "code", "kind", "message"),
    [
        ("invalid", 422, UsageError, "imagePullPolicy"),
        ("immutable", 422, UsageError, "immutable"),
        ("unknown-field", 500, UsageError, "not declared in schema"),
        ("no-namespace", 404, Gone, "no namespace models"),
        ("terminating", 403, TargetError, "is being deleted"),
        ("unauthorized", 401, NotAllowed, "credentials"),
    ],
)
def test_what_the_cluster_refuses_is_raised(answer: str, code: int, kind: type[TargetError], message: str) -> None:
    api = Api(recorded(answer, code))
    with pytest.raises(kind, match=message):
        api.cluster.apply(MAP)
    assert len(api.sent) == 1


def test_an_object_is_created_once() -> None:
    api = Api(MAP)
    assert api.cluster.create(MAP, dry_run=True) == MAP
    assert api.said == ("POST", MAPS, {"fieldManager": "shipway", "fieldValidation": "Strict", "dryRun": "All"})
    with pytest.raises(AlreadyThere, match="ConfigMap a exists already"):
        Api(recorded("already-exists", 409)).cluster.create(MAP)


def test_unknown_kinds_are_not_sent() -> None:
    api = Api(MAP)
    with pytest.raises(UsageError, match="kubectl"):
        api.cluster.apply({**MAP, "kind": "Widget"})
    assert api.sent == []


def test_parts_are_merged_and_pods_are_scaled() -> None:
    api = Api(MAP)
    patch = {"metadata": {"resourceVersion": "7", "annotations": {"a": None}}}
    assert api.cluster.merge(CONFIG_MAP, "a", patch) == MAP
    assert (api.said[:2], api.body) == (("PATCH", f"{MAPS}/a"), patch)
    assert api.sent[-1].headers["content-type"] == "application/merge-patch+json"
    with pytest.raises(Contested, match="in the meantime"):
        Api(recorded("modified", 409)).cluster.merge(CONFIG_MAP, "a", patch)
    api.cluster.scale(DEPLOYMENT, "d", 3)
    assert api.said[1] == "/apis/apps/v1/namespaces/models/deployments/d/scale"
    assert api.body == {"spec": {"replicas": 3}}


def test_deleting_says_whether_it_was_there_and_spares_another_of_that_name() -> None:
    api = Api(MAP)
    assert api.cluster.delete(CONFIG_MAP, "a", uid="1-2")
    assert api.said[:2] == ("DELETE", f"{MAPS}/a")
    assert (api.body["propagationPolicy"], api.body["preconditions"]) == ("Background", {"uid": "1-2"})
    assert not Api(recorded("not-found", 404)).cluster.delete(CONFIG_MAP, "a")
    with pytest.raises(Contested, match="UID in the precondition"):
        Api(recorded("uid", 409)).cluster.delete(CONFIG_MAP, "a", uid="1-2")


def test_logs_come_line_by_line() -> None:
    api = Api(stream(b"one\ntw", b"o \xff\n", b"x" * 100_000, b"\nend"))
    lines = list(api.cluster.logs("p", tail=5, previous=True, timestamps=False))
    assert lines[:2] == ["one", "two \ufffd"]
    assert (len(lines[2]), lines[2][-1], lines[3]) == ((64 << 10) + 1, "…", "end")
    method, path, query = api.said
    assert (method, path) == ("GET", "/api/v1/namespaces/models/pods/p/log")
    assert query == {
        "container": "server",
        "tailLines": "5",
        "timestamps": "false",
        "follow": "false",
        "previous": "true",
    }


def test_logs_that_are_cut_say_so_and_those_that_are_not_there_too() -> None:
    lines = Api(cut(b"one\n")).cluster.logs("p", follow=True)
    assert next(lines) == "one"
    with pytest.raises(TargetError, match="broke"):
        next(lines)
    answer = httpx.Response(400, json={"kind": "Status", "reason": "BadRequest", "message": "is waiting to start"})
    with pytest.raises(TargetError, match="waiting to start"):
        list(Api(answer).cluster.logs("p"))
    with pytest.raises(Gone, match="no Pod p"):
        list(Api(recorded("not-found", 404)).cluster.logs("p"))


def test_a_pod_is_asked_through_the_cluster_once() -> None:
    api = Api(httpx.Response(200, content=b"metrics"))
    assert api.cluster.proxy("p", 8002, "/metrics?x=1") == b"metrics"
    assert str(api.sent[-1].url) == "https://dev.test/api/v1/namespaces/models/pods/p:8002/proxy/metrics?x=1"
    gone = Api(httpx.Response(503, content=b"not ready"))
    with pytest.raises(TargetError, match="Pod p in namespace models of context dev answers 503: not ready"):
        gone.cluster.proxy("p", 8002, "/readyz")
    assert len(gone.sent) == 1


def test_rights_are_asked_of_the_cluster() -> None:
    api = Api({"status": {"allowed": True}}, {"status": {"allowed": False}}, {})
    answers = [
        api.cluster.allows("get", POD, "log"),
        api.cluster.allows("patch", DEPLOYMENT),
        api.cluster.allows("get", POD),
    ]
    assert answers == [True, False, False]
    sent = [json.loads(request.content)["spec"]["resourceAttributes"] for request in api.sent]
    assert sent[0] == {"verb": "get", "group": "", "resource": "pods", "subresource": "log", "namespace": "models"}
    assert sent[1]["group"] == "apps"
    assert api.cluster.allows("get", KINDS["Node"]) is False
    assert "namespace" not in api.body["spec"]["resourceAttributes"]
    assert Api(recorded("forbidden", 403)).cluster.allows("get", POD), "the cluster will say when it is tried"


def test_the_account_is_named_where_the_cluster_names_it() -> None:
    assert Api({"status": {"userInfo": {"username": "kim"}}}).cluster.who() == "kim"
    for answer in (recorded("forbidden", 403), httpx.Response(200, json={"status": 7})):
        assert Api(answer).cluster.who() == ""


def test_the_version_is_two_numbers() -> None:
    assert Api({"major": "1", "minor": "36+"}).cluster.version() == (1, 36)
    for wrong in ({}, {"major": "1", "minor": "x"}):
        with pytest.raises(TargetError, match="which version"):
            Api(wrong).cluster.version()


def test_a_cluster_is_closed_at_the_end_of_the_block() -> None:
    with Api(MAP).cluster as cluster:
        assert (cluster.namespace, cluster.context) == ("models", "dev")
    with pytest.raises(TargetError, match="closed"):
        cluster.get(CONFIG_MAP, "a")
