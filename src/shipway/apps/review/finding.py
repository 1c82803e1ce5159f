"""One thing in an app's folder that its author should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Severity", "order", "place"]

Severity = Literal["error", "warning", "note"]
"""It cannot work; it works until something happens; it works here and is worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, where, and what mends it.

    Attributes:
        kind: its name, for programs: `numpy-answer`, `old-base`.
        where: `file:line`, or the file alone where no line is to blame; relative and POSIX.
        what: one sentence without a full stop.
        fix: the line, command or step that mends it.
        severity: how bad it is.
    """

    kind: str
    where: str
    what: str
    fix: str
    severity: Severity


def place(file: str, line: int) -> str:
    """Gives `file:line`."""
    return f"{file}:{line}"


def order(finding: Finding) -> tuple[str, int, str, str]:
    """Gives the key that sorts findings by file and line."""
    file, colon, line = finding.where.rpartition(":")
    if colon and line.isdecimal():
        return file, int(line), finding.kind, finding.what
    return finding.where, 0, finding.kind, finding.what
