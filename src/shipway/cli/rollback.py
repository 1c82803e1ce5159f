"""`shipway rollback`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from shipway.cli.session import Session, verb
from shipway.cli.target import change, on_target, which_release

__all__ = ["command"]


@verb("rollback", example="shipway rollback diabetes\nshipway rollback diabetes --to 3 --yes")
@click.argument("name")
@click.option(
    "--to", "number", type=click.IntRange(min=1), metavar="N",
    help="Release to go back to, as shipway status shows them.  [default: the last good one before this]",
)  # fmt: skip
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the difference and end.")
@on_target
def command(
    session: Session, name: str, number: int | None, yes: bool, dry_run: bool, where: Mapping[str, Any]
) -> None:
    """Brings back an earlier release of NAME, with all its objects, as a new one; ends a canary where one runs."""
    change(session, where, lambda target: target.plan_rollback(which_release(name), number), yes=yes, dry_run=dry_run)
