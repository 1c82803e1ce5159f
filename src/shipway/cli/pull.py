"""`shipway pull`."""

from __future__ import annotations

import click

from shipway.cli.session import Session, verb

__all__ = ["command"]


@verb(
    "pull",
    example="shipway pull oci://registry.example/models/diabetes:1\n"
    "shipway pull registry.example/diabetes:1 --name diabetes-prod",
)
@click.argument("source", metavar="oci://REGISTRY/REPO:TAG")
@click.option("--name", metavar="NAME", help="What the model is called here.  [default: as it was packed or pushed]")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to the registry.")
def command(session: Session, source: str, name: str | None, insecure: bool) -> None:
    """Brings a bundle from a registry into the store: one that was pushed, or the one that an image carries."""
    from shipway.cli.remote import fetch_bundle

    pulled = fetch_bundle(session, source, name=name, insecure=insecure)
    bundle = pulled.bundle
    facts = {
        "name": bundle.id.name,
        "version": bundle.id.version,
        "digest": bundle.id.digest,
        "new": pulled.new,
        "fetched": pulled.fetched,
        "kind": pulled.found.kind,
        "source_digest": pulled.found.descriptor.digest,
    }
    if not pulled.new:
        session.out.say("the store has it already")
    session.out.facts(facts, f"{bundle.id.name}:{bundle.id.version}")
    if bundle.origin == "packed":
        return
    if bundle.app:
        session.out.warning(
            "it is a web app: it is served here only with [server] allow_pickle = true, which runs what its maker "
            "put in; shipway run keeps it in a container"
        )
    elif bundle.model.pickled and bundle.model.compiled is None:
        session.out.warning(
            "it is a pickle without a compiled form: it is opened only with [server] allow_pickle = true, "
            "which runs what its maker put in"
        )
