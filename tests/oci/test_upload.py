"""A blob on its way into a registry: only where it is not to be had otherwise, and on from where it was cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fakes.registry import HOST, OTHER, REPOSITORY, STORAGE, FakeRegistry
from shipway.errors import CorruptBlob, RemoteError
from shipway.oci import upload as upload_room
from shipway.oci.credentials import Credentials
from shipway.oci.descriptor import LAYER_TAR, Descriptor
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry
from shipway.oci.upload import Placed

LOGIN = ("user", "pass:word")
DATA = bytes(range(256)) * 40
BLOB = Descriptor(LAYER_TAR, sha256_bytes(DATA), len(DATA))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and chunks so small that a blob of 10 kB has many of them."""
    monkeypatch.setattr(upload_room, "_BLOCK", 300)
    monkeypatch.setattr(upload_room, "_CHUNK", 3000)
    monkeypatch.setattr(upload_room, "HEADWAY", 100)


@pytest.fixture
def remote(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(Layout.create(tmp_path / "remote"), {})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


def put(remote: FakeRegistry, source: Path, *, blob: Descriptor = BLOB, mount_from: tuple[str, ...] = ()) -> Placed:
    registry = Registry(HOST, remote.client(), find=lambda *_: Credentials(*LOGIN), sleep=lambda _: None)
    return registry.put_blob(REPOSITORY, blob, source, mount_from=mount_from)


def stored(remote: FakeRegistry, blob: Descriptor = BLOB) -> bool:
    return blob.digest in remote.blobs[REPOSITORY] and remote.layout.is_intact(blob.digest)


@pytest.mark.parametrize("size", [0, 1, 299, 300, 2999, 3000, 3001, 9000, 10_000])
def test_a_blob_of_any_size_arrives_and_each_byte_travels_once(remote: FakeRegistry, tmp_path: Path, size: int) -> None:
    (tmp_path / "blob").write_bytes(DATA[:size])
    blob = Descriptor(LAYER_TAR, sha256_bytes(DATA[:size]), size)
    assert put(remote, tmp_path / "blob", blob=blob) == Placed("sent", size)
    assert stored(remote, blob)
    assert remote.received == size
    assert len(remote.calls("PATCH")) == max(0, size - 1) // 3000


def test_what_is_there_is_not_sent(remote: FakeRegistry, source: Path) -> None:
    put(remote, source)
    assert put(remote, source) == Placed("there")
    assert remote.received == BLOB.size


@pytest.mark.parametrize("auth", ["none", "bearer", "basic"])
def test_what_another_repository_has_is_taken_over_there(remote: FakeRegistry, source: Path, auth: str) -> None:
    remote.auth, remote.login = auth, LOGIN
    remote.layout.put_bytes(DATA)
    remote.blobs[OTHER] = {BLOB.digest}
    assert put(remote, source, mount_from=("nobody/nothing", REPOSITORY, OTHER)) == Placed("mounted")
    assert stored(remote)
    assert remote.received == 0


@pytest.mark.parametrize("why", ["it has it not", "no mounts", "no right to read there", "refused"])
def test_what_cannot_be_mounted_is_sent(remote: FakeRegistry, source: Path, why: str) -> None:
    remote.layout.put_bytes(DATA)
    remote.blobs[OTHER] = set() if why == "it has it not" else {BLOB.digest}
    remote.mounts = why != "no mounts"
    if why == "no right to read there":
        remote.auth, remote.login, remote.allowed = "bearer", LOGIN, {REPOSITORY}
    if why == "refused":
        remote.answer = lambda request: httpx.Response(405) if "from" in request.url.params else None
    assert put(remote, source, mount_from=(OTHER,)) == Placed("sent", BLOB.size)
    assert stored(remote)
    assert remote._sessions == {}  # what was begun instead of a mount is used, or given up


def test_chunks_are_as_large_as_the_registry_wants(remote: FakeRegistry, source: Path) -> None:
    remote.least_chunk = 4000
    put(remote, source)
    assert [int(request.headers["Content-Length"]) for request in remote.calls("PATCH")] == [4000, 4000]


@pytest.mark.parametrize("absolute", [True, False])
def test_each_answer_says_where_to_go_on(remote: FakeRegistry, source: Path, absolute: bool) -> None:
    remote.absolute = absolute
    put(remote, source)
    assert stored(remote)


def test_an_upload_to_another_host_carries_no_credentials(remote: FakeRegistry, source: Path) -> None:
    remote.auth, remote.login, remote.redirect = "bearer", LOGIN, True
    put(remote, source)
    assert stored(remote)
    elsewhere = [request for request in remote.seen if request.url.host == STORAGE]
    assert elsewhere
    assert all("Authorization" not in request.headers for request in elsewhere)


def test_a_redirected_upload_keeps_its_body_and_leaves_credentials_behind(remote: FakeRegistry, source: Path) -> None:
    remote.auth, remote.login = "bearer", LOGIN

    def redirect(request: httpx.Request) -> httpx.Response | None:
        if request.method not in ("PATCH", "PUT") or request.url.host != HOST:
            return None
        name = request.url.path.rpartition("/")[2]
        return httpx.Response(307, headers={"Location": f"https://{STORAGE}/{name}?{request.url.query.decode()}"})

    remote.answer = redirect
    put(remote, source)
    assert stored(remote)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_upload_that_is_redirected_without_end_is_an_error(remote: FakeRegistry, source: Path, status: int) -> None:
    def again(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PATCH":
            return httpx.Response(status, headers={"Location": str(request.url)})
        return None

    remote.answer = again
    with pytest.raises(RemoteError):
        put(remote, source)
    assert len(remote.seen) < 30


@pytest.mark.parametrize("auth", ["none", "bearer"])
@pytest.mark.parametrize("cut", [0, 1, 299, 300, 1500, 2999, 3000])
def test_it_goes_on_where_it_was_cut(remote: FakeRegistry, source: Path, cut: int, auth: str) -> None:
    remote.auth, remote.login = auth, LOGIN
    remote.cut_uploads = [cut, cut]
    placed = put(remote, source)
    assert stored(remote)
    # One byte may be asked for again: an empty session and one of one byte are not told apart.
    assert BLOB.size <= remote.received <= BLOB.size + 2
    assert placed.sent_bytes <= BLOB.size + 2 * 3000


@pytest.mark.parametrize("cut", [0, 1000, 9999])
def test_a_session_that_is_lost_is_begun_anew(remote: FakeRegistry, source: Path, cut: int) -> None:
    remote.forgets, remote.cut_uploads = True, [cut]
    put(remote, source)
    assert stored(remote)


def test_a_blob_that_arrived_though_the_answer_did_not_is_not_sent_again(remote: FakeRegistry, source: Path) -> None:
    remote.cut_answers = 1
    put(remote, source)
    assert stored(remote)
    assert remote.received == BLOB.size


def test_a_connection_that_is_always_cut_at_the_same_place_ends_in_an_error(remote: FakeRegistry, source: Path) -> None:
    remote.cut_uploads = [0] * 100
    with pytest.raises(RemoteError, match="cut"):
        put(remote, source)
    assert len(remote.seen) < 30
    assert remote._sessions == {}  # given up


def test_a_bad_line_that_makes_headway_is_no_error(remote: FakeRegistry, source: Path) -> None:
    remote.cut_uploads = [600] * 15
    put(remote, source)
    assert stored(remote)


def test_a_registry_without_chunks_gets_it_at_once(remote: FakeRegistry, source: Path) -> None:
    remote.chunks = False
    put(remote, source)
    assert stored(remote)
    assert int(remote.calls("PUT")[-1].headers["Content-Length"]) == BLOB.size


def test_tokens_that_run_out_in_the_middle_are_fetched_anew(remote: FakeRegistry, source: Path) -> None:
    remote.auth, remote.login, remote.token_uses = "bearer", LOGIN, 1
    put(remote, source)
    assert stored(remote)
    assert remote.received == BLOB.size


def test_a_busy_registry_is_waited_for(remote: FakeRegistry, source: Path) -> None:
    busy = iter([429, 503, 429])

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PATCH" or not (status := next(busy, 0)):
            return None
        return httpx.Response(status, headers={"Retry-After": "3"})

    remote.answer = answer
    put(remote, source)
    assert stored(remote)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [401, 403, 413, 500])
def test_a_refusal_at_any_step_is_said_and_leaves_no_session(
    remote: FakeRegistry, source: Path, method: str, status: int
) -> None:
    remote.answer = lambda request: httpx.Response(status) if request.method == method else None
    with pytest.raises(RemoteError, match=f"answers {status} to {method}") as caught:
        put(remote, source)
    assert caught.value.fix
    assert remote._sessions == {}


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data[1:], lambda data: data[:-1] + b"x"],
    ids=["shorter", "longer", "first byte", "last byte"],
)
@pytest.mark.parametrize("chunk", [3000, 1 << 20])
def test_a_file_with_other_bytes_never_becomes_a_blob(
    remote: FakeRegistry, source: Path, change: object, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_room, "_CHUNK", chunk)
    source.write_bytes(change(DATA))  # type: ignore[operator]
    with pytest.raises(CorruptBlob):
        put(remote, source)
    assert not stored(remote)
    assert remote._sessions == {}
    assert remote.received < BLOB.size


