"""Requests to the API server and their answers: limits, time-outs, what is asked again, and what a failure means."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from shipway.deploy.kubernetes.api.refusals import Asked, read_refusal, refuse
from shipway.errors import ShipwayError, TargetError

if TYPE_CHECKING:
    import httpx

    from shipway.deploy.kubernetes.api.access import Access

__all__ = ["ANSWER_LIMIT", "Connection", "split_lines"]

ANSWER_LIMIT = 64 << 20
"""Bytes of an answer that is read whole; etcd keeps no object of more than 1.5 MiB, and a page has 250."""

_REFUSAL_LIMIT = 1 << 20
_ATTEMPTS = 6
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_PAUSE = 0.2
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_SHORTEST_READ_SECONDS = 5.0
_BUSY = frozenset({429, 503, 504})
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')

Result = TypeVar("Result")


class _Passing(Exception):
    """A failure that has to do with the moment, not with what was asked.

    Args:
        error: what is raised where it does not pass.
        wait: seconds after which to try again; 0 where that is not said.
        again: whether to try again at all.
        perhaps_done: whether the request may have been carried out.
    """

    def __init__(
        self, error: ShipwayError, wait: float = 0.0, *, again: bool = True, perhaps_done: bool = True
    ) -> None:
        super().__init__()
        self.error, self.wait, self.again, self.perhaps_done = error, wait, again, perhaps_done


class Connection:
    """Carries requests to one API server. Safe to use from threads.

    Args:
        access: which server; for messages.
        client: of httpx; adds the credentials.
        warn: told each of the server's warnings once.
        sleep: waits for some seconds; None for a way that `close` ends.
    """

    def __init__(
        self,
        access: Access,
        client: httpx.Client,
        warn: Callable[[str], None],
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._access, self._client, self._warn = access, client, warn
        self._server, self._context = access.server, access.context
        self._ended = threading.Event()
        self._sleep = sleep or self._ended.wait
        self._lock = threading.Lock()
        self._streams: set[httpx.Response] = set()
        self._warned: set[str] = set()
        self._reached = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._ended.is_set()

    def branch(self) -> Connection:
        """Gives one over the same client whose streams end by themselves: `end` it, and this one goes on."""
        branch = Connection(self._access, self._client, self._warn)
        branch._reached, branch._warned = self._reached, self._warned
        return branch

    def end(self) -> None:
        """Ends the streams that run in other threads; the client stays open."""
        self._ended.set()
        with self._lock:
            streams = list(self._streams)
        for response in streams:
            _hang_up(response)

    def close(self) -> None:
        """Ends the streams that run in other threads, and the connections."""
        self.end()
        self._client.close()

    def pause(self, deadline: float) -> None:
        """Waits a moment, at most until `deadline`, so that a stream that ends at once is not opened without pause."""
        self._sleep(max(0.0, min(_PAUSE, deadline - time.monotonic())))

    def send(
        self,
        method: str,
        path: str,
        asked: Asked,
        *,
        query: Mapping[str, str] = {},
        content: bytes | None = None,
        content_type: str = "",
        safe: bool = True,
        attempts: int = _ATTEMPTS,
    ) -> bytes:
        """Sends a request and gives the answer's body.

        Args:
            method: of HTTP.
            path: under the server's URL.
            asked: what it is, in words.
            query: of the URL.
            content: body of the request.
            content_type: of the body.
            safe: doing it twice does no harm.
            attempts: how often it is sent where the failure may pass.

        Raises:
            ShipwayError: as `refuse` gives it; TargetError where there is no answer, or one of more than 64 MiB.
        """
        headers = {"Content-Type": content_type} if content is not None else {}
        request = self._client.build_request(
            method,
            self._url(path),
            params=dict(query) or None,
            content=content,
            headers=headers,
            timeout=_timeout(_READ_SECONDS),
        )

        def attempt() -> bytes:
            response = self._start(request, asked)
            with self._failures(), _closing(response):
                return self._bounded(response, ANSWER_LIMIT)

        return self._repeat(attempt, attempts, safe=safe)

    def lines(
        self,
        path: str,
        query: Mapping[str, str],
        asked: Asked,
        *,
        longest: int,
        cut: bool = False,
        deadline: float | None = None,
    ) -> Iterator[bytes]:
        """Gives an answer line by line while it comes.

        Args:
            path: under the server's URL.
            query: of the URL.
            asked: what it is, in words.
            longest: bytes of a line.
            cut: longer lines are cut rather than refused.
            deadline: on the monotonic clock, when to end. A connection that breaks ends it too, for the caller goes on
                from where it was.

        Raises:
            ShipwayError: as in `send`.
        """
        left = None if deadline is None else max(_SHORTEST_READ_SECONDS, deadline - time.monotonic())
        request = self._client.build_request("GET", self._url(path), params=dict(query) or None, timeout=_timeout(left))
        response = self._repeat(lambda: self._start(request, asked), _ATTEMPTS, safe=True)
        with self._lock:
            self._streams.add(response)
        try:
            with self._failures(), _closing(response):
                for line in split_lines(response.iter_bytes(), longest, cut=cut):
                    yield line
                    if self.closed or (deadline is not None and time.monotonic() >= deadline):
                        return
        except _Passing as passing:
            if not self.closed and deadline is None:
                raise passing.error from passing.__cause__
        finally:
            with self._lock:
                self._streams.discard(response)

    def _url(self, path: str) -> str:
        return self._server.rstrip("/") + path

    def _repeat(self, attempt: Callable[[], Result], attempts: int, *, safe: bool) -> Result:
        for number in range(attempts):
            try:
                return attempt()
            except _Passing as passing:
                harmless = safe or not passing.perhaps_done
                if number == attempts - 1 or self.closed or not (passing.again and harmless):
                    raise passing.error from passing.__cause__
                self._sleep(min(passing.wait or _FIRST_WAIT * 2**number, _LONGEST_WAIT))
        raise AssertionError("no attempt was asked for")

    def _start(self, request: httpx.Request, asked: Asked) -> httpx.Response:
        """Sends a request and gives its answer, a success, with the body still to be read."""
        if self.closed:
            raise TargetError(f"the connection to context {self._context} is closed")
        with self._failures():
            response = self._client.send(request, stream=True)
            self._reached = True
            self._pass_on_warnings(response)
            if response.is_success:
                return response
            with _closing(response):
                body = self._bounded(response, _REFUSAL_LIMIT)
        refusal = read_refusal(response.status_code, body, response.headers)
        error = refuse(refusal, asked)
        if refusal.code in _BUSY:
            # What is refused for now (429) was not begun; of a time-out at the server that is not known.
            raise _Passing(error, refusal.retry_after, perhaps_done=refusal.code != 429)
        raise error

    def _bounded(self, response: httpx.Response, limit: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > limit:
                raise TargetError(f"{self._server} answers with more than {limit >> 20} MiB")
        return bytes(body)

    def _pass_on_warnings(self, response: httpx.Response) -> None:
        for text in response.headers.get_list("warning"):
            for quoted in _WARNING.findall(text):
                with self._lock:
                    known = quoted in self._warned
                    self._warned.add(quoted)
                if not known:
                    self._warn(re.sub(r"\\(.)", r"\1", quoted))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns what httpx raises into `_Passing` or the error that it means."""
        import httpx

        try:
            yield
        except (httpx.RequestError, OSError, RuntimeError) as error:
            if self.closed:
                raise _Passing(TargetError(f"the connection to context {self._context} is closed")) from error
            if not isinstance(error, httpx.RequestError):
                raise
            raise self._failure(error) from error

    def _failure(self, error: httpx.RequestError) -> Exception:
        """Says what it means that there is no answer; `_Passing` where the next attempt may get one."""
        import httpx

        where = f"the cluster of context {self._context} at {self._server}"
        fix = f"`kubectl --context {self._context} cluster-info` tries the same; is it the right --context?"
        reason = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            said = reason.partition("verify failed: ")[2].partition(" (_ssl")[0] or reason
            return TargetError(
                f"the certificate of {where} is not to be trusted: {said}",
                fix="check certificate-authority-data and tls-server-name in kubeconfig, or fetch it anew",
            )
        if isinstance(error, httpx.ProxyError):
            return TargetError(f"the proxy on the way to {where} refuses: {reason}", fix="check proxy-url, HTTPS_PROXY")
        if isinstance(error, httpx.TimeoutException):
            return _Passing(TargetError(f"{where} does not answer in time", fix=fix), again=False)
        if isinstance(error, httpx.ConnectError):
            failure = TargetError(f"{where} cannot be reached: {reason}", fix=fix)
            # A server that never answered is more likely a wrong address than one that is just being restarted.
            return _Passing(failure, perhaps_done=False) if self._reached and "[SSL" not in reason else failure
        return _Passing(TargetError(f"the connection to {where} broke: {reason}", fix=fix))


