"""What a build need not do twice: blobs, wheels, locks and facts, in one folder that may be deleted at any time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from shipway.oci.files import write_whole
from shipway.oci.layout import Layout

__all__ = ["Cache"]

_Value = TypeVar("_Value", bound=msgspec.Struct)


class Cache:
    """A folder of what can be made again. Two builds may use it at once: each part appears whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def layout(self) -> Layout:
        """Gives the layout that holds the blobs of bases and layers.

        Raises:
            DiskFull, StoreError: it cannot be made.
        """
        return Layout.create(self.path / "blobs")

    def wheel(self, sha256: str, filename: str) -> Path:
        """Gives the place of a wheel, whether or not it is there yet."""
        return self.path / "wheels" / sha256 / filename

    def recall(self, kind: type[_Value], *key: str) -> _Value | None:
        """Gives what was remembered under `key`, or None; what cannot be read counts as forgotten."""
        try:
            return msgspec.json.decode(self._place(kind, key).read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def remember(self, value: msgspec.Struct, *key: str) -> None:
        """Keeps `value` under `key`, which must name all that the value depends on.

        Raises:
            DiskFull, StoreError: it cannot be written.
        """
        write_whole(self._place(type(value), key), msgspec.json.encode(value))

    def _place(self, kind: type[msgspec.Struct], key: tuple[str, ...]) -> Path:
        name = hashlib.sha256(msgspec.json.encode(key)).hexdigest()
        return self.path / kind.__name__.lower() / f"{name}.json"
