"""What uv says when requirements cannot be met, in one sentence that names the author's own lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from shipway.errors import ArtefactError, RemoteError, ShipwayError
from shipway.spec.words import did_you_mean, normal_name

__all__ = ["explain", "needs_compiler", "without_wheels"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_NO_WHEELS = re.compile(rf"({_NAME})(?:[=<>!~][^\s]*)? ha(?:s|ve) no (?:usable )?wheels")
_UNKNOWN = re.compile(rf"({_NAME}) was not found in the package registry")
_NO_VERSION = re.compile(rf"there is no version of ({_NAME})|only ({_NAME})[=<>!~][^\s]* (?:is|are) available")
_DEPENDS = re.compile(rf"({_NAME}(?:[=<>!~][^\s]*)?) depends on ({_NAME}(?:[=<>!~][^\s]*)?)")
_REQUIRED = re.compile(rf"(?:you require|and(?! you)) ({_NAME})(?=[=<>!~,\s])")
_BUILD = re.compile(rf"[Ff]ailed to (?:build|download and build|fetch|prepare)[^`]*`({_NAME})")
_COMMON = (
    "bottle", "django", "fastapi", "flask", "gunicorn", "joblib", "lightgbm", "matplotlib", "numpy", "onnxruntime",
    "pandas", "pillow", "pydantic", "quart", "requests", "scikit-learn", "scipy", "starlette", "uvicorn", "xgboost",
)  # fmt: skip


def without_wheels(words: str) -> list[str]:
    """Gives the distributions of which uv says that they have no wheels."""
    return list(dict.fromkeys(normal_name(name) for name in _NO_WHEELS.findall(words)))


def explain(
    words: str, requirements: Sequence[str], where: Mapping[str, str], sources: Sequence[str], target: str
) -> ShipwayError:
    """Gives the error that says why requirements cannot be met.

    Args:
        words: what uv printed, on one line.
        requirements: all that was asked for, and the constraints on it.
        where: file and line of those that an author wrote.
        sources: distributions whose source was tried, for want of a wheel.
        target: the Python and platform, for people.
    """
    lines = {text: _line(text, where) for text in requirements}
    if unknown := _UNKNOWN.search(words):
        return ArtefactError(
            f"{_lines_of(unknown[1], lines)}: there is no package {unknown[1]}",
            fix=did_you_mean(unknown[1], _COMMON) or "check how it is spelt",
        )
    if failed := _failed_source(words, sources):
        return needs_compiler(failed, target, _lines_of(failed, lines))
    depends = _DEPENDS.findall(words)
    missing = None if depends else _NO_VERSION.search(words)
    if missing:
        name = missing[1] or missing[2]
        return ArtefactError(
            f"{_lines_of(name, lines)}: no version of {name} fits", fix=f"name one that there is, or {name} alone"
        )
    without = next((name for name in sources if not depends and re.search(rf"\b{re.escape(name)}\b", words)), None)
    if without:
        return ArtefactError(
            f"{_lines_of(without, lines)}: {without} has no wheel for {target}, and no source either",
            fix=f"another version of {without}, or a base with another Python",
        )
    if "unsatisfiable" in words:
        return _disagreement(words, depends, lines)
    return RemoteError(
        f"the requirements cannot be resolved for {target}: {words[:2000]}", fix="check the network, or give --lock"
    )


def needs_compiler(name: str, target: str, line: str = "") -> ArtefactError:
    """Gives the error of a distribution that has to be compiled."""
    return ArtefactError(
        f"{f'{line}: ' if line else ''}{name} has no wheel for {target}, and its source needs a compiler",
        fix=f"another version of {name} that has wheels, or shipway build --with-dockerfile, whose base has a compiler",
    )


def _disagreement(words: str, depends: Sequence[tuple[str, str]], lines: Mapping[str, str]) -> ArtefactError:
    """Says which lines disagree, and through what."""
    required = {normal_name(name) for name in _REQUIRED.findall(words)}
    blamed = [line for text, line in lines.items() if _name(text) in required] or list(lines.values())
    needs = [(one, other.rstrip(".,")) for one, other in dict.fromkeys(depends)]
    # Of a constraint, uv says that whoever needs the distribution needs it within the constraint.
    reasons = [f"{one} needs {other}" for one, other in needs if other not in lines]
    reason = f": {', and '.join(reasons)}" if reasons else ""
    if len(blamed) == 1:
        return ArtefactError(f"{blamed[0]} cannot be met{reason}", fix="change that line")
    return ArtefactError(f"{' and '.join(blamed[:4])} disagree{reason}", fix="change one of the lines")


def _failed_source(words: str, sources: Sequence[str]) -> str | None:
    if not sources:
        return None
    named = [normal_name(name) for name in _BUILD.findall(words)]
    return next((name for name in named if name in sources), sources[-1] if named or "build" in words else None)


def _line(requirement: str, where: Mapping[str, str]) -> str:
    return f"{where[requirement]} ({requirement})" if requirement in where else f"{requirement!r}"


def _lines_of(name: str, lines: Mapping[str, str]) -> str:
    found = [line for text, line in lines.items() if _name(text) == normal_name(name)]
    return " and ".join(found) or name


def _name(requirement: str) -> str:
    match = re.match(_NAME, requirement)
    return normal_name(match[0]) if match else ""
