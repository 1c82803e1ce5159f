"""The command line: one file a verb; the only room that prints, exits and reads the environment."""

from __future__ import annotations

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Runs the command line that this process was started with, and exits."""
    import sys

    try:
        from shipway.cli.entry import run_process
    except KeyboardInterrupt:  # Ctrl-C while this imports
        sys.exit(_INTERRUPTED)
    sys.exit(run_process(sys.argv[1:]))
