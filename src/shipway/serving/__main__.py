"""The container's way in: `python -m shipway.serving FOLDER --host … --port …`.

It is an edge as `cli/` is: it reads the environment and exits. It imports nothing but what serving needs, and so is
small and starts fast; whoever has the whole of Shipway types `shipway serve`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from shipway.bundle.folder import read_models
from shipway.errors import ShipwayError, UsageError, edge
from shipway.serving.application import Application, read_keys
from shipway.serving.engine.engine import LoadedModel
from shipway.serving.http.access import choose_log
from shipway.serving.server import serve
from shipway.spec.settings import Settings, resolve


def main(arguments: list[str]) -> int:
    """Serves the bundles of a folder until a signal ends it; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shipway.serving", description="Serves the bundles of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--drain-seconds", type=float)
    parser.add_argument("--allow-pickle", action="store_true", default=None)
    parser.add_argument("--config", type=Path)
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    try:
        settings = _settings(given)
        log = choose_log(settings.server.log, sys.stderr)
        application = Application(settings, log, read_keys(settings.auth.keys))
        serve(application, read_models(given.folder), settings.server, _say_ready)
    except ShipwayError as error:
        fix = f"\nfix: {error.fix}" if error.fix else ""
        sys.stderr.write(f"error: {error.message}{fix}\n")
        return edge(error).exit
    return 0


def _settings(given: argparse.Namespace) -> Settings:
    flags = {
        "server.host": given.host,
        "server.port": given.port,
        "server.drain_seconds": given.drain_seconds,
        "server.allow_pickle": given.allow_pickle,
    }
    file: dict[str, Any] = {}
    config = given.config or os.environ.get("SHIPWAY_CONFIG")
    if config:
        try:
            file = tomllib.loads(Path(config).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{config} cannot be read: {error}") from error
    return resolve(flags, os.environ, file, file_name=str(config)).settings


def _say_ready(address: str, models: tuple[LoadedModel, ...]) -> None:
    names = ", ".join(f"{model.id.name}:{model.id.version}" for model in models)
    sys.stderr.write(f"serving {names} on {address}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
