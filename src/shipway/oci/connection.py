"""One registry over HTTP: a request is signed, follows redirects, and ends in an answer or in an error of ours.

Nothing here waits or tries again by itself but `Connection.repeat`, which callers give what is safe to do twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from shipway.errors import RemoteError
from shipway.oci.answers import Unanswered, printable, refusal
from shipway.oci.authorization import Authorization, Find, Scope

if TYPE_CHECKING:
    import httpx

__all__ = ["ATTEMPTS", "HEADWAY", "Body", "Connection", "speaks_plain"]

ATTEMPTS = 4
"""How often something is tried that makes no headway."""

HEADWAY = 1 << 20
"""Bytes after which a connection that breaks again counts as a new misfortune and not as the same one."""

_OK = frozenset({200})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_WAIT = 30.0
_MAX_REDIRECTS = 5
_MAX_SIGN_INS = 2
_MAX_WARNINGS = 20
_UPLOAD_SECONDS = 600.0
_CONTACT_SECONDS = 5.0
_T = TypeVar("_T")
Body = Callable[[], Iterable[bytes]]
"""Gives a body's bytes from their beginning, each time that it is called."""


class Connection:
    """How one registry is asked. May be used from threads.

    Args:
        host: with its port.
        client: sends requests.
        find: gives the user's credentials.
        insecure: it is spoken to in plain HTTP.
        sleep: waits for some seconds.
        warn: told each warning of the registry, once.
    """

    def __init__(
        self,
        host: str,
        client: httpx.Client,
        *,
        find: Find,
        insecure: bool,
        sleep: Callable[[float], None] = time.sleep,
        warn: Callable[[str], None],
    ) -> None:
        import httpx

        self.host = host
        self._plain = insecure
        try:
            self._base = httpx.URL(f"{'http' if self._plain else 'https'}://{host}")
        except httpx.InvalidURL as error:
            raise RemoteError(f"{host!r} is no host: {error}", fix="check the reference's host and port") from error
        self._client, self._sleep, self._warn = client, sleep, warn
        self._warned: set[str] = set()
        self._answered = False
        self._authorization = Authorization(self._base, find, client)

    def url(self, repository: str, path: str) -> httpx.URL:
        """Gives the URL of something in a repository."""
        return self._base.join(f"/v2/{repository}/{path}")

    @contextmanager
    def open(
        self,
        method: str,
        url: httpx.URL,
        scopes: Sequence[Scope],
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        accept: frozenset[int] = _OK,
    ) -> Iterator[httpx.Response]:
        """Sends a request once, signed in and redirected as need be; the answer's body is unread.

        Args:
            method: of HTTP.
            url: where to.
            scopes: that it needs; the first is of the repository that it is about.
            headers: beside `Authorization`.
            body: of the request; its length stands in `headers`.
            accept: the statuses to give back.

        Raises:
            Refused: another status came.
            Unanswered: the connection broke, in the block too, or the registry is busy.
            RemoteError: it redirects for ever or where it must not, or does not take the credentials.
        """
        import httpx

        try:
            response = self._signed(method, url, scopes, headers or {}, body)
            try:
                self._note_warnings(response)
                if response.status_code not in accept:
                    raise refusal(response, self.host, f"{method} {_shown(url)}")
                yield response
            finally:
                response.close()
        except httpx.TransportError as error:
            raise self._broken(error) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(f"{self.host} answers what is no HTTP: {printable(str(error))}") from error

    def repeat(self, call: Callable[[], _T]) -> _T:
        """Gives what `call` gives, which is called again after a wait where it was left unanswered.

        A host that never answered is tried twice only: its name is probably wrong.

        Raises:
            RemoteError: as `call` does; at last, `Unanswered` too.
        """
        attempt = 0
        while True:
            try:
                return call()
            except Unanswered as error:
                attempt += 1
                if attempt >= (ATTEMPTS if self._answered else 2):
                    raise
                self.pause(error, attempt)

    def pause(self, error: Unanswered, attempt: int) -> None:
        """Waits as long as the registry says, within reason, else longer each time."""
        self._sleep(min(error.wait or 2.0 ** (attempt - 1), _MAX_WAIT))

    def location(self, response: httpx.Response) -> httpx.URL:
        """Gives where an answer says to go on, relative or absolute.

        Raises:
            RemoteError: it does not say, or it leads from an encrypted connection to one that is not.
        """
        target = response.headers.get("Location", "")
        if not target:
            raise RemoteError(f"{self.host} does not say where to go on", fix="ask those who run the registry")
        url = response.request.url.join(target)
        if url.scheme != "https" and not (self._plain and url.scheme == "http"):
            raise RemoteError(
                f"{self.host} sends on to {url.scheme}://{url.host}, which is not encrypted",
                fix="tell the registry that it stands behind TLS (its external URL, or X-Forwarded-Proto)",
            )
        return url

    def next_page(self, url: httpx.URL, link: str) -> httpx.URL | None:
        """Gives where a list goes on by its `Link` header; None where it ends.

        Raises:
            RemoteError: it goes on at another host.
        """
        match = re.match(r'\s*<([^>]*)>\s*;[^,]*\brel="?next\b', link)
        if not match:
            return None
        page = url.join(match[1])
        if not self._is_own(page):
            raise RemoteError(f"{self.host} goes on with its list at {page.host}", fix="ask those who run the registry")
        return page

    def _signed(
        self, method: str, url: httpx.URL, scopes: Sequence[Scope], headers: Mapping[str, str], body: Body | None
    ) -> httpx.Response:
        """Sends with the credentials of now; asked who it is, answers and sends again."""
        header = self._authorization.header(scopes)
        for _ in range(_MAX_SIGN_INS):
            response = self._follow(method, url, headers, body, header)
            challenges = response.headers.get_list("WWW-Authenticate")
            # Another host has no say in where credentials go.
            if response.status_code != 401 or not challenges or not self._is_own(response.request.url):
                return response
            response.close()
            header = self._authorization.answer(challenges, scopes, header)
        return self._follow(method, url, headers, body, header)

    def _follow(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Body | None, authorization: str
    ) -> httpx.Response:
        """Sends a request and follows redirects; who is not the registry gets no credentials."""
        import httpx

        timeout = self._client.timeout
        if body:
            timeout = httpx.Timeout(timeout.write, read=_UPLOAD_SECONDS)  # large blobs take time to be put away
        for _ in range(_MAX_REDIRECTS):
            signed = {"Authorization": authorization} if authorization and self._is_own(url) else {}
            request = self._client.build_request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **headers, **signed},
                content=body() if body else None,
                timeout=timeout,
            )
            response = self._send(request)
            if response.status_code not in _REDIRECTS or (response.status_code == 303 and body):
                return response
            response.close()
            url = self.location(response)
        raise RemoteError(f"{self.host} redirects without end", fix="ask those who run the registry")

    def _send(self, request: httpx.Request) -> httpx.Response:
        response = self._client.send(request, stream=True, follow_redirects=False)
        self._answered = True
        return response

    def _is_own(self, url: httpx.URL) -> bool:
        return (url.scheme, url.netloc) == (self._base.scheme, self._base.netloc)

    def _note_warnings(self, response: httpx.Response) -> None:
        """Tells what the registry warns of: `299 - "text"`, as the distribution specification has it."""
        for header in response.headers.get_list("Warning") if self._is_own(response.request.url) else ():
            match = re.fullmatch(r'299 - "((?:[^"\\]|\\.)*)"', header.strip())
            text = printable(re.sub(r"\\(.)", r"\1", match[1])) if match else ""
            if text and text not in self._warned and len(self._warned) < _MAX_WARNINGS:
                self._warned.add(text)
                self._warn(f"{self.host}: {text}")

    def _broken(self, error: httpx.TransportError) -> RemoteError:
        import httpx

        text = printable(str(error) or type(error).__name__)
        message = f"{self.host} cannot be asked: {text}"
        if "CERTIFICATE" in text:
            return RemoteError(message, fix="trust the registry's certificate: SSL_CERT_FILE=FILE.pem")
        if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
            return RemoteError(message, fix="--insecure, if it speaks plain HTTP only")
        if isinstance(error, httpx.UnsupportedProtocol):
            return RemoteError(message, fix="check the name")
        return Unanswered(message, fix="check the network and the name")


def speaks_plain(host: str, client: httpx.Client) -> bool:
    """Whether a host knows plain HTTP and no TLS. It is asked for nothing, and told nothing of who asks.

    A server with TLS whose certificate is refused is none of these: it answers 400 to plain HTTP, as a server with TLS
    does. So is a host that does not answer.
    """
    return not _status(client, f"https://{host}/v2/") and _status(client, f"http://{host}/v2/") not in (0, 400)


def _status(client: httpx.Client, url: str) -> int:
    """Gives the status of an answer; 0 where none comes."""
    import httpx

    try:
        with client.stream("GET", url, timeout=_CONTACT_SECONDS, follow_redirects=False) as response:
            return response.status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return 0


def _shown(url: httpx.URL) -> str:
    """Gives what a message may show of a URL: its path, for a query may hold a secret."""
    return printable(url.path.removeprefix("/v2/"))
