"""Images and artefacts from a layout to a registry and back: only what is missing travels, names come last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from shipway.errors import CorruptBlob
from shipway.oci.authorization import Find
from shipway.oci.descriptor import INDEXES, MANIFESTS, MAX_MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.layout import Layout
from shipway.oci.platforms import choose_image
from shipway.oci.registry import Registry, open_registry
from shipway.oci.upload import Placed
from shipway.spec.image import ImageReference, Platform

__all__ = ["Pushed", "Tell", "make_pull", "pull", "pull_image", "push"]

Tell = Callable[[int, int], None]
"""Told how many bytes are dealt with so far, and of how many; never from two threads at once."""

_THREADS = 4
_MAX_DEPTH = 4
_MAX_DOCUMENTS = 64 << 20
"""Bytes of the manifests and indexes of one image together: they are held in memory."""

_NOT_DISTRIBUTED = (".nondistributable.", ".foreign.")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to.

    Attributes:
        descriptor: what the tags name now.
        sent_bytes: that travelled, manifests included.
        skipped_bytes: of blobs that the repository had already.
        mounted_bytes: of blobs that the registry took over from another of its repositories.
    """

    descriptor: Descriptor
    sent_bytes: int
    skipped_bytes: int
    mounted_bytes: int


def push(
    registry: Registry,
    repository: str,
    references: Sequence[str],
    top: Descriptor,
    source: Layout,
    *,
    mount_from: Iterable[str] = (),
    tell: Tell = lambda done, total: None,  # noqa: ARG005
) -> Pushed:
    """Copies a manifest or index, and all that it names, from a layout to a repository, byte for byte.

    Layers come first, then configurations, then manifests from the inside out, and the tags last: whoever sees the
    name can have all of it.

    Args:
        registry: where it goes.
        repository: in the registry.
        references: the tags that name it afterwards; where there are none it is had by its digest.
        top: of the manifest or index.
        source: has it.
        mount_from: other repositories of the registry that may have some of the blobs.
        tell: told how far it is.

    Raises:
        RemoteError: the registry does not take something.
        CorruptBlob: the layout lacks something, or has other bytes than a digest says.
    """
    closure = _Closure.of(top, lambda descriptor: source.read(descriptor.digest))
    others = tuple(dict.fromkeys(mount_from))
    progress = _Progress(sum(blob.size for blob in closure.blobs), tell)

    def put(descriptor: Descriptor) -> tuple[Descriptor, Placed]:
        with progress.part(descriptor.size) as count:
            path = source.blob(descriptor.digest)
            return descriptor, registry.put_blob(repository, descriptor, path, mount_from=others, tell=count)

    placed = [
        one
        for blobs in (closure.layers, closure.configs)
        for one in _each(put, [blob for blob in blobs if _travels(blob, source)], progress)
    ]
    documents = closure.documents
    for document in documents[:-1]:
        registry.put_manifest(repository, document.descriptor.digest, document.descriptor, document.data)
    names = tuple(references) or (top.digest,)
    for name in names:
        registry.put_manifest(repository, name, documents[-1].descriptor, documents[-1].data)
    written = sum(len(document.data) for document in documents[:-1]) + len(names) * len(documents[-1].data)
    return Pushed(
        top,
        sum(one.sent_bytes for _, one in placed) + written,
        sum(blob.size for blob, one in placed if one.how == "there"),
        sum(blob.size for blob, one in placed if one.how == "mounted"),
    )


def pull(
    registry: Registry,
    repository: str,
    reference: str,
    layout: Layout,
    *,
    platform: Platform | None = None,
    tell: Tell = lambda done, total: None,  # noqa: ARG005
) -> Descriptor:
    """Copies a manifest or index, and all that it names, into a layout; the layout's index is left as it is.

    Args:
        registry: that has it.
        repository: in the registry.
        reference: a tag or digest.
        layout: where it goes; blobs that are there already are not fetched.
        platform: whose image to take of an index; all of them, and whatever else it names, where it is not given.
        tell: told how far it is.

    Returns:
        The descriptor of what the reference names, or of the platform's manifest.

    Raises:
        RemoteError: the registry does not answer as it should.
        UsageError: there is no image for the platform.
        CorruptBlob: something is not what its digest says, or indexes are nested too deeply.
    """
    top, data = registry.manifest(repository, reference)

    def read(descriptor: Descriptor) -> bytes:
        if descriptor.digest == top.digest:
            return data
        if descriptor.media_type in MANIFESTS | INDEXES:
            return registry.manifest(repository, descriptor.digest)[1]
        if descriptor.size > MAX_MANIFEST:
            raise CorruptBlob(f"{descriptor.digest} is too large for a configuration", fix="use another image")
        registry.blob(repository, descriptor, layout)
        return layout.read(descriptor.digest)

    if platform is not None:
        chosen = choose_image((top,), platform, read)
        text = read(chosen)
        runs_on = chosen.platform
        top, data = Descriptor(chosen.media_type, chosen.digest, len(text), platform=runs_on), text
    closure = _Closure.of(top, read)
    progress = _Progress(sum(blob.size for blob in closure.blobs), tell)

    def get(descriptor: Descriptor) -> None:
        with progress.part(descriptor.size) as count:
            registry.blob(repository, descriptor, layout, tell=count)

    _each(get, closure.blobs, progress)
    for document in closure.documents:
        layout.put_stream(iter((document.data,)), expect=document.descriptor)
    return top