def test_a_file_that_shrinks_while_it_is_read_is_said(remote: FakeRegistry, source: Path) -> None:
    def shrink(request: httpx.Request) -> None:
        if request.method == "PATCH":
            source.write_bytes(DATA[:3500])

    remote.answer = shrink
    with pytest.raises(CorruptBlob, match="ends early"):
        put(remote, source)


def test_a_registry_that_says_another_digest_is_caught(remote: FakeRegistry, source: Path) -> None:
    other = {"Docker-Content-Digest": sha256_bytes(b"other")}
    remote.answer = lambda request: httpx.Response(201, headers=other) if request.method == "PUT" else None
    with pytest.raises(RemoteError, match="stored"):
        put(remote, source)


@pytest.mark.parametrize("header", ["0-999999", "0-9223372036854775807"])
def test_a_registry_that_has_more_than_was_sent_is_caught(remote: FakeRegistry, source: Path, header: str) -> None:
    def lie(request: httpx.Request) -> httpx.Response | None:
        headers = {"Location": "/v2/team/model/blobs/uploads/x?state=a%2Fb%3D", "Range": header}
        return httpx.Response(202, headers=headers) if request.method == "PATCH" else None

    remote.answer = lie
    with pytest.raises(RemoteError, match="was sent fewer"):
        put(remote, source)


