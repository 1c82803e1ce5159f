"""`shipway keys`."""

from __future__ import annotations

from pathlib import Path

import click

from shipway.cli.session import Session, verb

__all__ = ["command"]


@click.group("keys", epilog="\b\nExample:\n  shipway keys new --api --file api-keys.txt")
def command() -> None:
    """Make API keys."""


@verb("new", example="shipway keys new --api --file api-keys.txt --remark 'the web shop'")
@click.option("--api", is_flag=True, required=True, help="A key for callers of the API.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="File of hashed keys to add it to."
)
@click.option("--remark", default="", metavar="TEXT", help="Whose key it is; stands beside the hash.")
def new(session: Session, api: bool, file: Path | None, remark: str) -> None:  # noqa: ARG001
    """Draws a key and prints it, this once. Servers hold only its hash."""
    from shipway.serving.http.keys import hash_key, new_key

    key = new_key()
    line = " ".join([hash_key(key), *remark.split()])
    if file is None:
        text = f"{key}\n{line}"
        session.out.say("the key, and the line for the file that [auth] keys names:")
    else:
        text = key
        with file.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        file.chmod(0o600)
        session.out.say(f"its hash was added to {file}; name that file in shipway.toml: [auth] keys = {str(file)!r}")
    session.out.facts({"key": key, "line": line}, text)


command.add_command(new)
