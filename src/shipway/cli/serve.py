"""`shipway serve`."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.serving.engine.engine import LoadedModel
    from shipway.spec.settings import Settings

__all__ = ["command"]


@verb(
    "serve",
    example="shipway serve diabetes\nshipway serve diabetes iris@champion --default iris --port 9000\n"
    "shipway serve ./my-flask-app",
    facts=False,
)
@click.argument("refs", nargs=-1, required=True, metavar="REF...", shell_complete=complete_reference)
@click.option("--port", type=click.IntRange(0, 65535), help="HTTP port; 0 takes a free one.  [default: 8000]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--default", metavar="NAME", help="The model that answers POST /.")
def command(session: Session, refs: tuple[str, ...], port: int | None, host: str | None, default: str | None) -> None:
    """Serves the models REF, with a page at /, or one web app, until Ctrl-C or SIGTERM."""
    from shipway.cli.references import find_bundles
    from shipway.serving.application import Application, read_keys
    from shipway.serving.choose import has_app
    from shipway.serving.http.access import choose_log
    from shipway.serving.server import serve

    flags = {"server.port": port, "server.host": host, "server.default": default}
    settings = session.resolve(flags).settings
    bundles = find_bundles(session, refs)
    if has_app(bundles):
        _serve_app(session, bundles, settings)
        return
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if session.out.verbose else logging.WARNING)
    log = choose_log("off" if session.out.quiet else settings.server.log, sys.stderr)
    application = Application(settings, log, read_keys(settings.auth.keys))

    def say_ready(address: str, models: tuple[LoadedModel, ...]) -> None:
        for model in models:
            form = "compiled" if model.served.compiled else model.served.kind
            session.out.say(
                f"{model.id.name}:{model.id.version} is ready ({form}, {model.cost.call * 1e6:,.0f} us a row)"
            )
        session.out.say(
            f"serving on {session.out.style(address, 'bold')}  (page: {address}/, API: {address}/docs; Ctrl-C ends)"
        )

    serve(application, bundles, settings.server, say_ready)


def _serve_app(session: Session, bundles: Sequence[Bundle], settings: Settings) -> None:
    """Serves an app in a process of its own, which is replaced when the app's code ends it."""
    from shipway.bundle.folder import write_folder
    from shipway.bundle.pack_app import check_trusted
    from shipway.cli.environment import config_file
    from shipway.errors import UsageError
    from shipway.serving.supervisor import supervise

    app, server = bundles[0].app, settings.server
    if len(bundles) > 1 or app is None:
        names = ", ".join(bundle.id.name for bundle in bundles)
        raise UsageError(f"a server serves models, or one app: {names}", fix="serve each app by a server of its own")
    check_trusted(bundles[0], allowed=server.allow_pickle)
    config = config_file(session.config, session.environ, Path.cwd())
    with tempfile.TemporaryDirectory(prefix="shipway-serve-") as folder:
        command = [sys.executable, "-P", "-m", "shipway.serving", str(write_folder(bundles[0], Path(folder)))]
        command += ["--host", server.host, "--port", str(server.port)]
        command += ["--config", str(config.absolute())] if config else []
        quiet = {"SHIPWAY_SERVER__LOG": "off"} if session.out.quiet else {}
        code = supervise(command, settings, {**app.environment, **session.environ, **quiet}, session.out.say)
    if code:
        raise click.exceptions.Exit(code)
