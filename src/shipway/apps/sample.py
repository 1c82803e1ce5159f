"""Reads a sample request from JSON."""

from __future__ import annotations

import codecs
from pathlib import Path

import msgspec

from shipway.errors import UsageError
from shipway.spec.app import SampleRequest

__all__ = ["parse_sample", "read_sample"]

_LIMIT = 16 * 1024 * 1024
_KEYS = frozenset({"path", "method", "headers", "json", "body"})
_JSON = {"content-type": "application/json"}
_SHAPE = '{"path": "/predict", "json": {…}}, or the JSON body of the request alone'


def parse_sample(text: bytes, name: str = "the sample") -> SampleRequest:
    """Reads `{"path", "method", "headers", "json" | "body"}`; any other JSON is the body of a POST whose path is empty.

    Args:
        text: the JSON; a mark of UTF-8 before it, as PowerShell writes it, is none of it.
        name: how errors call it.

    Raises:
        UsageError: it is no JSON, or has two bodies.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {error}", fix=f"write {_SHAPE}") from error
    if not _is_request(value):
        return SampleRequest(path="", headers=_JSON, body=text.decode().strip())
    if "json" in value and "body" in value:
        raise UsageError(f"{name} has both json and body", fix="keep one of them")
    given = "json" in value
    body = msgspec.json.encode(value["json"]).decode() if given else value.get("body", "")
    headers = {key.lower(): word for key, word in value.get("headers", {}).items()}
    method = (value.get("method") or ("POST" if body else "GET")).upper()
    return SampleRequest(method, value["path"], (_JSON if given else {}) | headers, body)


def read_sample(file: Path) -> SampleRequest:
    """Reads it from a file.

    Raises:
        UsageError: it cannot be read, is larger than 16 MiB, or is no JSON.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", fix="check --sample") from error
    if len(text) > _LIMIT:
        raise UsageError(f"{file} is larger than {_LIMIT >> 20} MiB", fix="give a smaller sample")
    return parse_sample(text, file.name)


def _is_request(value: object) -> bool:
    """Whether it is a request and not a body: only keys of a request, each of its kind, and a path."""
    if not isinstance(value, dict) or not value.keys() <= _KEYS:
        return False
    path, headers = value.get("path"), value.get("headers", {})
    texts = (value.get("method", ""), value.get("body", ""))
    return (
        isinstance(path, str)
        and path.startswith("/")
        and all(isinstance(text, str) for text in texts)
        and isinstance(headers, dict)
        and all(isinstance(word, str) for word in headers.values())
    )
