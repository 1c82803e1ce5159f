"""The page at `GET /`: one file with everything in it, so that it works where nothing else can be reached.

The server renders the reference; the script, where it may run, puts a form and live figures above it. Whatever comes
from a model (names, categories, labels) is text to this module and never markup.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from importlib import resources

import msgspec

from shipway.console.reference import reference, takes
from shipway.spec.example import example_cell, takes_null
from shipway.spec.served import ServedModel
from shipway.spec.signature import Column, Label, Method

__all__ = ["content_security_policy", "page"]

_DEFAULT_URL = "http://127.0.0.1:8000"
_SCRIPTS = ("dom.js", "form.js", "answer.js", "calls.js", "live.js", "page.js")
_MARKER = re.compile(r"<!--\{(\w+)\}-->")
_INLINE = re.compile(rb"<(style|script)>(.*?)</\1>", re.DOTALL)
_UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def page(models: Sequence[ServedModel], *, version: str, auth: bool, request_url: str | None) -> bytes:
    """Gives the page as HTML in UTF-8.

    Args:
        models: what the server serves, each name once; the first is the default model.
        version: of Shipway.
        auth: whether calls need an API key.
        request_url: the address under which the browser reached the server, for the commands that a reader copies;
            where it is not known, the script, which knows it by itself, puts it in.
    """
    base = (request_url or _DEFAULT_URL).rstrip("/")
    parts = {
        "title": html.escape(f"{models[0].name} · Shipway" if len(models) == 1 else "Shipway"),
        "version": html.escape(version),
        "style": _asset("page.css"),
        "script": _script(),
        "reference": reference(models, base=base, auth=auth),
        "data": _data(models, base=base, auth=auth),
    }
    return _fill(_asset("page.html"), parts).encode()


def content_security_policy(page: bytes) -> str:
    """Gives the `Content-Security-Policy` under which `page` works and nothing else does.

    The page's own style and script are allowed by their digests, so that markup which got into it all the same would
    neither run nor load anything.
    """
    digests: dict[bytes, list[str]] = {b"style": [], b"script": []}
    for tag, text in _INLINE.findall(page):
        digests[tag].append(f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(digests[b'script'])}",
            f"style-src {' '.join(digests[b'style'])}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@functools.cache
def _asset(name: str) -> str:
    # As text, so that a checkout with CRLF has the same bytes: browsers hash what they have normalised.
    return resources.files("shipway.console").joinpath("assets", name).read_text(encoding="utf-8")


@functools.cache
def _script() -> str:
    """Gives the scripts as the body of one strict function, which leaves no name behind in the window."""
    return '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in _SCRIPTS) + "})();\n"


def _fill(template: str, parts: Mapping[str, str]) -> str:
    """Puts each part at its marker, in one pass: a marker inside a part stays what it is."""
    return _MARKER.sub(lambda match: parts[match[1]], template)


def _data(models: Sequence[ServedModel], *, base: str, auth: bool) -> str:
    """Gives what the script needs as JSON that may stand in a script element: no `<`, `>`, `&` and line separators."""
    value = {"auth": auth, "base": base, "models": [_model(model) for model in models]}
    return msgspec.json.encode(value).decode().translate(_UNSAFE)


def _model(model: ServedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "version": model.id.version,
        "digest": model.id.digest,
        "kind": model.kind,
        "compiled": model.compiled,
        "inputs": [_input(column) for column in model.signature.inputs],
        "methods": [_method(method) for method in model.signature.methods],
        "formula": model.formula,
    }


def _input(column: Column) -> dict[str, object]:
    """Gives a column as the form needs it; values are the text of their field, for JavaScript would round integers."""
    example = example_cell(column)
    return {
        "name": column.name,
        "dtype": column.dtype,
        "shape": column.shape,
        "kind": column.kind,
        "nullable": takes_null(column),
        "takes": takes(column),
        "categories": [_field_text(category) for category in column.categories or ()],
        "example": msgspec.json.encode(example).decode() if isinstance(example, list) else _field_text(example),
    }


def _field_text(value: Label | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _method(method: Method) -> dict[str, object]:
    return {
        "name": method.name,
        "outputs": [{"name": column.name, "rank": len(column.shape)} for column in method.outputs],
        "classes": method.classes,
    }
