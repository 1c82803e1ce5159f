"""By what labels Shipway knows its own objects, and how each of them begins."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from shipway.deploy.target import Track
from shipway.deploy.yaml import Document
from shipway.spec.release import Release

__all__ = [
    "BUNDLE_ANNOTATION",
    "INSTANCE",
    "MANAGED_BY",
    "NAME",
    "OURS",
    "TRACK",
    "VERSION",
    "deployment_name",
    "labels",
    "metadata",
    "ours",
    "selector_of",
]

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
VERSION = "app.kubernetes.io/version"
MANAGED_BY = "app.kubernetes.io/managed-by"

TRACK = "io.shipway/track"
"""Tells the pods of two versions apart that answer behind one Service."""

BUNDLE_ANNOTATION = "io.shipway/bundle"
"""Holds `name:version@sha256:…`, which is too long for a label and has a colon, which a label must not."""

OURS: Mapping[str, str] = MappingProxyType({MANAGED_BY: "shipway"})
"""Selects everything that Shipway made."""


def ours(name: str) -> dict[str, str]:
    """Gives the selector of all that Shipway made for a release: nothing else is ever changed or deleted.

    The bundle's name is not in it, for it may change under one release's name.
    """
    return {INSTANCE: name, **OURS}


def selector_of(name: str, track: Track) -> dict[str, str]:
    """Gives the selector of one version's pods. A Deployment cannot change it later: no version stands in it."""
    return {**ours(name), TRACK: track}


def deployment_name(name: str, track: Track) -> str:
    """Gives the name of the Deployment that runs a track."""
    return name if track == "stable" else f"{name}-{track}"


def labels(release: Release) -> dict[str, str]:
    """Gives the labels that every object of a release bears (`kubernetes.io`, recommended labels)."""
    return {
        NAME: release.bundle.name,
        INSTANCE: release.name,
        VERSION: str(release.bundle.version),
        **OURS,
    }


def metadata(
    release: Release, namespace: str, *, name: str = "", extra: Mapping[str, str] | None = None
) -> dict[str, Document]:
    """Gives the metadata of an object.

    Args:
        release: whose object it is.
        namespace: written into it; empty leaves it to whoever applies it.
        name: the object's, if it is not the release's own.
        extra: labels of this object alone.
    """
    where = {"namespace": namespace} if namespace else {}
    return {"name": name or release.name, **where, "labels": {**labels(release), **(extra or {})}}
