"""What every verb has at hand: the environment, the settings, the store and the output."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.environment import cache_folder, config_file, read_config, store_folder
from shipway.cli.output import Output

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.bundle.store import Store
    from shipway.spec.settings import Resolved

__all__ = ["Session", "complete_reference", "verb"]


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one verb. The rest of Shipway is imported when a verb asks for it, so that help is quick."""

    environ: Mapping[str, str]
    out: Output
    config: str | None = None

    @property
    def store_path(self) -> Path:
        """Where the store is."""
        return store_folder(self.environ, sys.platform, Path.home())

    @property
    def cache_path(self) -> Path:
        """Where what can be made again is kept."""
        return cache_folder(self.environ, sys.platform, Path.home())

    def store(self) -> Store:
        """Opens the store; makes it where nothing is."""
        from shipway.bundle.store import Store

        return Store.at(self.store_path)

    def resolve(self, flags: Mapping[str, Any] | None = None) -> Resolved:
        """Resolves the settings with the verb's flags, by dotted key."""
        from shipway.spec.settings import resolve

        path = config_file(self.config, self.environ, Path.cwd())
        return resolve(flags or {}, self.environ, read_config(path), file_name=str(path or "shipway.toml"))

    def note_keys(self, environ: Mapping[str, str]) -> None:
        """Says that a container, with these variables, asks for no API key although the settings here name some."""
        if self.resolve().settings.auth.keys and "SHIPWAY_AUTH__KEYS" not in environ:
            self.out.warning("the API keys of [auth] stay here: the container answers everyone (docs/settings.md)")

    def bundle(self, text: str) -> Bundle:
        """Gives the bundle that REF names. A model file is packed first, under its file's name."""
        from shipway.cli.references import find_bundle

        return find_bundle(self, text)


def complete_reference(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Gives the names, versions and aliases in the store that begin so, for the shell; nothing where it has none."""
    from shipway.errors import ShipwayError

    session = Session(os.environ, Output(quiet=True))
    try:
        entries = session.store().list() if session.store_path.is_dir() else ()
    except (ShipwayError, OSError):
        return []
    known = [entry.id.name for entry in entries]
    if ":" in incomplete or "@" in incomplete:
        known = [f"{entry.id.name}:{entry.id.version}" for entry in entries]
        known += [f"{entry.id.name}@{alias}" for entry in entries for alias in entry.aliases]
    return sorted({name for name in known if name.startswith(incomplete)})


def verb(name: str, *, example: str, facts: bool = True) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a verb of a function that takes a Session first.

    Args:
        name: the verb.
        example: command lines for its help, one a line.
        facts: whether it prints facts, and so has `--json`.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(*, quiet: bool, verbose: bool, config: str | None, as_json: bool = False, **arguments: Any) -> None:
            out = Output.for_terminal(os.environ, as_json=as_json, quiet=quiet, verbose=verbose)
            function(Session(os.environ, out, config), **arguments)

        command = click.command(name, epilog=_epilog(example))(run)
        options = [
            click.Option(["--config"], metavar="FILE", help="Settings file; shipway.toml here by default."),
            click.Option(["--quiet", "-q"], is_flag=True, help="Print nothing but results and errors."),
            click.Option(["--verbose", "-v"], is_flag=True, help="Say more; show tracebacks of failures of ours."),
        ]
        if facts:
            options.insert(0, click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."))
        command.params += options
        return command

    return decorate


def _epilog(example: str) -> str:
    lines = "\n".join(f"  {line.strip()}" for line in example.strip().splitlines())
    return f"\b\nExample:\n{lines}"
