"""A registry in this process that keeps to the specification, checks who asks, and can be told to misbehave."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import msgspec

from shipway.oci.descriptor import INDEXES, MANIFESTS, Descriptor
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout

__all__ = ["HOST", "OTHER", "REPOSITORY", "STORAGE", "TOKENS", "FakeRegistry"]

HOST, TOKENS, STORAGE = "registry.test", "tokens.test", "storage.test"
REPOSITORY, OTHER = "team/model", "team/other"


@dataclass
class _Session:
    repository: str
    data: bytearray = field(default_factory=bytearray)


@dataclass
class FakeRegistry(httpx.BaseTransport):
    """Serves a layout as `team/model`, and keeps there what is pushed to any repository.

    Attributes:
        layout: what it has.
        tags: what each tag of `team/model` names.
        blobs: the digests that each repository has.
        auth: `none`, `bearer` or `basic`.
        login: user and password that it asks for; None lets anybody have a token.
        identity: the identity token that the token server takes by POST; without one it has no POST.
        allowed: repositories for which tokens are given; None for all.
        token_uses: how many requests a token lasts.
        redirect: send blobs, and take uploads, at another host.
        tamper: changes a body on its way.
        refuse: statuses to answer first, with their headers.
        answer: gives an answer of its own to a request, or None.
        cut_downloads: after how many bytes to break the next downloads off.
        cut_uploads: after how many bytes to break the next uploads off; what came is kept.
        cut_answers: how many uploads to take without saying so.
        forgets: a session that is cut is lost.
        ranges: it can go on in the middle of a blob.
        chunks: it takes chunks.
        least_chunk: bytes that it says a chunk must have.
        mounts: it takes blobs over from other repositories.
        absolute: its locations have a host.
        page: how many tags it lists at once.
        headers: that every answer has.
        seen: each request.
        received: bytes of blobs that came.
    """

    layout: Layout
    tags: dict[str, Descriptor]
    blobs: dict[str, set[str]] = field(default_factory=dict)
    auth: str = "none"
    login: tuple[str, str] | None = None
    identity: str = ""
    allowed: set[str] | None = None
    token_uses: int = 1_000_000
    redirect: bool = False
    tamper: Callable[[str, bytes], bytes] = lambda path, body: body
    refuse: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    answer: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
    realm: str = f"https://{TOKENS}/token"
    cut_downloads: list[int] = field(default_factory=list)
    cut_uploads: list[int] = field(default_factory=list)
    cut_answers: int = 0
    forgets: bool = False
    ranges: bool = True
    chunks: bool = True
    least_chunk: int = 0
    mounts: bool = True
    absolute: bool = False
    page: int = 1000
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[httpx.Request] = field(default_factory=list)
    received: int = 0
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _tokens: dict[str, tuple[set[str], int]] = field(default_factory=dict)
    _begun: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        folder = self.layout.path / "blobs" / "sha256"
        self.blobs.setdefault(REPOSITORY, {f"sha256:{file.name}" for file in folder.iterdir()})

    def client(self) -> httpx.Client:
        return httpx.Client(transport=self)

    def calls(self, method: str, part: str = "") -> list[httpx.Request]:
        """Gives the requests of a method to paths with `part` in them."""
        return [request for request in self.seen if request.method == method and part in request.url.path]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        own = self.answer(request)
        if own is not None:
            return own
        with self._lock:
            return self._handle(request)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == TOKENS:
            return self._token(request)
        if request.url.host == STORAGE:
            assert "Authorization" not in request.headers
            return self._storage(request)
        if self.refuse:
            status, headers = self.refuse.pop(0)
            return httpx.Response(status, headers=headers)
        response = self._challenge(request) or self._answer(request)
        response.headers.update(self.headers)
        return response

    # Who asks.

    def _challenge(self, request: httpx.Request) -> httpx.Response | None:
        scopes = _needed(request)
        given = request.headers.get("Authorization", "")
        error = ""
        if self.auth == "none" or (self.auth == "basic" and given == self._basic()):
            return None
        if self.auth == "bearer":
            granted, uses = self._tokens.get(given.removeprefix("Bearer "), (set(), 0))
            if uses > 0:
                self._tokens[given.removeprefix("Bearer ")] = (granted, uses - 1)
                if scopes <= granted:
                    return None
                error = ',error="insufficient_scope"'
        joined = " ".join(sorted(scopes))
        challenge = {
            "bearer": f'Bearer service="s, t",realm="{self.realm}",scope="{joined}"{error}',
            "basic": 'Basic realm="here"',
        }[self.auth]
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    def _token(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            form = httpx.QueryParams(request.read().decode())
            if not self.identity:
                return httpx.Response(405)
            if form["grant_type"] != "refresh_token" or form["refresh_token"] != self.identity:
                return httpx.Response(401)
            wanted = form["scope"].split()
        else:
            form, wanted = request.url.params, request.url.params.get_list("scope")
            if self.login and request.headers.get("Authorization") != self._basic():
                return httpx.Response(401)
        assert form["service"] == "s, t"
        granted = set()
        for scope in wanted:
            kind, repository, actions = scope.split(":")
            if self.allowed is None or repository in self.allowed:
                granted |= {f"{kind}:{repository}:{action}" for action in actions.split(",")}
        name = f"token-{len(self._tokens)}"
        self._tokens[name] = (granted, self.token_uses)
        return httpx.Response(200, json={"access_token": name, "expires_in": 300})

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(":".join(self.login or ()).encode()).decode()

    # What is asked.

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match = re.fullmatch(r"/v2/(.+?)/(manifests|blobs/uploads|blobs|tags)/(.*)", request.url.path)
        assert match, request.url
        repository, kind, name = match.groups()
        if kind == "tags":
            return self._list(repository, request)
        if kind == "manifests":
            return (self._put_manifest if request.method == "PUT" else self._manifest)(repository, name, request)
        if kind == "blobs/uploads":
            return self._begin(repository, request) if request.method == "POST" else self._upload(name, request)
        if name not in self.blobs.get(repository, set()):
            return _error(404, "BLOB_UNKNOWN")
        if request.method == "HEAD":
            return httpx.Response(200, headers={"Content-Length": str(self.layout.blob(name).stat().st_size)})
        if self.redirect:
            return httpx.Response(307, headers={"Location": f"https://{STORAGE}/{name}"})
        return self._blob(name, request)

    def _manifest(self, repository: str, name: str, request: httpx.Request) -> httpx.Response:
        assert all(media_type in request.headers["Accept"] for media_type in MANIFESTS | INDEXES)
        descriptor = self.tags.get(name)
        digest = descriptor.digest if descriptor else name
        if digest not in self.blobs.get(repository, set()):
            return _error(404, "MANIFEST_UNKNOWN", "no such\x1b tag")
        data = self.layout.read(digest)
        media_type = msgspec.json.decode(data)["mediaType"]
        return self._stream(request.url.path, data, 200, {"Content-Type": media_type})

    def _put_manifest(self, repository: str, name: str, request: httpx.Request) -> httpx.Response:
        data = request.read()
        document = msgspec.json.decode(data)
        there = self.blobs.setdefault(repository, set())
        parts = [*document.get("layers", ()), *document.get("manifests", ())]
        parts += [document["config"]] if "config" in document else []
        if any(part["digest"] not in there for part in parts):
            return _error(404, "MANIFEST_BLOB_UNKNOWN")
        digest = sha256_bytes(data)
        if ":" in name and name != digest:
            return _error(400, "DIGEST_INVALID")
        self.layout.put_bytes(data)
        there.add(digest)
        if ":" not in name:
            self.tags[name] = Descriptor(request.headers["Content-Type"], digest, len(data))
        return httpx.Response(201, headers={"Docker-Content-Digest": digest})

    def _list(self, repository: str, request: httpx.Request) -> httpx.Response:
        if repository not in self.blobs:
            return _error(404, "NAME_UNKNOWN")
        after = request.url.params.get("last", "")
        names = [name for name in sorted(self.tags) if name > after]
        page = names[: self.page]
        headers = {}
        if len(names) > len(page):
            headers["Link"] = f'</v2/{repository}/tags/list?n={self.page}&last={page[-1]}>; rel="next"'
        return httpx.Response(200, json={"name": repository, "tags": page}, headers=headers)

    # Blobs on their way out.

    def _storage(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        return self._blob(name, request) if request.method == "GET" else self._upload(name, request)

    def _blob(self, digest: str, request: httpx.Request) -> httpx.Response:
        data = self.layout.blob(digest).read_bytes()
        asked = re.fullmatch(r"bytes=([0-9]+)-", request.headers.get("Range", ""))
        if not asked or not self.ranges:
            return self._stream(digest, data, 200, {})
        begin = int(asked[1])
        headers = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        return self._stream(digest, data[begin:], 206, headers)

    def _stream(self, path: str, data: bytes, status: int, headers: dict[str, str]) -> httpx.Response:
        data = self.tamper(path, data)
        cut = self.cut_downloads.pop(0) if self.cut_downloads and status in (200, 206) and "sha256" in path else None
        return httpx.Response(status, headers=headers, stream=_Stream(data, cut))

    # Blobs on their way in.

    def _begin(self, repository: str, request: httpx.Request) -> httpx.Response:
        digest, other = request.url.params.get("mount", ""), request.url.params.get("from", "")
        if self.mounts and digest in self.blobs.get(other, set()):
            self.blobs.setdefault(repository, set()).add(digest)
            return httpx.Response(201)
        self._begun += 1
        name = f"session-{self._begun}"
        self._sessions[name] = _Session(repository)
        headers = {"Location": self._location(name, repository)}
        if self.least_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.least_chunk)
        return httpx.Response(202, headers=headers)

    def _location(self, name: str, repository: str) -> str:
        if self.redirect:
            return f"https://{STORAGE}/{name}?state=a%2Fb%3D"
        return f"{f'https://{HOST}' if self.absolute else ''}/v2/{repository}/blobs/uploads/{name}?state=a%2Fb%3D"

    def _upload(self, name: str, request: httpx.Request) -> httpx.Response:
        assert request.url.query.startswith(b"state=a%2Fb%3D")  # as it was given
        session = self._sessions.get(name)
        if session is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        if request.method == "DELETE":
            del self._sessions[name]
            return httpx.Response(204)
        if request.method == "GET":
            return httpx.Response(204, headers=self._progress(name, session))
        if request.method == "PATCH" and not self.chunks:
            return _error(405, "UNSUPPORTED")
        begin = request.headers.get("Content-Range", f"{len(session.data) if request.method == 'PATCH' else 0}-")
        if int(begin.partition("-")[0]) != len(session.data):
            return _error(416, "BLOB_UPLOAD_INVALID")
        self._take(name, session, request)
        if request.method == "PATCH":
            assert len(session.data) >= self.least_chunk
            return httpx.Response(202, headers=self._progress(name, session))
        digest = request.url.params["digest"]
        if sha256_bytes(bytes(session.data)) != digest:
            return _error(400, "DIGEST_INVALID")
        self.layout.put_bytes(bytes(session.data))
        self.blobs.setdefault(session.repository, set()).add(digest)
        del self._sessions[name]
        if self.cut_answers:
            self.cut_answers -= 1
            raise httpx.ReadError("cut")
        return httpx.Response(201, headers={"Docker-Content-Digest": digest})

    def _take(self, name: str, session: _Session, request: httpx.Request) -> None:
        cut = self.cut_uploads.pop(0) if self.cut_uploads else None
        came = 0
        assert isinstance(request.stream, httpx.SyncByteStream)
        for piece in request.stream:
            kept = piece if cut is None else piece[: max(0, cut - came)]
            session.data += kept
            came += len(piece)
            self.received += len(kept)
            if cut is not None and came >= cut:
                if self.forgets:
                    del self._sessions[name]
                raise httpx.WriteError("cut")
        assert came == int(request.headers["Content-Length"])

    def _progress(self, name: str, session: _Session) -> dict[str, str]:
        """Says `0-0` of an empty session, as Docker's registry does."""
        end = max(0, len(session.data) - 1)
        return {"Location": self._location(name, session.repository), "Range": f"0-{end}"}


class _Stream(httpx.SyncByteStream):
    """A body in pieces, that may break off."""

    def __init__(self, data: bytes, cut: int | None) -> None:
        self._data, self._cut = data, cut

    def __iter__(self) -> Iterator[bytes]:
        data = self._data if self._cut is None else self._data[: self._cut]
        for begin in range(0, len(data), 1000):
            yield data[begin : begin + 1000]
        if self._cut is not None:
            raise httpx.ReadError("cut")


def _needed(request: httpx.Request) -> set[str]:
    """Gives the scopes that a request needs."""
    match = re.match(r"/v2/(.+?)/(manifests|blobs|tags)/", request.url.path)
    assert match
    action = "pull" if request.method in ("GET", "HEAD") and "/uploads/" not in request.url.path else "push"
    needed = {f"repository:{match[1]}:{action}"}
    return needed | ({f"repository:{other}:pull"} if (other := request.url.params.get("from")) else set())


def _error(status: int, code: str, message: str = "") -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"code": code, "message": message}]})
