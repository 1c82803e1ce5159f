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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import read_models
from shipway.errors import ShipwayError, UsageError, edge
from shipway.serving.supervisor import WORKER_FLAG, Worker, supervise
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
    parser.add_argument(WORKER_FLAG, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    try:
        settings = _settings(given)
        bundles = read_models(given.folder)
        app = next((bundle.app for bundle in bundles if bundle.app is not None), None)
        if app is not None and given.worker is None:
            # -P: a module of the app in the working folder does not take the place of one that the server needs.
            command = [sys.executable, "-P", "-m", "shipway.serving", *arguments]
            return supervise(command, settings, {**app.environment, **os.environ}, _say)
        _serve(settings, bundles, Worker(given.worker or "-"))
    except ShipwayError as error:
        fix = f"\nfix: {error.fix}" if error.fix else ""
        _say(f"error: {error.message}{fix}")
        return edge(error).exit
    return 0


def _serve(settings: Settings, bundles: Sequence[Bundle], worker: Worker) -> None:
    # A supervisor needs none of these.
    from shipway.serving.choose import application_for
    from shipway.serving.http.access import choose_log
    from shipway.serving.listeners import inherit
    from shipway.serving.server import serve

    def on_ready(address: str, served: Sequence[Any]) -> None:
        worker.ready(lambda: application.is_alive)
        _say(f"serving {', '.join(f'{one.id.name}:{one.id.version}' for one in served)} on {address}")

    log = worker.beside(choose_log(settings.server.log, sys.stderr))
    application = application_for(bundles, settings, log, os.environ)
    worker.watch()
    serve(application, bundles, settings.server, on_ready, listeners=inherit(worker.sockets))


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


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
