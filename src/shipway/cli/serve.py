"""`shipway serve`."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import click

from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.serving.engine.engine import LoadedModel

__all__ = ["command"]


@verb(
    "serve",
    example="shipway serve diabetes\nshipway serve diabetes iris@champion --default iris --port 9000",
    facts=False,
)
@click.argument("refs", nargs=-1, required=True, metavar="REF...", shell_complete=complete_reference)
@click.option("--port", type=click.IntRange(0, 65535), help="HTTP port; 0 takes a free one.  [default: 8000]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--default", metavar="NAME", help="The model that answers POST /.")
def command(session: Session, refs: tuple[str, ...], port: int | None, host: str | None, default: str | None) -> None:
    """Serves the models REF, with a page at /, until Ctrl-C or SIGTERM."""
    from shipway.cli.references import find_bundles
    from shipway.serving.application import Application, read_keys
    from shipway.serving.http.access import choose_log
    from shipway.serving.server import serve

    flags = {"server.port": port, "server.host": host, "server.default": default}
    settings = session.resolve(flags).settings
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if session.out.verbose else logging.WARNING)
    bundles = find_bundles(session, refs)
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
