"""The grammar of `.dockerignore`, in which `.shipwayignore` is written too.

One pattern a line, relative to the folder: Go's `filepath.Match` with `**` for any number of folders; what matches a
folder matches all below it; `!` takes back; the last pattern that matches decides; `#` begins a comment.
https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Ignore", "Pattern", "parse_ignore"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line.

    Attributes:
        source: the file's name and the line's number: `.dockerignore:3`.
        expression: matches a whole relative POSIX path.
        negated: whether it takes back.
    """

    source: str
    expression: re.Pattern[str]
    negated: bool


@dataclass(frozen=True, slots=True)
class Ignore:
    """Patterns, of one file or of several, in their order.

    Attributes:
        patterns: all of them.
    """

    patterns: tuple[Pattern, ...] = ()

    @property
    def takes_back(self) -> bool:
        """Whether something below an ignored folder may go all the same."""
        return any(pattern.negated for pattern in self.patterns)

    def by(self, path: str) -> str:
        """Gives the source of the pattern by which a path is ignored; empty where it is not."""
        parts = path.split("/")
        parents = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        for pattern in reversed(self.patterns):
            if any(pattern.expression.fullmatch(parent) for parent in parents):
                return "" if pattern.negated else pattern.source
        return ""


def parse_ignore(text: str, name: str) -> Ignore:
    """Parses a file; a pattern that makes no sense matches nothing, as with Docker's builder.

    Args:
        text: of the file.
        name: of the file.
    """
    return Ignore(tuple(_patterns(text.removeprefix("\ufeff").splitlines(), name)))


def _patterns(lines: Iterable[str], name: str) -> Iterable[Pattern]:
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        words = line.strip()
        negated = words.startswith("!")
        path = posixpath.normpath(words.removeprefix("!").strip()).lstrip("/")
        if path and path != ".":
            try:
                yield Pattern(f"{name}:{number}", re.compile(_expression(path), re.DOTALL), negated)
            except re.error:
                continue


def _expression(pattern: str) -> str:
    """Gives a pattern as a regular expression."""
    written, place = [], 0
    while place < len(pattern):
        rest = pattern[place:]
        if rest.startswith("**/"):
            written.append("(?:.*/)?")
            place += 3
        elif rest.startswith("**"):
            written.append(".*")
            place += 2
        elif match := re.match(r"\[(\^?)((?:\\.|[^\]\\])+)\]", rest):
            written.append(f"[{match[1]}{match[2].replace('[', chr(92) + '[')}]")
            place += match.end()
        else:
            if rest[0] == "\\" and len(rest) > 1:
                place += 1
            one = {"*": "[^/]*", "?": "[^/]"}.get(rest[0])
            written.append(one if one else re.escape(pattern[place]))
            place += 1
    return "".join(written)
