"""Settings: flags beat environment beat file beat defaults; what is unknown or of the wrong type is refused."""

from __future__ import annotations

from typing import Any

import pytest

from shipway.errors import UsageError
from shipway.spec.settings import Settings, resolve


def test_each_source_beats_the_next_and_is_named() -> None:
    file = {"server": {"port": 1, "host": "file", "drain_seconds": 3}}
    environ = {"SHIPWAY_SERVER__PORT": "2", "SHIPWAY_SERVER__HOST": "environment", "PATH": "/bin"}
    resolved = resolve({"server.port": 3, "server.host": None}, environ, file, file_name="ours.toml")
    found = {key: (value, origin) for key, value, origin in resolved.items()}
    assert found["server.port"] == (3, "flag")
    assert found["server.host"] == ("environment", "SHIPWAY_SERVER__HOST")
    assert found["server.drain_seconds"] == (3.0, "ours.toml")
    assert found["limits.rows"] == (100_000, "default")


def test_nothing_given_is_the_defaults() -> None:
    assert resolve({}, {}, {}).settings == Settings()


def test_kubernetes_own_variables_are_not_ours() -> None:
    environ = {"SHIPWAY_PORT": "tcp://10.0.0.1:80", "SHIPWAY_SERVICE_HOST": "10.0.0.1", "SHIPWAY_STORE": "/x"}
    assert resolve({}, environ, {}).settings == Settings()


def test_a_model_has_a_table_of_its_own() -> None:
    settings = resolve({}, {}, {"models": {"diabetes": {"extra_columns": "ignore"}}}).settings
    assert settings.models["diabetes"].extra_columns == "ignore"


@pytest.mark.parametrize(
    ("file", "fix"),
    [
        ({"sever": {"port": 1}}, "did you mean 'server'?"),
        ({"server": {"prot": 1}}, "did you mean 'port'?"),
        ({"server": {"port": {"a": 1}}}, ""),
        ({"server": 3}, "[server]"),
        ({"models": {"a": {"extra_column": "ignore"}}}, "did you mean 'extra_columns'?"),
        ({"models": {"a": 3}}, ""),
        ({"server": {"port": "eight"}}, "shipway config"),
        ({"models": {"a": {"extra_columns": "drop"}}}, "shipway config"),
    ],
)
def test_unknown_keys_and_wrong_types_are_refused(file: dict[str, Any], fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve({}, {}, file)
    assert fix in caught.value.fix


@pytest.mark.parametrize(("text", "values"), [("a", ("a",)), ("a,b", ("a", "b")), (" a , ,b ", ("a", "b")), ("", ())])
def test_a_list_is_one_text_with_commas_in_the_environment_only(text: str, values: tuple[str, ...]) -> None:
    environ = {"SHIPWAY_DEPLOY__KUBERNETES__ALLOW_FROM": text}
    assert resolve({}, environ, {}).settings.deploy.kubernetes.allow_from == values
    with pytest.raises(UsageError):
        resolve({}, {}, {"deploy": {"kubernetes": {"allow_from": text}}})
    file = {"deploy": {"kubernetes": {"allow_from": list(values)}}}
    assert resolve({}, {}, file).settings.deploy.kubernetes.allow_from == values


@pytest.mark.parametrize(
    ("key", "value"), [("replicas", -1), ("replicas", 10_001), ("service", "clusterip"), ("service", "ExternalName")]
)
def test_what_no_cluster_has_is_refused(key: str, value: object) -> None:
    with pytest.raises(UsageError):
        resolve({f"deploy.kubernetes.{key}": value}, {}, {})


def test_a_misspelt_variable_is_refused_and_named() -> None:
    with pytest.raises(UsageError, match="SHIPWAY_SERVER__PROT") as caught:
        resolve({}, {"SHIPWAY_SERVER__PROT": "1"}, {})
    assert caught.value.fix == "did you mean 'port'?"


def test_a_variable_is_text_and_is_read_as_its_keys_type() -> None:
    settings = resolve({}, {"SHIPWAY_SERVER__ALLOW_PICKLE": "true", "SHIPWAY_LIMITS__SECONDS": "2.5"}, {}).settings
    assert settings.server.allow_pickle is True
    assert settings.limits.seconds == 2.5
    with pytest.raises(UsageError, match="SHIPWAY_LIMITS__ROWS"):
        resolve({}, {"SHIPWAY_LIMITS__ROWS": "many"}, {})
