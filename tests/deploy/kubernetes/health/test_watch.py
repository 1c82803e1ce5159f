"""At the HTTP seam: what a watch makes of lists, events, 410, cut connections and silence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.health.watch import Watch
from shipway.errors import NotAllowed, TargetError

Object = dict[str, Any]
EXPIRED = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}


def pod(name: str, version: int) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "resourceVersion": str(version)}}


def listing(*pods: Object, version: int = 1) -> Object:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": list(pods)}


def events(*found: tuple[str, Object]) -> bytes:
    return b"".join(json.dumps({"type": kind, "object": thing}).encode() + b"\n" for kind, thing in found)


class Stream(httpx.SyncByteStream):
    """Gives some bytes, then nothing until it is told to end, or breaks."""

    def __init__(self, first: bytes, end: threading.Event, *, breaks: bool = False) -> None:
        self._first, self._end, self._breaks = first, end, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        if self._breaks:
            raise httpx.ReadError("cut")
        self._end.wait(10)


class Api:
    """Answers lists and watches, each in turn and the last for ever."""

    def __init__(self, lists: list[Any], watches: list[Callable[[threading.Event], httpx.Response]]) -> None:
        self._lists, self._watches = lists, watches
        self.end = threading.Event()
        self.asked: list[httpx.Request] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.asked.append(request)
            if "watch" in request.url.params:
                watch = self._watches.pop(0) if len(self._watches) > 1 else self._watches[0]
                return watch(self.end)
            found = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
            return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def cluster(self) -> Cluster:
        client = httpx.Client(transport=httpx.MockTransport(self))
        return Cluster(Access("https://x.test", "models", "dev", User()), client, sleep=lambda _: None)


def stream(*found: tuple[str, Object], breaks: bool = False) -> Callable[[threading.Event], httpx.Response]:
    return lambda end: httpx.Response(200, stream=Stream(events(*found), end, breaks=breaks))


def names_until(api: Api, wanted: set[str], **options: Any) -> list[set[str]]:
    """Gives the names in each view until there are just these."""
    views: list[set[str]] = []
    begin = time.monotonic()
    try:
        with Watch(api.cluster(), ("Pod",), {"a": "b"}, **options) as watch:
            for view in watch.views():
                views.append({each["metadata"]["name"] for each in view["Pod"]})
                if views[-1] == wanted:
                    return views
                assert time.monotonic() - begin < 8, views
            raise AssertionError("a watch has no end")
    finally:
        api.end.set()


def test_what_is_listed_is_seen_at_once() -> None:
    api = Api([listing(pod("a", 1), pod("b", 1))], [stream()])
    assert names_until(api, {"a", "b"}) == [{"a", "b"}]
    assert api.asked[0].url.params["labelSelector"] == "a=b"


def test_changes_are_seen_without_waiting() -> None:
    happens = stream(("ADDED", pod("b", 2)), ("DELETED", pod("a", 3)), ("MODIFIED", pod("b", 4)))
    begin = time.monotonic()
    assert names_until(Api([listing(pod("a", 1))], [happens]), {"b"})[-1] == {"b"}
    assert time.monotonic() - begin < 0.9


def test_a_version_that_is_forgotten_is_listed_again() -> None:
    gone = stream(("ERROR", EXPIRED))
    api = Api([listing(pod("a", 1)), listing(pod("b", 9), version=9)], [gone, stream()])
    assert names_until(api, {"b"})[-1] == {"b"}


def test_a_cut_connection_is_taken_up_from_where_it_was() -> None:
    api = Api([listing(pod("a", 1))], [stream(("ADDED", pod("b", 7)), breaks=True), stream(("ADDED", pod("c", 8)))])
    names_until(api, {"a", "b", "c"})
    watched = [request.url.params["resourceVersion"] for request in api.asked if "watch" in request.url.params]
    assert watched == ["1", "7"]


def test_an_api_server_that_restarts_is_ridden_out() -> None:
    api = Api([httpx.Response(500), listing(pod("a", 1))], [stream()])
    assert names_until(api, {"a"})[-1] == {"a"}


def test_an_api_server_that_stays_away_is_told_after_a_while() -> None:
    api = Api([httpx.Response(500)], [stream()])
    with pytest.raises(TargetError, match="500"):
        names_until(api, {"a"}, patience=0.2)


def test_a_missing_right_is_told_at_once() -> None:
    status = {"kind": "Status", "reason": "Forbidden", "message": 'User "u" cannot list resource "pods"', "code": 403}
    api = Api([httpx.Response(403, json=status)], [stream()])
    with pytest.raises(NotAllowed, match="list pods"):
        names_until(api, {"a"})


def test_a_kind_that_may_not_be_read_is_told_though_another_is_heard_of_later() -> None:
    status = {"kind": "Status", "reason": "Forbidden", "message": 'User "u" cannot list resource "pods"', "code": 403}
    refused, heard, listed = threading.Event(), threading.Event(), Api([listing()], [stream()])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/pods"):
            refused.set()
            return httpx.Response(403, json=status)
        refused.wait(5)
        time.sleep(0.05)
        if "watch" in request.url.params:
            heard.set()
        return listed(request)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    cluster = Cluster(Access("https://x.test", "models", "dev", User()), client, sleep=lambda _: None)
    try:
        with Watch(cluster, ("Pod", "Deployment"), {}, patience=1) as watch:
            assert heard.wait(5)
            with pytest.raises(NotAllowed, match="list pods"):
                next(watch.views())
    finally:
        listed.end.set()


def test_its_threads_end_with_it() -> None:
    before = set(threading.enumerate())
    api = Api([listing(pod("a", 1))], [stream()])
    names_until(api, {"a"})
    deadline = time.monotonic() + 2
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("watch-")]


def test_a_quiet_cluster_is_looked_at_every_second() -> None:
    api = Api([listing(pod("a", 1))], [stream()])
    begin, times = time.monotonic(), []
    with Watch(api.cluster(), ("Pod",), {}) as watch:
        for _ in watch.views():
            times.append(time.monotonic() - begin)
            if len(times) == 2:
                break
        api.end.set()
    assert times[1] - times[0] < 2
