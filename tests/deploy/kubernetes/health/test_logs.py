"""At the HTTP seam: the lines of several pods as one stream."""

from __future__ import annotations

from typing import Any

import httpx

from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.health.logs import follow_logs, last_lines, parse
from shipway.deploy.target import LogLine


class Api:
    """Has pods, each with what it wrote; a pod that is not started answers 400."""

    def __init__(self, **written: list[str] | None) -> None:
        self.written = written
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        name, _, part = request.url.path.rpartition("/pods")[2].strip("/").partition("/")
        if not name:
            items = [{"metadata": {"name": name, "uid": name}} for name in self.written]
            return httpx.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": items})
        lines = self.written.get(name)
        if part == "log" and lines is None:
            return httpx.Response(
                400, json={"kind": "Status", "reason": "BadRequest", "message": "is waiting to start"}
            )
        if part == "log":
            tail = int(request.url.params["tailLines"])
            return httpx.Response(200, content="".join(f"{line}\n" for line in (lines or [])[-tail:]).encode())
        return httpx.Response(200, json={"kind": "Pod", "metadata": {"name": name}})

    def cluster(self) -> Cluster:
        client = httpx.Client(transport=httpx.MockTransport(self))
        return Cluster(Access("https://x.test", "models", "dev", User()), client, sleep=lambda _: None)


def at(second: int, text: str) -> str:
    return f"2026-11-25T01:00:{second:02}.000000000Z {text}"


def texts(lines: Any) -> list[tuple[str, str]]:
    return [(line.instance, line.text) for line in lines]


def test_lines_of_all_pods_are_merged_by_time() -> None:
    api = Api(a=[at(1, "one"), at(3, "three")], b=[at(2, "two"), at(4, "four")])
    assert texts(last_lines(api.cluster(), "diabetes", 10)) == [
        ("a", "one"),
        ("b", "two"),
        ("a", "three"),
        ("b", "four"),
    ]


def test_only_the_last_lines_of_each_are_given() -> None:
    api = Api(a=[at(1, "one"), at(3, "three")], b=[at(2, "two"), at(4, "four")])
    assert texts(last_lines(api.cluster(), "diabetes", 1)) == [("a", "three"), ("b", "four")]


def test_only_pods_of_the_release_are_asked_for() -> None:
    api = Api(a=[])
    last_lines(api.cluster(), "diabetes", 1)
    assert "app.kubernetes.io/instance=diabetes" in api.asked[0].url.params["labelSelector"]


def test_a_pod_that_has_not_started_has_no_lines_yet() -> None:
    api = Api(a=None, b=[at(1, "one")])
    assert texts(last_lines(api.cluster(), "diabetes", 9)) == [("b", "one")]


def test_following_gives_the_past_once_then_what_comes_and_new_pods() -> None:
    api = Api(a=[at(1, "one")])
    lines = follow_logs(api.cluster(), "diabetes", 9)
    assert next(lines).text == "one"
    api.written["a"] = [at(1, "one"), at(2, "two")]
    assert next(lines).text == "two", "what was read is not read again"
    api.written["b"] = [at(3, "three")]
    assert (lambda line: (line.instance, line.text))(next(lines)) == ("b", "three")
    lines.close()  # type: ignore[attr-defined]


def test_a_line_keeps_its_text_whether_it_has_a_time_or_not() -> None:
    assert parse("p", at(1, "a b  c")) == LogLine("p", "a b  c", at(1, "")[:-1])
    assert parse("p", "no time here") == LogLine("p", "no time here")
    assert parse("p", "") == LogLine("p", "")
    assert parse("p", at(1, "")) == LogLine("p", "", at(1, "")[:-1])
