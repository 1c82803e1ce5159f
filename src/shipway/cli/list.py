"""`shipway list`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.output import size_text, table
from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.oci.registry import Registry

__all__ = ["command"]

_AT_ONCE = 8
# Signatures and the like hang on tags that are made of a digest: none of them is a version.
_ATTACHED = re.compile(r"sha256-[0-9a-f]{64}(\..*)?")


@verb(
    "list",
    example="shipway list\nshipway list diabetes --json\nshipway list oci://registry.example/models/diabetes",
)
@click.argument("name", required=False, metavar="[NAME|oci://REGISTRY/REPO]", shell_complete=complete_reference)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="Most tags of a registry to look at: the last ones.",
)
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to the registry.")
def command(session: Session, name: str | None, limit: int, insecure: bool) -> None:
    """Lists the bundles in the store: all, or the versions of NAME. Or the tags of a repository in a registry."""
    if name is not None and name.startswith("oci://"):
        _list_registry(session, name, limit, insecure=insecure)
    else:
        _list_store(session, name)


def _list_store(session: Session, name: str | None) -> None:
    from shipway.spec.reference import NameReference

    store = session.store()
    if name is not None:
        store.find(NameReference(name))  # an unknown name is an error, with what is near
    entries = store.list(name)
    facts = [
        {
            "name": entry.id.name,
            "version": entry.id.version,
            "aliases": entry.aliases,
            "digest": entry.id.digest,
            "created": entry.notes.get("created", ""),
        }
        for entry in entries
    ]
    rows = [
        [
            entry.id.name,
            str(entry.id.version),
            ", ".join(entry.aliases) or "-",
            entry.id.digest[7:19],
            entry.notes.get("created") or ("pulled" if "pulled" in entry.notes else ""),
        ]
        for entry in entries
    ]
    text = table(rows, ["NAME", "VERSION", "ALIASES", "DIGEST", "PACKED"])
    session.out.facts(facts, text if rows else "the store is empty\nnext: shipway pack MODEL --name NAME")


def _list_registry(session: Session, text: str, limit: int, *, insecure: bool) -> None:
    """Lists the tags of a repository with what each of them names; several are looked at at once."""
    from shipway.cli.remote import connect, registry_reference

    place = registry_reference(text)
    with connect(session, place.host, insecure=insecure) as registry:
        tags = [place.tag] if place.tag else ordered(registry.tags(place.repository))
        shown = tags[-limit:]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            facts = list(pool.map(lambda tag: _look(registry, place.repository, tag), shown))
    rows = [
        [
            fact["tag"],
            fact["kind"],
            _short(fact["bundle"]) or "-",
            fact["digest"][7:19] or "-",
            size_text(fact["size_bytes"]) if fact["digest"] else "-",
        ]
        for fact in facts
    ]
    if len(tags) > len(shown):
        session.out.say(f"{len(tags) - len(shown)} earlier tags are not shown: --limit {len(tags)}")
    head = table(rows, ["TAG", "KIND", "BUNDLE", "DIGEST", "SIZE"])
    session.out.facts(facts, head if rows else f"{place.host}/{place.repository} has no tags")


def ordered(tags: Iterable[str]) -> list[str]:
    """Gives the tags that may be versions, numbers in them by their value: `2` before `10`."""
    return sorted(
        (tag for tag in tags if not _ATTACHED.fullmatch(tag)),
        key=lambda tag: [
            (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", tag)
        ],
    )


def _short(bundle: str) -> str:
    """Gives `name:version@sha256:…` with as much of the digest as the store's list shows."""
    name, _, digest = bundle.partition("@")
    return f"{name} {digest[7:19]}".strip()


def _look(registry: Registry, repository: str, tag: str) -> dict[str, Any]:
    from shipway.bundle.remote import look
    from shipway.errors import ShipwayError

    facts: dict[str, Any] = {"tag": tag, "kind": "unreadable", "bundle": "", "digest": "", "size_bytes": 0}
    try:
        found = look(registry, repository, tag)
    except ShipwayError as error:
        return {**facts, "platforms": (), "error": error.message}
    name = repository.rpartition("/")[2]
    bundle = f"{name}@{found.descriptor.digest}" if found.kind == "bundle" else str(found.bundle or "")
    return {
        "tag": tag,
        "kind": found.kind,
        "bundle": bundle,
        "digest": found.descriptor.digest,
        "size_bytes": found.size,
        "platforms": found.platforms,
    }
