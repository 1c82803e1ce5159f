"""The seam between fronts and the app: a handler takes an `HttpRequest` and gives an `HttpResponse`."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field

__all__ = ["Handler", "HttpRequest", "HttpResponse", "RequestIds"]

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(slots=True)
class HttpRequest:
    """A request whose head has been read.

    Attributes:
        method: `GET`, `POST`, …
        path: percent-decoded, beginning with `/`.
        headers: names in lower case.
        client: address of the other end; empty where unknown.
        receive: gives the body's next part; empty bytes at its end. Raises ConnectionError when the caller has gone.
        gone: returns when the caller has gone; to be awaited only once the body is read.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    client: str
    receive: Callable[[], Awaitable[bytes]]
    gone: Callable[[], Coroutine[None, None, None]]

    def header(self, name: bytes) -> str:
        """Gives a header's value, or an empty text."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value else ""


@dataclass(slots=True)
class HttpResponse:
    """An answer; the body is bytes, or parts of it as they come."""

    status: int
    body: bytes | AsyncIterator[bytes]
    content_type: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class RequestIds:
    """Gives requests their ids. Drawn by a generator of its own: asking the system for each costs 40 us."""

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - an id is no secret

    def of(self, headers: Mapping[bytes, bytes]) -> str:
        """Gives the caller's `X-Request-Id` where it is one, else a new id."""
        given = headers.get(b"x-request-id")
        if given and _REQUEST_ID.fullmatch(given):
            return given.decode("ascii")
        return f"{self._random.getrandbits(64):016x}"
