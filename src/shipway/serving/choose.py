"""Which application serves some bundles: models together, or an app alone. Only what is needed is imported."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from shipway.bundle.bundle import Bundle
from shipway.serving.http.access import AccessLog
from shipway.serving.http.keys import read_keys
from shipway.serving.server import Servable
from shipway.spec.settings import Settings

__all__ = ["application_for", "has_app"]


def has_app(bundles: Sequence[Bundle]) -> bool:
    """Whether one of the bundles is an app."""
    return any(bundle.app is not None for bundle in bundles)


def application_for(
    bundles: Sequence[Bundle], settings: Settings, log: AccessLog, environ: MutableMapping[str, str]
) -> Servable[Any]:
    """Gives the application, not yet opened.

    Raises:
        UsageError: the file of API keys cannot be read, or holds none.
    """
    keys = read_keys(settings.auth.keys)
    if has_app(bundles):
        from shipway.serving.apps.application import AppApplication

        return AppApplication(settings, log, keys, environ)
    from shipway.serving.application import Application

    return Application(settings, log, keys)
