"""Exchanges with a real API server: kept while they happen, and given again to whoever asks the same.

Nothing here knows how a cluster behaves. What is not asked in the same way as when it was recorded gets no answer.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from shipway.deploy.kubernetes.api.access import Access, User
from shipway.deploy.kubernetes.api.cluster import Cluster

__all__ = ["EXCHANGES", "Recorder", "Replay", "seen"]

EXCHANGES = Path(__file__).parents[1] / "deploy" / "kubernetes" / "answers" / "exchanges"
"""What a 1.36 node answered, made by `tests/e2e/kubernetes/record.py`."""

# How long a watch goes on, and how lists are cut into pages, does not change what is asked.
_IRRELEVANT = {"timeoutSeconds", "allowWatchBookmarks", "limit"}


def _key(request: httpx.Request) -> str:
    query = sorted((name, value) for name, value in request.url.params.items() if name not in _IRRELEVANT)
    return f"{request.method} {request.url.path}?{'&'.join(f'{name}={value}' for name, value in query)}"


class _Tee(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, entry: dict[str, Any]) -> None:
        self._stream, self._entry = stream, entry

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._entry["answer"] += chunk.decode()
            yield chunk

    def close(self) -> None:
        self._stream.close()


class Recorder(httpx.BaseTransport):
    """Carries requests and keeps what was answered.

    Args:
        transport: that carries them.
    """

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport
        self.entries: list[dict[str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        entry: dict[str, Any] = {"asked": _key(request), "code": 0, "answer": ""}
        self.entries.append(entry)
        response = self._transport.handle_request(request)
        entry["code"] = response.status_code
        assert isinstance(response.stream, httpx.SyncByteStream)
        headers = [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
        stream = _Tee(_Decoded(response), entry)
        return httpx.Response(
            response.status_code, headers=headers, stream=stream, extensions=response.extensions, request=request
        )

    def write(self, path: Path) -> None:
        """Writes what was kept, one exchange a line; packed, for the same objects come again and again."""
        lines = [json.dumps(entry, ensure_ascii=False, sort_keys=True) for entry in self.entries if entry["code"]]
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


class _Decoded(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_bytes()

    def close(self) -> None:
        self._response.close()


class Replay:
    """Gives recorded answers: to the same request the same answers in turn, the last of them for ever.

    Args:
        path: what a recorder wrote.

    Attributes:
        sent: what was asked, in order.
        unknown: what was asked and had not been when it was recorded.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for line in gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]:
            entry = json.loads(line)
            self._answers[entry["asked"]].append((entry["code"], entry["answer"]))
        self.sent: list[httpx.Request] = []
        self.unknown: list[str] = []

    def cluster(self, namespace: str = "recorded") -> Cluster:
        """Gives a cluster that answers as the recorded one did."""
        client = httpx.Client(transport=httpx.MockTransport(self._answer))
        return Cluster(Access("https://recorded.test", namespace, "recorded", User()), client)

    def changes(self) -> list[tuple[str, str, Any]]:
        """Gives what was sent to change something for good: method, path, body."""
        return [
            (request.method, request.url.path, json.loads(request.content or b"null"))
            for request in self.sent
            if request.method != "GET" and "dryRun" not in request.url.params and "reviews" not in request.url.path
        ]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        key = _key(request)
        with self._lock:
            self.sent.append(request)
            answers = self._answers.get(key)
            if answers and "watch=true" not in key:
                code, answer = answers.pop(0) if len(answers) > 1 else answers[0]
                return httpx.Response(code, content=answer.encode())
            if answers:
                code, answer = answers.pop(0)
                return httpx.Response(code, content=answer.encode())
            if "watch=true" in key:
                return httpx.Response(200, content=b"")  # nothing more happened
            self.unknown.append(key)
        return httpx.Response(500, json={"kind": "Status", "message": f"not recorded: {key}"})


def seen(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Gives every state of objects of a kind that a recording shows, in order: got, listed, applied and watched."""
    for line in gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]:
        for text in json.loads(line)["answer"].splitlines():
            try:
                document = json.loads(text)
            except ValueError:
                continue  # a stream that was cut in the middle of a line
            document = document.get("object", document)
            if document.get("kind") == kind:
                yield document
            elif document.get("kind") == f"{kind}List":
                yield from ({"kind": kind, "apiVersion": document["apiVersion"], **item} for item in document["items"])
