"""Who one is at a registry: from Docker's and Podman's files and from credential helpers, and from nothing else."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.errors import MissingDependency, UsageError
from shipway.oci.credentials import Credentials, Helped, Run, find_credentials, run_helper

NOT_FOUND = Helped(1, "credentials not found in native keychain\n")


def write(file: Path, content: object) -> tuple[Path, ...]:
    file.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    return (file,)


def encoded(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def helpers(kept: Mapping[tuple[str, str], tuple[str, str]], asked: list[tuple[str, str]] | None = None) -> Run:
    """Credential helpers that keep these secrets by program and server."""

    def run(program: str, server: str) -> Helped:
        if asked is not None:
            asked.append((program, server))
        found = kept.get((program, server))
        if found is None:
            return NOT_FOUND
        answer = {"ServerURL": server, "Username": found[0], "Secret": found[1]}
        return Helped(0, msgspec.json.encode(answer).decode())

    return run


def test_credentials_are_found_by_host_and_the_longest_path(tmp_path: Path) -> None:
    files = write(
        tmp_path / "c",
        {
            "auths": {
                "https://a.test/v1/": encoded("u", "p:q"),
                "a.test/team": encoded("t", "s"),
                "a.test/team/model": encoded("m", "s"),
                "b.test:5000": {"username": "n", "password": "w"},
                "c.test": {},
            }
        },
    )
    assert find_credentials(files, "a.test") == Credentials("u", "p:q")
    assert find_credentials(files, "a.test", "team/other") == Credentials("t", "s")
    assert find_credentials(files, "a.test", "team/model") == Credentials("m", "s")
    assert find_credentials(files, "a.test", "teamwork/model") == Credentials("u", "p:q")
    assert find_credentials(files, "b.test:5000") == Credentials("n", "w")
    for stranger in ("c.test", "b.test", "b.test:5001", "xa.test", "test"):
        assert find_credentials(files, stranger) is None


@pytest.mark.parametrize("key", ["a.test", "https://a.test", "http://a.test/", "https://a.test/v1/", "a.test/v2"])
def test_a_key_is_known_in_every_form(tmp_path: Path, key: str) -> None:
    assert find_credentials(write(tmp_path / "c", {"auths": {key: encoded("u", "p")}}), "a.test")


def test_the_first_file_that_knows_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "docker", {"auths": {"a.test": encoded("docker", "s")}})
    second = write(tmp_path / "podman", {"auths": {"a.test": encoded("podman", "s"), "b.test": encoded("podman", "s")}})
    files = (tmp_path / "missing", *first, *second)
    assert find_credentials(files, "a.test") == Credentials("docker", "s")
    assert find_credentials(files, "b.test") == Credentials("podman", "s")
    assert find_credentials((tmp_path / "missing" / "deeper",), "a.test") is None


def test_the_helper_for_the_host_comes_before_that_for_all_and_before_the_file(tmp_path: Path) -> None:
    files = write(
        tmp_path / "c",
        {
            "credHelpers": {"https://a.test": "cloud"},
            "credsStore": "desktop",
            "auths": {host: encoded("file", "s") for host in ("a.test", "b.test", "c.test")},
        },
    )
    asked: list[tuple[str, str]] = []
    run = helpers(
        {
            ("docker-credential-cloud", "a.test"): ("cloud", "s"),
            ("docker-credential-desktop", "a.test"): ("desktop", "s"),
            ("docker-credential-desktop", "b.test"): ("desktop", "s"),
        },
        asked,
    )
    assert find_credentials(files, "a.test", run=run) == Credentials("cloud", "s")
    assert asked == [("docker-credential-cloud", "a.test")]
    assert find_credentials(files, "b.test", run=run) == Credentials("desktop", "s")
    assert find_credentials(files, "c.test", run=run) == Credentials("file", "s")
    assert find_credentials(files, "d.test", run=run) is None


def test_tokens_are_told_from_passwords(tmp_path: Path) -> None:
    files = write(
        tmp_path / "c",
        {
            "auths": {
                "a.test": {**encoded("u", ""), "identitytoken": "i"},
                "b.test": {"registrytoken": "r"},
            },
            "credHelpers": {"c.test": "cloud"},
        },
    )
    run = helpers({("docker-credential-cloud", "c.test"): ("<token>", "t")})
    assert find_credentials(files, "a.test", run=run) == Credentials("u", "i", "identity")
    assert find_credentials(files, "b.test", run=run) == Credentials("", "r", "bearer")
    assert find_credentials(files, "c.test", run=run) == Credentials("<token>", "t", "identity")


def test_a_secret_is_not_printed() -> None:
    assert "hidden" not in repr(Credentials("user", "hidden"))


@pytest.mark.parametrize(
    "name", ["../../bin/sh", "/bin/sh", "a b", "", "-x", ".", "a/b", "a\\b", "x" * 100, "a\n", "a;b", 7, ["a"], None]
)
@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_nothing_else_than_a_credential_helper_is_ever_run(tmp_path: Path, name: object, key: str) -> None:
    def run(program: str, server: str) -> Helped:
        raise AssertionError(f"ran {program!r}")

    files = write(tmp_path / "c", {key: name if key == "credsStore" else {"a.test": name}})
    if name:
        with pytest.raises(UsageError, match="no name of one"):
            find_credentials(files, "a.test", run=run)
    else:
        assert find_credentials(files, "a.test", run=run) is None


@pytest.mark.parametrize(
    ("helped", "message"),
    [
        (Helped(1, "the keychain is locked\x1b[2J\n"), "the keychain is locked"),
        (Helped(2, ""), "status 2"),
        (Helped(0, ""), "something else"),
        (Helped(0, "[]"), "something else"),
        (Helped(0, '{"Username": "u"}'), "something else"),
        (Helped(0, "[" * 100_000), "something else"),
    ],
)
def test_a_helper_that_fails_is_said(tmp_path: Path, helped: Helped, message: str) -> None:
    files = write(tmp_path / "c", {"credsStore": "desktop"})
    with pytest.raises(UsageError, match=message) as caught:
        find_credentials(files, "a.test", run=lambda program, server: helped)
    assert caught.value.message.isprintable()
    assert caught.value.fix


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b'{"auths": 1}', b'{"auths": {"a.test": 1}}', b'{"auths": {"a.test": {"auth": "!"}}}',
     b'{"auths": {"a.test": {"auth": "/w=="}}}', b'{"credHelpers": 1}', b"[" * 100_000, b" " * (2 << 20), b"\xff"],
)  # fmt: skip
def test_a_damaged_credentials_file_is_said(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(UsageError):
        find_credentials(write(tmp_path / "config.json", text), "a.test")


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["auths", "credsStore", "credHelpers", "a.test", "auth"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_ends_in_credentials_or_none_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    files = write(tmp_path_factory.mktemp("any") / "c", content)
    try:
        find_credentials(files, "a.test", "x", run=lambda program, server: NOT_FOUND)
    except UsageError as error:
        assert error.fix


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a real credential helper, `test`, on the search path; it is the file that is given back."""
    if os.name == "nt":
        pytest.skip("needs a script that the system runs by its first line")
    program = tmp_path / "docker-credential-test"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return program


