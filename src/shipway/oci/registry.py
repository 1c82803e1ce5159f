"""A registry: manifests, blobs and tags by name.

Source: https://github.com/opencontainers/distribution-spec. Nothing that a registry says is believed: manifests and
blobs are checked against their digests, and sizes are bounded.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shipway._version import __version__
from shipway.errors import CorruptBlob, RemoteError
from shipway.oci.answers import read_bounded
from shipway.oci.authorization import Find, Scope
from shipway.oci.connection import Connection, speaks_plain
from shipway.oci.descriptor import INDEX, INDEXES, MANIFEST, MANIFESTS, MAX_MANIFEST, Descriptor
from shipway.oci.digest import hash_of
from shipway.oci.download import download
from shipway.oci.layout import Layout
from shipway.oci.upload import Placed, is_there, upload
from shipway.spec.host import is_loopback

if TYPE_CHECKING:
    import httpx

__all__ = ["Registry", "open_registry"]

_ACCEPT = ", ".join([MANIFEST, INDEX, *sorted((MANIFESTS | INDEXES) - {MANIFEST, INDEX})])
_SECONDS = 30.0
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_TAGS_AT_ONCE = 1000
_MAX_TAGS = 100_000


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


class Registry:
    """A registry. May be used from threads.

    Args:
        host: with its port.
        client: how it is asked; it must not follow redirects by itself.
        find: gives the user's credentials for a host and repository, once the registry wants to know.
        insecure: it is spoken to in plain HTTP; credentials go that way to this machine only.
        sleep: waits for some seconds.
        warn: told each warning that the registry gives, once.

    Raises:
        RemoteError: the host is no host.
    """

    def __init__(
        self,
        host: str,
        client: httpx.Client,
        *,
        find: Find = lambda host, repository: None,  # noqa: ARG005
        insecure: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        warn: Callable[[str], None] = lambda text: None,  # noqa: ARG005
    ) -> None:
        self.host = host
        self._connection = Connection(host, client, find=find, insecure=insecure, sleep=sleep, warn=warn)

    def manifest(self, repository: str, reference: str) -> tuple[Descriptor, bytes]:
        """Gives the manifest or index that a tag or digest names, checked where it is a digest.

        Raises:
            RemoteError: there is none (`Refused` with status 404), or the registry does not answer as it should.
            CorruptBlob: it has other bytes than the digest says.
        """
        hasher = hash_of(reference if ":" in reference else "sha256:" + "0" * 64)
        name = f"{repository}{'@' if ':' in reference else ':'}{reference}"
        url = self._connection.url(repository, f"manifests/{reference}")

        def ask() -> tuple[str, bytes]:
            with self._connection.open("GET", url, (Scope(repository),), headers={"Accept": _ACCEPT}) as response:
                data = read_bounded(response, MAX_MANIFEST, f"the manifest of {name}")
                return response.headers.get("Content-Type", "").partition(";")[0].strip(), data

        media_type, data = self._connection.repeat(ask)
        hasher.update(data)
        digest = f"{hasher.name}:{hasher.hexdigest()}"
        if ":" in reference and digest != reference:
            raise CorruptBlob(f"{self.host} answers {digest} when asked for {reference}", fix="try again")
        if media_type not in MANIFESTS | INDEXES:
            raise RemoteError(
                f"{self.host} answers {media_type[:100] or 'something'} for {name}, which is no image",
                fix="check the name, and that the host is that of a registry",
            )
        return Descriptor(media_type, digest, len(data)), data

    def blob(
        self,
        repository: str,
        descriptor: Descriptor,
        layout: Layout,
        *,
        tell: Callable[[int], None] = lambda size: None,  # noqa: ARG005
    ) -> None:
        """Fetches a blob into `layout`, checked while it comes; one that is there already is not fetched.

        Args:
            repository: that has it.
            descriptor: of the blob.
            layout: where it goes.
            tell: told the size of each piece that came.

        Raises:
            RemoteError: the registry does not give it.
            CorruptBlob: it is not what the descriptor says.
        """
        if layout.has(descriptor.digest, descriptor.size):
            return
        hash_of(descriptor.digest)  # refuses what cannot be checked before anything is asked
        with closing(download(self._connection, repository, descriptor, tell)) as pieces:
            layout.put_stream(pieces, expect=descriptor)

    def has_blob(self, repository: str, descriptor: Descriptor) -> bool:
        """Whether a repository has a blob.

        Raises:
            RemoteError: the registry does not say.
        """
        return is_there(self._connection, descriptor, Scope(repository))

    def put_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        source: Path,
        *,
        mount_from: tuple[str, ...] = (),
        tell: Callable[[int], None] = lambda size: None,  # noqa: ARG005
    ) -> Placed:
        """Sees to it that a repository has a blob; sends it only if it is not to be had otherwise.

        Args:
            repository: where it goes.
            descriptor: of the blob.
            source: its bytes, checked as they are read.
            mount_from: other repositories of this registry that may have it.
            tell: told the size of each piece that is sent.

        Raises:
            RemoteError: the registry does not take it.
            CorruptBlob: the file is not what the descriptor says; then the registry does not get it whole.
        """
        return upload(self._connection, repository, descriptor, source, mount_from, tell)

    def put_manifest(self, repository: str, reference: str, descriptor: Descriptor, data: bytes) -> None:
        """Stores a manifest or index under a tag, or under its digest.

        Raises:
            RemoteError: the registry does not take it, or names it by another digest.
        """
        url = self._connection.url(repository, f"manifests/{reference}")
        headers = {"Content-Type": descriptor.media_type, "Content-Length": str(len(data))}

        def ask() -> str:
            with self._connection.open(
                "PUT",
                url,
                (Scope(repository, "pull,push"),),
                headers=headers,
                body=lambda: iter((data,)),
                accept=frozenset({201}),
            ) as response:
                return str(response.headers.get("Docker-Content-Digest", descriptor.digest))

        stored = self._connection.repeat(ask)
        if stored != descriptor.digest:
            raise RemoteError(
                f"{self.host} stored {stored[:100]!r} when it was sent {descriptor.digest}",
                fix="ask those who run the registry: it must keep manifests byte for byte",
            )

    def tags(self, repository: str) -> tuple[str, ...]:
        """Gives a repository's tags, sorted.

        Raises:
            RemoteError: there is no such repository (`Refused` with status 404), the registry does not answer as it
                should, or names more than 100,000.
        """
        found: dict[str, None] = {}
        page: httpx.URL | None = self._connection.url(repository, f"tags/list?n={_TAGS_AT_ONCE}")
        while page is not None:
            before = len(found)
            names, page = self._tags_page(repository, page)
            found.update(dict.fromkeys(names))
            if len(found) > _MAX_TAGS or (page is not None and len(found) == before):
                raise RemoteError(f"{self.host} lists tags of {repository} without end", fix="name the tag")
        return tuple(sorted(found))

    def _tags_page(self, repository: str, url: httpx.URL) -> tuple[list[str], httpx.URL | None]:
        def ask() -> tuple[bytes, str]:
            with self._connection.open("GET", url, (Scope(repository),)) as response:
                return read_bounded(response, MAX_MANIFEST, "the list of tags"), response.headers.get("Link", "")

        data, link = self._connection.repeat(ask)
        try:
            names = msgspec.json.decode(data, type=_Tags).tags or []
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteError(f"{self.host} answers what is no list of tags", fix="check the host") from error
        if not all(_TAG.fullmatch(name) for name in names):
            raise RemoteError(f"{self.host} names tags that are none", fix="ask those who run the registry")
        return names, self._connection.next_page(url, link)


@contextmanager
def open_registry(
    host: str,
    find: Find,
    *,
    insecure: bool = False,
    warn: Callable[[str], None] = lambda text: None,  # noqa: ARG005
) -> Iterator[Registry]:
    """Opens a registry for as long as the block runs.

    One on this machine is spoken to in plain HTTP if it knows nothing else, which is found out here, once.

    Args:
        host: with its port.
        find: gives the user's credentials for a host and repository.
        insecure: speak plain HTTP, to any host.
        warn: told each warning that the registry gives, once.

    Raises:
        RemoteError: the host is no host.
    """
    import httpx

    headers = {"User-Agent": f"shipway/{__version__}"}
    with httpx.Client(timeout=_SECONDS, headers=headers) as client:
        plain = insecure or (is_loopback(host) and speaks_plain(host, client))
        yield Registry(host, client, find=find, insecure=plain, warn=warn)
