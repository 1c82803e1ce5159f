"""`shipway remove`."""

from __future__ import annotations

import click

from shipway.cli.session import Session, complete_reference, verb

__all__ = ["command"]


@verb("remove", example="shipway remove diabetes:1\nshipway remove diabetes@champion\nshipway remove diabetes --yes")
@click.argument("ref", shell_complete=complete_reference)
@click.option("--yes", "-y", is_flag=True, help="Remove all versions of a model without asking.")
def command(session: Session, ref: str, yes: bool) -> None:
    """Removes a version, an alias, or all versions of a model. `shipway store gc` frees the space."""
    import sys

    from shipway.errors import UsageError
    from shipway.spec.reference import NameReference, parse_reference

    reference = parse_reference(ref)
    if not isinstance(reference, NameReference):
        raise UsageError(f"{ref!r} is not in the store", fix="shipway list")
    store = session.store()
    store.find(reference)
    if str(reference) == reference.name and len(store.list(reference.name)) > 1 and not yes:
        question = f"remove all {len(store.list(reference.name))} versions of {reference.name}?"
        if not sys.stdin.isatty():
            raise UsageError(f"{ref!r} names several versions", fix=f"shipway remove {ref} --yes, or name one: {ref}:1")
        if not click.confirm(question, err=True):
            session.out.say("nothing was removed")
            return
    gone = store.remove(reference)
    text = f"removed {', '.join(f'{bundle.name}:{bundle.version}' for bundle in gone) or reference}"
    session.out.facts({"removed": [str(bundle) for bundle in gone] or [str(reference)]}, text)
