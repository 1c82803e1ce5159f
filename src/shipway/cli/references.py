"""From REF, as a user wrote it, to a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import is_bundle_folder, read_folder, read_models
from shipway.bundle.pack import PackRequest, pack
from shipway.cli.apps import AppOptions, holds_app, pack_folder
from shipway.errors import UnknownBundle
from shipway.spec.reference import MAX_NAME, NameReference, PathReference, RegistryReference, parse_reference

if TYPE_CHECKING:
    from shipway.cli.session import Session

__all__ = ["find_bundle", "find_bundles"]


def find_bundle(session: Session, text: str) -> Bundle:
    """Gives the bundle that `text` names.

    A model file or an app's folder is packed first, and what lies in a registry brought into the store.

    Raises:
        UnknownBundle, UsageError: it names none.
        ShipwayError: it cannot be read or packed.
    """
    match parse_reference(text):
        case NameReference() as reference:
            try:
                return session.store().find(reference)
            except UnknownBundle as error:
                if Path(text).exists():
                    raise UnknownBundle(error.message, fix=f"./{text} if you mean the file or folder here") from error
                raise
        case PathReference(path):
            folder = Path(path).expanduser()
            return read_folder(folder) if is_bundle_folder(folder) else _pack(session, folder)
        case RegistryReference():
            return _pull(session, text)


def find_bundles(session: Session, texts: tuple[str, ...]) -> tuple[Bundle, ...]:
    """Gives the bundles that the texts name; a folder of bundle folders names all of them."""
    bundles: list[Bundle] = []
    for text in texts:
        reference = parse_reference(text)
        folder = Path(reference.path).expanduser() if isinstance(reference, PathReference) else None
        if folder and folder.is_dir() and not is_bundle_folder(folder) and any(map(is_bundle_folder, folder.iterdir())):
            bundles += read_models(folder)
        else:
            bundles.append(find_bundle(session, text))
    return tuple(bundles)


def _pull(session: Session, text: str) -> Bundle:
    """Gives the bundle that lies at `oci://…`, by itself or in an image; what the store has is not fetched again."""
    from shipway.cli.remote import fetch_bundle

    pulled = fetch_bundle(session, text)
    if pulled.new:
        session.out.say(f"pulled {text} as {pulled.bundle.id.name}:{pulled.bundle.id.version}")
    return pulled.bundle


def _pack(session: Session, artefact: Path) -> Bundle:
    stem = artefact.stem if artefact.is_file() else artefact.resolve().name
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:MAX_NAME].strip("-") or "model"
    if holds_app(artefact):
        bundle = pack_folder(session, artefact, name, AppOptions(brief=True)).bundle
        session.out.say(f"packed {artefact} as {bundle.id.name}:{bundle.id.version}")
        return bundle
    report = pack(PackRequest(artefact, name), session.store(), say=session.out.say)
    session.out.say(f"packed {artefact} as {report.bundle.id.name}:{report.bundle.id.version}")
    return report.bundle
