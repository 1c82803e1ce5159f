"""Settings and keys reach the server as files, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from fakes.releases import EVERYTHING, PLAIN, RELEASE, Case, Object, rendered
from shipway.spec.settings import Kubernetes


def files(case: Case) -> dict[str, Object]:
    """What the container finds under each path, by the volume that it is in."""
    pod = rendered(case)["deployment.yaml"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    return {mount["mountPath"]: {**mount, **volumes[mount["name"]]} for mount in container["volumeMounts"]}


def variables(case: Case) -> dict[str, str]:
    (container,) = rendered(case)["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def test_the_settings_are_an_immutable_object_that_the_server_is_pointed_to() -> None:
    config = rendered(EVERYTHING)["config.yaml"]
    folder, _, name = variables(EVERYTHING)["SHIPWAY_CONFIG"].rpartition("/")
    assert config["immutable"] is True
    assert config["data"] == {name: EVERYTHING.release.configuration}
    mounted = files(EVERYTHING)[folder]
    assert (mounted["configMap"], mounted["readOnly"]) == ({"name": config["metadata"]["name"]}, True)


def test_other_settings_are_another_object_and_the_same_are_the_same() -> None:
    def name(configuration: str) -> str:
        case = Case(replace(RELEASE, configuration=configuration), Kubernetes())
        found: str = rendered(case)["config.yaml"]["metadata"]["name"]
        return found

    assert name("a = 1\n") == name("a = 1\n") != name("a = 2\n")
    assert name("a = 1\n").startswith("diabetes-config-")


def test_keys_are_one_entry_of_a_secret_that_is_only_named() -> None:
    folder, _, name = variables(EVERYTHING)["SHIPWAY_AUTH__KEYS"].rpartition("/")
    mounted = files(EVERYTHING)[folder]
    assert mounted["secret"] == {"secretName": "api-keys", "items": [{"key": "keys", "path": name}]}
    assert mounted["readOnly"] is True
    assert not [found for found in rendered(EVERYTHING).values() if found["kind"] == "Secret"]


def test_without_either_there_is_only_a_place_to_write_to() -> None:
    assert list(files(PLAIN)) == ["/tmp"]
    assert not {"SHIPWAY_CONFIG", "SHIPWAY_AUTH__KEYS"} & set(variables(PLAIN))
