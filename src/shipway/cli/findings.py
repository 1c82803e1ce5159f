"""How the findings on an app's folder are shown: by `shipway doctor FOLDER`, and where the folder is packed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shipway.cli.output import Output, count

if TYPE_CHECKING:
    from shipway.apps.findings import Finding, Severity

__all__ = ["findings_text", "summary"]

_MARKS: dict[Severity, str] = {"error": "ERROR  ", "warning": "warning", "note": "note   "}
_STYLES: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "dim"}


def findings_text(findings: Sequence[Finding], out: Output) -> str:
    """Gives the findings, each with its fix on a line of its own, and how many there are of each severity."""
    return "\n".join([*(_line(one, out) for one in findings), summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """Gives `1 error, 2 warnings`; `nothing to mend` for none."""
    severities = [one.severity for one in findings]
    counted = [count(severities.count(one), one) for one in _MARKS if one in severities]
    return ", ".join(counted) or "nothing to mend"


def _line(finding: Finding, out: Output) -> str:
    mark = _MARKS[finding.severity]
    # Styles are for standard error's terminal; standard output may be a file.
    shown = out.style(mark, _STYLES[finding.severity]) if sys.stdout.isatty() else mark
    return f"  {shown}  {finding.where}: {finding.what}\n           fix: {finding.fix}"