def script(program: Path, body: str) -> None:
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n", encoding="utf-8")
    program.chmod(0o755)


def test_a_real_helper_is_asked_as_docker_asks_it(installed: Path, tmp_path: Path) -> None:
    script(
        installed,
        'assert sys.argv[1:] == [\'get\']\nprint(\'{"Username": "u", "Secret": "\' + sys.stdin.read()[::-1] + \'"}\')',
    )
    files = write(tmp_path / "c", {"credsStore": "test"})
    assert find_credentials(files, "a.test:5000") == Credentials("u", "0005:tset.a")


def test_a_real_helper_that_knows_nothing_is_no_error(installed: Path, tmp_path: Path) -> None:
    script(installed, "print('credentials not found in native keychain'); sys.exit(1)")
    assert find_credentials(write(tmp_path / "c", {"credsStore": "test"}), "a.test") is None


def test_a_real_helper_that_hangs_is_ended(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipway.oci.credentials._HELPER_SECONDS", 0.2)
    script(installed, "import time; time.sleep(60)")
    with pytest.raises(UsageError, match="does not answer"):
        run_helper("docker-credential-test", "a.test")


def test_a_helper_that_is_not_installed_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match="docker-credential-absent"):
        find_credentials(write(tmp_path / "c", {"credsStore": "absent"}), "a.test")
