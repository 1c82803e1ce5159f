"""`shipway alias`."""

from __future__ import annotations

import click

from shipway.cli.session import Session, complete_reference, verb

__all__ = ["command"]


@verb("alias", example="shipway alias diabetes:2 champion")
@click.argument("ref", metavar="NAME:V", shell_complete=complete_reference)
@click.argument("alias")
def command(session: Session, ref: str, alias: str) -> None:
    """Lets ALIAS point at version V of the model NAME, wherever it pointed before."""
    from shipway.errors import UsageError
    from shipway.spec.reference import NameReference, parse_reference

    reference = parse_reference(ref)
    if not isinstance(reference, NameReference):
        raise UsageError(f"{ref!r} names no version in the store", fix="shipway alias NAME:VERSION ALIAS")
    bundle = session.store().alias(reference, alias)
    facts = {"name": bundle.name, "alias": alias, "version": bundle.version, "digest": bundle.digest}
    session.out.facts(facts, f"{bundle.name}@{alias} is now {bundle.name}:{bundle.version}")
