"""What answers mean: bodies of bounded size, refusals in the registry's own words, and how long to wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from shipway.errors import RemoteError

if TYPE_CHECKING:
    import httpx

__all__ = ["Refused", "Unanswered", "printable", "read_bounded", "refusal"]

MAX_TEXT = 500
"""Characters of a registry's words that are shown."""

_BUSY = frozenset({429, 502, 503, 504})
_FIXES = {
    401: "docker login {host}",
    403: "sign in as somebody who may: docker login {host}",
    404: "check the name, the tag and the rights",
    405: "ask those who run the registry whether it may be written to",
    413: "ask those who run the registry to allow larger bodies",
    429: "wait, then try again",
}


class Refused(RemoteError):
    """The registry answered, with another status than those that mean success.

    Attributes:
        status: of its answer.
    """

    def __init__(self, message: str, *, status: int, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.status = status


class Unanswered(RemoteError):
    """The connection broke, or the registry is busy; whether it did what was asked is not known.

    Attributes:
        wait: seconds that the registry asks to wait; 0 where it says nothing.
    """

    def __init__(self, message: str, *, wait: float = 0.0, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.wait = wait


def refusal(response: httpx.Response, host: str, what: str) -> RemoteError:
    """Gives the error for an answer that means no success, in the words of who answered as far as there are any.

    Args:
        response: its body unread.
        host: that is to blame.
        what: was asked.

    Returns:
        `Unanswered` where asking again makes sense, else `Refused`.
    """
    import httpx

    try:
        errors = msgspec.json.decode(read_bounded(response, 1 << 16, "the answer"))["errors"]
        text = "; ".join(f"{error['code']} {error.get('message') or ''}".strip() for error in errors)
    except (
        msgspec.MsgspecError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RemoteError,
        RecursionError,
        httpx.HTTPError,
    ):
        text = ""
    status = response.status_code
    reason = f": {printable(text)}" if text else ""
    message = f"{host} answers {status} to {what}{reason}"
    fix = _FIXES.get(status, "try again; the registry's log says more").format(host=host)
    if status in _BUSY:
        return Unanswered(message, wait=_seconds(response.headers.get("Retry-After", "")), fix=fix)
    return Refused(message, status=status, fix=fix)


def read_bounded(response: httpx.Response, limit: int, what: str) -> bytes:
    """Reads an answer's body of at most `limit` bytes.

    Raises:
        RemoteError: it has more, or says so.
    """
    too_large = RemoteError(f"{what} is larger than {limit} bytes", fix="check that the name is that of an image")
    declared = response.headers.get("Content-Length", "")
    if re.fullmatch(r"[0-9]{1,20}", declared) and int(declared) > limit:
        raise too_large
    parts, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > limit:
            raise too_large
        parts.append(chunk)
    return b"".join(parts)


def printable(text: str) -> str:
    """Gives the beginning of what somebody else wrote, without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_TEXT])


def _seconds(retry_after: str) -> float:
    """Gives what a `Retry-After` header says, in seconds or as a date; 0 where it says nothing."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
