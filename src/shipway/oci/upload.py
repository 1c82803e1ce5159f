"""A blob on its way into a registry: at once or in chunks, on from where it was cut, checked before it is whole.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push. What is read of the file is hashed
on its way, and its last piece leaves only if the file is what the descriptor says: a damaged file never becomes a blob.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from shipway.errors import CorruptBlob, RemoteError, ShipwayError
from shipway.oci.answers import Refused, Unanswered
from shipway.oci.authorization import Scope
from shipway.oci.connection import ATTEMPTS, HEADWAY, Connection
from shipway.oci.descriptor import Descriptor
from shipway.oci.digest import hash_of
from shipway.oci.files import file_errors

if TYPE_CHECKING:
    import httpx

__all__ = ["Placed", "is_there", "upload"]

_BLOCK = 1 << 18
_CHUNK = 32 << 20
"""Bytes of a chunk: few requests, and little to send again where a registry forgets what was cut."""

_RESTARTS = 2
_OTHER_WAY = frozenset({400, 404, 405, 411, 416})
"""Statuses of a registry that lost the session, or takes no chunks or not this one."""

_MOUNTED, _BEGUN = 201, 202


class Placed(NamedTuple):
    """How a blob came to be in the registry.

    Attributes:
        how: it was there, was taken over from another repository, or was sent.
        sent_bytes: that travelled.
    """

    how: Literal["there", "mounted", "sent"]
    sent_bytes: int = 0


def is_there(connection: Connection, descriptor: Descriptor, scope: Scope) -> bool:
    """Whether a repository has a blob.

    Args:
        connection: of the registry.
        descriptor: of the blob.
        scope: names the repository. Some registries refuse those who want to read, and nothing else, in a repository
            that is not made yet; who is about to write asks as such.

    Raises:
        RemoteError: the registry does not say.
    """

    def ask() -> bool:
        url = connection.url(scope.repository, f"blobs/{descriptor.digest}")
        with connection.open("HEAD", url, (scope,), accept=frozenset({200, 404})) as response:
            size = response.headers.get("Content-Length", "")
            return response.status_code == 200 and size in ("", str(descriptor.size))

    return connection.repeat(ask)


def upload(
    connection: Connection,
    repository: str,
    descriptor: Descriptor,
    source: Path,
    mount_from: Sequence[str],
    tell: Callable[[int], None],
) -> Placed:
    """Sees to it that a repository has a blob, with as few bytes sent as can be.

    Args:
        connection: of the registry.
        repository: where it goes.
        descriptor: of the blob.
        source: its bytes.
        mount_from: other repositories of the registry that may have it.
        tell: told the size of each piece that is sent.

    Raises:
        RemoteError: the registry does not take it.
        CorruptBlob: the file is not what the descriptor says.
        StoreError: the file cannot be read.
    """
    scope = Scope(repository, "pull,push")
    if is_there(connection, descriptor, scope):
        return Placed("there")
    return _Upload(connection, scope, descriptor, _File(source, descriptor), tell).run(mount_from)


class _File:
    """A file that is read in pieces, from anywhere up to where it was read before, and is checked on its way."""

    def __init__(self, path: Path, descriptor: Descriptor) -> None:
        self._path, self._descriptor = path, descriptor
        self._hasher: hashlib._Hash = hash_of(descriptor.digest)
        self.read_to = 0
        with file_errors(path):
            size = path.stat().st_size
        if size != descriptor.size:
            raise self._damaged(f"has {size} bytes")
        self._check()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Gives the bytes from `start` up to `end`.

        Raises:
            CorruptBlob: the file ends before, or its bytes have another digest; then the last of them are kept back.
        """
        with file_errors(self._path), self._path.open("rb") as stream:
            stream.seek(start)
            while start < end:
                block = stream.read(min(_BLOCK, end - start))
                if not block:
                    raise self._damaged("ends early")
                start += len(block)
                if start > self.read_to:
                    self._hasher.update(block[self.read_to - start :])
                    self.read_to = start
                    self._check()
                yield block

    def _check(self) -> None:
        if self.read_to == self._descriptor.size:
            found = f"{self._hasher.name}:{self._hasher.hexdigest()}"
            if found != self._descriptor.digest:
                raise self._damaged(f"has the digest {found}")

    def _damaged(self, reason: str) -> CorruptBlob:
        wanted = self._descriptor
        return CorruptBlob(
            f"{self._path} {reason}, and should be {wanted.digest} of {wanted.size} bytes; nothing of it was pushed",
            fix="shipway store check",
        )


