"""From an app's folder to a bundle in a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shipway._version import __version__
from shipway.apps.pack import AppRequest, PackedApp, inspect_app
from shipway.bundle.bundle import Bundle
from shipway.bundle.store import Store
from shipway.errors import ArtefactError
from shipway.spec.reference import check_name

__all__ = ["AppReport", "check_trusted", "pack_app", "store_app"]

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AppReport:
    """What came of it, for people.

    Attributes:
        bundle: as it stands in the store.
        new: False where the same content was there already.
        notes: what was detected, left out and taken over; one sentence each.
    """

    bundle: Bundle
    new: bool
    notes: tuple[str, ...]


def pack_app(request: AppRequest, name: str, store: Store, *, say: Step = lambda _: None) -> AppReport:
    """Packs an app's folder into the store.

    Args:
        request: what to pack.
        name: what the app is called from now on.
        store: where it goes.
        say: told what is done, a line each.

    Raises:
        UsageError: the name cannot be an app's, or `request` names what is not there.
        ArtefactError: there is no app, or it cannot be served as it stands.
        StoreError, DiskFull: it cannot be stored; the store is as it was.
    """
    check_name(name)
    return store_app(inspect_app(request, say), name, store)


def store_app(
    packed: PackedApp, name: str, store: Store, *, notes: Mapping[str, str] | None = None, new_version: bool = False
) -> AppReport:
    """Puts an app that was inspected into the store.

    Args:
        packed: what its bundle holds.
        name: what it is called from now on.
        store: where it goes.
        notes: what stands beside it, and is not content.
        new_version: count the version up although the content is there already.

    Raises:
        UsageError: the name cannot be an app's.
        CorruptBlob: a file was changed meanwhile.
        StoreError, DiskFull: it cannot be stored; the store is as it was.
    """
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"created": created, "shipway": __version__, **(notes or {})}
    added = store.add(packed.manifest, packed.files, name, notes=said, new_version=new_version)
    return AppReport(added.bundle, added.new, packed.notes)


def check_trusted(bundle: Bundle, *, allowed: bool) -> None:
    """Checks that an app may be imported on this machine: serving it runs its author's code.

    Args:
        bundle: of an app.
        allowed: whether the operator allows what was not packed in this store, as for pickles.

    Raises:
        ArtefactError: it was packed elsewhere, and nobody allowed it.
    """
    if bundle.origin != "packed" and not allowed:
        raise ArtefactError(
            f"{bundle.id.name} was not packed here, and serving an app runs its author's code",
            fix="[server] allow_pickle = true, if you trust whoever packed it; or shipway run, in a container",
        )
