"""What all servers of a release write, as one stream."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS, Object
from shipway.deploy.kubernetes.objects.labels import ours
from shipway.deploy.target import LogLine
from shipway.errors import NotAllowed, ShipwayError

__all__ = ["follow_logs", "last_lines", "parse"]

_AT_ONCE, _MOST = 8, 40
_EVERY = 1.0
_WAITING = 10_000
"""Lines that may wait for a slow reader, and how far back a stream that broke is read again."""


def last_lines(cluster: Cluster, name: str, tail: int) -> list[LogLine]:
    """Gives the last lines of each server, merged by time."""
    names = [str(pod["metadata"]["name"]) for pod in _pods(cluster, name)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = list(pool.map(lambda pod: _lines(cluster, pod, tail), names))
    return sorted((line for lines in read for line in lines), key=lambda line: line.time)


def follow_logs(cluster: Cluster, name: str, tail: int) -> Iterator[LogLine]:
    """Gives the last lines of each server, then what they write, as it comes; servers to come join in.

    At most 40 are followed at once, for each takes a connection of its own.
    """
    past = last_lines(cluster, name, tail)
    yield from past
    seen = {line.instance: line.time for line in past}
    with cluster.branch() as branch:
        following = _Following(branch, seen)
        try:
            while True:
                following.join(str(pod["metadata"]["name"]) for pod in _pods(cluster, name))
                with suppress(queue.Empty):
                    yield from following.take(_EVERY)
        finally:
            following.end()


def parse(pod: str, line: str) -> LogLine:
    """Reads a line that begins with its time."""
    time, space, text = line.partition(" ")
    return LogLine(pod, text, time) if space and time[:4].isdecimal() and "T" in time else LogLine(pod, line)


class _Following:
    """Reads the logs of pods in threads that feed one queue.

    Args:
        cluster: whose streams end when this does.
        seen: of each pod the time of the last line that was read already.
    """

    def __init__(self, cluster: Cluster, seen: Mapping[str, str]) -> None:
        self._cluster, self._seen = cluster, seen
        self._lines: queue.Queue[LogLine] = queue.Queue(_WAITING)
        self._ended = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def join(self, pods: Iterable[str]) -> None:
        """Begins with those pods that are new."""
        for pod in pods:
            alive = sum(thread.is_alive() for thread in self._threads.values())
            if pod not in self._threads and alive < _MOST:
                thread = threading.Thread(target=self._read, args=(pod,), name=f"logs-{pod}", daemon=True)
                self._threads[pod] = thread
                thread.start()

    def take(self, seconds: float) -> Iterator[LogLine]:
        """Gives what is there, and waits so long for the first.

        Raises:
            queue.Empty: nothing is there any more.
        """
        yield self._lines.get(timeout=seconds)
        while True:
            yield self._lines.get_nowait()

    def end(self) -> None:
        """Lets the threads end."""
        self._ended.set()

    def _read(self, pod: str) -> None:
        """Reads a pod's log until the pod is gone."""
        seen = self._seen.get(pod, "")
        while not self._ended.is_set():
            with suppress(ShipwayError):
                for text in self._cluster.logs(pod, follow=True, tail=_WAITING):
                    line = parse(pod, text)
                    if line.time and line.time <= seen:
                        continue  # after a restart or a cut connection the end of what was read comes again
                    seen = line.time or seen
                    if not self._put(line):
                        return
            self._ended.wait(_EVERY)
            with suppress(ShipwayError):
                if self._cluster.get(KINDS["Pod"], pod) is None:
                    return

    def _put(self, line: LogLine) -> bool:
        while not self._ended.is_set():
            with suppress(queue.Full):
                self._lines.put(line, timeout=_EVERY)
                return True
        return False


def _lines(cluster: Cluster, pod: str, tail: int) -> list[LogLine]:
    try:
        return [parse(pod, line) for line in cluster.logs(pod, tail=tail)]
    except NotAllowed:
        raise
    except ShipwayError:
        return []  # it has not started yet, or is gone


def _pods(cluster: Cluster, name: str) -> Iterable[Object]:
    return cluster.list(KINDS["Pod"], ours(name)).items
