from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.deploy.kubernetes.api.access import Access, Plugin, User
from shipway.deploy.kubernetes.api.kubeconfig import kubeconfig_files, proxy_for, read_access
from shipway.errors import MissingDependency, ShipwayError, UsageError

SECRET = "s3cret-of-tests"


def config(user: Any = None, cluster: Any = None, name: Any = "dev", **more: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.test:6443", **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"{name}-models"}}],
        "current-context": name,
        **more,
    }


def test_kubeconfig_may_be_a_list_of_files_and_is_kubectl_s_own_by_default() -> None:
    home = Path("home")
    named = os.pathsep.join(["one", "", "two"])
    assert kubeconfig_files({"KUBECONFIG": named}, home) == (Path("one"), Path("two"))
    for environ in ({}, {"KUBECONFIG": ""}, {"KUBECONFIG": os.pathsep}):
        assert kubeconfig_files(environ, home) == (home / ".kube" / "config",)


def write(folder: Path, document: Any, name: str = "config") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
    return path


def read(folder: Path, user: Any = None, **cluster: Any) -> Access:
    return read_access([write(folder, config(user, cluster))])


def test_the_current_context_says_server_namespace_and_user(tmp_path: Path) -> None:
    access = read(tmp_path, {"token": SECRET})
    assert (access.server, access.namespace, access.context) == ("https://dev.test:6443", "dev-models", "dev")
    assert access.user == User(token=SECRET)


def test_what_is_named_goes_before_what_is_set(tmp_path: Path) -> None:
    file = write(tmp_path, config())
    other = write(tmp_path, config(name="other"), "other")
    access = read_access([file, other], context="other", namespace="mine")
    assert (access.server, access.namespace) == ("https://other.test:6443", "mine")
    assert read_access([file, other], namespace="").namespace == "dev-models"


def test_without_a_namespace_it_is_default(tmp_path: Path) -> None:
    document = config()
    del document["contexts"][0]["context"]["namespace"]
    assert read_access([write(tmp_path, document)]).namespace == "default"


def test_of_several_files_the_first_that_has_a_name_counts(tmp_path: Path) -> None:
    first = config(cluster={"server": "https://first.test"})
    del first["current-context"], first["users"]
    second = config({"token": SECRET}, {"server": "https://second.test"})
    files = [tmp_path / "absent", write(tmp_path, first, "1"), write(tmp_path, "", "2"), write(tmp_path, second, "3")]
    access = read_access(files)
    assert (access.server, access.user.token) == ("https://first.test", SECRET)


def test_paths_are_relative_to_the_file_that_holds_them(tmp_path: Path) -> None:
    user = {"client-certificate": "kim.pem", "client-key": "keys/kim.key", "tokenFile": "token"}
    document = config(user, {"certificate-authority": "ca.pem"})
    write(tmp_path, "x", "folder/ca.pem")
    access = read_access([write(tmp_path, document, "folder/config")])
    folder = tmp_path / "folder"
    assert access.authority == folder / "ca.pem"
    assert (access.user.certificate, access.user.key) == (folder / "kim.pem", folder / "keys" / "kim.key")
    assert access.user.token_file == folder / "token"


