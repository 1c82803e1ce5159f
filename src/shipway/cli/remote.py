"""What verbs do with registries: open one, bring a bundle from it, put an image into it, look at one."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipway.cli.environment import credentials_files
from shipway.cli.output import Output, size_text
from shipway.cli.progress import progress

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.bundle.remote import Pulled
    from shipway.bundle.store import Store
    from shipway.cli.session import Session
    from shipway.image.base import BaseImage
    from shipway.image.build import Image
    from shipway.oci.credentials import Credentials
    from shipway.oci.registry import Registry
    from shipway.oci.transfer import Pushed, Tell
    from shipway.spec.image import ImageReference
    from shipway.spec.reference import BundleId

__all__ = [
    "ImageFacts",
    "by_digest",
    "connect",
    "fetch_bundle",
    "fetch_quietly",
    "find_login",
    "inspect_image",
    "moving",
    "push_facts",
    "push_images",
    "push_text",
    "registry_reference",
    "showing",
]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a registry says of an image.

    Attributes:
        digest: of its manifest, or of the index of several platforms.
        bundle: that it carries; None where Shipway did not build it.
        platforms: on which it runs, `linux/amd64`.
    """

    digest: str
    bundle: BundleId | None
    platforms: tuple[str, ...]


def registry_reference(text: str) -> ImageReference:
    """Parses `[oci://]host/repository[:tag][@digest]`.

    Raises:
        UsageError: it is not of that form, or names no registry.
    """
    from shipway.spec.image import ImageReference

    reference = ImageReference.parse(text.removeprefix("oci://"))
    reference.for_registry()
    return reference


def find_login(session: Session, host: str, repository: str) -> Credentials | None:
    """Gives what Docker or Podman keep for a registry."""
    from shipway.oci.credentials import find_credentials

    return find_credentials(credentials_files(session.environ, Path.home()), host, repository)


@contextmanager
def connect(session: Session, host: str, *, insecure: bool = False) -> Iterator[Registry]:
    """Opens a registry with the user's credentials, for as long as the block runs."""
    from shipway.oci.registry import open_registry

    with open_registry(
        host, functools.partial(find_login, session), insecure=insecure, warn=session.out.warning
    ) as registry:
        yield registry


@contextmanager
def moving(
    session: Session, label: str, reference: ImageReference, *, insecure: bool = False
) -> Iterator[tuple[Registry, Tell]]:
    """Opens the registry of a reference, and shows what travels between it and here, while its block runs.

    Args:
        session: whose credentials and output.
        label: `pushing` or `pulling`.
        reference: what travels.
        insecure: allow plain HTTP.
    """
    with (
        connect(session, reference.host, insecure=insecure) as registry,
        showing(session.out, f"{label} {reference}") as tell,
    ):
        yield registry, tell


@contextmanager
def showing(out: Output, label: str) -> Iterator[Tell]:
    """Shows bytes that travel while its block runs: a bar on a terminal, plain lines otherwise."""
    if not out.quiet and sys.stderr.isatty():
        with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

            def move(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(max(0, done - bar.pos))

            yield move
    else:
        with progress(out, label, 0) as line:
            yield lambda done, total: line(done, f"{size_text(done)} of {size_text(total)}")


def fetch_bundle(
    session: Session, text: str, *, store: Store | None = None, name: str | None = None, insecure: bool = False
) -> Pulled:
    """Brings the bundle that lies at `oci://host/repository:tag` into the store; one that is there is not fetched.

    Args:
        session: whose credentials and output.
        text: with or without `oci://`; of a bundle, or of an image that carries one.
        store: where it goes; the session's by default.
        name: what the model is called here.
        insecure: allow plain HTTP.

    Raises:
        UnknownBundle: something else lies there.
        ShipwayError: as `pull_bundle` has it.
    """
    from shipway.bundle.remote import pull_bundle

    reference = registry_reference(text).tagged
    with moving(session, "pulling", reference, insecure=insecure) as (registry, tell):
        return pull_bundle(registry, reference, store or session.store(), name=name, tell=tell)


def fetch_quietly(text: str, store: Store) -> Bundle:
    """Brings a bundle from a registry into a store, with this process's environment and without a word."""
    from shipway.cli.session import Session

    return fetch_bundle(Session(os.environ, Output(quiet=True)), text, store=store).bundle


def inspect_image(session: Session, reference: str, *, insecure: bool = False) -> ImageFacts:
    """Asks the registry for an image's digest and the bundle that it carries, without fetching a layer.

    Raises:
        UsageError: the reference names no registry.
        RemoteError: there is no such image, or the registry does not answer as it should.
    """
    from shipway.bundle.remote import look

    image = registry_reference(reference).tagged
    with connect(session, image.host, insecure=insecure) as registry:
        found = look(registry, image.repository, image.digest or image.tag)
    return ImageFacts(found.descriptor.digest, found.bundle, found.platforms)


def push_images(
    session: Session,
    images: Sequence[Image],
    name: ImageReference,
    bases: Iterable[BaseImage] = (),
    *,
    insecure: bool = False,
) -> Pushed:
    """Pushes an image, or an index of several platforms, to the registry in its name; only what is missing travels.

    Args:
        session: whose cache, credentials and output.
        images: one a platform.
        name: with the registry and the tag.
        bases: what they were built on: a layer that lies in the same registry is taken over there.
        insecure: allow plain HTTP.

    Raises:
        UsageError: the name has no registry.
        RemoteError: the registry refuses.
    """
    from shipway.image.cache import Cache
    from shipway.image.output import put_images
    from shipway.oci.transfer import push
    from shipway.spec.image import ImageReference

    target = name.for_registry()
    layout = Cache(session.cache_path).layout()
    top = put_images(images, layout)
    named = [ImageReference.parse(base.name) for base in bases if base.name]
    near = {base.repository: None for base in named if base.host == target.host}
    with moving(session, "pushing", target, insecure=insecure) as (registry, tell):
        return push(registry, target.repository, (target.tag,), top, layout, mount_from=near, tell=tell)


def push_facts(target: ImageReference, pushed: Pushed) -> dict[str, Any]:
    """Gives what a push came to, for programs."""
    return {
        "reference": by_digest(target, pushed),
        "tag": target.tag,
        "digest": pushed.descriptor.digest,
        "sent_bytes": pushed.sent_bytes,
        "skipped_bytes": pushed.skipped_bytes,
        "mounted_bytes": pushed.mounted_bytes,
    }


def push_text(target: ImageReference, pushed: Pushed) -> str:
    """Says what a push came to: the reference by digest, then how much travelled."""
    parts = [(pushed.sent_bytes, "sent"), (pushed.skipped_bytes, "there already"), (pushed.mounted_bytes, "mounted")]
    sizes = ", ".join(f"{size_text(size)} {what}" for size, what in parts if size or what == "sent")
    return f"pushed {by_digest(target, pushed)}\n  as {target}: {sizes}"


def by_digest(target: ImageReference, pushed: Pushed) -> str:
    """Gives the reference that always means what was pushed: `host/repository@sha256:…`."""
    return f"{target.host}/{target.repository}@{pushed.descriptor.digest}"
