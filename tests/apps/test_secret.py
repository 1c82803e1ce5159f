"""Secrets are known by their names and by how they begin; what only talks of them is none."""

from __future__ import annotations

import pytest

from shipway.apps.secret import secret_by_content, secret_by_name, secret_variable


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "conf/.ENV",
        ".env.local",
        ".envrc",
        "prod.env",
        "a/id_ed25519",
        ".ssh/config",
        ".Netrc",
        "a.PFX",
        ".pypirc",
        "home/.git-credentials",
        ".aws/credentials",
        ".kube/config",
        "kubeconfig",
    ],
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
        ("credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = abc"),
        (".npmrc", "registry=https://npm.example\n//npm.example/:_authToken=npm_abc"),
        (".npmrc", "_auth = YWJj"),
        ("a.json", '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nMII"}'),
        ("a.json", '{"client_secret": "a", "refresh_token": "b", "type": "authorized_user"}'),
        ("a.yaml", "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    password: abc"),
        ("a.json", '{"kind": "Config", "users": [{"user": {"token": "abc"}}]}'),
        ("a.yaml", "kind: Config\nusers:\n- user:\n    auth-provider:\n      config:\n        access-token: abc"),
        ("a.json", '{"users":[{"user":{"client-key-data":"abc"}}],"kind":"Config"}'),
        ("cluster.kubeconfig", "kind: Config\nusers:\n- user: {token: abc}"),
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
        ("a.yaml", "kind: Config\nusers:\n- user:\n    exec:\n      command: aws"),
        ("a.json", '{"kind": "ConfigMap", "data": {"token": "abc"}}'),
        (".npmrc", "save-exact=true\n//npm.example/:_authToken=${NPM_TOKEN}"),
        ("a.json", '{"type": "service_account"}'),
        ("a.json", ""),
    ],
)
def test_other_bytes_do_not(path: str, head: str) -> None:
    assert secret_by_content(path, head.encode()) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "x"), ("password", "x"), ("PASSWORD_HASH", "x"), ("SECRET_KEY", "x"), ("HF_TOKEN", "x"),
        ("API_TOKENS", "x"), ("APIKEY", "x"), ("STRIPE_KEY", "x"), ("MYSQL_PWD", "x"), ("AWS_CREDENTIALS", "x"),
        ("DATABASE_URL", "postgres://me:hunter2@db/shop"), ("REDIS_URL", "redis://:hunter2@cache:6379"),
    ],
)  # fmt: skip
def test_words_of_a_variable_or_a_password_in_an_address_say_it(name: str, value: str) -> None:
    assert secret_variable(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_TOKENS", "x"), ("TOKENIZERS_PARALLELISM", "x"), ("KEYBOARD", "x"), ("MONKEY", "x"), ("KEY", "x"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "30"), ("BYPASS", "x"), ("SECRETARY", "x"), ("DB_PASSWORD_FILE", "/run/x"),
        ("DATABASE_URL", "postgres://db/shop"), ("API_URL", "https://me@example.org:8000/a"), ("PWD", "/app"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/run/key.json"), ("DB_SECRET_ARN", "arn:x"), ("SECRETS_DIR", "/run/a"),
    ],
)  # fmt: skip
def test_parts_of_words_do_not(name: str, value: str) -> None:
    assert not secret_variable(name, value)
