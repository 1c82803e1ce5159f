"""A blob on its way out of a registry: on from where it was cut, and never other bytes than its digest says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fakes.registry import HOST, REPOSITORY, STORAGE, FakeRegistry
from shipway.errors import CorruptBlob, RemoteError, ShipwayError
from shipway.oci import download as download_room
from shipway.oci.descriptor import LAYER_TAR, Descriptor
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry

DATA = bytes(range(256)) * 40
BLOB = Descriptor(LAYER_TAR, sha256_bytes(DATA), len(DATA))


@pytest.fixture
def remote(tmp_path: Path) -> FakeRegistry:
    layout = Layout.create(tmp_path / "remote")
    layout.put_bytes(DATA)
    return FakeRegistry(layout, {})


@pytest.fixture
def local(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "local")


def get(remote: FakeRegistry, local: Layout) -> int:
    """Fetches the blob; gives how many of its bytes were told of."""
    told: list[int] = []
    registry = Registry(HOST, remote.client(), sleep=lambda seconds: None)
    registry.blob(REPOSITORY, BLOB, local, tell=told.append)
    return sum(told)


@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 5000, len(DATA) - 1, len(DATA)])
def test_it_goes_on_where_it_was_cut(
    remote: FakeRegistry, local: Layout, cut: int, ranges: bool, redirect: bool
) -> None:
    remote.cut_downloads, remote.ranges, remote.redirect = [cut], ranges, redirect
    assert get(remote, local) == BLOB.size
    assert local.is_intact(BLOB.digest)
    host = STORAGE if redirect else HOST
    asked = [request.headers.get("Range") for request in remote.seen if request.url.host == host]
    assert asked == [None, *([f"bytes={cut}-" if cut else None] if cut < len(DATA) else [])]


def test_a_bad_line_that_makes_headway_is_no_error(
    remote: FakeRegistry, local: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_room, "HEADWAY", 100)
    remote.cut_downloads = [500] * 15
    assert get(remote, local) == BLOB.size


def test_a_line_that_makes_none_is(remote: FakeRegistry, local: Layout) -> None:
    remote.cut_downloads = [0] * 100
    with pytest.raises(RemoteError, match="cut"):
        get(remote, local)
    assert len(remote.seen) < 10
    assert local.check() == []


@pytest.mark.parametrize("header", ["bytes 7000-10239/10240", "bytes 5000-10239/99", "bytes 0-", ""])
def test_another_part_than_was_asked_for_is_refused(remote: FakeRegistry, local: Layout, header: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response | None:
        if "Range" not in request.headers:
            return None
        return httpx.Response(206, headers={"Content-Range": header}, stream=httpx.ByteStream(DATA[5000:]))

    remote.cut_downloads, remote.answer = [5000], answer
    with pytest.raises(ShipwayError):
        get(remote, local)
    assert not local.has(BLOB.digest, BLOB.size)


def test_a_part_that_begins_before_is_taken_up_where_it_is_needed(remote: FakeRegistry, local: Layout) -> None:
    def answer(request: httpx.Request) -> httpx.Response | None:
        if "Range" not in request.headers:
            return None
        return httpx.Response(
            206, headers={"Content-Range": "bytes 4096-10239/10240"}, stream=httpx.ByteStream(DATA[4096:])
        )

    remote.cut_downloads, remote.answer = [5000], answer
    assert get(remote, local) == BLOB.size


@pytest.mark.parametrize("change", [lambda b: b + b"x", lambda b: b[:-1], lambda b: b[:-1] + b"x", lambda b: b""])
def test_other_bytes_are_refused_and_leave_nothing(remote: FakeRegistry, local: Layout, change: object) -> None:
    remote.tamper = lambda path, body: change(body)  # type: ignore[operator]
    with pytest.raises(CorruptBlob):
        get(remote, local)
    assert local.check() == []
    assert list((local.path / "blobs" / "sha256").iterdir()) == []


def test_a_size_that_cannot_be_is_refused_before_a_byte_is_read(local: Layout) -> None:
    def pieces() -> Iterator[bytes]:
        raise AssertionError("read")
        yield

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Length": "123456789"}, content=pieces())

    with pytest.raises(CorruptBlob, match="123456789"):
        Registry(HOST, httpx.Client(transport=httpx.MockTransport(answer))).blob(REPOSITORY, BLOB, local)


@contextmanager
def raw_registry(answers: list[bytes]) -> Iterator[str]:
    """A server that answers each connection with the next of these bytes, then closes it; gives its host."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def get_raw(answers: list[bytes], local: Layout) -> None:
    with raw_registry(answers) as host, httpx.Client(trust_env=False) as client:
        Registry(host, client, insecure=True, sleep=lambda seconds: None).blob(REPOSITORY, BLOB, local)


def head(length: int, extra: str = "") -> bytes:
    return f"HTTP/1.1 {'206 P' if extra else '200 OK'}\r\nContent-Length: {length}\r\n{extra}\r\n".encode()


def test_on_a_real_line_a_cut_is_mended(local: Layout) -> None:
    """What httpx makes of a connection that closes in the middle of a body."""
    rest = head(len(DATA) - 4000, f"Content-Range: bytes 4000-{len(DATA) - 1}/{len(DATA)}\r\n") + DATA[4000:]
    get_raw([head(len(DATA)) + DATA[:4000], rest], local)
    assert local.is_intact(BLOB.digest)


@pytest.mark.parametrize("length", [0, 1, len(DATA) - 1, len(DATA) + 1, 1 << 40])
def test_on_a_real_line_a_lying_content_length_is_refused(local: Layout, length: int) -> None:
    with pytest.raises(CorruptBlob, match=f"the registry says {length}"):
        get_raw([head(length) + DATA] * 4, local)


def test_on_a_real_line_a_body_without_end_is_refused(local: Layout) -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 20
    with pytest.raises(CorruptBlob, match="more than"):
        get_raw([endless] * 4, local)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 ", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_on_a_real_line_what_is_no_answer_is_an_error_of_ours(local: Layout, answer: bytes) -> None:
    with pytest.raises(RemoteError, match="cannot be asked"):
        get_raw([answer] * 4, local)


def test_nobody_at_home_is_said(local: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(trust_env=False) as client, pytest.raises(RemoteError, match=host):
        Registry(host, client, insecure=True, sleep=lambda seconds: None).manifest(REPOSITORY, "1")
