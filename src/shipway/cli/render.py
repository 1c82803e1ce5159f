"""`shipway render`."""

from __future__ import annotations

from pathlib import Path

import click

from shipway.cli.session import Session, verb

__all__ = ["command"]


@verb(
    "render",
    example="shipway render diabetes --to kubernetes --image registry.example/diabetes:1 --output manifests\n"
    "shipway render diabetes --to kubernetes --image registry.example/diabetes:1 | kubectl apply -f -",
)
@click.argument("ref")
@click.option("--to", "target", required=True, metavar="TARGET", help="Where it shall run: kubernetes.")
@click.option("--image", required=True, metavar="T", help="The image, as the target's nodes can pull it.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Write files there instead of printing.")
@click.option("--name", metavar="N", help="Name of the objects.  [default: the bundle's]")
@click.option("--replicas", type=int, metavar="N", help="How many servers.  [default: 3]")
@click.option(
    "--service",
    type=click.Choice(["ClusterIP", "NodePort", "LoadBalancer"], case_sensitive=False),
    metavar="TYPE",
    help="How callers reach it: ClusterIP, NodePort or LoadBalancer.  [default: ClusterIP]",
)
@click.option("--namespace", metavar="N", help="Written into the objects.  [default: left to kubectl]")
def command(
    session: Session,
    ref: str,
    target: str,
    image: str,
    output: Path | None,
    name: str | None,
    replicas: int | None,
    service: str | None,
    namespace: str | None,
) -> None:
    """Writes the files that run the bundle REF on a target, to be read, kept in git and applied."""
    from shipway.deploy.files import write_files
    from shipway.deploy.targets import render
    from shipway.spec.contract import Contract
    from shipway.spec.release import Release, release_name

    flags = {"replicas": replicas, "service": service, "namespace": namespace}
    chosen = session.resolve({f"deploy.kubernetes.{key}": value for key, value in flags.items()})
    settings = chosen.settings.deploy.kubernetes
    bundle = session.bundle(ref)
    release = Release(
        name=release_name(bundle.id.name) if name is None else name,
        bundle=bundle.id,
        image=image,
        contract=Contract.of(bundle.manifest),
        replicas=settings.replicas,
        service=settings.service,
        namespace=settings.namespace or None,
    )
    session.note_keys({})
    files = render(release, target)
    facts = {"name": release.name, "folder": output and str(output), "files": files}
    if output is None:
        session.out.facts(facts, "---\n".join(files.values()).rstrip("\n"))
        return
    session.out.facts(facts, "\n".join(map(str, write_files(files, output))))
    session.out.say(f"next: kubectl apply -f {output}")
