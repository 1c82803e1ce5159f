"""What an image takes over of the surroundings that an app's author wrote down: folder, port, variables.

An image of ours runs without root, on a read-only file system, with a Python path of its own. So a working folder that
would hide the system's, a port that only root may open and a variable that the server needs itself are not taken over;
each is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from shipway.spec.app import AppManifest

__all__ = ["Surroundings", "surroundings_of"]

_LOWEST_PORT, _PORT, _METRICS_PORT = 1024, 8000, 8002
_SYSTEM = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp"}
)
"""Folders of the root that no link may stand in, nor above or below."""

_OURS = frozenset({"models", "opt/shipway"})
_KEPT: Mapping[str, frozenset[str]] = {
    "opt": frozenset({"shipway"}),
    "usr": frozenset({"bin", "games", "include", "lib", "lib32", "lib64", "libexec", "local", "sbin", "share"}),
    "var": frozenset({"backups", "cache", "lib", "local", "lock", "log", "mail", "opt", "run", "spool", "tmp"}),
}
"""Folders that must stay, by the name of the folder above, which must stay too."""

_VARIABLES = frozenset(
    {"HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PORT", "PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH"}
)
"""Variables of the author's container that mean nothing here, or that decide how the server starts."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of an app in an image.

    Attributes:
        workdir: absolute folder that shall lead to the app's; empty where none can.
        port: where it listens.
        metrics_port: where the platform asks.
        variables: name and value of each, sorted.
        notes: what was not taken over, and why; one sentence each.
    """

    workdir: str
    port: int
    metrics_port: int
    variables: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def surroundings_of(app: AppManifest) -> Surroundings:
    """Gives what an image takes over."""
    workdir = _workdir(app.workdir)
    port = app.port if _LOWEST_PORT <= app.port <= 0xFFFF else _PORT
    kept = {name: value for name, value in app.environment.items() if _is_free(name)}
    metrics_port = _METRICS_PORT if port != _METRICS_PORT else _METRICS_PORT + 1
    return Surroundings(
        workdir, port, metrics_port, tuple(sorted(kept.items())), tuple(_notes(app, workdir, port, kept))
    )


def _notes(app: AppManifest, workdir: str, port: int, kept: Mapping[str, str]) -> Iterator[str]:
    if not workdir:
        yield f"WORKDIR {app.workdir} is not taken over: it would hide folders of the system or of Shipway"
    if port != app.port:
        yield f"port {app.port} is not taken over, which only root may open: it listens on {port}"
    for name in sorted(app.environment.keys() - kept.keys()):
        yield f"ENV {name} is not taken over: the image has its own"


def _workdir(text: str) -> str:
    pure = PurePosixPath(text)
    parts = pure.parts[1:]
    if not pure.is_absolute() or not parts or ".." in parts or "\0" in text:
        return ""
    top, second = parts[0], parts[1] if len(parts) > 1 else ""
    hides = top in _SYSTEM or "/".join(parts[:1]) in _OURS or "/".join(parts[:2]) in _OURS
    if hides or (top in _KEPT and (not second or second in _KEPT[top])) or any(p.startswith(".wh.") for p in parts):
        return ""
    return str(pure)


def _is_free(name: str) -> bool:
    return name not in _VARIABLES and not name.startswith("SHIPWAY_") and name.isidentifier()
