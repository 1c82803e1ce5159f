"""Writes documents as YAML with comments, which no YAML library of few dependencies does.

Only the part of YAML that cannot be misread is written: block style, and double quotes around every text that YAML 1.1
or 1.2 could take for something else; plain lines of text stand as they are below their key. What is written, any YAML
reader gives back as exactly the value that went in.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

__all__ = ["Commented", "Document", "Value", "emit", "plain"]

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value] | None"
"""What JSON can hold."""

Document: TypeAlias = "bool | int | float | str | Sequence[Document] | Mapping[str, Document] | Commented | None"
"""A value, any part of which may bear a comment."""

WIDTH = 100

# A word that begins with a letter or '/', or an amount with a unit (64Mi, 100m). Everything else is quoted: numbers,
# times (12:30 is 750 in YAML 1.1), dates, indicators, spaces, the empty text.
_PLAIN = re.compile(r"(?:[A-Za-z/](?:[A-Za-z0-9_./@:+-]*[A-Za-z0-9_/])?|[0-9]+(?:m|[KMGT]i))")
# Lines that print and neither begin nor end with a space, between them at most one that is empty.
_LINES = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?\n\n?)*[!-~](?:[ -~]*[!-~])?\n")
_WORDS_WITH_MEANING = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Commented:
    """A document with a comment above it.

    Attributes:
        comment: for people; a line break begins a new line, and long lines are folded.
        document: what it is about.
    """

    comment: str
    document: Document


def emit(document: Document) -> str:
    """Gives the document as YAML text that ends with a line break.

    A key is at most 1,000 characters long, which is what YAML allows to a simple key.

    Raises:
        ValueError: a number is not finite; JSON, which clusters speak, has no word for it.
    """
    return "".join(f"{line.rstrip()}\n" for line in _lines(document, WIDTH))


def plain(document: Document) -> Value:
    """Gives the value without its comments."""
    match document:
        case Commented():
            return plain(document.document)
        case None | bool() | int() | float() | str():
            return document
        case Mapping():
            return {key: plain(value) for key, value in document.items()}
        case _:
            return [plain(item) for item in document]


def _lines(document: Document, width: int) -> list[str]:
    match document:
        case Commented():
            return [*_comment(document.comment, width), *_lines(document.document, width)]
        case None | bool() | int() | float() | str():
            return [_scalar(document)]
        case Mapping():
            return [line for key, value in document.items() for line in _entry(key, value, width)] or ["{}"]
        case _:
            return [line for item in document for line in _item(item, width)] or ["[]"]


def _entry(key: str, value: Document, width: int) -> Iterable[str]:
    if isinstance(value, Commented):
        return [*_comment(value.comment, width), *_entry(key, value.document, width)]
    if isinstance(value, str) and _LINES.fullmatch(value):
        return [f"{_scalar(key)}: |", *(f"  {line}" for line in value.splitlines())]
    below = _lines(value, width - 2)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value:
        return [f"{_scalar(key)}:", *(f"  {line}" for line in below)]
    return [f"{_scalar(key)}: {below[0]}"]


def _item(item: Document, width: int) -> Iterable[str]:
    if isinstance(item, Commented):
        return [*_comment(item.comment, width), *_item(item.document, width)]
    first, *rest = _lines(item, width - 2)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _comment(text: str, width: int) -> Iterable[str]:
    for line in text.splitlines():
        for folded in textwrap.wrap(line, max(width - 2, 20), break_long_words=False, break_on_hyphens=False) or [""]:
            # What does not print could end the comment: YAML 1.1 knows more line breaks than one.
            yield f"# {_escape(folded, {})}".rstrip()


def _scalar(value: bool | int | float | str | None) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS_WITH_MEANING
            return value if is_plain else f'"{_escape(value, _SHORT_ESCAPES)}"'


def _float(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"{value} cannot be written")
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")  # YAML 1.1 takes 1e+16 for a text


def _escape(text: str, short: Mapping[str, str]) -> str:
    return "".join(short.get(char) or (char if char.isprintable() else _code(ord(char))) for char in text)


def _code(point: int) -> str:
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