def split_lines(chunks: Iterable[bytes], longest: int, *, cut: bool = False) -> Iterator[bytes]:
    """Gives the lines of a stream without their ends; never keeps more than `longest` bytes and a chunk.

    Args:
        chunks: of the stream.
        longest: bytes of a line.
        cut: the rest of a longer line is left out, rather than refused.

    Raises:
        TargetError: a line is longer.
    """
    kept, skipping = b"", False
    for chunk in chunks:
        *whole, kept = (kept + chunk).split(b"\n")
        for line in whole:
            if not skipping:
                yield _fitting(line, longest, cut=cut)
            skipping = False
        if skipping:
            kept = b""
        elif len(kept) > longest:
            yield _fitting(kept, longest, cut=cut)
            kept, skipping = b"", True
    if kept:
        yield _fitting(kept, longest, cut=cut)


def _fitting(line: bytes, longest: int, *, cut: bool) -> bytes:
    if len(line) <= longest:
        return line
    if not cut:
        raise TargetError(f"the cluster sends a line of more than {longest >> 20} MiB")
    return line[:longest] + "…".encode()


def _timeout(read: float | None) -> httpx.Timeout:
    import httpx

    return httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS, read=read)


@contextmanager
def _closing(response: httpx.Response) -> Iterator[None]:
    try:
        yield
    finally:
        response.close()


def _hang_up(response: httpx.Response) -> None:
    """Ends a connection that another thread waits on: closing its descriptor alone would not wake that thread."""
    stream = response.extensions.get("network_stream")
    wire = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(wire, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(wire, socket.SHUT_RDWR)
