"""Words as somebody typed them: mistyped, or one of several ways to write a name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["LONGEST_WORD", "did_you_mean", "normal_name"]

LONGEST_WORD = 256
"""How many characters of a word that somebody wrote are looked at, or shown."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Gives `did you mean 'x'?` for the nearest of `known`, or an empty text."""
    if len(word) > LONGEST_WORD:  # looking for what is near takes time by the square of the length
        return ""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def normal_name(name: str) -> str:
    """Gives a distribution's name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