class _Upload:
    """One blob's upload. Where it is: a session's location, and how many bytes the registry has."""

    def __init__(
        self, connection: Connection, scope: Scope, descriptor: Descriptor, file: _File, tell: Callable[[int], None]
    ) -> None:
        self._connection, self._scope, self._descriptor = connection, scope, descriptor
        self._file, self._tell = file, tell
        self._location: httpx.URL | None = None
        self._offset, self._chunk = 0, _CHUNK
        self._sent = 0

    def run(self, mount_from: Sequence[str]) -> Placed:
        """Mounts the blob, or sends it."""
        for other in mount_from:
            if other != self._scope.repository and self._mount(other):
                return Placed("mounted")
        try:
            if self._location is None:
                self._begin()
            self._send()
        except ShipwayError:
            self._cancel()
            raise
        return Placed("sent", self._sent)

    def _mount(self, other: str) -> bool:
        """Whether the registry takes the blob over from another repository; it may begin a session instead."""
        try:
            return self._begin((self._scope, Scope(other)), {"mount": self._descriptor.digest, "from": other})
        except Unanswered:
            raise
        except RemoteError:
            return False  # it mounts nothing, or the user may not read there: not needed to push

    def _begin(self, scopes: Sequence[Scope] = (), query: dict[str, str] | None = None) -> bool:
        """Begins a session, or mounts; whether it mounted."""
        self._cancel()
        url = self._connection.url(self._scope.repository, "blobs/uploads/")

        def ask() -> bool:
            with self._connection.open(
                "POST",
                url.copy_merge_params(query or {}),
                scopes or (self._scope,),
                headers={"Content-Length": "0"},
                accept=frozenset({_BEGUN, _MOUNTED} if query else {_BEGUN}),
            ) as response:
                if response.status_code == _MOUNTED:
                    return True
                self._location = self._connection.location(response)
                least = response.headers.get("OCI-Chunk-Min-Length", "")
                if re.fullmatch(r"[0-9]{1,12}", least):
                    self._chunk = max(self._chunk, int(least))
                return False

        self._offset = 0
        return self._connection.repeat(ask)

    def _send(self) -> None:
        """Sends chunks until the registry has all; goes on where it was cut, and begins anew where it has to."""
        failures = restarts = reached = 0
        done = False
        while not done:
            try:
                done = self._next()
            except Unanswered as error:
                headway = self._offset - reached >= HEADWAY
                failures, reached = (1, self._offset) if headway else (failures + 1, reached)
                if failures >= ATTEMPTS:
                    raise
                self._connection.pause(error, failures)
                done = self._recover()
            except Refused as error:
                if error.status not in _OTHER_WAY or restarts >= _RESTARTS:
                    raise
                restarts += 1
                self._chunk = self._descriptor.size
                self._begin()

    def _next(self) -> bool:
        """Sends the next chunk, or the rest in the request that makes the blob whole; whether it is."""
        assert self._location is not None
        start, size = self._offset, self._descriptor.size
        last = size - start <= self._chunk
        end = size if last else start + self._chunk
        headers = {"Content-Length": str(end - start), "Content-Type": "application/octet-stream"}
        if end > start and not (last and start == 0):
            headers["Content-Range"] = f"{start}-{end - 1}"
        url = self._location
        if last:
            url = url.join(f"{url}{'&' if url.query else '?'}digest={self._descriptor.digest}")
        with self._connection.open(
            "PUT" if last else "PATCH",
            url,
            (self._scope,),
            headers=headers,
            body=partial(self._read, start, end),
            accept=frozenset({201} if last else {202}),
        ) as response:
            if last:
                found = response.headers.get("Docker-Content-Digest", self._descriptor.digest)
                if found != self._descriptor.digest:
                    raise RemoteError(
                        f"{self._connection.host} stored {found[:100]!r} when it was sent {self._descriptor.digest}",
                        fix="ask those who run the registry",
                    )
                self._location = None
                return True
            self._location = self._connection.location(response)
            self._offset = self._taken(response, end)
            if self._offset <= start:
                raise Unanswered(
                    f"{self._connection.host} took nothing of a chunk of {self._descriptor.digest}",
                    fix="try again; the registry's log says more",
                )
        return False

    def _recover(self) -> bool:
        """Finds out where to go on after a cut; whether the blob is there after all."""
        if is_there(self._connection, self._descriptor, self._scope):
            return True
        try:
            self._connection.repeat(self._ask_offset)
        except Refused:
            self._begin()
        return False

    def _ask_offset(self) -> None:
        assert self._location is not None
        with self._connection.open(
            "GET", self._location, (self._scope,), accept=frozenset({200, 202, 204})
        ) as response:
            self._offset = self._taken(response, 0)
            if response.headers.get("Location"):
                self._location = self._connection.location(response)

    def _taken(self, response: httpx.Response, otherwise: int) -> int:
        """Gives how many bytes the registry has by its own word; never more than were read.

        An empty session says `0-0`, as Docker's registry does, which is no different from one byte.
        """
        match = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", response.headers.get("Range", ""))
        taken = (int(match[1]) + 1 if int(match[1]) else 0) if match else otherwise
        if taken > self._file.read_to:
            raise RemoteError(
                f"{self._connection.host} has {taken} bytes of {self._descriptor.digest}, and was sent fewer",
                fix="ask those who run the registry",
            )
        return taken

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        for block in self._file.read(start, end):
            self._tell(len(block))
            self._sent += len(block)
            yield block

    def _cancel(self) -> None:
        """Gives up the session, so that the registry need not keep what it has of it."""
        if self._location is not None:
            location, self._location = self._location, None
            with (
                suppress(RemoteError),
                self._connection.open("DELETE", location, (self._scope,), accept=frozenset({202, 204, 404})),
            ):
                pass
