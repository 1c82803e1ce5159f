"""The release that flags, environment and settings file describe together."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from shipway.bundle.bundle import Bundle
from shipway.cli.output import Output
from shipway.cli.release import make_release, target_flags
from shipway.cli.session import Session
from shipway.errors import UsageError

IMAGE = "registry.example/diabetes:1"


def session(folder: Path, text: str = "", environ: dict[str, str] | None = None) -> Session:
    path = folder / "shipway.toml"
    path.write_text(text, encoding="utf-8")
    return Session(environ or {}, Output(), str(path))


def test_flags_beat_the_environment_which_beats_the_file(diabetes: Bundle, tmp_path: Path) -> None:
    text = '[deploy.kubernetes]\nreplicas = 1\ncpu = "1"\nnamespace = "file"\n'
    environ = {"SHIPWAY_DEPLOY__KUBERNETES__REPLICAS": "2", "SHIPWAY_DEPLOY__KUBERNETES__NAMESPACE": "environment"}
    flags = {"replicas": 5, "namespace": None, "cpu": None, "name": None, "allow_from": ()}
    release, deploy = make_release(session(tmp_path, text, environ), diabetes, IMAGE, "kubernetes", flags)
    options = deploy.kubernetes
    assert (options.replicas, options.namespace, options.cpu) == (5, "environment", "1")
    assert (release.name, release.bundle, release.image) == ("diabetes", diabetes.id, IMAGE)


def test_the_servers_settings_travel_and_its_times_are_the_contracts(diabetes: Bundle, tmp_path: Path) -> None:
    text = '[server]\nport = 9\ndrain_seconds = 1.5\nlog = "text"\n[limits]\nseconds = 0.2\nrows = 7\n'
    release, _ = make_release(session(tmp_path, text), diabetes, IMAGE, "kubernetes", {"name": "other"})
    assert tomllib.loads(release.configuration) == {"server": {"log": "text"}, "limits": {"rows": 7}}
    assert (release.contract.drain_seconds, release.contract.request_seconds) == (2, 1)
    assert release.contract.port == 8000
    assert release.name == "other"


def test_without_settings_nothing_travels(diabetes: Bundle, tmp_path: Path) -> None:
    release, _ = make_release(session(tmp_path), diabetes, IMAGE, "kubernetes", {})
    assert release.configuration == ""
    assert (release.contract.drain_seconds, release.contract.request_seconds) == (5, 30)


@pytest.mark.parametrize("target", ["docker", "compose"])
def test_what_both_targets_have_goes_to_the_one_that_is_meant(diabetes: Bundle, tmp_path: Path, target: str) -> None:
    _, deploy = make_release(session(tmp_path), diabetes, IMAGE, target, {"replicas": 2, "port": 9000})
    assert (deploy.docker.replicas, deploy.docker.port, deploy.kubernetes.replicas) == (2, 9000, 3)


@pytest.mark.parametrize(("key", "flag"), [("ingress", "--ingress"), ("monitor_labels", "--monitor-label")])
def test_a_flag_of_another_target_is_refused(key: str, flag: str) -> None:
    with pytest.raises(UsageError, match=flag) as caught:
        target_flags("docker", {key: "x"})
    assert "deploy.docker" in caught.value.fix


@pytest.mark.parametrize(("keys", "warns"), [(None, True), ("api-keys", False)])
def test_it_is_said_where_api_keys_stay_behind(
    diabetes: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str | None, warns: bool
) -> None:
    with_keys = session(tmp_path, '[auth]\nkeys = "keys.txt"\n')
    make_release(with_keys, diabetes, IMAGE, "kubernetes", {"keys": keys})
    assert ("answers everyone" in capsys.readouterr().err) == warns
