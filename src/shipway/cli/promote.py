"""`shipway promote`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from shipway.cli.session import Session, verb
from shipway.cli.target import change, on_target, which_release

__all__ = ["command"]


@verb("promote", example="shipway promote diabetes")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the difference and end.")
@on_target
def command(session: Session, name: str, yes: bool, dry_run: bool, where: Mapping[str, Any]) -> None:
    """Lets the canary of the release NAME replace the stable version."""
    change(session, where, lambda target: target.plan_promote(which_release(name)), yes=yes, dry_run=dry_run)
