"""Secrets are known by their names and by how they begin; what only talks of them is none."""

from __future__ import annotations

import pytest

from shipway.apps.secret import secret_by_content, secret_by_name


@pytest.mark.parametrize(
    "path", [".env", "conf/.ENV", ".env.local", ".envrc", "prod.env", "a/id_ed25519", ".ssh/config", ".Netrc", "a.PFX"]
)
def test_a_name_says_it(path: str) -> None:
    assert secret_by_name(path)


@pytest.mark.parametrize(
    "path", [".env.example", "example.env", ".env.local.template", "env.py", "my.env.py", "id_rsa.pub", "ssh/config"]
)
def test_other_names_do_not(path: str) -> None:
    assert secret_by_name(path) == ""


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("a", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("a.yaml", "key: |\n  -----BEGIN EC PRIVATE KEY-----"),
        ("a.conf", 'KEY="-----BEGIN PRIVATE KEY-----\\nMII'),
        ("a.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
        ("a.ppk", "PuTTY-User-Key-File-3: ssh-ed25519"),
        ("a.txt", "export AWS_SECRET_ACCESS_KEY=abc"),
        ("a.json", '{"aws_secret_access_key": "abc"}'),
        ("a.yml", "kind: Config\nusers:\n- user:\n    client-key-data: abc"),
    ],
)
def test_the_first_bytes_say_it(path: str, head: str) -> None:
    assert secret_by_content(path, head.encode())
    assert secret_by_content(path, head.replace("\n", "\r\n").encode())
    assert secret_by_content(f"{path}.py", head.encode()) == ""  # source


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("a.pem", "-----BEGIN PUBLIC KEY-----"),
        ("a.txt", "a key begins with -----BEGIN PRIVATE KEY-----"),
        ("a.ini", "aws_secret_access_key =\n"),
        ("a.yaml", "kind: ConfigMap\ntoken: abc"),
        ("a.yaml", "token: abc"),
        ("a.json", ""),
    ],
)
def test_other_bytes_do_not(path: str, head: str) -> None:
    assert secret_by_content(path, head.encode()) == ""
