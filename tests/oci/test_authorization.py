"""Who asks: tokens by scope, and secrets that go to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.images import add_image
from fakes.registry import HOST, OTHER, REPOSITORY, TOKENS, FakeRegistry
from shipway.errors import RemoteError
from shipway.oci.authorization import Authorization, Scope, merged
from shipway.oci.credentials import Credentials
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry

LOGIN = ("user", "pass:word")
PULL = (Scope(REPOSITORY),)


@pytest.fixture
def remote(tmp_path: Path) -> FakeRegistry:
    layout = Layout.create(tmp_path / "remote")
    return FakeRegistry(layout, {"1": add_image(layout, [{"a": b"1"}])}, auth="bearer", login=LOGIN)


def registry_of(remote: FakeRegistry, credentials: Credentials | None, host: str = HOST) -> Registry:
    return Registry(host, remote.client(), find=lambda host, repository: credentials, sleep=lambda seconds: None)


def token_requests(remote: FakeRegistry) -> list[httpx.Request]:
    return [request for request in remote.seen if request.url.host == TOKENS]


def test_a_token_serves_as_long_as_it_lasts(remote: FakeRegistry) -> None:
    registry = registry_of(remote, Credentials(*LOGIN))
    for _ in range(5):
        registry.manifest(REPOSITORY, "1")
    assert len(token_requests(remote)) == 1


def test_a_token_that_has_run_out_is_fetched_anew(remote: FakeRegistry) -> None:
    remote.token_uses = 2
    registry = registry_of(remote, Credentials(*LOGIN))
    for _ in range(5):
        registry.manifest(REPOSITORY, "1")
    assert len(token_requests(remote)) == 3


def test_a_token_is_not_used_past_its_time() -> None:
    now, given_out = [0.0], []

    def answer(request: httpx.Request) -> httpx.Response:
        given_out.append(request)
        return httpx.Response(200, json={"token": f"t{len(given_out)}", "expires_in": 100})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    authorization = Authorization(httpx.URL(f"https://{HOST}"), lambda *_: None, client, clock=lambda: now[0])
    assert authorization.header(PULL) == ""
    assert authorization.answer([f'Bearer realm="https://{TOKENS}/"'], PULL, "") == "Bearer t1"
    now[0] = 79.0
    assert authorization.header(PULL) == "Bearer t1"
    now[0] = 81.0
    assert authorization.header(PULL) == "Bearer t2"


def test_what_another_thread_fetched_meanwhile_is_taken() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"token": "new"})))
    authorization = Authorization(httpx.URL(f"https://{HOST}"), lambda *_: None, client)
    challenge = [f'Bearer realm="https://{TOKENS}/"']
    first = authorization.answer(challenge, PULL, "")
    client.close()  # nothing can be asked any more
    assert authorization.answer(challenge, PULL, "Bearer old") == first


def test_scopes_that_turn_out_to_be_needed_are_asked_for(remote: FakeRegistry) -> None:
    """A registry may want more than a client knows of: it names the scope when it refuses."""
    descriptor = remote.tags["1"]

    def picky(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != HOST or "Authorization" not in request.headers:
            return None
        granted, _ = remote._tokens[request.headers["Authorization"].removeprefix("Bearer ")]
        if f"repository:{OTHER}:pull" in granted:
            return None
        challenge = (
            f'Bearer realm="{remote.realm}",service="s, t",error="insufficient_scope",scope="repository:{OTHER}:pull"'
        )
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    remote.answer = picky
    assert registry_of(remote, Credentials(*LOGIN)).manifest(REPOSITORY, "1")[0].digest == descriptor.digest


def test_who_may_pull_and_not_push_is_refused_once_and_for_all(remote: FakeRegistry) -> None:
    remote.allowed = set()
    with pytest.raises(RemoteError, match="401") as caught:
        registry_of(remote, Credentials(*LOGIN)).manifest(REPOSITORY, "1")
    assert "docker login" in caught.value.fix
    assert len(remote.seen) <= 5


def test_an_identity_token_is_posted_and_never_sent_to_the_registry(remote: FakeRegistry) -> None:
    remote.identity = "identity-secret"
    registry_of(remote, Credentials("<token>", "identity-secret", "identity")).manifest(REPOSITORY, "1")
    assert [request.method for request in token_requests(remote)] == ["POST"]
    assert all("identity-secret" not in str(request.headers) for request in remote.seen)


def test_a_token_server_without_post_is_asked_by_get(remote: FakeRegistry) -> None:
    remote.login = ("<token>", "identity-secret")
    registry_of(remote, Credentials("<token>", "identity-secret", "identity")).manifest(REPOSITORY, "1")
    assert [request.method for request in token_requests(remote)] == ["POST", "GET"]


def test_a_registry_token_is_used_as_it_is(remote: FakeRegistry) -> None:
    remote._tokens["given"] = ({f"repository:{REPOSITORY}:pull"}, 9)
    registry_of(remote, Credentials("", "given", "bearer")).manifest(REPOSITORY, "1")
    assert token_requests(remote) == []


def test_wrong_credentials_are_said_and_not_tried_for_ever(remote: FakeRegistry) -> None:
    for auth in ("bearer", "basic"):
        remote.auth, remote.seen = auth, []
        with pytest.raises(RemoteError) as caught:
            registry_of(remote, Credentials("user", "wrong")).manifest(REPOSITORY, "1")
        assert "docker login" in caught.value.fix
        assert "wrong" not in str(caught.value)
        assert len(remote.seen) <= 3


def test_credentials_never_travel_in_the_clear(remote: FakeRegistry) -> None:
    remote.auth = "basic"
    registry = Registry("far.test", remote.client(), find=lambda *_: Credentials(*LOGIN), insecure=True)
    with pytest.raises(RemoteError, match="never sent over plain HTTP"):
        registry.manifest(REPOSITORY, "1")
    assert all("Authorization" not in request.headers for request in remote.seen)


def test_credentials_go_to_this_machine_in_the_clear(remote: FakeRegistry) -> None:
    remote.auth = "basic"
    registry_of(remote, Credentials(*LOGIN), "127.0.0.1:5000").manifest(REPOSITORY, "1")


@pytest.mark.parametrize(
    "realm", ["http://127.0.0.1:9/token", f"http://{HOST}/token", "ftp://a.test", "", "http://[", "/t"]
)
def test_no_token_server_is_asked_in_the_clear(remote: FakeRegistry, realm: str) -> None:
    remote.realm = realm
    with pytest.raises(RemoteError):
        registry_of(remote, Credentials(*LOGIN)).manifest(REPOSITORY, "1")
    assert len(remote.seen) == 1


def test_another_host_has_no_say_in_where_credentials_go(remote: FakeRegistry) -> None:
    """A storage host answers 401 with a challenge of its own: that is not followed."""
    remote.auth, remote.login = "none", None

    def storage(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == HOST:
            return httpx.Response(307, headers={"Location": "https://evil.test/x"})
        return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://evil.test/token"'})

    remote.answer = storage
    with pytest.raises(RemoteError, match="401"):
        registry_of(remote, Credentials(*LOGIN)).manifest(REPOSITORY, "1")
    assert all("Authorization" not in request.headers for request in remote.seen)
    assert not any(request.url.path == "/token" for request in remote.seen)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: httpx.Response(200, text="<html>"),
        lambda request: httpx.Response(200, json={"token": "two\nlines"}),
        lambda request: httpx.Response(200, json={}),
        lambda request: httpx.Response(200, content=b"[" * 100_000),
        lambda request: httpx.Response(200, content=b" " * (2 << 20)),
        lambda request: httpx.Response(302, headers={"Location": "https://evil.test"}),
    ],
)
def test_a_strange_token_server_is_said(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    client = httpx.Client(transport=httpx.MockTransport(answer))
    authorization = Authorization(httpx.URL(f"https://{HOST}"), lambda *_: Credentials(*LOGIN), client)
    with pytest.raises(RemoteError):
        authorization.answer([f'Bearer realm="https://{TOKENS}/"'], PULL, "")


def test_a_busy_token_server_is_asked_again(remote: FakeRegistry) -> None:
    busy = [httpx.Response(503), httpx.Response(429)]

    class Busy(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return busy.pop() if busy and request.url.host == TOKENS else remote.handle_request(request)

    client = httpx.Client(transport=Busy())
    Registry(HOST, client, find=lambda *_: Credentials(*LOGIN), sleep=lambda _: None).manifest(REPOSITORY, "1")
    assert busy == []


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_any_challenge_ends_in_an_answer_or_an_error_of_ours(text: str) -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"token": "t"})))
    authorization = Authorization(httpx.URL(f"https://{HOST}"), lambda *_: None, client)
    try:
        assert authorization.answer([text, f"Bearer {text}"], PULL, "") == "Bearer t"
    except RemoteError as error:
        assert error.message.isprintable()


def test_scopes_are_asked_for_once_with_all_actions() -> None:
    assert merged(["repository:a:pull", "repository:b:pull", "repository:a:push,pull"]) == [
        "repository:a:pull,push",
        "repository:b:pull",
    ]
    assert merged(["", "no\nscope:x"]) == []
