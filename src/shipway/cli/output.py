"""What a command prints: facts to standard output, as text or JSON; everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

__all__ = ["Output", "count", "size_text", "table"]

_STYLES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


@dataclass(frozen=True, slots=True)
class Output:
    """Where and how a command speaks.

    Attributes:
        as_json: facts as one JSON value instead of text.
        quiet: nothing but facts and errors.
        verbose: also what helps to find a fault.
        colour: whether styles are written to standard error.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    colour: bool = False

    @classmethod
    def for_terminal(cls, environ: Mapping[str, str], *, as_json: bool, quiet: bool, verbose: bool) -> Output:
        """Makes this process's output: colour only for a terminal, and not where NO_COLOR is set (no-color.org)."""
        colour = sys.stderr.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(as_json, quiet, verbose, colour)

    def say(self, line: str) -> None:
        """Tells what is being done, to whoever watches."""
        if not self.quiet:
            self._write(sys.stderr, line)

    def facts(self, value: Any, text: str) -> None:
        """Prints the result: `value` as JSON if that was asked for, else `text`."""
        if self.as_json:
            import msgspec

            text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
        if text:
            self._write(sys.stdout, text)

    def line(self, value: Any) -> None:
        """Prints one of many results as one line of JSON."""
        import msgspec

        self._write(sys.stdout, msgspec.json.encode(value, enc_hook=str).decode())

    def raw(self, text: str) -> None:
        """Prints one line of a result as text."""
        self._write(sys.stdout, text)

    def error(self, message: str, fix: str) -> None:
        """Says what is wrong and what mends it."""
        self._write(sys.stderr, f"{self.style('error:', 'red')} {message}")
        if fix:
            self._write(sys.stderr, f"{self.style('fix:', 'green')} {fix}")

    def warning(self, message: str) -> None:
        """Says what the user should know, although it is no failure."""
        self._write(sys.stderr, f"{self.style('note:', 'yellow')} {message}")

    def style(self, text: str, *styles: str) -> str:
        """Gives `text` in a style, where colour is written."""
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colour else text

    def _write(self, stream: TextIO, line: str) -> None:
        stream.write(line + "\n")
        stream.flush()


def size_text(number: int) -> str:
    """Gives a number of bytes as people read it: `812 B`, `9.3 kB`, `33.8 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number} B"


def count(number: int, noun: str) -> str:
    """Gives `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Gives rows as text in columns."""
    lines = [list(head), *rows] if head else list(rows)
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
