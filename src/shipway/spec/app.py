"""What a bundle says of a web app: somebody's folder with a WSGI or ASGI object, served as it stands.

An app has no signature: its routes and its answers are its own. So its manifest says how it is reached (an object in a
module), what it needs (requirements and versions), and what its author's Dockerfile said of its surroundings.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shipway.spec.manifest import SCHEMA_VERSION, File, Manifest, decode_manifest

__all__ = ["APP_FOLDER", "AnyManifest", "AppManifest", "Interface", "SampleRequest", "read_manifest"]

APP_FOLDER = "artefact"
"""The folder of a bundle that is the app's own folder."""

Interface = Literal["wsgi", "asgi"]
"""How a server calls the app: PEP 3333, or the ASGI specification 3.0."""


class SampleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request that the app has to answer: tried when it is packed, and again before each server is ready.

    Attributes:
        method: of HTTP.
        path: with its query.
        headers: by name.
        body: as text; empty for none.
        status: what the app answered when it was packed; an answer of another hundred (2xx, 4xx) is a failure.
    """

    method: str = "POST"
    path: str = "/"
    headers: dict[str, str] = {}
    body: str = ""
    status: int = 200


class AppManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="package", tag="app"):
    """What an app's bundle holds and needs. Its bytes decide the bundle's digest, as a model's manifest does.

    Attributes:
        schema_version: of this structure.
        framework: `flask`, `fastapi`, `starlette`, `django`, `bottle`, `quart`, or `callable` for a bare object.
        interface: how it is called.
        target: `module:object`, as gunicorn and uvicorn take it; the object may have dots.
        python: version (major.minor) of the Python that packed it.
        requirements: what the app needs, one requirement a line (PEP 508), as its own files say, sorted.
        constraints: versions allowed of what the requirements bring (`pip install -c`), one a line, sorted.
        versions: the distributions that were found installed for them when it was packed, with their exact versions;
            the lock of an image prefers these.
        files: all of them, sorted by path; those of the app lie below `APP_FOLDER`.
        import_root: folder among the app's that is on Python's path beside it (`src`); empty for none.
        workdir: absolute folder in a container where the app's code expects itself.
        port: on which its author exposed it.
        environment: variables that its author's Dockerfile set.
        owns: paths of the server's own (`/metrics`, `/healthz`, …) that the app answers itself.
        websockets: whether its source opens WebSockets.
        sample: a request that it has to answer; None where none was given.
    """

    framework: str
    interface: Interface
    target: str
    python: str
    requirements: tuple[str, ...]
    versions: dict[str, str]
    files: tuple[File, ...]
    constraints: tuple[str, ...] = ()
    import_root: str = ""
    workdir: str = "/app"
    port: int = 8000
    environment: dict[str, str] = {}
    owns: tuple[str, ...] = ()
    websockets: bool = False
    sample: SampleRequest | None = None
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """Gives the one JSON text of this manifest: indented, keys in this class's order, mappings sorted."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2)


AnyManifest = Manifest | AppManifest
"""What a bundle can be of."""


class _Kind(msgspec.Struct, frozen=True):
    package: str = "model"
    schema_version: int = SCHEMA_VERSION


def read_manifest(text: bytes) -> AnyManifest:
    """Parses the manifest of a model or of an app.

    Raises:
        CorruptBlob: it is neither, or one of a later Shipway.
    """
    if decode_manifest(text, _Kind).package == "app":
        return decode_manifest(text, AppManifest)
    return Manifest.from_json(text)
