"""The file system that an image's layers make, as far as a builder must know it; nothing is unpacked.

Source of the rules: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from shipway.errors import CorruptBlob
from shipway.oci.descriptor import Descriptor
from shipway.oci.files import file_errors
from shipway.oci.layer import LayerStream, open_layer
from shipway.oci.layout import Layout

__all__ = ["File", "Folder", "Link", "Root", "read_root"]

_MAX_UNPACKED = 32 << 30
_MAX_MEMBERS = 2_000_000
_MAX_KEPT = 8 << 20
_MAX_LINKS = 40
_CHUNK = 1 << 18
_WHAT, _AGAIN = "a layer of the base", "get the base again"


@dataclass(frozen=True, slots=True)
class File:
    """A file; its content only where it was asked for."""

    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, with its entries by name."""

    entries: dict[str, File | Link | Folder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Root:
    """The file system of an image."""

    folder: Folder

    def find(self, path: str) -> File | Folder | None:
        """Gives what is at `path`, links followed within the root; None where nothing is."""
        node, _ = self._walk(path)
        return None if isinstance(node, Link) else node

    def resolve(self, path: str) -> str | None:
        """Gives the path that `path` leads to when links are followed, absolute; None where nothing is."""
        node, names = self._walk(path)
        return None if node is None else "/" + "/".join(names)

    def names(self, path: str) -> list[str]:
        """Gives the sorted names in a folder; none where there is no such folder."""
        node = self.find(path)
        return sorted(node.entries) if isinstance(node, Folder) else []

    def _walk(self, path: str) -> tuple[File | Link | Folder | None, list[str]]:
        waiting = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        trail: list[tuple[str, Folder]] = []
        node: File | Link | Folder = self.folder
        links = 0
        while waiting:
            name = waiting.pop()
            here = trail[-1][1] if trail else self.folder
            if name == "..":
                if trail:
                    trail.pop()
                node = trail[-1][1] if trail else self.folder
                continue
            found = here.entries.get(name)
            if isinstance(found, Link):
                links += 1
                if links > _MAX_LINKS:
                    return None, []
                if found.target.startswith("/"):
                    trail.clear()
                waiting += [part for part in reversed(found.target.split("/")) if part not in ("", ".")]
                node = trail[-1][1] if trail else self.folder
                continue
            if found is None or (isinstance(found, File) and waiting):
                return None, []
            node = found
            if isinstance(found, Folder):
                trail.append((name, found))
            else:
                return found, [*(part for part, _ in trail), name]
        return node, [part for part, _ in trail]


def read_root(layers: Sequence[tuple[Descriptor, str]], layout: Layout, keep: re.Pattern[str]) -> Root:
    """Reads the layers of an image, lowest first, and checks each against its digest and diff_id.

    Args:
        layers: descriptor and diff_id of each.
        layout: where their blobs are.
        keep: which files' contents are kept, by relative path; those larger than 8 MiB are not.

    Raises:
        CorruptBlob: a layer is missing, not what its digests say, no tar, or unpacks to too much.
        MissingDependency: a layer needs zstandard.
    """
    root = Root(Folder())
    for descriptor, diff_id in layers:
        if not layout.is_intact(descriptor.digest):
            layout.blob(descriptor.digest)  # says so if it is missing
            raise CorruptBlob(
                f"the layer {descriptor.digest} has other bytes than its name says", fix="get the base again"
            )
        try:
            with open_layer(layout.blob(descriptor.digest), descriptor.oci_type, _WHAT, _AGAIN) as unpacked:
                stream = _Hashed(unpacked)
                _apply(root, stream, keep)
                found = stream.finish()
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise CorruptBlob(f"the layer {descriptor.digest} is damaged: {error}", fix="get the base again") from error
        if found != diff_id:
            raise CorruptBlob(
                f"the layer {descriptor.digest} unpacks to {found}, not to {diff_id}", fix="use another base"
            )
    return root


class _Hashed(LayerStream):
    """Hashes what is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, _MAX_UNPACKED, _WHAT, _AGAIN)
        self._hasher = hashlib.sha256()

    def read(self, size: int = _CHUNK) -> bytes:
        data = super().read(size)
        self._hasher.update(data)
        return data

    def finish(self) -> str:
        """Reads what is left and gives the digest of all."""
        while self.read():
            pass
        return f"sha256:{self._hasher.hexdigest()}"


def _apply(root: Root, stream: _Hashed, keep: re.Pattern[str]) -> None:
    """Puts one layer over the root: first what it hides, then what it has."""
    hidden: list[tuple[str, str]] = []
    added: list[tuple[str, str, File | Link | Folder | str]] = []
    with file_errors(Path("the layer")), tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps every member
            if len(added) + len(hidden) >= _MAX_MEMBERS:
                raise CorruptBlob(f"a layer of the base has more than {_MAX_MEMBERS} members", fix="use another base")
            folder, _, name = member.name.strip("/").removeprefix("./").rpartition("/")
            if name.startswith(".wh."):
                hidden.append((folder, name.removeprefix(".wh.")))
            elif name not in ("", ".", ".."):
                added.append((folder, name, _node(tar, member, f"{folder}/{name}".lstrip("/"), keep)))
    for folder, name in hidden:
        lower = root.find(folder)
        if isinstance(lower, Folder):
            if name == ".wh..opq":
                lower.entries.clear()
            else:
                lower.entries.pop(name, None)
    for folder, name, node in added:
        parent = _parent(root, folder)
        if isinstance(node, str):
            linked = root.find(node)
            node = linked if isinstance(linked, File) else File()
        if not (isinstance(node, Folder) and isinstance(parent.entries.get(name), Folder)):
            parent.entries[name] = node


def _node(
    tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, keep: re.Pattern[str]
) -> File | Link | Folder | str:
    """Gives what a member is; a hard link is the path that it names."""
    if member.isdir():
        return Folder()
    if member.issym():
        return Link(member.linkname)
    if member.islnk():
        return member.linkname
    if member.isfile() and member.size <= _MAX_KEPT and keep.fullmatch(path):
        stream = tar.extractfile(member)
        return File(stream.read() if stream else None)
    return File()


def _parent(root: Root, folder: str) -> Folder:
    """Gives the folder at that path; what is missing on the way is made, as every runtime does."""
    found = root.find(folder)
    if isinstance(found, Folder):
        return found
    node = root.folder
    for name in _parts(folder):
        inner = node.entries.get(name)
        if isinstance(inner, Link):
            linked = root.find(folder)
            inner = linked if isinstance(linked, Folder) else None
        if not isinstance(inner, Folder):
            inner = node.entries[name] = Folder()
        node = inner
    return node


def _parts(path: str) -> Iterator[str]:
    return (name for name in path.split("/") if name not in ("", ".", ".."))
