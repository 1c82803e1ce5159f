"""Requests that are tried again, warnings that are shown once, and how a failure reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from fakes.registry import HOST, REPOSITORY
from shipway.errors import RemoteError
from shipway.oci.registry import Registry

Answer = Callable[[httpx.Request], httpx.Response]


def waits_of(answers: list[httpx.Response | Exception]) -> list[float]:
    """Asks for the tags of a registry that answers so; gives how long it was waited in between."""
    waits: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        one = answers.pop(0) if answers else httpx.Response(200, json={"tags": ["a"]})
        if isinstance(one, Exception):
            raise one
        return one

    client = httpx.Client(transport=httpx.MockTransport(answer))
    Registry(HOST, client, sleep=waits.append).tags(REPOSITORY)
    return waits


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_registry_is_asked_again_and_less_often_each_time(status: int) -> None:
    assert waits_of([httpx.Response(status), httpx.Response(status), httpx.Response(status)]) == [1, 2, 4]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 501])
def test_a_refusal_is_final(status: int) -> None:
    with pytest.raises(RemoteError):
        waits_of([httpx.Response(status)])


def test_a_connection_that_breaks_is_made_again() -> None:
    assert waits_of([httpx.Response(503), httpx.ReadError("cut"), httpx.ConnectTimeout("slow")]) == [1, 2, 4]


def test_a_host_that_never_answered_is_not_waited_for_long() -> None:
    assert waits_of([httpx.ConnectError("no such host")]) == [1]
    with pytest.raises(RemoteError, match="no such host"):
        waits_of([httpx.ConnectError("no such host")] * 2)


def test_a_registry_is_waited_for_as_long_as_it_asks_within_reason() -> None:
    answers = [httpx.Response(429, headers={"Retry-After": text}) for text in ("7", "999999", "soon")]
    assert waits_of([*answers]) == [7, 30, 4]
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert waits_of([httpx.Response(503, headers={"Retry-After": later})]) == [pytest.approx(20, abs=3)]


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    def broken() -> httpx.Response:
        def pieces() -> Iterator[bytes]:
            yield b'{"tags": '
            raise httpx.RemoteProtocolError("peer closed connection")

        return httpx.Response(200, content=pieces())

    assert waits_of([broken()]) == [1]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "SSL_CERT_FILE"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "--insecure"),
    ],
)
def test_a_wrong_certificate_is_final_and_says_what_to_do(text: str, fix: str) -> None:
    with pytest.raises(RemoteError) as caught:
        waits_of([httpx.ConnectError(text)])
    assert fix in caught.value.fix


def registry_that_warns(headers: list[tuple[str, str]], said: list[str]) -> Registry:
    client = httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"tags": []}, headers=headers))
    )
    return Registry(HOST, client, warn=said.append)


def test_each_warning_is_shown_once() -> None:
    said: list[str] = []
    registry = registry_that_warns([("Warning", '299 - "goes \\"away\\""'), ("Warning", '299 - "soon"')], said)
    for _ in range(3):
        registry.tags(REPOSITORY)
    assert said == [f'{HOST}: goes "away"', f"{HOST}: soon"]


@pytest.mark.parametrize("text", ['110 proxy "stale"', "299", '299 - "', ""])
def test_what_is_no_warning_of_the_registry_is_not_shown(text: str) -> None:
    said: list[str] = []
    registry_that_warns([("Warning", text)], said).tags(REPOSITORY)
    assert said == []


def test_a_warning_cannot_move_the_cursor_or_fill_the_screen() -> None:
    said: list[str] = []
    registry_that_warns([("Warning", f'299 - "\x1b[2J{"x" * 5000}"')], said).tags(REPOSITORY)
    assert len(said) == 1
    assert said[0].isprintable()
    assert len(said[0]) < 600


def test_a_location_without_encryption_says_what_is_wrong_with_the_registry() -> None:
    def plain(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"Location": f"http://{HOST}/elsewhere"})

    with pytest.raises(RemoteError) as caught:
        Registry(HOST, httpx.Client(transport=httpx.MockTransport(plain))).tags(REPOSITORY)
    assert "X-Forwarded-Proto" in caught.value.fix


def test_a_redirect_to_nowhere_is_said() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(307)))
    with pytest.raises(RemoteError, match="where to go on"):
        Registry(HOST, client).tags(REPOSITORY)
