"""The command line: one file a verb; the only room that prints, exits and reads the environment."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line that this process was started with, and exits."""
    from shipway.cli.entry import run

    run()
