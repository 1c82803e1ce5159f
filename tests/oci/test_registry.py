"""A registry: what comes is checked, and credentials go to nobody else. The registry runs in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fakes.images import add_image
from fakes.registry import HOST, REPOSITORY, STORAGE, TOKENS, FakeRegistry
from shipway.errors import CorruptBlob, RemoteError, ShipwayError, UsageError
from shipway.oci.answers import Refused
from shipway.oci.credentials import Credentials
from shipway.oci.descriptor import INDEX, MANIFEST, Descriptor, Index
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry, open_registry
from shipway.oci.transfer import pull_image
from shipway.spec.image import ImageReference, Platform

AMD64 = Platform("amd64", "linux")
LOGIN = ("user", "pass:word")


@pytest.fixture
def remote(tmp_path: Path) -> FakeRegistry:
    layout = Layout.create(tmp_path / "remote")
    amd = add_image(layout, [{"a": b"1" * 1000}, {"b": b"2"}])
    arm = add_image(layout, [{"a": b"3"}], platform=Platform("arm64", "linux"))
    index = Descriptor(INDEX, *layout.put_bytes(Index((arm, amd)).to_json()))
    return FakeRegistry(layout, {"1": index, "amd": amd})


@pytest.fixture
def local(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "local")


def pull(remote: FakeRegistry, local: Layout, tag: str = "1", *, login: tuple[str, str] | None = None) -> Descriptor:
    waits: list[float] = []
    credentials = Credentials(*login) if login else None
    registry = Registry(HOST, remote.client(), find=lambda host, repository: credentials, sleep=waits.append)
    found = pull_image(registry, ImageReference.parse(f"{HOST}/team/model:{tag}"), AMD64, local)
    assert all(0 <= wait <= 30 for wait in waits)
    return found


def ask(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    """Asks a registry that answers all alike for a manifest."""
    client = httpx.Client(transport=httpx.MockTransport(answer))
    Registry(HOST, client, sleep=lambda seconds: None).manifest(REPOSITORY, "1")


def hosts_with_credentials(remote: FakeRegistry) -> set[str]:
    return {request.url.host for request in remote.seen if "Authorization" in request.headers}


def test_the_image_of_the_platform_comes_whole(remote: FakeRegistry, local: Layout) -> None:
    entry = pull(remote, local)
    assert entry.digest == remote.tags["amd"].digest
    local.update_index(lambda index: Index((entry,)))  # refuses what is not whole
    assert local.check() == []


def test_blobs_that_are_there_are_not_fetched_again(remote: FakeRegistry, local: Layout) -> None:
    pull(remote, local)
    before = len(remote.seen)
    pull(remote, local)
    assert not any("/blobs/" in request.url.path for request in remote.seen[before:])


def test_a_digest_names_the_image_too(remote: FakeRegistry, local: Layout) -> None:
    digest = remote.tags["amd"].digest
    reference = ImageReference.parse(f"{HOST}/team/model@{digest}")
    assert pull_image(Registry(HOST, remote.client()), reference, AMD64, local).digest == digest


@pytest.mark.parametrize(("auth", "login"), [("bearer", None), ("bearer", LOGIN), ("basic", LOGIN)])
def test_it_signs_in_as_it_is_asked_to(
    remote: FakeRegistry, local: Layout, auth: str, login: tuple[str, str] | None
) -> None:
    remote.auth, remote.login = auth, login
    pull(remote, local, login=login)
    assert hosts_with_credentials(remote) == {HOST} | ({TOKENS} if auth == "bearer" and login else set())


def test_storage_on_another_host_gets_no_credentials(remote: FakeRegistry, local: Layout) -> None:
    remote.auth, remote.login, remote.redirect = "bearer", LOGIN, True
    pull(remote, local, login=LOGIN)
    assert any(request.url.host == STORAGE for request in remote.seen)
    assert STORAGE not in hosts_with_credentials(remote)


@pytest.mark.parametrize("auth", ["bearer", "basic"])
def test_who_may_not_is_told_how_to_sign_in(remote: FakeRegistry, local: Layout, auth: str) -> None:
    remote.auth, remote.login = auth, LOGIN
    with pytest.raises(RemoteError) as caught:
        pull(remote, local)
    assert "docker login" in caught.value.fix


def test_a_token_server_without_encryption_gets_nothing(remote: FakeRegistry, local: Layout) -> None:
    remote.auth, remote.login, remote.realm = "bearer", LOGIN, f"http://{TOKENS}/token"
    with pytest.raises(RemoteError):
        pull(remote, local, login=LOGIN)
    assert hosts_with_credentials(remote) == set()


def test_a_busy_registry_is_asked_again(remote: FakeRegistry, local: Layout) -> None:
    remote.refuse = [(429, {"Retry-After": "7"}), (503, {"Retry-After": "999999"}), (503, {})]
    pull(remote, local)


def test_but_not_for_ever(remote: FakeRegistry, local: Layout) -> None:
    remote.refuse = [(503, {})] * 100
    with pytest.raises(RemoteError):
        pull(remote, local)
    assert len(remote.seen) < 10


def test_redirects_end(local: Layout) -> None:
    def again(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"Location": str(request.url)})

    with pytest.raises(RemoteError, match="without end"):
        ask(again)


def test_a_redirect_to_plain_http_is_refused(local: Layout) -> None:
    def plain(request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https"
        return httpx.Response(307, headers={"Location": "http://storage.test/x"})

    with pytest.raises(RemoteError):
        ask(plain)


@pytest.mark.parametrize("change", [lambda b: b + b" ", lambda b: b[:-1], lambda b: b"x" * len(b), lambda b: b""])
@pytest.mark.parametrize("tag", ["1", "amd"])
def test_a_blob_or_manifest_with_other_bytes_is_refused(
    remote: FakeRegistry, local: Layout, change: object, tag: str
) -> None:
    remote.tamper = lambda path, body: change(body) if "sha256:" in path else body  # type: ignore[operator]
    with pytest.raises(CorruptBlob):
        pull(remote, local, tag)
    assert local.check() == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[" * 100_000, b"x" * (5 << 20)], ids=["empty", "html", "deep", "huge"]
)
def test_a_strange_manifest_is_refused(remote: FakeRegistry, local: Layout, body: bytes) -> None:
    remote.tamper = lambda path, data: body
    with pytest.raises(ShipwayError):
        pull(remote, local)


def test_what_is_no_image_is_refused(local: Layout) -> None:
    with pytest.raises(RemoteError, match="text/html"):
        ask(lambda request: httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}))


def test_an_unknown_tag_is_said_with_the_registrys_own_words(remote: FakeRegistry, local: Layout) -> None:
    with pytest.raises(RemoteError, match=r"404.*MANIFEST_UNKNOWN no such. tag") as caught:
        pull(remote, local, "nowhere")
    assert caught.value.message.isprintable()


def test_a_registry_that_cannot_be_reached_is_said(local: Layout) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(RemoteError, match="refused"):
        ask(refuse)


def test_no_platform_is_an_error_that_names_those_there_are(remote: FakeRegistry, local: Layout) -> None:
    registry = Registry(HOST, remote.client())
    with pytest.raises(UsageError, match="linux/arm64, linux/amd64"):
        pull_image(registry, ImageReference.parse(f"{HOST}/team/model:1"), Platform("s390x", "linux"), local)


@pytest.mark.parametrize(
    ("host", "scheme", "insecure"),
    [("localhost:5000", "https", False), ("registry.test", "https", False), ("registry.test", "http", True)],
)
def test_plain_http_is_spoken_where_that_is_told(host: str, scheme: str, insecure: bool) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.scheme)
        return httpx.Response(404)

    with pytest.raises(RemoteError):
        Registry(host, httpx.Client(transport=httpx.MockTransport(answer)), insecure=insecure).manifest("m", "1")
    assert seen == [scheme]


@pytest.mark.parametrize("declared", [True, False])
def test_a_manifest_of_100_mb_is_not_read(declared: bool) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1600):
            read += 1 << 16
            yield b" " * (1 << 16)

    headers = {"Content-Type": MANIFEST, **({"Content-Length": str(100 << 20)} if declared else {})}
    with pytest.raises(RemoteError, match="larger than 4194304 bytes"):
        ask(lambda request: httpx.Response(200, headers=headers, content=pieces()))
    assert read <= (0 if declared else 5 << 20)


def test_a_manifest_is_stored_under_each_name(remote: FakeRegistry) -> None:
    registry = Registry(HOST, remote.client())
    descriptor, data = registry.manifest(REPOSITORY, "amd")
    for name in ("new", descriptor.digest):
        registry.put_manifest(REPOSITORY, name, descriptor, data)
        assert registry.manifest(REPOSITORY, name) == (descriptor, data)


def test_a_registry_that_stores_other_bytes_is_caught(remote: FakeRegistry) -> None:
    registry = Registry(HOST, remote.client())
    descriptor, data = registry.manifest(REPOSITORY, "amd")
    other = {"Docker-Content-Digest": sha256_bytes(b"other")}
    remote.answer = lambda request: httpx.Response(201, headers=other)
    with pytest.raises(RemoteError, match="byte for byte"):
        registry.put_manifest(REPOSITORY, "new", descriptor, data)


def test_a_manifest_with_a_digest_that_cannot_be_checked_is_not_asked_for(remote: FakeRegistry) -> None:
    with pytest.raises(CorruptBlob):
        Registry(HOST, remote.client()).manifest(REPOSITORY, "md5:d41d8cd98f00b204e9800998ecf8427e")
    assert remote.seen == []


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_all_tags_come_however_they_are_paged(remote: FakeRegistry, page: int) -> None:
    remote.tags |= dict.fromkeys(("b", "a", "2.0"), remote.tags["amd"])
    remote.page = page
    assert Registry(HOST, remote.client()).tags(REPOSITORY) == ("1", "2.0", "a", "amd", "b")


def test_an_unknown_repository_can_be_told_from_other_refusals(remote: FakeRegistry) -> None:
    with pytest.raises(Refused) as caught:
        Registry(HOST, remote.client()).tags("nobody/nothing")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("body", "link"),
    [
        (b'{"tags": ["a"]}', '</v2/team/model/tags/list?n=1>; rel="next"'),
        (b'{"tags": ["a"]}', '<https://elsewhere.test/v2/team/model/tags/list>; rel="next"'),
        (b'{"tags": ["\\u001b[2J"]}', ""),
        (b'{"tags": 1}', ""),
        (b"<html>", ""),
    ],
    ids=["for ever the same", "another host", "no tags", "no list", "no JSON"],
)
def test_a_strange_list_of_tags_is_refused(body: bytes, link: str) -> None:
    hosts = set()

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.add(request.url.host)
        return httpx.Response(200, content=body, headers={"Link": link})

    with pytest.raises(RemoteError):
        Registry(HOST, httpx.Client(transport=httpx.MockTransport(answer))).tags(REPOSITORY)
    assert hosts == {HOST}


def test_a_repository_without_tags_has_none() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"tags": None})))
    assert Registry(HOST, client).tags(REPOSITORY) == ()


@pytest.mark.parametrize(("status", "fix"), [(401, "docker login"), (403, "docker login"), (404, "check the name"),
                                             (429, "wait"), (500, "log"), (503, "log")])  # fmt: skip
def test_each_refusal_says_what_to_do(status: int, fix: str) -> None:
    with pytest.raises(RemoteError, match=f"answers {status} to GET {REPOSITORY}/manifests/1") as caught:
        ask(lambda request: httpx.Response(status))
    assert fix in caught.value.fix


def test_what_is_no_host_is_said() -> None:
    with pytest.raises(RemoteError), open_registry("a:b:c", lambda host, repository: None):
        pass
