"""`shipway undeploy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from shipway.cli.session import Session, verb
from shipway.cli.target import change, on_target, which_release

__all__ = ["command"]


@verb("undeploy", example="shipway undeploy diabetes\nshipway undeploy diabetes --on docker --yes")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and end.")
@on_target
def command(session: Session, name: str, yes: bool, dry_run: bool, where: Mapping[str, Any]) -> None:
    """Takes down all that Shipway made for the release NAME, history included, and nothing else."""
    change(session, where, lambda target: target.plan_undeploy(which_release(name)), yes=yes, dry_run=dry_run)
