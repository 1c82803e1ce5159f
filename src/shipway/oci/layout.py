"""An OCI image layout folder: blobs by digest, and an index that names the ones to keep.

Content comes first and its name last: a blob appears whole under its digest or not at all, and `index.json` is replaced
in one step under a lock. So two may write at once, and a kill at any moment leaves the folder as it was before or as it
is after, plus perhaps files that `collect_garbage` removes.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from shipway.errors import CorruptBlob, NotAStore, ShipwayError, StoreError
from shipway.oci.descriptor import INDEXES, MANIFESTS, MAX_MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.digest import check_digest, hash_of, sha256_bytes, sha256_file
from shipway.oci.files import TEMPORARY, file_errors, publish, read_bounded, temporary, write_whole

__all__ = ["Content", "Layout", "Problem", "Removed"]

_HEADER, _INDEX, _LOCK, _BLOBS = "oci-layout", "index.json", ".index.lock", "blobs"
_MAX_INDEX = 32 * 1024 * 1024
_LOCK_SECONDS = 60.0
_CHUNK = 1 << 20
GRACE_SECONDS = 3600.0
"""How long a blob that nothing refers to is left alone: its writer may be about to name it."""


class Content(NamedTuple):
    """What a blob is known by."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a layout.

    Attributes:
        subject: the digest or file that it is about.
        message: what is wrong.
    """

    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


class Removed(NamedTuple):
    """What a collection of garbage took away."""

    blobs: int
    size: int


class Layout:
    """An OCI image layout folder; holds no state but the folder's path, and may be used from threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> Layout:
        """Makes an empty layout at `path`; one that is there already is opened.

        Raises:
            NotAStore: the folder holds something else.
            DiskFull, StoreError: it cannot be written.
        """
        with file_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)}
        if _HEADER not in names and names - {_INDEX, _BLOBS, _LOCK}:
            raise NotAStore(f"{path} holds other files and is no OCI image layout", fix="name an empty or a new folder")
        layout = cls(path)
        if not (path / _HEADER).exists():
            with layout._lock(), file_errors(path):
                # The header comes last: a folder with a header is whole.
                (path / _BLOBS / "sha256").mkdir(parents=True, exist_ok=True)
                if not (path / _INDEX).exists():
                    write_whole(path / _INDEX, Index().to_json())
                write_whole(path / _HEADER, b'{"imageLayoutVersion":"1.0.0"}')
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Layout:
        """Opens the layout at `path`.

        Raises:
            NotAStore: there is none.
        """
        fix = "name another folder, or pack a model to make a store: shipway pack MODEL --name NAME"
        if not (path / _HEADER).is_file() or not (path / _INDEX).is_file():
            raise NotAStore(f"{path} is no OCI image layout", fix=fix)
        try:
            version = msgspec.json.decode(read_bounded(path / _HEADER, 4096, "the layout's header", NotAStore))
            major = str(version["imageLayoutVersion"]).partition(".")[0]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise NotAStore(f"{path / _HEADER} is no header of an OCI image layout", fix=fix) from error
        if major != "1":
            raise NotAStore(f"{path} is an OCI image layout of version {major}, not 1", fix="upgrade Shipway")
        return cls(path)

    def put_bytes(self, data: bytes) -> Content:
        """Stores `data`; a blob that is there already is not written again.

        Raises:
            DiskFull, StoreError: it cannot be written.
        """
        digest = sha256_bytes(data)
        if not self._touch(digest, len(data)):
            write_whole(self._place(digest), data)
        return Content(digest, len(data))

    def put_file(self, path: Path) -> Content:
        """Stores a copy of a file, in constant memory.

        Raises:
            DiskFull, StoreError: it cannot be read or written.
        """
        with file_errors(path):
            digest, size = sha256_file(path)
        if self._touch(digest, size):
            return Content(digest, size)
        with file_errors(path), path.open("rb") as stream:
            return self.put_stream(iter(lambda: stream.read(_CHUNK), b""), expect=Content(digest, size))

    def put_stream(self, chunks: Iterable[bytes], *, expect: Content | Descriptor | None = None) -> Content:
        """Stores what `chunks` give, in constant memory.

        Args:
            chunks: the bytes in pieces.
            expect: the digest and size that they must have; reading stops where they are more.

        Raises:
            CorruptBlob: they have not.
            DiskFull, StoreError: they cannot be written.
        """
        hasher, size = hash_of(expect.digest if expect else "sha256:" + "0" * 64), 0
        with temporary(self.path / _BLOBS / hasher.name) as stream:
            for chunk in chunks:
                size += len(chunk)
                if expect and size > expect.size:
                    raise CorruptBlob(f"{expect.digest} has more than the {expect.size} bytes that it should")
                hasher.update(chunk)
                stream.write(chunk)
            found = Content(f"{hasher.name}:{hasher.hexdigest()}", size)
            if expect and found != (expect.digest, expect.size):
                raise CorruptBlob(
                    f"{expect.digest} of {expect.size} bytes came as {found.digest} of {found.size} bytes",
                    fix="try again",
                )
            if not self._touch(found.digest, found.size):
                publish(stream, self._place(found.digest))
        return found

    def has(self, digest: str, size: int) -> bool:
        """Whether a blob of that digest and size is there; its bytes are not read."""
        try:
            return self._place(digest).stat().st_size == size
        except OSError:
            return False

    def is_intact(self, digest: str) -> bool:
        """Whether a blob is there with the bytes that its name says; all of them are read."""
        try:
            return not self._content_problem(self._place(digest))
        except OSError:
            return False

    def blob(self, digest: str) -> Path:
        """Gives the place of a blob's bytes, unchecked.

        Raises:
            CorruptBlob: it is not there.
        """
        path = self._place(digest)
        if not path.is_file():
            raise CorruptBlob(f"{digest} is missing from {self.path}", fix="shipway store check")
        return path

    def read(self, digest: str, limit: int = MAX_MANIFEST) -> bytes:
        """Gives a blob's bytes, checked against its digest.

        Raises:
            CorruptBlob: it is not there, has other bytes, or more of them than `limit`.
        """
        data = read_bounded(self.blob(digest), limit, "the blob", CorruptBlob)
        hasher = hash_of(digest)
        hasher.update(data)
        if f"{hasher.name}:{hasher.hexdigest()}" != digest:
            raise CorruptBlob(f"{digest} in {self.path} has other bytes than its name says", fix="shipway store check")
        return data

    def manifest(self, descriptor: Descriptor) -> OciManifest:
        """Reads the manifest that `descriptor` names, checked.

        Raises:
            CorruptBlob: it is not there, not as named, or no manifest.
        """
        return OciManifest.from_json(self.read(descriptor.digest))

    def index(self) -> Index:
        """Reads the index.

        Raises:
            CorruptBlob: it is not there or no index.
        """
        return Index.from_json(read_bounded(self.path / _INDEX, _MAX_INDEX, "the index", CorruptBlob))

    def update_index(self, edit: Callable[[Index], Index]) -> Index:
        """Replaces the index by what `edit` makes of it, in one step; no other writer comes between.

        Args:
            edit: a pure function. What it raises is passed on, and nothing has changed.

        Returns:
            The new index.

        Raises:
            CorruptBlob: a new entry names content that is not there.
            StoreError: another process held the lock for a minute.
            DiskFull: no space is left; nothing has changed.
        """
        with self._lock():
            old = self.index()
            new = edit(old)
            known = {entry.digest for entry in old.manifests}
            for entry in new.manifests:
                if entry.digest not in known:
                    self._require(entry)
            if new != old:
                data = new.to_json()
                if len(data) > _MAX_INDEX:
                    raise StoreError(f"{self.path / _INDEX} would exceed {_MAX_INDEX} bytes", fix="use another store")
                write_whole(self.path / _INDEX, data)
            return new

    def check(self) -> list[Problem]:
        """Reads every blob; gives what is wrong, an empty list where nothing is.

        Raises:
            CorruptBlob: the index itself cannot be read.
        """
        index, problems = self.index(), [*self._check_blobs()]
        broken = {problem.subject for problem in problems}
        for descriptor in self._reachable(index.manifests, problems, broken):
            path = self._place(descriptor.digest)
            if not path.is_file():
                problems.append(Problem(descriptor.digest, "is missing"))
            elif path.stat().st_size != descriptor.size:
                problems.append(Problem(descriptor.digest, f"has {path.stat().st_size} bytes, not {descriptor.size}"))
        return list(dict.fromkeys(problems))

    def collect_garbage(self, grace_seconds: float = GRACE_SECONDS) -> Removed:
        """Removes blobs that nothing refers to and what a kill left behind, where they are older than the grace.

        Args:
            grace_seconds: time for writers at work to name what they have stored.

        Returns:
            How many files went, and their bytes.

        Raises:
            CorruptBlob: a manifest cannot be read; then nobody can tell what is garbage, and nothing is removed.
        """
        with self._lock():
            problems: list[Problem] = []
            kept = {descriptor.digest for descriptor in self._reachable(self.index().manifests, problems, set())}
            if problems:
                raise CorruptBlob(f"{problems[0]}; nothing was removed", fix="shipway store check")
            before, blobs, size = time.time() - grace_seconds, 0, 0
            for path in [*self._blob_files(), *self.path.glob(f"{TEMPORARY}*")]:
                with file_errors(path), suppress(FileNotFoundError):
                    status = path.stat()
                    if f"{path.parent.name}:{path.name}" not in kept and status.st_mtime < before:
                        path.unlink()
                        blobs, size = blobs + 1, size + status.st_size
            return Removed(blobs, size)

    def _place(self, digest: str) -> Path:
        algorithm, _, encoded = check_digest(digest).partition(":")
        return self.path / _BLOBS / algorithm / encoded

    def _touch(self, digest: str, size: int) -> bool:
        """Whether the blob is there and sound; if so its age starts anew, so that it is no garbage.

        One that is damaged counts as not there: storing its content again mends it.
        """
        if not self.has(digest, size) or not self.is_intact(digest):
            return False
        with self._lock():
            if not self.has(digest, size):
                return False
            with file_errors(self.path):
                os.utime(self._place(digest))
            return True

    @contextmanager
    def _lock(self) -> Iterator[None]:
        import filelock

        lock = filelock.FileLock(self.path / _LOCK, timeout=_LOCK_SECONDS)
        try:
            with file_errors(self.path):
                lock.acquire()
        except StoreError as error:
            if isinstance(error.__cause__, filelock.Timeout):
                raise StoreError(
                    f"another process holds {self.path / _LOCK}", fix="let it end, then try again"
                ) from error
            raise
        try:
            yield
        finally:
            lock.release()

    def _require(self, entry: Descriptor) -> None:
        problems: list[Problem] = []
        for descriptor in self._reachable((entry,), problems, set()):
            if not self.has(descriptor.digest, descriptor.size):
                problems.append(Problem(descriptor.digest, "is missing or of another size"))
        if problems:
            raise CorruptBlob(f"{problems[0]}; the index is as it was", fix="try again")

    def _reachable(self, roots: Iterable[Descriptor], problems: list[Problem], skip: set[str]) -> Iterator[Descriptor]:
        """Gives the roots and all that they refer to, each once; what cannot be read joins `problems`."""
        seen: set[str] = set()
        waiting = list(roots)
        while waiting:
            descriptor = waiting.pop()
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            yield descriptor
            if descriptor.digest in skip or descriptor.media_type not in MANIFESTS | INDEXES:
                continue
            try:
                data = self.read(descriptor.digest)
                parse = Index.from_json if descriptor.media_type in INDEXES else OciManifest.from_json
                waiting += parse(data).references
            except ShipwayError as error:
                problems.append(Problem(descriptor.digest, error.message))

    def _blob_files(self) -> Iterator[Path]:
        with file_errors(self.path):
            for folder in sorted((self.path / _BLOBS).iterdir()):
                if folder.is_dir():
                    yield from sorted(folder.iterdir())

    def _check_blobs(self) -> Iterator[Problem]:
        for path in self._blob_files():
            if path.name.startswith(TEMPORARY):
                continue
            try:
                message = self._content_problem(path)
            except OSError as error:
                message = f"cannot be read: {error.strerror or error}"
            if message:
                yield Problem(f"{path.parent.name}:{path.name}", message)

    def _content_problem(self, path: Path) -> str:
        """Says what is wrong with a blob's bytes; nothing where they are as its name says."""
        digest = f"{path.parent.name}:{path.name}"
        try:
            check_digest(digest)
        except CorruptBlob as error:
            return error.message
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hash_of(digest)).hexdigest()
        return "" if found == path.name else "has other bytes than its name says"
