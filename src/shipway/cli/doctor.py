"""`shipway doctor`."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from shipway.cli.output import count
from shipway.cli.session import Session, verb

__all__ = ["Finding", "command"]

Severity = Literal["ok", "missing", "problem"]
_MARKS = {"ok": "ok     ", "missing": "missing", "problem": "PROBLEM"}
_STYLES = {"ok": "green", "missing": "yellow", "problem": "red"}
_LEAST_DISK = 1 << 30
_OTHER_STORE = "set SHIPWAY_STORE to another folder"

# Distribution, what it is for, and the extra that brings it; the core is there, or this would not run.
_PACKAGES = (
    ("onnxruntime", "serves compiled models and ONNX", "onnx"),
    ("scikit-learn", "packs scikit-learn models", "sklearn"),
    ("skl2onnx", "compiles scikit-learn models", "sklearn"),
    ("pandas", "opens pipelines on named columns", "sklearn"),
    ("uv", "resolves an image's dependencies", "build"),
    ("zstandard", "reads zstd layers of base images", "build"),
    ("pyyaml", "reads kubeconfig", "kubernetes"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        severity: `missing` where a part of Shipway cannot be used, `problem` where something is broken.
        subject: what was looked at.
        message: what was found.
        fix: the command that mends it.
    """

    severity: Severity
    subject: str
    message: str
    fix: str = ""


@verb("doctor", example="shipway doctor --json\nshipway doctor .")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--app", metavar="MODULE:OBJECT", help="The app of FOLDER, where it has several.")
def command(session: Session, folder: Path | None, app: str | None) -> None:
    """Says what is here, what is missing and the command that mends it. Fails only where something is broken.

    With FOLDER, a web app's: says what in it will not work in production, with the line and the mend.
    """
    from shipway.errors import MachineError, UsageError

    if folder is not None:
        _review(session, folder, app)
        return
    if app is not None:
        raise UsageError("--app without FOLDER", fix="shipway doctor FOLDER --app MODULE:OBJECT")
    findings = [finding for look in _looks(session) for finding in look()]
    session.out.facts(
        [asdict(finding) for finding in findings], "\n".join(_line(session, finding) for finding in findings)
    )
    broken = [finding for finding in findings if finding.severity == "problem"]
    if broken:
        raise MachineError(f"{broken[0].subject}: {broken[0].message}", fix=broken[0].fix)


def _review(session: Session, folder: Path, app: str | None) -> None:
    from shipway.apps.findings import examine
    from shipway.cli.findings import findings_text
    from shipway.errors import ArtefactError

    findings = examine(folder, app)
    session.out.facts([asdict(finding) for finding in findings], findings_text(findings, session.out))
    first = next((finding for finding in findings if finding.severity == "error"), None)
    if first is not None:
        raise ArtefactError(f"{first.where}: {first.what}", fix=first.fix)


def _line(session: Session, finding: Finding) -> str:
    mark = _MARKS[finding.severity]
    # Styles are for standard error's terminal; standard output may be a file.
    shown = session.out.style(mark, _STYLES[finding.severity]) if sys.stdout.isatty() else mark
    fix = f"\n           fix: {finding.fix}" if finding.fix else ""
    return f"  {shown}  {finding.subject}: {finding.message}{fix}"


def _looks(session: Session) -> tuple[Callable[[], Iterator[Finding]], ...]:
    looks = (_store, _settings, _port)
    return (_python, _packages, *(functools.partial(look, session) for look in looks), _engine, _kubectl)


def _python() -> Iterator[Finding]:
    from shipway._version import __version__

    yield Finding(
        "ok",
        "Shipway",
        f"{__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}",
    )


def _packages() -> Iterator[Finding]:
    for name, purpose, extra in _PACKAGES:
        try:
            yield Finding("ok", name, f"{importlib.metadata.version(name)} ({purpose})")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("missing", name, f"not installed ({purpose})", f'pip install "shipway[{extra}]"')


def _store(session: Session) -> Iterator[Finding]:
    from shipway.errors import ShipwayError

    path = session.store_path
    try:
        entries = session.store().list()
    except (ShipwayError, OSError) as error:
        fix = getattr(error, "fix", "") or _OTHER_STORE
        yield Finding("problem", "store", str(getattr(error, "message", error)), fix)
        return
    if not os.access(path, os.W_OK):
        yield Finding("missing", "store", f"{path} can be read only: nothing can be packed", _OTHER_STORE)
        return
    free = shutil.disk_usage(path).free
    enough = free >= _LEAST_DISK
    yield Finding(
        "ok" if enough else "problem",
        "store",
        f"{path}: {count(len(entries), 'bundle')}, {free / 1e9:,.1f} GB free",
        "" if enough else "shipway store gc, or set SHIPWAY_STORE to another disk",
    )


def _settings(session: Session) -> Iterator[Finding]:
    from shipway.cli.environment import config_file
    from shipway.errors import ShipwayError

    path = config_file(session.config, session.environ, Path.cwd())
    try:
        session.resolve()
    except ShipwayError as error:
        yield Finding("problem", "settings", error.message, error.fix)
        return
    yield Finding("ok", "settings", f"from {path}" if path else "the defaults (no shipway.toml here)")


def _engine() -> Iterator[Finding]:
    from shipway.errors import MachineError
    from shipway.oci.engine import find_engine

    try:
        engine = find_engine()
    except MachineError as error:
        yield Finding("missing", "Docker or Podman", f"{error.message} (shipway run)", error.fix)
        return
    yield Finding("ok", engine.tool, f"{engine.call('version', '--format', '{{.Server.Version}}')}, its daemon answers")


def _kubectl() -> Iterator[Finding]:
    if shutil.which("kubectl"):
        yield Finding("ok", "kubectl", "is here (applies what shipway render writes)")
    else:
        yield Finding(
            "missing",
            "kubectl",
            "not installed (applies what shipway render writes)",
            "install kubectl, of your cluster's version",
        )


def _port(session: Session) -> Iterator[Finding]:
    from shipway.errors import ShipwayError

    try:
        port = session.resolve().settings.server.port
    except ShipwayError:
        return  # the finding on the settings says why
    with socket.socket() as probe:
        probe.settimeout(0.5)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        yield Finding("missing", f"port {port}", "another program listens there", "shipway serve NAME --port 0")
    else:
        yield Finding("ok", f"port {port}", "is free")
