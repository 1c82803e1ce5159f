"""`shipway store check` and `shipway store gc`."""

from __future__ import annotations

import click

from shipway.cli.output import count
from shipway.cli.session import Session, verb

__all__ = ["command"]


@click.group("store", epilog="\b\nExample:\n  shipway store check\n  shipway store gc")
def command() -> None:
    """Check the store, free its space."""


@verb("check", example="shipway store check")
def check(session: Session) -> None:
    """Reads everything and says what is broken."""
    from shipway.errors import StoreError

    store = session.store()
    problems = store.check()
    facts = {"store": str(session.store_path), "bundles": len(store.list()), "problems": problems}
    text = "\n".join(problems) or f"{count(len(store.list()), 'bundle')} in {session.store_path}, all whole"
    session.out.facts(facts, text)
    if problems:
        raise StoreError(
            f"the store has {count(len(problems), 'problem')}", fix="shipway remove what is broken, and pack it again"
        )


@verb("gc", example="shipway store gc")
def collect(session: Session) -> None:
    """Deletes what nothing names any more. What is younger than an hour stays: someone may be writing it."""
    freed = session.store().collect_garbage()
    session.out.facts({"freed_bytes": freed}, f"freed {count(freed, 'byte')}; what is younger than an hour stays")


command.add_command(check)
command.add_command(collect)