def test_a_registry_that_takes_nothing_is_not_sent_chunks_for_ever(remote: FakeRegistry, source: Path) -> None:
    def swallow(request: httpx.Request) -> httpx.Response | None:
        headers = {"Location": str(request.url), "Range": "0-0"}
        return httpx.Response(202, headers=headers) if request.method == "PATCH" else None

    remote.answer = swallow
    with pytest.raises(RemoteError, match="took nothing"):
        put(remote, source)
    assert len(remote.seen) < 30


def test_a_session_without_a_place_is_said(remote: FakeRegistry, source: Path) -> None:
    remote.answer = lambda request: httpx.Response(202) if request.method == "POST" else None
    with pytest.raises(RemoteError, match="where to go on"):
        put(remote, source)


def test_no_more_than_a_block_is_held_in_memory(remote: FakeRegistry, source: Path) -> None:
    largest = 0

    class Watching(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            stream = request.stream
            assert isinstance(stream, httpx.SyncByteStream)
            request.stream = _Watched(stream)
            return remote.handle_request(request)

    class _Watched(httpx.SyncByteStream):
        def __init__(self, inner: httpx.SyncByteStream) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            nonlocal largest
            for piece in self._inner:
                largest = max(largest, len(piece))
                yield piece

    Registry(HOST, httpx.Client(transport=Watching())).put_blob(REPOSITORY, BLOB, source)
    assert stored(remote)
    assert largest == 300
