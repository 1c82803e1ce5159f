"""What a cluster has of one release, as it changes: lists and watches in threads that feed one condition.

Source: the API reference, "Efficient detection of changes": list, watch from the list's version, and list again where
that version is no longer kept (410).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from shipway.deploy.kubernetes.api.cluster import Cluster, Expired
from shipway.deploy.kubernetes.api.kinds import KINDS, Kind, Object
from shipway.errors import NotAllowed, ShipwayError, TargetError

__all__ = ["PATIENCE", "View", "Watch"]

PATIENCE = 120.0
"""Seconds without a word from the cluster that are ridden out: its API server may be restarting."""

View = Mapping[str, tuple[Object, ...]]
"""The objects by kind, by name in each."""

_WINDOW = 60.0
_EVERY = 1.0
_RETRY = 1.0
_SETTLE = 0.05
# A call that is under way is not waited for: its thread ends with it.
_JOIN = 0.5


class Watch:
    """Keeps the objects of some kinds that bear some labels up to date, while its block runs.

    Args:
        cluster: which.
        kinds: names of kinds.
        labels: that the objects bear.
        patience: seconds without a word from the cluster after which `views` gives up.
    """

    def __init__(
        self, cluster: Cluster, kinds: Sequence[str], labels: Mapping[str, str], *, patience: float = PATIENCE
    ) -> None:
        self._cluster, self._kinds, self._labels = cluster, tuple(KINDS[kind] for kind in kinds), dict(labels)
        self._patience = patience
        self._changed = threading.Condition()
        self._objects: dict[str, dict[str, Object]] = {}
        self._news = 0
        # By kind, or one that is well would hide another that is not.
        self._heard = dict.fromkeys(self._kinds, time.monotonic())
        self._errors: dict[Kind, ShipwayError] = {}
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._branch = self._open.enter_context(self._cluster.branch())
        for kind in self._kinds:
            thread = threading.Thread(target=self._keep, args=(kind,), name=f"watch-{kind.plural}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._open.close()
        for thread in self._threads:
            thread.join(_JOIN)

    def views(self) -> Iterator[View]:
        """Gives what there is, first when all kinds are known, then whenever it changes or a second has passed.

        Raises:
            NotAllowed: a kind may not be read.
            TargetError: the cluster has not answered for a while; with what was the matter last.
        """
        seen = -1
        while True:
            with self._changed:
                if self._news == seen:
                    self._changed.wait(_EVERY)
                known = len(self._objects) == len(self._kinds)
                self._check(known=known)
                seen = self._news
                view = {kind: tuple(each[name] for name in sorted(each)) for kind, each in self._objects.items()}
            if known:
                yield view
                # Changes come in bursts, one object a line: one look at all of them is enough.
                self._ended.wait(_SETTLE)

    def _check(self, *, known: bool) -> None:
        silent = time.monotonic() - min(self._heard.values())
        for kind, error in self._errors.items():
            if isinstance(error, NotAllowed) or time.monotonic() - self._heard[kind] > self._patience:
                raise error
        if not known and silent > self._patience:
            raise TargetError("the cluster does not answer", fix="try again")

    def _keep(self, kind: Kind) -> None:
        while not self._ended.is_set():
            try:
                listing = self._branch.list(kind, self._labels)
                self._replace(kind, listing.items)
                self._follow(kind, listing.version)
            except Expired:
                continue
            except ShipwayError as error:
                self._fail(kind, error)
                if isinstance(error, NotAllowed):
                    return
                self._ended.wait(_RETRY)
            except Exception as error:
                if self._ended.is_set():
                    return  # the client was closed under it
                self._fail(kind, TargetError(f"watching {kind.plural} broke: {error}"))
                self._ended.wait(_RETRY)

    def _follow(self, kind: Kind, version: str) -> None:
        """Goes on from a list for as long as the cluster keeps its word; lists afresh when the time is over."""
        for event in self._branch.watch(kind, self._labels, version, _WINDOW):
            if self._ended.is_set():
                return
            name = str(event.object["metadata"]["name"])
            with self._changed:
                if event.type == "DELETED":
                    self._objects[kind.kind].pop(name, None)
                else:
                    self._objects[kind.kind][name] = event.object
                self._tell(kind)
        with self._changed:
            self._heard[kind] = time.monotonic()

    def _replace(self, kind: Kind, items: Sequence[Object]) -> None:
        with self._changed:
            self._objects[kind.kind] = {str(item["metadata"]["name"]): item for item in items}
            self._tell(kind)

    def _tell(self, kind: Kind) -> None:
        self._news += 1
        self._heard[kind] = time.monotonic()
        self._errors.pop(kind, None)
        self._changed.notify_all()

    def _fail(self, kind: Kind, error: ShipwayError) -> None:
        with self._changed:
            self._errors[kind] = error
            self._changed.notify_all()
