"""From REF, as a user wrote it, to a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import is_bundle_folder, read_folder, read_models
from shipway.bundle.pack import PackRequest, pack
from shipway.errors import UsageError
from shipway.spec.reference import MAX_NAME, NameReference, PathReference, RegistryReference, parse_reference

if TYPE_CHECKING:
    from shipway.cli.session import Session

__all__ = ["find_bundle", "find_bundles"]


def find_bundle(session: Session, text: str) -> Bundle:
    """Gives the bundle that `text` names; packs it first if it is a model file.

    Raises:
        UnknownBundle, UsageError: it names none.
        ShipwayError: it cannot be read or packed.
    """
    match parse_reference(text):
        case NameReference() as reference:
            return session.store().find(reference)
        case PathReference(path):
            folder = Path(path).expanduser()
            return read_folder(folder) if is_bundle_folder(folder) else _pack(session, folder)
        case RegistryReference():
            raise UsageError("bundles in a registry cannot be read yet", fix="pack the model here: shipway pack MODEL")


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


def _pack(session: Session, artefact: Path) -> Bundle:
    name = re.sub(r"[^a-z0-9]+", "-", artefact.stem.lower()).strip("-")[:MAX_NAME].strip("-") or "model"
    report = pack(PackRequest(artefact, name), session.store(), say=session.out.say)
    session.out.say(f"packed {artefact} as {report.bundle.id.name}:{report.bundle.id.version}")
    return report.bundle
