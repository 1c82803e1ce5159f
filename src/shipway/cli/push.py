"""`shipway push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shipway.oci.descriptor import Descriptor
    from shipway.oci.layout import Layout
    from shipway.oci.transfer import Pushed
    from shipway.spec.image import ImageReference

__all__ = ["command"]


@verb(
    "push",
    example="shipway push diabetes:1 registry.example/models/diabetes\n"
    "shipway push diabetes.tar registry.example/diabetes:1\n"
    "shipway push oci://registry.example/diabetes:1 mirror.example/diabetes:1",
)
@click.argument("ref", metavar="REF|IMAGE", shell_complete=complete_reference)
@click.argument("place", metavar="REGISTRY/REPO[:TAG]")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to the registry.")
def command(session: Session, ref: str, place: str, insecure: bool) -> None:
    """Pushes the bundle REF, or an image that build --output wrote, to a registry; only what is missing there."""
    from shipway.cli.remote import push_facts, push_text, registry_reference
    from shipway.errors import UsageError

    target = registry_reference(place)
    if target.digest:
        raise UsageError("a push goes to a tag, not to a digest", fix=f"{target.host}/{target.repository}:TAG")
    if ref.startswith("oci://"):
        named, pushed = _copy(session, ref, target, insecure=insecure)
    elif _is_image(ref):
        named, pushed = _push_image(session, ref, target, insecure=insecure)
    else:
        named, pushed = _push_bundle(session, ref, target, insecure=insecure)
    session.out.facts(push_facts(named, pushed), push_text(named, pushed))


def _push_bundle(
    session: Session, ref: str, target: ImageReference, *, insecure: bool
) -> tuple[ImageReference, Pushed]:
    """Pushes a bundle; its version is the tag where none is given."""
    from shipway.bundle.remote import push_bundle
    from shipway.cli.remote import moving

    bundle = session.bundle(ref)
    named = _tagged(target, str(bundle.id.version))
    with moving(session, "pushing", named, insecure=insecure) as (registry, tell):
        return named, push_bundle(registry, named, bundle, session.store(), tell=tell)


def _is_image(ref: str) -> bool:
    path = Path(ref).expanduser()
    return ref.startswith("oci:") or (path / "oci-layout").is_file() or (".tar" in path.name and path.is_file())


def _push_image(session: Session, ref: str, target: ImageReference, *, insecure: bool) -> tuple[ImageReference, Pushed]:
    """Pushes an image out of an archive or a layout folder; its own tag is the tag where none is given."""
    from shipway.image.base import find_image
    from shipway.image.cache import Cache
    from shipway.oci.descriptor import REF_NAME

    entry, layout = find_image(ref, Cache(session.cache_path))
    named = _tagged(target, entry.annotations.get(REF_NAME, "").rpartition(":")[2] or "latest")
    return named, _send(session, named, entry, layout, (), insecure=insecure)


def _copy(session: Session, ref: str, target: ImageReference, *, insecure: bool) -> tuple[ImageReference, Pushed]:
    """Copies what lies in a registry, whole; within one registry its blobs are mounted."""
    from shipway.cli.remote import moving, registry_reference
    from shipway.image.cache import Cache
    from shipway.oci.transfer import pull

    source = registry_reference(ref).tagged
    layout = Cache(session.cache_path).layout()
    with moving(session, "pulling", source, insecure=insecure) as (registry, tell):
        top = pull(registry, source.repository, source.digest or source.tag, layout, tell=tell)
    named = _tagged(target, source.tag or "latest")
    near = (source.repository,) if source.host == named.host else ()
    return named, _send(session, named, top, layout, near, insecure=insecure)


def _send(
    session: Session, named: ImageReference, top: Descriptor, layout: Layout, near: Iterable[str], *, insecure: bool
) -> Pushed:
    from shipway.cli.remote import moving
    from shipway.oci.transfer import push

    with moving(session, "pushing", named, insecure=insecure) as (registry, tell):
        return push(registry, named.repository, (named.tag,), top, layout, mount_from=near, tell=tell)


def _tagged(target: ImageReference, tag: str) -> ImageReference:
    from shipway.spec.image import ImageReference

    return target if target.tag else ImageReference(target.repository, target.host, tag)
