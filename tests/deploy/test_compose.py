from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fakes.target import a_release
from shipway.deploy.targets import render
from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.release import Release
from shipway.spec.settings import Deploy, Docker

Golden = Callable[[str, str], None]


def compose(release: Release | None = None, **options: Any) -> str:
    (text,) = render(release or a_release(), "compose", Deploy(docker=Docker(**options))).values()
    return text


def configured(configuration: str) -> Release:
    one = a_release()
    return Release(one.name, one.bundle, one.image, one.contract, configuration)


def test_one_server_is_as_it_was_shown(golden: Golden) -> None:
    golden("compose/one.yaml", compose())


def test_many_servers_stand_behind_a_relay(golden: Golden) -> None:
    golden("compose/many.yaml", compose(replicas=3, keys="keys.txt", cpus=1.5, memory="1g", host="::1", port=80))


def test_only_one_service_has_the_port() -> None:
    for replicas, name in ((1, "server"), (3, "relay")):
        services = yaml.safe_load(compose(replicas=replicas))["services"]
        assert [key for key, service in services.items() if "ports" in service] == [name]


def test_every_service_is_hardened() -> None:
    for service in yaml.safe_load(compose(replicas=2))["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "65532:65532"
        assert {"mem_limit", "pids_limit", "restart", "stop_grace_period"} <= set(service)


def test_the_servers_settings_go_in_as_variables_and_none_of_them_is_taken_for_one_of_composes() -> None:
    text = compose(configured('[limits]\nrows = 5\n[auth]\nkeys = "/a$b"\n[models."a-b"]\nextra_columns = "ignore"\n'))
    environment = yaml.safe_load(text)["services"]["server"]["environment"]
    assert environment == {
        "SHIPWAY_LIMITS__ROWS": "5",
        "SHIPWAY_AUTH__KEYS": "/a$$b",
        "SHIPWAY_MODELS__A-B__EXTRA_COLUMNS": "ignore",
    }


def test_what_the_contract_promises_stands_over_the_settings() -> None:
    one = a_release()
    patient = Release(one.name, one.bundle, one.image, Contract(drain_seconds=9), "[server]\ndrain_seconds = 1\n")
    server = yaml.safe_load(compose(patient))["services"]["server"]
    assert server["environment"] == {"SHIPWAY_SERVER__DRAIN_SECONDS": "9"}
    assert server["stop_grace_period"] == f"{patient.contract.termination_seconds}s"


@pytest.mark.parametrize("configuration", ["no toml", "[limits]\nrow = 5\n", "[limits]\nrows = -1\n"])
def test_settings_that_no_server_takes_are_refused(configuration: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose(configured(configuration))
    assert caught.value.fix


@pytest.mark.parametrize(("path", "written"), [("keys", "./keys"), ("/etc/keys", "/etc/keys"), ("../k", "../k")])
def test_the_file_of_keys_is_one_and_no_name(path: str, written: str) -> None:
    document = yaml.safe_load(compose(keys=path))
    assert document["secrets"] == {"keys": {"file": written}}
    assert document["services"]["server"]["environment"]["SHIPWAY_AUTH__KEYS"] == "/run/secrets/keys"


def test_amounts_of_time_are_as_the_specification_writes_them() -> None:
    server = yaml.safe_load(compose())["services"]["server"]
    times = [
        server["stop_grace_period"],
        *(server["healthcheck"][key] for key in ("interval", "timeout", "start_period")),
    ]
    assert all(re.fullmatch(r"[0-9]+s", time) for time in times)
