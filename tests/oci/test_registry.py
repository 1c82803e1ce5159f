"""A pull: what comes is checked, and credentials go to nobody else. The registry runs in this process."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import msgspec
import pytest

from fakes.images import add_image
from fakes.registry import HOST, STORAGE, TOKENS, FakeRegistry
from shipway.errors import CorruptBlob, RemoteError, ShipwayError, UsageError
from shipway.oci.credentials import Credentials, find_credentials
from shipway.oci.descriptor import INDEX, Descriptor, Index
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry, is_loopback, pull_image
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
    registry = Registry(HOST, remote.client(), credentials=credentials, sleep=waits.append)
    found = pull_image(registry, ImageReference.parse(f"{HOST}/team/model:{tag}"), AMD64, local)
    assert all(0 <= wait <= 30 for wait in waits)
    return found


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

    registry = Registry(HOST, httpx.Client(transport=httpx.MockTransport(again)))
    with pytest.raises(RemoteError):
        registry.manifest("team/model", "1")


def test_a_redirect_to_plain_http_is_refused(local: Layout) -> None:
    def plain(request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https"
        return httpx.Response(307, headers={"Location": "http://storage.test/x"})

    with pytest.raises(RemoteError):
        Registry(HOST, httpx.Client(transport=httpx.MockTransport(plain))).manifest("team/model", "1")


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
    page = httpx.MockTransport(
        lambda request: httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"})
    )
    with pytest.raises(RemoteError, match="text/html"):
        Registry(HOST, httpx.Client(transport=page)).manifest("team/model", "1")


def test_an_unknown_tag_is_said_with_the_registrys_own_words(remote: FakeRegistry, local: Layout) -> None:
    with pytest.raises(RemoteError, match=r"404.*MANIFEST_UNKNOWN no such. tag") as caught:
        pull(remote, local, "nowhere")
    assert caught.value.message.isprintable()


def test_a_registry_that_cannot_be_reached_is_said(local: Layout) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(RemoteError, match="refused"):
        Registry(HOST, httpx.Client(transport=httpx.MockTransport(refuse))).manifest("team/model", "1")


def test_no_platform_is_an_error_that_names_those_there_are(remote: FakeRegistry, local: Layout) -> None:
    registry = Registry(HOST, remote.client())
    with pytest.raises(UsageError, match="linux/arm64, linux/amd64"):
        pull_image(registry, ImageReference.parse(f"{HOST}/team/model:1"), Platform("s390x", "linux"), local)


@pytest.mark.parametrize(
    ("host", "scheme", "insecure"),
    [("localhost:5000", "http", False), ("127.0.0.1", "http", False), ("[::1]:5000", "http", False),
     ("registry.test", "https", False), ("localhost.test", "https", False), ("127.0.0.1.test", "https", False),
     ("registry.test", "http", True)],
)  # fmt: skip
def test_plain_http_is_for_this_machine_or_when_told(host: str, scheme: str, insecure: bool) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.scheme)
        return httpx.Response(404)

    with pytest.raises(RemoteError):
        Registry(host, httpx.Client(transport=httpx.MockTransport(answer)), insecure=insecure).manifest("m", "1")
    assert seen == [scheme]
    assert is_loopback(host) == (scheme == "http" and not insecure)


def write_auths(file: Path, auths: object) -> Path:
    file.write_bytes(msgspec.json.encode({"auths": auths, "credsStore": "desktop"}))
    return file


def encoded(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def test_credentials_are_found_by_host_and_the_longest_path(tmp_path: Path) -> None:
    file = write_auths(tmp_path / "c", {"https://a.test/v1/": encoded("u", "p:q"), "a.test/team": encoded("t", "s"),
                                        "b.test:5000": {"username": "n", "password": "w"}, "c.test": {}})  # fmt: skip
    assert find_credentials(file, "a.test") == Credentials("u", "p:q")
    assert find_credentials(file, "a.test", "team/model") == Credentials("t", "s")
    assert find_credentials(file, "a.test", "teamwork/model") == Credentials("u", "p:q")
    assert find_credentials(file, "b.test:5000") == Credentials("n", "w")
    assert find_credentials(file, "c.test") is None  # kept by a helper
    assert find_credentials(file, "b.test") is None
    assert find_credentials(tmp_path / "missing", "a.test") is None


def test_a_secret_is_not_printed() -> None:
    assert "hidden" not in repr(Credentials("user", "hidden"))


@pytest.mark.parametrize("text", ["", "[]", '{"auths": 1}', '{"auths": {"a.test": {"auth": "!"}}}', "[" * 100_000])
def test_a_damaged_credentials_file_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(UsageError):
        find_credentials(file, "a.test")
