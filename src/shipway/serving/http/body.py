"""Reading a body within limits: on bytes, before and after decompression, and on time."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from shipway.errors import DeadlineExceeded, MalformedBody, TooLarge, UnsupportedMediaType
from shipway.serving.http.message import HttpRequest

__all__ = ["decode_json", "off_loop_if_large", "read_body", "seconds_allowed"]

Result = TypeVar("Result")
# What is read in some milliseconds, whatever is in it.
_LARGE_BYTES = 256 * 1024

# The window bits that zlib takes for each coding (RFC 9110, 8.4.1): deflate means zlib's framing.
_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


async def read_body(request: HttpRequest, limit: int, deadline: float) -> bytes:
    """Reads the whole body.

    Args:
        request: whose body to read.
        limit: most bytes, compressed or not.
        deadline: until when it must be there, on the loop's clock.

    Raises:
        TooLarge: it is over the limit; the rest of it is not read.
        UnsupportedMediaType: a coding that is not read.
        MalformedBody: it breaks off, or is not what its coding says.
        DeadlineExceeded: it came too slowly.
    """
    declared = request.headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts = await _parts_by(request, limit, deadline)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    coding = request.header(b"content-encoding").strip().lower()
    return body if coding in ("", "identity") else _decompress(body, coding, limit)


async def _parts_by(request: HttpRequest, limit: int, deadline: float) -> list[bytes]:
    """Gives the body's parts. `asyncio.timeout_at` would do, but costs a tenth of a whole call of a small model."""
    parts: list[bytes] = []
    size, late = 0, False
    task = asyncio.current_task()
    assert task is not None

    def ring() -> None:
        nonlocal late
        late = True
        task.cancel()

    alarm = asyncio.get_running_loop().call_at(deadline, ring)
    try:
        while part := await request.receive():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except asyncio.CancelledError:
        # Cancelled by the alarm alone, it is over; by somebody else too, it is not ours to stop.
        if not late or task.uncancel() > 0:
            raise
        raise DeadlineExceeded("the body did not arrive within the time limit") from None
    finally:
        alarm.cancel()
    return parts


async def off_loop_if_large(body: bytes, read: Callable[[bytes], Result]) -> Result:
    """Reads a body's content: a large one in a thread, for it takes so long that other callers would notice."""
    return read(body) if len(body) <= _LARGE_BYTES else await asyncio.to_thread(read, body)


def decode_json(body: bytes) -> Any:
    """Decodes JSON (RFC 8259), and NaN and infinities as Python's and JavaScript's older clients write them.

    Raises:
        MalformedBody: it is no JSON; says where.
        TooLarge: it is nested too deep.
    """
    if not body:
        raise MalformedBody("the body is empty", fix="send JSON")
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise TooLarge("the JSON is nested too deep") from None
    except msgspec.ValidationError:
        # A number past float64's range: read as infinite, so that the signature's check names its column.
        return _decode_leniently(body)
    except msgspec.DecodeError as error:
        # Bare NaN, and Infinity, are no JSON, but clients of V2 send them all the same.
        if b"NaN" in body or b"Infinity" in body:
            return _decode_leniently(body)
        raise MalformedBody(f"the body is no JSON: {str(error).removeprefix('JSON is malformed: ')}") from error
    except UnicodeDecodeError as error:
        raise MalformedBody("the body is no UTF-8 text", fix="send JSON as UTF-8") from error


def seconds_allowed(headers: Mapping[bytes, bytes], limit: float) -> float:
    """Gives how long the caller is willing to wait, at most `limit` seconds.

    It says so by `Prefer: wait=SECONDS` (RFC 7240) or `x-envoy-expected-rq-timeout-ms`.
    """
    if prefer := headers.get(b"prefer"):
        for preference in prefer.decode("latin-1").split(","):
            name, _, value = preference.partition("=")
            if name.strip().lower() == "wait":
                limit = min(limit, _positive(value, limit))
    if milliseconds := headers.get(b"x-envoy-expected-rq-timeout-ms"):
        limit = min(limit, _positive(milliseconds.decode("latin-1"), limit * 1000) / 1000)
    return limit


def _positive(text: str, otherwise: float) -> float:
    try:
        number = float(text.strip().strip('"'))
    except ValueError:
        return otherwise
    return number if number > 0 and math.isfinite(number) else otherwise


def _decode_leniently(body: bytes) -> Any:
    import json

    try:
        return json.loads(body, parse_int=_whole_number)
    except RecursionError:
        raise TooLarge("the JSON is nested too deep") from None
    except ValueError as error:
        raise MalformedBody(f"the body is no JSON: {error}") from error


def _whole_number(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits; as a float it is infinite, and so refused later.
    return int(digits) if len(digits) < 1000 else float(digits)


def _decompress(body: bytes, coding: str, limit: int) -> bytes:
    if coding not in _CODINGS:
        raise UnsupportedMediaType(f"content encoding {coding!r} is not read", fix="send gzip, deflate or no encoding")
    decompressor = zlib.decompressobj(_CODINGS[coding])
    try:
        data = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise MalformedBody(f"the body is not {coding}: {error}") from error
    if len(data) > limit:
        raise _too_large(limit)
    if not decompressor.eof:
        raise MalformedBody(f"the {coding} body breaks off")
    if decompressor.unused_data:
        raise MalformedBody(f"something follows the end of the {coding} body", fix="compress it in one piece")
    return data


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes", fix="[limits] body_bytes raises it")
