"""What is told of one answered request, to the log and to the metrics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AccessRecord"]


@dataclass(slots=True)
class AccessRecord:
    """One answered request. No value of a body and no header but the request's id is in it, so no secret is.

    Not frozen, for one is made for every request and a frozen one takes three times as long to make.

    Attributes:
        client: address of the caller; empty where unknown.
        status: of the HTTP answer; 499 where the caller went before it.
        seconds: from request to answer.
        id: of the request.
        protocol: `plain`, `v2`, …
        model, version, method: what was asked; empty where the request named none that is served.
        rows: how many were asked for.
        error: class of the error, or empty.
    """

    client: str
    http_method: str
    path: str
    status: int
    seconds: float
    id: str
    protocol: str
    model: str
    version: str
    method: str
    rows: int
    error: str
