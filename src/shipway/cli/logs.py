"""`shipway logs`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.session import Session, verb
from shipway.cli.target import on_target, open_target, which_release

if TYPE_CHECKING:
    from shipway.deploy.target import LogLine

__all__ = ["command"]

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


@verb("logs", example="shipway logs diabetes -f\nshipway logs diabetes --tail 100 --json")
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on with what they write, until Ctrl-C.")
@click.option(
    "--tail", type=click.IntRange(0, 100_000), default=20, show_default=True, metavar="N", help="Last lines of each."
)
@on_target
def command(session: Session, name: str, follow: bool, tail: int, where: Mapping[str, Any]) -> None:
    """Shows what all servers of the release NAME have written, merged, each line with its server's name."""
    settings = session.resolve(where).settings.deploy
    colours: dict[str, int] = {}
    coloured = sys.stdout.isatty() and not session.environ.get("NO_COLOR")
    with open_target(session, settings.target, settings) as target:
        for line in target.logs(which_release(name), follow=follow, tail=tail):
            if session.out.as_json:
                session.out.line({"instance": line.instance, "time": line.time, "text": line.text})
            else:
                session.out.raw(_text(line, colours, coloured=coloured))


def _text(line: LogLine, colours: dict[str, int], *, coloured: bool) -> str:
    """Gives a line with its server in front; a server keeps its colour."""
    colour = colours.setdefault(line.instance, _COLOURS[len(colours) % len(_COLOURS)])
    name = f"\x1b[{colour}m{line.instance}\x1b[0m" if coloured else line.instance
    return f"{name} | {_printable(line.text)}"


def _printable(text: str) -> str:
    """Gives the text without what would steer a terminal."""
    return "".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in text)
