"""Each way to sign in, against a server with TLS."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fakes.api_server import PEM, ApiServer, Call
from shipway.deploy.kubernetes.api.access import Access, Pem, Plugin, User
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.api.session import open_client
from shipway.errors import MissingDependency, NotAllowed, TargetError, UsageError

SIGN_IN = Path(__file__).parents[3] / "fakes" / "sign_in.py"
KIM = User(certificate=PEM / "kim.pem", key=PEM / "kim.key")


def access(server: ApiServer, user: User, authority: Pem | None = PEM / "authority.pem") -> Access:
    return Access(server.url, "models", "dev", user, authority=authority)


def ask(access: Access, times: int = 1) -> None:
    with Cluster.open(access) as cluster:
        for _ in range(times):
            cluster.get(KINDS["Deployment"], "diabetes")


def plugin(mode: str, folder: Path) -> User:
    return User(plugin=Plugin(sys.executable, (str(SIGN_IN), mode, str(folder)), environment=dict(os.environ)))


def test_tokens_and_passwords_are_sent(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-file")
    users = [User(token="t"), User(token_file=file), User(username="kim", password="p"), User()]
    with ApiServer() as server:
        for user in users:
            ask(access(server, user))
    assert [call.authorization for call in server.calls] == ["Bearer t", "Bearer of-file", "Basic a2ltOnA=", ""]
    assert {call.path for call in server.calls} == {"/apis/apps/v1/namespaces/models/deployments/diabetes"}
    assert server.calls[0].headers["user-agent"].startswith("shipway/")


def test_a_certificate_is_shown_from_files_and_from_data() -> None:
    data = User(certificate=(PEM / "kim.pem").read_bytes(), key=(PEM / "kim.key").read_bytes())
    with ApiServer() as server:
        for user in (KIM, data):
            ask(access(server, user, (PEM / "authority.pem").read_bytes()))
    assert [(call.certificate, call.authorization) for call in server.calls] == [("kim", "")] * 2


def test_a_plugin_s_token_is_sent_and_it_is_asked_once(tmp_path: Path) -> None:
    with ApiServer() as server:
        ask(access(server, plugin("token", tmp_path)), times=3)
    assert [call.authorization for call in server.calls] == ["Bearer token-0"] * 3


def test_a_plugin_s_new_certificate_takes_new_connections(tmp_path: Path) -> None:
    def answer(call: Call) -> tuple[int, bytes]:
        return (401 if call.certificate == "kim" else 200), b"{}"

    with ApiServer(answer) as server:
        ask(access(server, plugin("certificate", tmp_path)), times=2)
    assert [call.certificate for call in server.calls] == ["kim", "robin", "robin"]


def test_a_rotated_token_is_read_again_when_the_old_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    def answer(call: Call) -> tuple[int, bytes]:
        file.write_text("new")
        return (200 if call.authorization == "Bearer new" else 401), b"{}"

    with ApiServer(answer) as server:
        ask(access(server, User(token_file=file)))
    assert [call.authorization for call in server.calls] == ["Bearer old", "Bearer new"]


def test_what_is_refused_and_cannot_be_renewed_is_not_sent_again() -> None:
    with ApiServer(lambda _: (401, b"{}")) as server, pytest.raises(NotAllowed, match="401"):
        ask(access(server, User(token="t")))
    assert len(server.calls) == 1


def test_credentials_that_stay_refused_are_tried_twice_only(tmp_path: Path) -> None:
    with ApiServer(lambda _: (401, b"{}")) as server, pytest.raises(NotAllowed, match="401"):
        ask(access(server, plugin("token", tmp_path)))
    assert [call.authorization for call in server.calls] == ["Bearer token-0", "Bearer token-1"]


def test_another_account_is_acted_as() -> None:
    headers = (("Impersonate-User", "kim"), ("Impersonate-Group", "a"))
    with ApiServer() as server:
        ask(access(server, User(token="t", impersonate=headers)))
    assert (server.calls[0].headers["impersonate-user"], server.calls[0].headers["impersonate-group"]) == ("kim", "a")


def test_a_server_that_the_authority_did_not_sign_gets_no_credentials() -> None:
    with ApiServer() as server:
        for authority in (PEM / "stranger.pem", None):
            with pytest.raises(TargetError, match="is not to be trusted") as raised:
                ask(access(server, User(token="t"), authority))
            assert "certificate-authority" in raised.value.fix
        assert server.calls == []
        ask(replace(access(server, User(token="t"), None), insecure=True))
    assert len(server.calls) == 1


def test_a_server_is_known_by_the_name_that_kubeconfig_gives() -> None:
    with ApiServer(name="named") as server:
        with pytest.raises(TargetError, match="not valid for 'localhost'"):
            ask(access(server, User(token="t")))
        ask(replace(access(server, User(token="t")), server_name="kubernetes"))
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("user", "authority", "message"),
    [
        (User(), b"no certificates", "certificate-authority"),
        (User(), "ä".encode(), "certificate-authority"),
        (User(), PEM / "absent.pem", "absent.pem cannot be read"),
        (User(certificate=PEM / "kim.pem", key=PEM / "robin.key"), None, "do not belong together"),
        (User(certificate=PEM / "kim.pem", key=PEM / "kim-encrypted.key"), None, "encrypted"),
        (User(certificate=b"x", key=b"y"), None, "not PEM"),
        (User(certificate=PEM / "absent.pem", key=b"y"), None, "absent.pem cannot be read"),
    ],
)
def test_certificates_that_are_none_are_misuse(user: User, authority: Pem | None, message: str) -> None:
    with ApiServer() as server, pytest.raises(UsageError, match=message):
        ask(access(server, user, authority))


def test_a_proxy_url_that_is_none_is_misuse() -> None:
    for proxy, kind in (("nonsense://x:y", UsageError), ("socks5://proxy.test:1080", MissingDependency)):
        with pytest.raises(kind) as raised:
            open_client(Access("https://dev.test", "models", "dev", User(), proxy=proxy))
        assert raised.value.fix


def test_redirects_are_not_followed() -> None:
    with ApiServer(lambda _: (302, b"")) as server, pytest.raises(TargetError, match="302"):
        ask(access(server, User(token="t")))
    assert len(server.calls) == 1


def test_requests_of_httpx_keep_their_own_headers() -> None:
    with ApiServer() as server, open_client(access(server, User(token="t"))) as client:
        assert client.get(server.url, headers={"Accept": "x"}).status_code == httpx.codes.OK
    assert (server.calls[0].headers["accept"], server.calls[0].authorization) == ("x", "Bearer t")
