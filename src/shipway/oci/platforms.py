"""Which of an index's images runs on a platform."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shipway.errors import CorruptBlob, UsageError
from shipway.oci.descriptor import IMAGE_CONFIGS, INDEXES, MANIFESTS, Descriptor, Index, OciManifest
from shipway.spec.image import ImageConfig, Platform

__all__ = ["choose_image"]

_DEPTH = 3
_ATTESTATION = "vnd.docker.reference.type"
Read = Callable[[Descriptor], bytes]


def choose_image(entries: Iterable[Descriptor], platform: Platform, read: Read) -> Descriptor:
    """Gives the first manifest among the entries, and the indexes that they name, whose image runs on `platform`.

    Args:
        entries: of an index.
        platform: where it must run.
        read: gives the bytes of a descriptor; an entry that does not say its platform is looked into.

    Raises:
        UsageError: there is none; says which platforms there are.
        CorruptBlob: indexes are nested too deeply, or something named is not there.
    """
    found: list[str] = []
    chosen = _choose(entries, platform, read, found, _DEPTH)
    if chosen is None:
        there = ", ".join(dict.fromkeys(found)) or "none"
        raise UsageError(f"no image for {platform}; there are: {there}", fix="name another --platform or --base")
    return chosen


def _choose(
    entries: Iterable[Descriptor], platform: Platform, read: Read, found: list[str], depth: int
) -> Descriptor | None:
    if depth == 0:
        raise CorruptBlob("the image's indexes are nested too deeply")
    for entry in entries:
        if _ATTESTATION in entry.annotations:
            continue
        if entry.media_type in INDEXES:
            chosen = _choose(Index.from_json(read(entry)).manifests, platform, read, found, depth - 1)
            if chosen:
                return chosen
        elif entry.media_type in MANIFESTS:
            runs_on = entry.platform or _platform_of(entry, read)
            if runs_on and platform.runs(runs_on):
                return entry
            found.append(str(runs_on) if runs_on else entry.artifact_type or "what is no image")
    return None


def _platform_of(entry: Descriptor, read: Read) -> Platform | None:
    """Looks into a manifest's configuration; None where it is no image."""
    manifest = OciManifest.from_json(read(entry))
    if manifest.config.media_type not in IMAGE_CONFIGS:
        return None
    try:
        return ImageConfig.from_json(read(manifest.config)).platform
    except UsageError as error:
        raise CorruptBlob(error.message) from error
