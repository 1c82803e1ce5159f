"""From the command line's words to a verb, and from whatever it raises to an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from shipway._version import __version__
from shipway.cli.output import Output
from shipway.errors import DiskFull, ShipwayError, edge

__all__ = ["VERBS", "Verbs", "run", "shipway"]

_INTERRUPTED = 130
_MISUSED = 2

# Help texts stand here so that `shipway --help` imports no verb.
VERBS = {
    "demo": "Walk the whole way with real data, and say what to type next.",
    "pack": "Make a trained model a bundle in the store.",
    "serve": "Serve models over HTTP.",
    "predict": "Predict from a file, with a bundle or a server.",
    "list": "List the bundles in the store.",
    "show": "Show what a bundle holds.",
    "alias": "Let an alias point at a version.",
    "remove": "Remove a version, an alias or a model from the store.",
    "store": "Check the store, free its space.",
    "build": "Make an image, without Docker.",
    "run": "Run a bundle or image in Docker or Podman.",
    "render": "Write the files to apply on a target.",
    "keys": "Make API keys.",
    "doctor": "Say what is here, what is missing and what mends it.",
    "config": "Show each setting and where it comes from.",
    "completion": "Print the completion script of a shell.",
}
_EXAMPLE = """\b
Example:
  shipway demo
  shipway pack model.joblib --name diabetes --sample train.csv
  shipway serve diabetes"""
_OTHER_NAMES = {"ls": "list", "inspect": "show", "rm": "remove"}


class Verbs(click.Group):
    """The verbs; each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Gives the verbs in the order in which a user meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a verb."""
        name = _OTHER_NAMES.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        if ctx.resilient_parsing and not ctx.protected_args:  # completion of a verb's name imports none
            return click.Command(name, short_help=VERBS[name])
        module = importlib.import_module(f"shipway.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes the list of verbs."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the verb; a misspelt one is answered with the nearest."""
        from difflib import get_close_matches

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], [*VERBS, *_OTHER_NAMES], n=1)
            raise click.UsageError(
                f"no verb {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""), ctx
            ) from error


@click.group(
    "shipway",
    cls=Verbs,
    epilog=_EXAMPLE,
)
@click.version_option(__version__, "--version", message="shipway %(version)s")
def shipway() -> None:
    """Takes a trained model to production: pack it, serve it, make it an image, run it."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 misused, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    out = Output.for_terminal(os.environ, as_json=False, quiet=False, verbose="--verbose" in words or "-v" in words)
    sys.exit(_run(words, out))


def _run(words: list[str], out: Output) -> int:
    try:
        shipway.main(args=words, prog_name="shipway", standalone_mode=False)
    except ShipwayError as error:
        return _fail(error, out)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "shipway"
        out.error(error.format_message().rstrip("."), f"{path} --help")
        return _MISUSED
    except (click.Abort, KeyboardInterrupt):
        out.say("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(
                DiskFull(f"no space is left: {error}", fix="free some space, or set SHIPWAY_STORE to another disk"), out
            )
        return _bug(error, out)
    except Exception as error:
        return _bug(error, out)
    return 0


def _fail(error: ShipwayError, out: Output) -> int:
    if out.verbose:
        traceback.print_exception(error)
    out.error(error.message, error.fix)
    return edge(error).exit


def _bug(error: Exception, out: Output) -> int:
    if out.verbose:
        traceback.print_exception(error)
    out.error(
        f"{type(error).__name__}: {error}",
        "" if out.verbose else "run it again with --verbose, and tell us what it prints",
    )
    return 1
