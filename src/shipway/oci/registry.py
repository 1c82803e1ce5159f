"""A plain pull from a registry.

Sources: https://github.com/opencontainers/distribution-spec, and for tokens
https://distribution.github.io/distribution/spec/auth/token/. Nothing that a registry says is believed: manifests and
blobs are checked against their digests, sizes are bounded, and a credential goes to nobody but the registry and the
token server that it names over TLS.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from shipway.errors import CorruptBlob, RemoteError
from shipway.oci.credentials import Credentials
from shipway.oci.descriptor import INDEX, INDEXES, MANIFEST, MANIFESTS, MAX_MANIFEST, Descriptor, OciManifest
from shipway.oci.digest import hash_of, sha256_bytes
from shipway.oci.layout import Layout
from shipway.oci.platforms import choose_image
from shipway.spec.image import ImageReference, Platform

if TYPE_CHECKING:
    import httpx

__all__ = ["Registry", "is_loopback", "make_pull", "pull_image"]

_ACCEPT = ", ".join([MANIFEST, INDEX, *sorted((MANIFESTS | INDEXES) - {MANIFEST, INDEX})])
_ATTEMPTS = 4
_MAX_WAIT = 30.0
_MAX_REDIRECTS = 5
_MAX_TOKEN = 1 << 20
_CHUNK = 1 << 18
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class _Token(msgspec.Struct, frozen=True):
    """What a token server answers: one of the two."""

    token: str = ""
    access_token: str = ""


class Registry:
    """A registry, for reading.

    Args:
        host: with its port.
        client: how it is asked; it must not follow redirects by itself.
        credentials: of the user, or None to be anonymous.
        insecure: plain HTTP is allowed. It is always so for this machine itself.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        host: str,
        client: httpx.Client,
        *,
        credentials: Credentials | None = None,
        insecure: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        import httpx

        self._plain = insecure or is_loopback(host)
        self._base = httpx.URL(f"{'http' if self._plain else 'https'}://{host}")
        self._host, self._client, self._credentials, self._sleep = host, client, credentials, sleep
        self._authorization: dict[str, str] = {}

    def manifest(self, repository: str, reference: str) -> tuple[Descriptor, bytes]:
        """Gives the manifest or index that a tag or digest names, checked where it is a digest.

        Raises:
            RemoteError: there is none, or the registry does not answer as it should.
            CorruptBlob: it has other bytes than the digest says.
        """
        with self._get(repository, f"manifests/{reference}", {"Accept": _ACCEPT}) as response:
            data = _read(response, MAX_MANIFEST, f"the manifest of {repository}:{reference}")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        digest = sha256_bytes(data)
        if _DIGEST.fullmatch(reference) and digest != reference:
            raise CorruptBlob(f"{self._host} answers {digest} when asked for {reference}", fix="try again")
        if media_type not in MANIFESTS | INDEXES:
            raise RemoteError(
                f"{self._host} answers {media_type or 'something'} for {repository}:{reference}, which is no image"
            )
        return Descriptor(media_type, digest, len(data)), data

    def blob(self, repository: str, descriptor: Descriptor, layout: Layout) -> None:
        """Fetches a blob into `layout`, checked while it comes; one that is there already is not fetched.

        Raises:
            RemoteError: the registry does not give it.
            CorruptBlob: it is not what the descriptor says.
        """
        if layout.has(descriptor.digest, descriptor.size):
            return
        hash_of(descriptor.digest)
        with self._get(repository, f"blobs/{descriptor.digest}", {"Accept-Encoding": "identity"}) as response:
            layout.put_stream(response.iter_raw(_CHUNK), expect=descriptor)

    @contextmanager
    def _get(self, repository: str, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Opens an answer of 200, after signing in, waiting and redirects where needed."""
        import httpx

        url = self._base.join(f"/v2/{repository}/{path}")
        try:
            response = self._send(url, headers, repository)
            try:
                if response.status_code != 200:
                    raise self._refused(response, f"{repository}/{path}")
                yield response
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(
                f"{self._host} cannot be asked: {str(error) or type(error).__name__}",
                fix="check the network and the name",
            ) from error

    def _send(self, url: httpx.URL, headers: Mapping[str, str], repository: str) -> httpx.Response:
        signed_in = False
        for attempt in range(_ATTEMPTS):
            response = self._follow(url, headers, repository)
            if response.status_code == 401 and not signed_in:
                response.close()
                self._sign_in(response.headers.get_list("WWW-Authenticate"), repository)
                signed_in = True
            elif response.status_code in (429, 502, 503, 504) and attempt < _ATTEMPTS - 1:
                response.close()
                self._sleep(_wait(response.headers.get("Retry-After", ""), attempt))
            else:
                return response
        return self._follow(url, headers, repository)

    def _follow(self, url: httpx.URL, headers: Mapping[str, str], repository: str) -> httpx.Response:
        """Sends a request and follows redirects; who is not the registry gets no credentials."""
        for _ in range(_MAX_REDIRECTS):
            own = (url.scheme, url.netloc) == (self._base.scheme, self._base.netloc)
            signed = (
                {"Authorization": self._authorization[repository]} if own and repository in self._authorization else {}
            )
            response = self._client.send(
                self._client.build_request("GET", url, headers={**headers, **signed}),
                stream=True,
                follow_redirects=False,
            )
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            url = url.join(response.headers.get("Location", ""))
            if url.scheme != "https" and not (self._plain and url.scheme == "http"):
                raise RemoteError(f"{self._host} redirects to {url.scheme}://{url.host}, which is not encrypted")
        raise RemoteError(f"{self._host} redirects without end")

    def _sign_in(self, challenges: list[str], repository: str) -> None:
        """Answers a challenge: with a token for a Bearer one, with the credentials themselves for a Basic one."""
        parsed = dict(part for text in challenges for part in _challenges(text))
        if "bearer" in parsed:
            self._authorization[repository] = f"Bearer {self._token(parsed['bearer'], repository)}"
        elif "basic" in parsed and self._credentials:
            self._authorization[repository] = self._credentials.basic
        else:
            raise RemoteError(f"{self._host} wants to know who asks for {repository}", fix=f"docker login {self._host}")

    def _token(self, challenge: Mapping[str, str], repository: str) -> str:
        import httpx

        realm = httpx.URL(challenge.get("realm", ""))
        plain_host = is_loopback(realm.netloc.decode()) or (self._plain and realm.netloc == self._base.netloc)
        if realm.scheme != "https" and not (realm.scheme == "http" and plain_host):
            raise RemoteError(f"{self._host} sends to a token server that is not encrypted, {realm.host or 'nowhere'}")
        query = {"scope": f"repository:{repository}:pull"}
        if challenge.get("service"):
            query["service"] = challenge["service"]
        signed = {"Authorization": self._credentials.basic} if self._credentials else {}
        request = self._client.build_request("GET", realm.copy_merge_params(query), headers=signed)
        response = self._client.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code != 200:
                raise RemoteError(
                    f"{realm.host} gives no token for {repository} (status {response.status_code})",
                    fix=f"check the name, or sign in: docker login {self._host}",
                )
            answer = msgspec.json.decode(_read(response, _MAX_TOKEN, "the token"), type=_Token)
        except msgspec.MsgspecError as error:
            raise RemoteError(f"{realm.host} answers something else than a token") from error
        finally:
            response.close()
        token = answer.token or answer.access_token
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise RemoteError(f"{realm.host} answers something else than a token")
        return token

    def _refused(self, response: httpx.Response, what: str) -> RemoteError:
        try:
            errors = msgspec.json.decode(_read(response, 1 << 16, "the answer"))["errors"]
            text = "; ".join(f"{error['code']} {error.get('message', '')}".strip() for error in errors)[:500]
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, RemoteError, RecursionError):
            text = ""
        fix = {
            401: f"docker login {self._host}",
            403: f"docker login {self._host}",
            404: "check the name and the tag",
            429: "wait, then try again",
        }.get(response.status_code, "try again")
        reason = f": {_printable(text)}" if text else ""
        return RemoteError(f"{self._host} answers {response.status_code} for {what}{reason}", fix=fix)


def pull_image(registry: Registry, reference: ImageReference, platform: Platform, layout: Layout) -> Descriptor:
    """Fetches the image of one platform into a layout; blobs that are there already are not fetched.

    Args:
        registry: of the reference's host.
        reference: with a tag or digest.
        platform: which of its images.
        layout: where the blobs go.

    Returns:
        The descriptor of the image's manifest.

    Raises:
        RemoteError: the registry does not answer as it should.
        UsageError: it has no image for the platform.
        CorruptBlob: something is not what its digest says.
    """
    repository = reference.repository
    top, data = registry.manifest(repository, reference.digest or reference.tag)

    def read(descriptor: Descriptor) -> bytes:
        if descriptor.digest == top.digest:
            return data
        if descriptor.media_type in MANIFESTS | INDEXES:
            return registry.manifest(repository, descriptor.digest)[1]
        if descriptor.size > MAX_MANIFEST:
            raise CorruptBlob(f"{descriptor.digest} is too large for a configuration")
        registry.blob(repository, descriptor, layout)
        return layout.read(descriptor.digest)

    chosen = choose_image((top,), platform, read)
    text = read(chosen)
    for part in OciManifest.from_json(text).references:
        registry.blob(repository, part, layout)
    layout.put_bytes(text)
    return Descriptor(chosen.media_type, sha256_bytes(text), len(text), platform=chosen.platform)


def make_pull(
    find: Callable[[str, str], Credentials | None], *, insecure: bool = False
) -> Callable[[ImageReference, Platform, Layout], Descriptor]:
    """Gives a function that fetches an image from the registry that its reference names.

    Args:
        find: gives the credentials for a host and repository.
        insecure: allow plain HTTP, for any host.
    """

    def pull(reference: ImageReference, platform: Platform, layout: Layout) -> Descriptor:
        import httpx

        with httpx.Client(timeout=30) as client:
            credentials = find(reference.host, reference.repository)
            registry = Registry(reference.host, client, credentials=credentials, insecure=insecure)
            return pull_image(registry, reference, platform, layout)

    return pull


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine itself."""
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    return name in ("localhost", "::1") or bool(re.fullmatch(r"127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", name))


def _read(response: httpx.Response, limit: int, what: str) -> bytes:
    parts, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > limit:
            raise RemoteError(f"{what} is larger than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _wait(retry_after: str, attempt: int) -> float:
    """Gives how long to wait: as long as the registry says, within reason, else longer each time."""
    return min(float(retry_after), _MAX_WAIT) if re.fullmatch(r"[0-9]{1,6}", retry_after) else 2.0**attempt


def _challenges(text: str) -> Iterator[tuple[str, dict[str, str]]]:
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


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
