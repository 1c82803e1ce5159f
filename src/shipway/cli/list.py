"""`shipway list`."""

from __future__ import annotations

import click

from shipway.cli.output import table
from shipway.cli.session import Session, complete_reference, verb

__all__ = ["command"]


@verb("list", example="shipway list\nshipway list diabetes --json")
@click.argument("name", required=False, shell_complete=complete_reference)
def command(session: Session, name: str | None) -> None:
    """Lists the bundles in the store: all, or the versions of NAME."""
    from shipway.spec.reference import NameReference

    store = session.store()
    if name is not None:
        store.find(NameReference(name))  # an unknown name is an error, with what is near
    entries = store.list(name)
    facts = [
        {
            "name": entry.id.name,
            "version": entry.id.version,
            "aliases": entry.aliases,
            "digest": entry.id.digest,
            "created": entry.notes.get("created", ""),
        }
        for entry in entries
    ]
    rows = [
        [
            entry.id.name,
            str(entry.id.version),
            ", ".join(entry.aliases) or "-",
            entry.id.digest[7:19],
            entry.notes.get("created", ""),
        ]
        for entry in entries
    ]
    text = table(rows, ["NAME", "VERSION", "ALIASES", "DIGEST", "PACKED"])
    session.out.facts(facts, text if rows else "the store is empty\nnext: shipway pack MODEL --name NAME")
