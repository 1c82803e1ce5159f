"""Errors as callers see them: in the plain form, and with the headers that their kind calls for."""

from __future__ import annotations

from typing import Any

import msgspec

from shipway.errors import InvalidInput, MethodNotAllowed, ShipwayError, TooLarge, Unauthorized, Unavailable

__all__ = ["error_body", "error_headers", "error_table"]


def error_table(error: ShipwayError, request_id: str) -> dict[str, Any]:
    """Gives an error as callers of the plain form see it."""
    table: dict[str, Any] = {"message": error.message, "request_id": request_id}
    if error.fix:
        table["fix"] = error.fix
    if isinstance(error, InvalidInput):
        table |= {key: value for key, value in (("column", error.column), ("row", error.row)) if value is not None}
    return table


def error_body(error: ShipwayError, request_id: str) -> bytes:
    """Gives the body of an error in the plain form."""
    return msgspec.json.encode({"error": error_table(error, request_id)})


def error_headers(error: ShipwayError, *, wants_page: bool) -> list[tuple[bytes, bytes]]:
    """Gives the headers of an error's answer.

    Args:
        error: what went wrong.
        wants_page: whether the caller is a browser.
    """
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", ", ".join(error.allow).encode())]
    if isinstance(error, TooLarge):
        # The rest of the body is not read: on this connection nothing could follow it.
        return [(b"connection", b"close")]
    if isinstance(error, Unavailable):
        return [(b"retry-after", str(error.retry_after).encode())]
    if isinstance(error, Unauthorized):
        # A browser asks its user for the key, as the password, only where Basic is offered.
        return [(b"www-authenticate", b'Basic realm="shipway"' if wants_page else b"Bearer")]
    return []
