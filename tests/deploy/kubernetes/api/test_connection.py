from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.api_server import PEM, ApiServer
from shipway.deploy.kubernetes.api import connection
from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.connection import split_lines
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.errors import NotAllowed, ShipwayError, TargetError

ACCESS = Access("https://dev.test/prefix", "models", "dev", User())
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
BUSY = {"kind": "Status", "reason": "TooManyRequests", "details": {"retryAfterSeconds": 2}, "code": 429}

Handler = Callable[[httpx.Request], httpx.Response]


def cluster(handler: Handler, slept: list[float] | None = None, warned: list[str] | None = None) -> Cluster:
    waits, warnings = ([] if slept is None else slept), ([] if warned is None else warned)
    client = httpx.Client(transport=httpx.MockTransport(handler))
    return Cluster(ACCESS, client, sleep=waits.append, warn=warnings.append)


def in_turn(*answers: httpx.Response | Exception, sent: list[httpx.Request] | None = None) -> Handler:
    """Gives one answer after the other; the last one again and again."""
    rest = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        if sent is not None:
            sent.append(request)
        answer = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


def ok() -> httpx.Response:
    return httpx.Response(200, json=MAP)


def busy(code: int = 429, wait: str = "") -> httpx.Response:
    headers = {"Retry-After": wait} if wait else {}
    return httpx.Response(code, json={**BUSY, "code": code}, headers=headers)


def test_a_busy_cluster_is_asked_again_after_the_time_that_it_names() -> None:
    slept: list[float] = []
    handler = in_turn(busy(), busy(wait="5"), busy(503), busy(504), ok())
    assert cluster(handler, slept).get(KINDS["ConfigMap"], "a") == MAP
    assert slept == [2, 5, 2, 2]


def test_it_is_asked_a_few_times_only_and_never_waited_for_long() -> None:
    slept: list[float] = []
    with pytest.raises(TargetError, match="429 TooManyRequests"):
        cluster(in_turn(busy(wait="86400")), slept).apply(MAP)
    assert slept == [30.0] * 5


def test_without_a_time_the_waits_grow() -> None:
    slept: list[float] = []
    with pytest.raises(TargetError):
        cluster(in_turn(httpx.Response(503)), slept).get(KINDS["ConfigMap"], "a")
    assert slept == [0.5, 1, 2, 4, 8]


def test_making_an_object_is_repeated_only_where_it_was_not_begun() -> None:
    assert cluster(in_turn(busy(), ok())).create(MAP) == MAP
    for failure in (busy(503), httpx.ReadError("reset"), httpx.RemoteProtocolError("cut")):
        sent: list[httpx.Request] = []
        with pytest.raises(TargetError):
            cluster(in_turn(failure, ok(), sent=sent)).create(MAP)
        assert len(sent) == 1


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.RemoteProtocolError("Server disconnected")])
def test_a_connection_that_breaks_is_made_again(failure: Exception) -> None:
    assert cluster(in_turn(failure, ok())).apply(MAP) == MAP


def test_a_cluster_that_was_never_reached_is_given_up_at_once_and_one_that_was_is_not() -> None:
    slept: list[float] = []
    refused = httpx.ConnectError("[Errno 111] Connection refused")
    with pytest.raises(TargetError, match="cannot be reached") as raised:
        cluster(in_turn(refused), slept).get(KINDS["ConfigMap"], "a")
    assert "kubectl --context dev cluster-info" in raised.value.fix
    assert slept == []
    asked = cluster(in_turn(ok(), refused, refused, ok()), slept)
    assert [asked.get(KINDS["ConfigMap"], "a") for _ in range(2)] == [MAP, MAP]
    assert len(slept) == 2


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (httpx.ConnectTimeout(""), "does not answer in time"),
        (httpx.ReadTimeout(""), "does not answer in time"),
        (httpx.PoolTimeout(""), "does not answer in time"),
        (httpx.ProxyError("407"), "proxy"),
        (
            httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: expired (_ssl.c:1)"),
            ": expired",
        ),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version"), "cannot be reached"),
        (httpx.DecodingError("bad gzip"), "bad gzip"),
    ],
)
def test_each_failure_to_get_an_answer_is_an_error_that_names_the_context(failure: Exception, message: str) -> None:
    with pytest.raises(TargetError) as raised:
        cluster(in_turn(failure)).get(KINDS["ConfigMap"], "a")
    assert message in raised.value.message
    assert "context dev" in raised.value.message
    assert raised.value.fix


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_LIMIT", 1 << 20)
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for _ in range(64):
            read.append(1)
            yield b" " * (1 << 18)

    with pytest.raises(TargetError, match="more than 1 MiB"):
        cluster(in_turn(httpx.Response(200, content=body()))).get(KINDS["ConfigMap"], "a")
    assert len(read) == 5