def test_data_goes_before_the_file(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    user = {
        f"client-{part}{end}": value for part in ("certificate", "key") for end, value in (("", "f"), ("-data", data))
    }
    write(tmp_path, "x", "f")
    access = read(tmp_path, user, **{"certificate-authority": "f", "certificate-authority-data": data})
    assert (access.authority, access.user.certificate, access.user.key) == (b"PEM", b"PEM", b"PEM")


def test_the_rest_of_a_cluster_is_read(tmp_path: Path) -> None:
    options = {"insecure-skip-tls-verify": True, "tls-server-name": "kubernetes", "proxy-url": "http://proxy.test:1"}
    access = read(tmp_path, **options)
    assert (access.insecure, access.server_name, access.proxy) == (True, "kubernetes", "http://proxy.test:1")


def test_a_plugin_is_read_with_its_environment(tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./sign-in",
        "args": ["--fast"],
        "env": [{"name": "A", "value": "of kubeconfig"}],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
        "installHint": "brew install\n  sign-in",
    }
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    write(tmp_path, "PEM", "ca.pem")
    document = config({"exec": plugin}, {"certificate-authority": "ca.pem", "extensions": [extension]})
    access = read_access([write(tmp_path, document)], environ={"A": "outer", "PATH": "/bin"}, interactive=True)
    assert access.user.plugin == Plugin(
        command=str(tmp_path / "sign-in"),
        arguments=("--fast",),
        environment={"A": "of kubeconfig", "PATH": "/bin"},
        api="client.authentication.k8s.io/v1beta1",
        interaction="Never",
        interactive=True,
        cluster={
            "server": "https://dev.test:6443",
            "certificate-authority-data": base64.b64encode(b"PEM").decode(),
            "config": {"audience": "x"},
        },
        hint="brew install sign-in",
    )


def test_a_plugin_by_name_alone_is_looked_for_on_the_path(tmp_path: Path) -> None:
    access = read(tmp_path, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sign-in"}})
    assert access.user.plugin is not None
    assert (access.user.plugin.command, access.user.plugin.cluster) == ("sign-in", None)


def test_another_account_can_be_acted_as(tmp_path: Path) -> None:
    user = {"as": "kim", "as-groups": ["a", "b"], "as-uid": "7", "as-user-extra": {"scopes": ["x"]}}
    assert read(tmp_path, user).user.impersonate == (
        ("Impersonate-User", "kim"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-scopes", "x"),
    )


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sign-in"}
WRONG: list[tuple[Any, str, str]] = [
    ("a: [", "config is no YAML, line 1", "mend"),
    ("just words", "holds no mapping", "KUBECONFIG"),
    ({"clusters": {}, "current-context": 7}, "current-context is not a text", "quotes"),
    ({"contexts": [{"context": {}}]}, "contexts[0] is not a mapping with a name", "mend"),
    ({"contexts": 7}, "contexts is not a list", "mend"),
    ({"contexts": []}, "no context is set", "KUBECONFIG"),
    (config(**{"current-context": ""}), "no context is set", "--context NAME, one of: dev"),
    (config(**{"current-context": "deb"}), "there is no context 'deb'", "did you mean 'dev'?"),
    (config(**{"current-context": "zzz"}), "there is no context 'zzz'", "kubectl config get-contexts"),
    (config(clusters=[]), "contexts[dev].context.cluster names 'dev', which is not among the clusters", "mend"),
    (config(users=[{"name": "def"}]), "contexts[dev].context.user names 'dev'", "did you mean 'def'?"),
    (config(cluster={"server": ""}), "clusters[dev].cluster.server is missing", "URL"),
    (config(cluster={"server": "dev.test:6443"}), "is no URL", "set-cluster"),
    (config(cluster={"server": "ftp://dev.test"}), "is no URL", "set-cluster"),
    (config(cluster={"server": "https://x:99999"}), "is no URL", "set-cluster"),
    (config(cluster={"server": "https://[::1"}), "is no URL", "set-cluster"),
    (config(cluster={"insecure-skip-tls-verify": "yes, please"}), "insecure-skip-tls-verify is neither", "mend"),
    (config(cluster={"certificate-authority-data": "?"}), "certificate-authority-data is not base64", "mend"),
    (config(cluster={"certificate-authority": "no.pem"}), "no.pem cannot be read", ""),
    (config({"token": 7}), "users[dev].user.token is not a text", "quotes"),
    (config({"token": "a\nb"}), "users[dev].user.token has characters that cannot be sent", "mend"),
    (config({"client-key-data": "eA=="}), "users[dev].user.client-certificate is missing", "mend"),
    (config({"client-certificate": "x"}), "users[dev].user.client-key is missing", "mend"),
    (config({"auth-provider": {"name": "gcp"}}), "users[dev].user.auth-provider", "exec plugin"),
    (
        config({"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}),
        "exec.apiVersion",
        "update sign-in",
    ),
    (config({"exec": {**EXEC, "command": ""}}), "exec.command is missing", "mend"),
    (config({"exec": {**EXEC, "args": "x"}}), "exec.args is not a list", "quotes"),
    (config({"exec": {**EXEC, "env": [{"value": "x"}]}}), "exec.env[0] is not a mapping with a name", "mend"),
    (config({"exec": {**EXEC, "interactiveMode": "Maybe"}}), "exec.interactiveMode must be one of Never", "mend"),
    (config({"exec": "sign-in"}), "exec is not a mapping", "mend"),
    (config({"as-groups": ["x"]}), "users[dev].user.as is missing", "mend"),
    (
        config(contexts=[{"name": "dev", "context": {"cluster": "dev", "namespace": "A b"}}]),
        "'A b' cannot be",
        "--names",
    ),
]


@pytest.mark.parametrize(("document", "message", "fix"), WRONG)
def test_what_is_wrong_is_named_by_file_and_key(tmp_path: Path, document: Any, message: str, fix: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_access([write(tmp_path, document)])
    assert message in raised.value.message
    assert fix in raised.value.fix


def test_secrets_stand_in_no_message_and_no_repr(tmp_path: Path) -> None:
    data = base64.b64encode(SECRET.encode()).decode()
    plugin = {**EXEC, "args": [SECRET], "env": [{"name": "A", "value": SECRET}], "provideClusterInfo": True}
    user = {"token": SECRET, "username": "kim", "password": SECRET, "exec": plugin}
    user |= {"client-certificate-data": data, "client-key-data": data}
    access = read(tmp_path, user, **{"proxy-url": f"http://kim:{SECRET}@proxy.test"})
    assert SECRET not in repr(access)
    assert data not in repr(access)
    for wrong in (
        f"token: '{SECRET}",
        f"a: {SECRET}: b",
        yaml.safe_dump(config(cluster={"server": f"https://x:{SECRET}@dev.test"})),
        yaml.safe_dump(config({"client-key-data": SECRET + "?"})),
    ):
        with pytest.raises(UsageError) as raised:
            read_access([write(tmp_path, wrong)])
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize("user", [{"token": SECRET}, {"username": "kim", "password": SECRET}, {"exec": EXEC}])
def test_credentials_do_not_go_over_plain_http_to_another_machine(tmp_path: Path, user: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="plain HTTP"):
        read(tmp_path, user, server="http://dev.test:8080")
    for here in ("http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001"):
        assert read(tmp_path, user, server=here).server == here
    assert read(tmp_path, server="http://dev.test:8080").user.is_anonymous


def test_in_a_pod_its_own_account_is_used(tmp_path: Path) -> None:
    account = tmp_path / "account"
    for name, text in (("token", SECRET), ("ca.crt", "PEM"), ("namespace", "models\n")):
        write(account, text, name)
    pod = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = read_access([tmp_path / "absent"], environ=pod, account=account)
    assert (access.server, access.namespace, access.context) == ("https://[fd00::1]:6443", "models", "in-cluster")
    assert (access.authority, access.user) == (account / "ca.crt", User(token_file=account / "token"))
    file = write(tmp_path, config())
    assert read_access([file], environ=pod, account=account).context == "dev"


def test_without_any_file_it_is_said_where_was_looked(tmp_path: Path) -> None:
    for environ in ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}):
        with pytest.raises(UsageError, match=r"there is no .*first or .*second") as raised:
            read_access([tmp_path / "first", tmp_path / "second"], environ=environ, account=tmp_path)
        assert "KUBECONFIG" in raised.value.fix


def test_without_pyyaml_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependency) as raised:
        read_access([write(tmp_path, config())])
    assert raised.value.fix == 'pip install "shipway[kubernetes]"'


@pytest.mark.parametrize(
    ("server", "no_proxy", "proxied"),
    [
        ("https://api.dev.test", "", True),
        ("https://api.dev.test", "dev.test", False),
        ("https://api.dev.test", ".dev.test", False),
        ("https://api.dev.test", "*.dev.test, x", False),
        ("https://api.dev.test", "ev.test", True),
        ("https://api.dev.test", "*", False),
        ("https://10.1.2.3:6443", "10.0.0.0/8", False),
        ("https://10.1.2.3:6443", "10.1.2.3", False),
        ("https://10.1.2.3:6443", "11.0.0.0/8", True),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://localhost:6443", "", False),
    ],
)
def test_a_proxy_is_used_unless_the_environment_excepts_the_host(server: str, no_proxy: str, proxied: bool) -> None:
    environ = {"https_proxy": "proxy.test:3128", "NO_PROXY": no_proxy}
    assert proxy_for(server, environ) == ("http://proxy.test:3128" if proxied else "")


_KEYS = st.sampled_from(
    [
        "clusters",
        "cluster",
        "users",
        "user",
        "contexts",
        "context",
        "current-context",
        "name",
        "server",
        "token",
        "exec",
    ]
)
_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["dev", "https://dev.test"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(document=st.dictionaries(_KEYS, _YAML, max_size=6))
def test_no_file_gives_anything_but_access_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    file = write(tmp_path_factory.getbasetemp(), {**config(), **document}, "generated")
    try:
        assert read_access([file]).server
    except ShipwayError as error:
        assert error.message
