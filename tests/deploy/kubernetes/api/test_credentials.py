from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shipway.deploy.kubernetes.api import credentials
from shipway.deploy.kubernetes.api.access import Access, Plugin, User
from shipway.deploy.kubernetes.api.credentials import Certificate, Credentials, Identity, ask_plugin
from shipway.errors import MissingDependency, NotAllowed, TargetError, UsageError

SIGN_IN = Path(__file__).parents[3] / "fakes" / "sign_in.py"
SECRET = "s3cret-of-tests"
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def plugin(mode: str, folder: Path | str = "") -> Plugin:
    arguments = (str(SIGN_IN), mode, *([str(folder)] if folder else []))
    return Plugin(sys.executable, arguments, environment=dict(os.environ))


def access(user: User) -> Access:
    return Access("https://dev.test", "models", "dev", user)


@pytest.mark.parametrize("api", [V1, V1BETA1])
def test_a_plugin_gives_a_token(api: str) -> None:
    assert ask_plugin(replace(plugin("token"), api=api), "dev").authorization == "Bearer token-0"


def test_a_plugin_gives_a_certificate(tmp_path: Path) -> None:
    given = ask_plugin(plugin("certificate", tmp_path), "dev")
    assert given.authorization == ""
    assert given.certificate is not None
    assert given.certificate.certificate.startswith(b"-----BEGIN CERTIFICATE-----")
    assert given.certificate.key.startswith(b"-----BEGIN")


def test_a_plugin_is_told_of_the_cluster_and_the_person(tmp_path: Path) -> None:
    asked = replace(plugin("token", tmp_path), cluster={"server": "https://dev.test"})
    ask_plugin(asked, "dev")
    ask_plugin(replace(asked, cluster=None, interactive=True, interaction="Never"), "dev")
    told = [json.loads((tmp_path / f"run-{run}").read_text()) for run in range(2)]
    assert told[0] == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "https://dev.test"}},
    }
    assert told[1]["spec"] == {"interactive": False}


def test_a_plugin_finds_its_environment() -> None:
    asked = plugin("environment")
    asked = replace(asked, environment={**asked.environment, "WORD": "of-kubeconfig"})
    assert ask_plugin(asked, "dev").authorization == "Bearer of-kubeconfig"


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("failing", NotAllowed, "ended with 3"),
        ("rubbish", TargetError, "writes no ExecCredential"),
        ("endless", TargetError, "writes more than 1 MiB"),
        ("other", TargetError, f"answers in another version than {V1}"),
        ("{}", TargetError, "gives neither a token nor a certificate"),
        ('{"clientKeyData": "s3cret-of-tests"}', TargetError, "gives neither a token nor a certificate"),
        ('{"token": "s3cret-of-tests", "clientKeyData": "x"}', TargetError, "gives neither"),
        ('{"token": 7}', TargetError, "no text"),
        ('{"token": "s3cret-of-tests\\n\\u0000x"}', TargetError, "cannot be sent"),
        ('{"token": "s3cret-of-tests", "expirationTimestamp": "soon"}', TargetError, "is no time"),
    ],
)
def test_a_plugin_that_fails_is_named_and_its_words_are_not_repeated(
    mode: str, kind: type[TargetError], message: str
) -> None:
    with pytest.raises(kind) as raised:
        ask_plugin(plugin(mode), "dev")
    assert message in raised.value.message
    assert sys.executable in raised.value.message
    assert raised.value.fix
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("mode", ["hanging", "deaf"])
def test_a_plugin_that_does_not_end_is_ended(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_SECONDS", 0.5)
    monkeypatch.setattr(credentials, "_GRACE", 0.5)
    with pytest.raises(TargetError, match="did not end within"):
        ask_plugin(plugin(mode), "dev")


def test_a_plugin_that_is_not_there_says_how_to_install_it() -> None:
    with pytest.raises(MissingDependency, match="brew install sign-in"):
        ask_plugin(Plugin("no-such-program-of-tests", hint="brew install sign-in"), "dev")


def test_a_plugin_that_must_ask_needs_a_person() -> None:
    with pytest.raises(UsageError, match="terminal"):
        ask_plugin(replace(plugin("token"), interaction="Always"), "dev")


def test_a_plugin_is_asked_once_until_what_it_gave_expires() -> None:
    moment, asked = datetime(2026, 1, 1, tzinfo=UTC), list[datetime]()

    def ask(_: Plugin, __: str) -> Identity:
        asked.append(moment)
        return Identity(f"Bearer {len(asked)}", expires=moment + timedelta(minutes=5))

    signs = Credentials(access(User(plugin=plugin("token"))), ask=ask, now=lambda: moment)
    assert [signs.current().authorization for _ in range(3)] == ["Bearer 1"] * 3
    moment += timedelta(minutes=4)
    assert signs.current().authorization == "Bearer 1"
    moment += timedelta(minutes=1)
    assert signs.current().authorization == "Bearer 2"


def test_an_expired_credential_of_a_real_plugin_is_asked_for_again(tmp_path: Path) -> None:
    for mode, runs in (("expired", 3), ("lasting", 1)):
        folder = tmp_path / mode
        folder.mkdir()
        signs = Credentials(access(User(plugin=plugin(mode, folder))))
        for _ in range(3):
            signs.current()
        assert len(list(folder.iterdir())) == runs


def test_threads_ask_a_plugin_once_and_a_refusal_asks_it_once_more() -> None:
    asked = list[int]()

    def ask(_: Plugin, __: str) -> Identity:
        asked.append(1)
        return Identity(f"Bearer {len(asked)}")

    signs = Credentials(access(User(plugin=plugin("token"))), ask=ask)
    first = signs.current()
    threads = [threading.Thread(target=signs.renew, args=(first,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(asked), signs.current().authorization) == (2, "Bearer 2")


def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    signs = Credentials(access(User(token="of kubeconfig", token_file=file)))
    file.write_text("one\n")
    first = signs.current()
    assert first.authorization == "Bearer one"
    assert not signs.renew(first)
    file.write_text("two")
    assert signs.renew(first)
    assert signs.current().authorization == "Bearer two"
    for wrong in ("", "ä", "a\nb"):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(UsageError, match="holds no token"):
            signs.current()
    file.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        signs.current()


def test_name_and_password_are_sent_where_there_is_no_token() -> None:
    signs = Credentials(access(User(username="kim", password="pässword")))
    assert signs.current().authorization == "Basic a2ltOnDDpHNzd29yZA=="
    assert Credentials(access(User(token="t", username="kim"))).current().authorization == "Bearer t"
    assert Credentials(access(User())).current() == Identity()


def test_own_credentials_go_before_a_plugin() -> None:
    def ask(_: Plugin, __: str) -> Identity:
        raise AssertionError

    for user in (User(token="t"), User(certificate=b"c", key=b"k")):
        assert Credentials(access(replace(user, plugin=plugin("token"))), ask=ask).current() != Identity()


def test_identities_do_not_show_their_secrets() -> None:
    identity = Identity(f"Bearer {SECRET}", Certificate(b"c", SECRET.encode()))
    assert SECRET not in repr(identity) + repr(identity.certificate)