def pull_image(registry: Registry, reference: ImageReference, platform: Platform, layout: Layout) -> Descriptor:
    """Fetches the image of one platform into a layout: `pull` by a reference."""
    return pull(registry, reference.repository, reference.digest or reference.tag, layout, platform=platform)


def make_pull(find: Find, *, insecure: bool = False) -> Callable[[ImageReference, Platform, Layout], Descriptor]:
    """Gives a function that fetches an image from the registry that its reference names.

    Args:
        find: gives the credentials for a host and repository.
        insecure: allow plain HTTP, for any host.
    """

    def pull_from(reference: ImageReference, platform: Platform, layout: Layout) -> Descriptor:
        with open_registry(reference.host, find, insecure=insecure) as registry:
            return pull_image(registry, reference, platform, layout)

    return pull_from


class _Document(NamedTuple):
    """A manifest or index, with its bytes as they are."""

    descriptor: Descriptor
    data: bytes


@dataclass(slots=True)
class _Closure:
    """All that belongs to a manifest or index, each once; documents from the inside out."""

    read: Callable[[Descriptor], bytes]
    layers: list[Descriptor] = field(default_factory=list)
    configs: list[Descriptor] = field(default_factory=list)
    documents: list[_Document] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _size: int = 0

    @classmethod
    def of(cls, top: Descriptor, read: Callable[[Descriptor], bytes]) -> _Closure:
        """Finds it.

        Args:
            top: the manifest or index.
            read: gives the bytes of one, checked against its digest.

        Raises:
            CorruptBlob: indexes are nested too deeply, or there is too much of it.
        """
        closure = cls(read)
        closure._add(top, closure.layers, _MAX_DEPTH)
        return closure

    @property
    def blobs(self) -> list[Descriptor]:
        return [*self.layers, *self.configs]

    def _add(self, descriptor: Descriptor, blobs: list[Descriptor], depth: int) -> None:
        if descriptor.digest in self._seen:
            return
        self._seen.add(descriptor.digest)
        if descriptor.media_type not in MANIFESTS | INDEXES:
            blobs.append(descriptor)
            return
        if depth == 0:
            raise CorruptBlob("its indexes are nested too deeply", fix="use another image")
        data = self.read(descriptor)
        self._size += len(data)
        if len(data) != descriptor.size:
            raise CorruptBlob(f"{descriptor.digest} should have {descriptor.size} bytes and has {len(data)}")
        if self._size > _MAX_DOCUMENTS:
            raise CorruptBlob(f"its manifests are larger than {_MAX_DOCUMENTS} bytes", fix="use another image")
        if descriptor.media_type in INDEXES:
            for entry in Index.from_json(data).manifests:
                self._add(entry, self.layers, depth - 1)
        else:
            manifest = OciManifest.from_json(data)
            for layer in manifest.layers:
                self._add(layer, self.layers, depth - 1)
            self._add(manifest.config, self.configs, depth - 1)
        self.documents.append(_Document(descriptor, data))


def _travels(blob: Descriptor, source: Layout) -> bool:
    """Whether a blob is to be pushed: not one that its maker allows nobody to hand on, and that is not here anyway."""
    return source.has(blob.digest, blob.size) or not any(word in blob.media_type for word in _NOT_DISTRIBUTED)


class _Stopped(Exception):
    """Another part has failed, so that this one need not go on."""


class _Progress:
    """Counts bytes from several threads, and stops them."""

    def __init__(self, total: int, tell: Tell) -> None:
        self._total, self._done, self._tell = total, 0, tell
        self._lock, self._stop = threading.Lock(), threading.Event()

    def stop(self) -> None:
        """Ends what counts here at its next piece."""
        self._stop.set()

    @contextmanager
    def part(self, size: int) -> Iterator[Callable[[int], None]]:
        """Gives what counts the pieces of a blob. What is sent twice counts once; at the end all of it counts."""
        told = 0

        def count(piece: int) -> None:
            nonlocal told
            if self._stop.is_set():
                raise _Stopped
            step = min(piece, size - told)
            told += step
            self._add(step)

        count(0)
        yield count
        self._add(size - told)

    def _add(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._tell(self._done, self._total)


def _each(call: Callable[[Descriptor], _T], blobs: Sequence[Descriptor], progress: _Progress) -> list[_T]:
    """Calls for each blob, a few at once; the first error stops the others."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="shipway-blobs") as pool:
        futures = [pool.submit(call, blob) for blob in blobs]
        try:
            waiting: Collection[Future[_T]] = futures
            while waiting:
                # The time limit lets Ctrl-C through on Windows.
                done, waiting = wait(waiting, timeout=1, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        except BaseException:
            progress.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