def test_a_refusal_that_is_too_large_is_refused_too() -> None:
    with pytest.raises(TargetError, match="more than 1 MiB"):
        cluster(in_turn(httpx.Response(400, content=b"x" * (1 << 21)))).get(KINDS["ConfigMap"], "a")


def test_warnings_are_told_once() -> None:
    warned: list[str] = []
    headers = [("Warning", '299 - "v1beta1 is \\"old\\""'), ("Warning", '299 - "second"'), ("Warning", "nonsense")]
    asked = cluster(lambda _: httpx.Response(200, json=MAP, headers=headers), warned=warned)
    for _ in range(2):
        asked.get(KINDS["ConfigMap"], "a")
    assert warned == ['v1beta1 is "old"', "second"]


def test_the_server_s_own_path_is_kept() -> None:
    sent: list[httpx.Request] = []
    cluster(in_turn(ok(), sent=sent)).get(KINDS["ConfigMap"], "a")
    assert sent[0].url.path == "/prefix/api/v1/namespaces/models/configmaps/a"


def test_after_close_nothing_is_asked() -> None:
    asked = cluster(in_turn(ok()))
    asked.close()
    with pytest.raises(TargetError, match="is closed"):
        asked.get(KINDS["ConfigMap"], "a")


def test_close_ends_streams_that_other_threads_wait_for() -> None:
    ended: list[object] = []

    def run(stream: Iterator[object]) -> None:
        try:
            ended.append(list(stream))
        except ShipwayError as error:
            ended.append(error)

    with ApiServer() as server:
        asked = Cluster.open(Access(server.url, "models", "dev", User(), authority=PEM / "authority.pem"))
        streams = [asked.logs("p", follow=True), asked.watch(KINDS["Pod"], {}, "1", 60)]
        threads = [threading.Thread(target=run, args=(stream,)) for stream in streams]
        for thread in threads:
            server.waiting.clear()
            thread.start()
            assert server.waiting.wait(5)
        time.sleep(0.05)  # the threads now wait for the next bytes
        asked.close()
        for thread in threads:
            thread.join(3)
            assert not thread.is_alive()
    assert ended == [[], []]


def test_close_ends_a_wait_for_the_next_attempt() -> None:
    asked = Cluster(ACCESS, httpx.Client(transport=httpx.MockTransport(in_turn(busy(wait="30")))))
    begun = time.monotonic()
    thread = threading.Timer(0.1, asked.close)
    thread.start()
    with pytest.raises(TargetError):
        asked.get(KINDS["ConfigMap"], "a")
    thread.join()
    assert time.monotonic() - begun < 10


def test_an_error_of_the_plugin_is_not_taken_for_one_of_the_connection() -> None:
    wrong = NotAllowed("the plugin ended with 3")
    with pytest.raises(NotAllowed) as raised:
        cluster(in_turn(wrong)).get(KINDS["ConfigMap"], "a")
    assert raised.value is wrong


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"\n\n", b"x" * 9]), max_size=12), cuts=st.randoms())
def test_lines_do_not_depend_on_how_the_stream_is_cut(data: list[bytes], cuts: object) -> None:
    whole = b"".join(data)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    cut_off = [line if len(line) <= 8 else line[:8] + "…".encode() for line in expected]
    for chunks in (data, [whole], [bytes([byte]) for byte in whole]):
        assert list(split_lines(chunks, 8, cut=True)) == cut_off


def test_a_line_without_end_is_not_kept() -> None:
    stream = (b"x" * 1000 for _ in range(1000))
    assert list(split_lines(stream, 10, cut=True)) == [b"x" * 10 + "…".encode()]
    with pytest.raises(TargetError, match="a line of more than"):
        list(split_lines((b"x" * 1000 for _ in range(1000)), 10))


def test_importing_the_cluster_imports_neither_yaml_nor_httpx_nor_a_library_of_kubernetes() -> None:
    import subprocess
    import sys

    code = (
        "import sys, shipway.deploy.kubernetes.api.cluster, shipway.deploy.kubernetes.api.kubeconfig;"
        "print(sorted({'yaml', 'httpx', 'kubernetes', 'lightkube', 'kr8s', 'ssl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_fixture_of_certificates_is_whole() -> None:
    assert {path.name for path in Path(PEM).glob("*.pem")} >= {"authority.pem", "server.pem", "named.pem"}
