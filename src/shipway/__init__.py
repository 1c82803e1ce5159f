"""Shipway takes a trained machine-learning model to production.

    import shipway

    bundle = shipway.pack(model, name="diabetes", sample=X)
    predictor = shipway.load("diabetes")
    predictor.predict(rows)
    shipway.serve(bundle)

Names are imported when they are first used: `import shipway` costs nothing, and a container imports no more than it
needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from shipway._version import __version__

if TYPE_CHECKING:
    from shipway.api import Predictor, asgi, load, pack, serve
    from shipway.bundle.bundle import Bundle
    from shipway.client.client import AsyncClient, Client
    from shipway.errors import ShipwayError
    from shipway.spec.manifest import Manifest
    from shipway.spec.signature import Column, Method, Signature

__all__ = [
    "AsyncClient",
    "Bundle",
    "Client",
    "Column",
    "Manifest",
    "Method",
    "Predictor",
    "ShipwayError",
    "Signature",
    "__version__",
    "asgi",
    "load",
    "pack",
    "serve",
]

_HOMES = {
    "AsyncClient": "shipway.client.client",
    "Bundle": "shipway.bundle.bundle",
    "Client": "shipway.client.client",
    "Column": "shipway.spec.signature",
    "Manifest": "shipway.spec.manifest",
    "Method": "shipway.spec.signature",
    "Predictor": "shipway.api",
    "ShipwayError": "shipway.errors",
    "Signature": "shipway.spec.signature",
    "asgi": "shipway.api",
    "load": "shipway.api",
    "pack": "shipway.api",
    "serve": "shipway.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'shipway' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
