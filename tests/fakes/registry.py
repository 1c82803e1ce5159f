"""A registry in this process that keeps to the specification, checks who asks, and can be told to misbehave."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import msgspec

from shipway.oci.descriptor import INDEXES, MANIFESTS, Descriptor
from shipway.oci.layout import Layout

__all__ = ["FakeRegistry"]

HOST, TOKENS, STORAGE = "registry.test", "tokens.test", "storage.test"


@dataclass
class FakeRegistry:
    """Serves a layout as `team/model`.

    Attributes:
        layout: what it has.
        tags: what each tag names.
        auth: `none`, `bearer` or `basic`.
        login: user and password that it asks for; None lets anybody have a token.
        redirect: send blobs from another host.
        tamper: changes a body on its way.
        refuse: statuses to answer first, with their headers.
        seen: each request.
    """

    layout: Layout
    tags: dict[str, Descriptor]
    auth: str = "none"
    login: tuple[str, str] | None = None
    redirect: bool = False
    tamper: Callable[[str, bytes], bytes] = lambda path, body: body
    refuse: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    realm: str = f"https://{TOKENS}/token"
    seen: list[httpx.Request] = field(default_factory=list)

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if request.url.host == TOKENS:
            return self._token(request)
        if request.url.host == STORAGE:
            assert "Authorization" not in request.headers
            return _streamed(self._blob(request.url.path.removeprefix("/")))
        if self.refuse:
            status, headers = self.refuse.pop(0)
            return httpx.Response(status, headers=headers)
        if self.auth != "none" and request.headers.get("Authorization") != self._expected():
            challenge = {
                "bearer": f'Bearer service="s, t",realm="{self.realm}",scope="repository:team/model:pull"',
                "basic": 'Basic realm="here"',
            }[self.auth]
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        kind, _, name = request.url.path.removeprefix("/v2/team/model/").partition("/")
        if kind == "manifests":
            assert all(media_type in request.headers["Accept"] for media_type in MANIFESTS | INDEXES)
            descriptor = self.tags.get(name)
            if descriptor is None and ":" not in name:
                error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such\x1b tag"}]}
                return httpx.Response(404, json=error)
            data = self.layout.read(descriptor.digest if descriptor else name)
            media_type = msgspec.json.decode(data)["mediaType"]
            return httpx.Response(
                200, content=self.tamper(request.url.path, data), headers={"Content-Type": media_type}
            )
        assert kind == "blobs"
        if self.redirect:
            return httpx.Response(307, headers={"Location": f"https://{STORAGE}/{name}"})
        return _streamed(self._blob(name))

    def _blob(self, digest: str) -> bytes:
        return self.tamper(digest, self.layout.blob(digest).read_bytes())

    def _expected(self) -> str:
        return "Bearer secret" if self.auth == "bearer" else self._basic()

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(":".join(self.login or ()).encode()).decode()

    def _token(self, request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {"service": "s, t", "scope": "repository:team/model:pull"}
        if self.login and request.headers.get("Authorization") != self._basic():
            return httpx.Response(401)
        return httpx.Response(200, json={"access_token": "secret", "expires_in": 60})


def _streamed(data: bytes) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(data))
