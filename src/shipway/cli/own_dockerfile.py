"""`shipway build --with-dockerfile`: an app's own Dockerfile, built by Docker, with what it lacks beside ours named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipway.cli.output import table

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.cli.session import Session
    from shipway.oci.engine import Engine

__all__ = ["build_own"]

_FILE = "Dockerfile"
_LOST = (
    "health, metrics, access log, limits, time-outs, API keys, request ids and drain, which are Shipway's server's",
    "the lock: a build of another day may hold other versions",
    "shipway run, deploy and render, which ask /livez and /readyz: nothing answers there",
    "shipway pull: the image carries no bundle",
)


def build_own(session: Session, bundle: Bundle, tag: str) -> None:
    """Builds the image that the app's Dockerfile describes, with Docker or Podman, and says how it differs from ours.

    Raises:
        UsageError: it is no app, or has no Dockerfile.
        MissingDependency, MachineError: there is no Docker or Podman, or it cannot build it.
    """
    from shipway.apps.dockerfile import read_dockerfile
    from shipway.bundle.folder import write_folder
    from shipway.errors import MachineError, UsageError
    from shipway.oci.engine import find_engine
    from shipway.spec.app import APP_FOLDER

    if bundle.app is None or f"{APP_FOLDER}/{_FILE}" not in bundle.files:
        what = "has no Dockerfile of its own" if bundle.app else "is a model, not an app"
        raise UsageError(f"{bundle.id.name} {what}", fix="leave --with-dockerfile out")
    engine = find_engine()
    with tempfile.TemporaryDirectory(prefix="shipway-context-") as name:
        folder = write_folder(bundle, Path(name)) / APP_FOLDER
        text = (folder / _FILE).read_text(encoding="utf-8", errors="replace")
        session.out.say(f"{engine.tool} build, as the Dockerfile says")
        done = engine.program([engine.tool, "build", "--tag", tag, str(folder)])
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])[-1000:]
        raise MachineError(
            f"{engine.tool} build failed: {words}", fix="mend the Dockerfile, or leave --with-dockerfile out"
        )
    found = _inspect(engine, tag)
    rows = _differences(found, read_dockerfile(text).base, bundle.app.python)
    facts = {"tag": tag, "id": found["Id"], "differences": {row[0]: row[1] for row in rows}, "lost": _LOST}
    lost = "\n".join(f"  {line}" for line in _LOST)
    heads = ["", "  THIS IMAGE", "SHIPWAY'S"]
    session.out.facts(facts, f"built {tag} with {engine.tool}\n{table(rows, heads)}\nit does without\n{lost}")


def _inspect(engine: Engine, tag: str) -> dict[str, Any]:
    (found,) = json.loads(engine.call("image", "inspect", tag))
    return dict(found)


def _differences(found: dict[str, Any], base: str, python: str) -> list[list[str]]:
    config = found.get("Config") or {}
    command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    return [
        ["  base", f"  {base}", f"python:{python}-slim, or --base"],
        ["  user", f"  {config.get('User') or 'root'}", "65532, who is nobody"],
        ["  server", f"  {' '.join(command)}", "python -m shipway.serving"],
        ["  size", f"  {found.get('Size', 0) / 1e6:,.0f} MB unpacked", "shipway build says it"],
    ]
