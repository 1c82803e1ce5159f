"""A blob on its way out of a registry: in pieces, and on from where it was cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from shipway.errors import CorruptBlob, RemoteError
from shipway.oci.answers import Unanswered
from shipway.oci.authorization import Scope
from shipway.oci.connection import ATTEMPTS, HEADWAY, Connection
from shipway.oci.descriptor import Descriptor

if TYPE_CHECKING:
    import httpx

__all__ = ["download"]


def download(
    connection: Connection, repository: str, descriptor: Descriptor, tell: Callable[[int], None]
) -> Generator[bytes, None, None]:
    """Gives a blob's bytes as they come, in constant memory; who takes them checks their digest.

    Args:
        connection: of the registry.
        repository: that has it.
        descriptor: of the blob.
        tell: told the size of each piece.

    Raises:
        RemoteError: the registry does not give it, or breaks off too often.
        CorruptBlob: the registry says that it has another size.
    """
    url = connection.url(repository, f"blobs/{descriptor.digest}")
    offset, failures, reached = 0, 0, 0
    while True:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            with connection.open(
                "GET", url, (Scope(repository),), headers=headers, accept=frozenset({200, 206})
            ) as response:
                skip = offset - _begin(response, descriptor, offset)
                # As they come: pieces of a set size would be held back, and lost in a cut.
                for chunk in response.iter_raw():
                    piece, skip = chunk[skip:], max(0, skip - len(chunk))
                    if piece:
                        offset += len(piece)
                        tell(len(piece))
                        yield piece
            return
        except Unanswered as error:
            if offset >= descriptor.size:
                return
            failures, reached = (1, offset) if offset - reached >= HEADWAY else (failures + 1, reached)
            if failures >= ATTEMPTS:
                raise
            connection.pause(error, failures)


def _begin(response: httpx.Response, descriptor: Descriptor, offset: int) -> int:
    """Gives the place of the first byte that comes; a registry may know no ranges and begin anew."""
    begin, whole = 0, response.headers.get("Content-Length", "")
    if response.status_code == 206:
        said = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", said)
        if not match or int(match[1]) > offset:
            raise RemoteError(f"{descriptor.digest} comes with another part of it than was asked for", fix="try again")
        begin, whole = int(match[1]), match[2]
    if re.fullmatch(r"[0-9]{1,18}", whole) and int(whole) != descriptor.size:
        raise CorruptBlob(
            f"{descriptor.digest} should have {descriptor.size} bytes, and the registry says {whole}",
            fix="pull it from another registry, or push it again",
        )
    return begin
