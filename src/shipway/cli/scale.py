"""`shipway scale`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from shipway.cli.session import Session, verb
from shipway.cli.target import change, on_target, which_release

__all__ = ["command"]


@verb("scale", example="shipway scale diabetes 5\nshipway scale diabetes 2-10")
@click.argument("name")
@click.argument("replicas", metavar="N|FEWEST-MOST")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the difference and end.")
@on_target
def command(session: Session, name: str, replicas: str, yes: bool, dry_run: bool, where: Mapping[str, Any]) -> None:
    """Lets N servers of the release NAME run; of FEWEST-MOST an autoscaler takes as many as the load needs."""
    from shipway.errors import UsageError

    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", replicas)
    if not match or (match[2] and not 1 <= int(match[1]) <= int(match[2])):
        raise UsageError(
            f"{replicas} is no number of servers", fix=f"shipway scale {name} 5, or 2-10 for an autoscaler"
        )
    fewest, most = int(match[1]), int(match[2]) if match[2] else None
    change(
        session,
        where,
        lambda target: target.plan_scale(which_release(name), fewest, most),
        yes=yes,
        dry_run=dry_run,
    )
