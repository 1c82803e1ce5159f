"""From the command line's words to a verb, and from whatever it raises to an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import click
from click.shell_completion import CompletionItem

from shipway._version import __version__
from shipway.cli.output import Output
from shipway.errors import DiskFull, MachineError, ShipwayError, edge

__all__ = ["VERBS", "Verbs", "run", "run_process", "shipway"]

_MISUSED = 2
_INTERRUPTED = 130
_TERMINATED = 143

# Help texts stand here so that `shipway --help` imports no verb.
VERBS = {
    "demo": "Walk the whole way with real data, and say what to type next.",
    "pack": "Make a trained model a bundle in the store.",
    "serve": "Serve models over HTTP.",
    "predict": "Predict from a file, with a bundle or a server.",
    "list": "List the bundles in the store, or in a registry.",
    "show": "Show what a bundle holds.",
    "alias": "Let an alias point at a version.",
    "remove": "Remove a version, an alias or a model from the store.",
    "push": "Push a bundle or an image to a registry.",
    "pull": "Pull a bundle from a registry into the store.",
    "store": "Check the store, free its space.",
    "build": "Make an image, without Docker.",
    "run": "Run a bundle or image in Docker or Podman.",
    "render": "Write the files to apply on a target.",
    "deploy": "Release a bundle on Kubernetes or Docker, and watch it.",
    "status": "Say how releases are.",
    "logs": "Show what the servers of a release write.",
    "promote": "Let a canary replace the stable version.",
    "rollback": "Go back to an earlier release.",
    "scale": "Change the number of servers.",
    "undeploy": "Take a release down.",
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
_OTHER_NAMES = {"ls": "list", "inspect": "show", "rm": "remove", "delete": "undeploy"}


class Verbs(click.Group):
    """The verbs; each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Gives the verbs in the order in which a user meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports a verb."""
        name = _OTHER_NAMES.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        module = importlib.import_module(f"shipway.cli.{name}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Gives the verbs that begin so, without importing one, and the options."""
        verbs = [CompletionItem(name, help=text) for name, text in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

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


def run_process(arguments: Sequence[str]) -> int:
    """Runs the command line as this process: with its streams and signals; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        _let_write(stream)
    # So that what a verb has begun (a half-written file, a server that it started) is put away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    sys.unraisablehook = _no_word_of_interrupts
    code = run(arguments)
    # What was to be done is done: an interrupt of Python's own ending would only spoil the exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is an interrupt in disguise: Python 3.11 wraps what is raised while it makes a class."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__cause__))


def _no_word_of_interrupts(event: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in a place that cannot raise, such as a weak reference's callback, would be told with a traceback."""
    if not issubclass(event.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(event)


def run(arguments: Sequence[str]) -> int:
    """Runs the command line; gives the exit code: 0 done, 1 failed, 2 misused, 130 interrupted."""
    verbose = "--verbose" in arguments or "-v" in arguments
    out = Output.for_terminal(os.environ, as_json=False, quiet=False, verbose=verbose)
    try:
        shipway.main(args=list(arguments), prog_name="shipway", standalone_mode=False)
    except ShipwayError as error:
        return _fail(error, out)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return _MISUSED
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
        return _fail(_of_machine(error), out)
    except Exception as error:
        if _is_interrupt(error):
            out.say("interrupted")
            return _INTERRUPTED
        return _bug(error, out)
    return 0


def _let_write(stream: TextIO) -> None:
    """Lets any text be written: files and pipes get UTF-8, as all data here; a terminal shows what it can."""
    if hasattr(stream, "reconfigure"):
        if stream.isatty():
            stream.reconfigure(errors="backslashreplace")
        else:
            stream.reconfigure(encoding="utf-8")


def _of_machine(error: OSError) -> MachineError:
    """Gives what the system refused as an error with a fix."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space is left{f' for {error.filename}' if error.filename else ''}", fix="free some space")
    what = error.strerror or str(error) or type(error).__name__
    fix = "check the path and its rights" if error.filename else "run it again with --verbose"
    return MachineError(f"{error.filename}: {what}" if error.filename else what, fix=fix)


def _fail(error: ShipwayError, out: Output) -> int:
    if out.verbose:
        traceback.print_exception(error)
    out.error(error.message, error.fix)
    return edge(error).exit


def _bug(error: Exception, out: Output) -> int:
    if out.verbose:
        traceback.print_exception(error)
    fix = "tell us what it prints above" if out.verbose else "run it again with --verbose, and tell us what it prints"
    out.error(f"{type(error).__name__}: {error}", fix)
    return 1
