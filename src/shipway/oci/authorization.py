"""How a registry is told who asks: challenges, tokens by scope, and Basic.

Source: https://distribution.github.io/distribution/spec/auth/. A secret goes to the registry itself and to the token
server that it names, over TLS, or over plain HTTP to this machine; to nobody else.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shipway.errors import RemoteError
from shipway.oci.answers import Unanswered, read_bounded, refusal
from shipway.oci.credentials import Credentials
from shipway.spec.host import is_loopback

if TYPE_CHECKING:
    import httpx

__all__ = ["Authorization", "Find", "Scope", "merged"]

Find = Callable[[str, str], Credentials | None]
"""Gives the credentials for a host and a repository."""

_MAX_TOKEN = 1 << 20
_MAX_SCOPES = 20
_LEAST_SECONDS = 60.0
_USED_SHARE = 0.8
_CLIENT = "shipway"


class Scope(NamedTuple):
    """What a request needs to be allowed: `pull` or `pull,push` on a repository."""

    repository: str
    actions: str = "pull"

    def __str__(self) -> str:
        return f"repository:{self.repository}:{self.actions}"


class _Answer(msgspec.Struct, frozen=True):
    """What a token server gives: one of the two, and for how many seconds."""

    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


class _Token(NamedTuple):
    header: str
    until: float


class _Realm(NamedTuple):
    url: httpx.URL
    service: str


class Authorization:
    """Gives the `Authorization` headers for one registry. May be used from threads.

    Args:
        base: the registry's URL.
        find: gives the user's credentials; asked only once the registry wants to know.
        client: how token servers are asked; it must not follow redirects by itself.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        base: httpx.URL,
        find: Find,
        client: httpx.Client,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base, self._host = base, base.netloc.decode()
        self._find, self._client, self._clock = find, client, clock
        self._lock = threading.RLock()
        self._found: dict[str, Credentials | None] = {}
        self._tokens: dict[tuple[Scope, ...], _Token] = {}
        self._scheme = ""
        self._realm: _Realm | None = None

    def header(self, scopes: Sequence[Scope]) -> str:
        """Gives the header's value for what is asked; empty until the registry has asked who it is.

        A token that has run out, or of other scopes than before, is fetched here rather than after a refusal: that
        spares sending a large body twice.

        Raises:
            RemoteError: the token server gives none.
        """
        with self._lock:
            if self._scheme == "basic":
                credentials = self._credentials(scopes[0].repository)
                return credentials.basic if credentials else ""
            token = self._tokens.get(tuple(scopes))
            if token and token.until > self._clock():
                return token.header
            return self._fetch(scopes, ()) if self._realm else ""

    def answer(self, challenges: Iterable[str], scopes: Sequence[Scope], refused: str) -> str:
        """Answers a challenge; gives the header's value to ask again with.

        Args:
            challenges: the `WWW-Authenticate` headers.
            scopes: that the request needs.
            refused: the value that it was sent with; another one that another thread got meanwhile is given at once.

        Raises:
            RemoteError: there is nothing to answer with, or the token server gives no token.
        """
        parsed = dict(part for text in challenges for part in _challenges(text))
        with self._lock:
            current = self._tokens.get(tuple(scopes))
            if refused and current and current.header != refused:
                return current.header
            if "bearer" in parsed:
                self._scheme, challenge = "bearer", parsed["bearer"]
                self._realm = _Realm(self._checked_realm(challenge.get("realm", "")), challenge.get("service", ""))
                return self._fetch(scopes, challenge.get("scope", "").split()[:_MAX_SCOPES])
            credentials = self._credentials(scopes[0].repository) if "basic" in parsed else None
            if credentials is None or credentials.basic == refused:
                reason = "does not take the credentials" if credentials else "wants to know who asks"
                raise RemoteError(f"{self._host} {reason} for {scopes[0].repository}", fix=f"docker login {self._host}")
            self._scheme = "basic"
            return credentials.basic

    def _credentials(self, repository: str) -> Credentials | None:
        """Finds the user's credentials, once.

        Raises:
            RemoteError: they would have to travel in the clear.
        """
        if repository not in self._found:
            self._found[repository] = self._find(self._host, repository)
        found = self._found[repository]
        if found and self._base.scheme != "https" and not is_loopback(self._host):
            raise RemoteError(
                f"{self._host} wants credentials, and they are never sent over plain HTTP",
                fix="give the registry a certificate, and leave --insecure out",
            )
        return found

    def _checked_realm(self, text: str) -> httpx.URL:
        import httpx

        try:
            realm = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise RemoteError(f"{self._host} names a token server that is no URL") from error
        plain = self._base.scheme == "http" and (realm.netloc == self._base.netloc or _is_local(realm))
        if realm.scheme != "https" and not (realm.scheme == "http" and plain):
            raise RemoteError(f"{self._host} sends to a token server that is not encrypted, {realm.host or 'nowhere'}")
        return realm

    def _fetch(self, scopes: Sequence[Scope], more: Iterable[str]) -> str:
        """Fetches a token for scopes of ours, and for what the registry says that it needs beside."""
        assert self._realm is not None
        credentials = self._credentials(scopes[0].repository)
        if credentials and credentials.kind == "bearer":
            answer = _Answer(token=credentials.secret)
        else:
            answer = self._ask(self._realm, merged([*map(str, scopes), *more]), credentials)
        token = answer.token or answer.access_token or ""
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise RemoteError(f"{self._realm.url.host} answers something else than a token")
        seconds = max(answer.expires_in or 0.0, _LEAST_SECONDS) * _USED_SHARE
        self._tokens[tuple(scopes)] = _Token(f"Bearer {token}", self._clock() + seconds)
        return f"Bearer {token}"

    def _ask(self, realm: _Realm, scopes: list[str], credentials: Credentials | None) -> _Answer:
        """Asks the token server: by OAuth 2 with an identity token; by GET with all else, and where it has no POST."""
        service = {"service": realm.service} if realm.service else {}
        if credentials and credentials.kind == "identity":
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": credentials.secret}
            request = self._client.build_request("POST", realm.url, data={**form, **service, "scope": " ".join(scopes)})
            answer = self._answer_of(request, scopes, other_way=frozenset({404, 405}))
            if answer:
                return answer
        query: dict[str, str | list[str]] = {**service, "scope": scopes}
        signed = {"Authorization": credentials.basic} if credentials else {}
        request = self._client.build_request("GET", realm.url.copy_merge_params(query), headers=signed)
        answer = self._answer_of(request, scopes)
        assert answer is not None
        return answer

    def _answer_of(
        self, request: httpx.Request, scopes: list[str], other_way: frozenset[int] = frozenset()
    ) -> _Answer | None:
        with closing(self._client.send(request, stream=True, follow_redirects=False)) as response:
            if response.status_code in other_way:
                return None
            if response.status_code != 200:
                error = refusal(response, request.url.host, f"the wish for a token for {' '.join(scopes)}")
                if not isinstance(error, Unanswered):
                    error.fix = f"check the name, or sign in: docker login {self._host}"
                raise error
            try:
                return msgspec.json.decode(read_bounded(response, _MAX_TOKEN, "the token"), type=_Answer)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise RemoteError(f"{request.url.host} answers something else than a token") from error


def merged(scopes: Iterable[str]) -> list[str]:
    """Gives the scopes with each resource once, its actions together."""
    actions: dict[str, dict[str, None]] = {}
    for scope in scopes:
        resource, _, names = scope.rpartition(":")
        if re.fullmatch(r"[\x21-\x7e]{1,400}", resource):
            actions.setdefault(resource, {}).update(dict.fromkeys(names.split(",")))
    return [f"{resource}:{','.join(names)}" for resource, names in actions.items()]


def _is_local(url: httpx.URL) -> bool:
    return is_loopback(url.netloc.decode())


def _challenges(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Parses a `WWW-Authenticate` header: schemes with their parameters, in any order, quoted or not."""
    scheme, parameters = "", dict[str, str]()
    for match in re.finditer(r'([A-Za-z0-9_-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?', text[:8192]):
        name, quoted, plain = match.groups()
        if quoted is None and plain is None:
            if scheme:
                yield scheme, parameters
            scheme, parameters = name.lower(), {}
        else:
            parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
    if scheme:
        yield scheme, parameters
