"""`shipway completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from shipway.cli.session import Session, verb
from shipway.errors import UsageError

__all__ = ["command"]


@verb(
    "completion",
    example='eval "$(shipway completion bash)"\nshipway completion fish > ~/.config/fish/completions/shipway.fish',
    facts=False,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(session: Session, shell: str) -> None:
    """Prints the script that completes verbs and options in SHELL."""
    from shipway.cli.entry import shipway

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"no completion for {shell}", fix="shipway completion bash")
    # `source_vars` is what the script is made of; `source()` would first run bash to look at its version.
    script = kind(shipway, {}, "shipway", "_SHIPWAY_COMPLETE")
    session.out.facts(None, script.source_template % script.source_vars())
