"""`shipway config`."""

from __future__ import annotations

from shipway.cli.output import table
from shipway.cli.session import Session, verb

__all__ = ["command"]


@verb("config", example="shipway config\nSHIPWAY_SERVER__PORT=9000 shipway config --json")
def command(session: Session) -> None:
    """Shows each setting, its value and where that comes from: a flag, the environment, the file or the default."""
    items = list(session.resolve().items())
    facts = {key: {"value": value, "origin": origin} for key, value, origin in items}
    session.out.facts(
        facts, table([[key, repr(value), origin] for key, value, origin in items], ["KEY", "VALUE", "FROM"])
    )
