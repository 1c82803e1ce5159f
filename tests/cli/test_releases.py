from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.shell import Ran, Shell
from fakes.target import Behaviour, FakeTarget, a_release, silent
from shipway.cli import deploy as deploy_verb
from shipway.cli import logs as logs_verb
from shipway.cli import status as status_verb
from shipway.cli import target as target_verbs
from shipway.deploy.target import Order
from shipway.errors import Interrupted

IMAGE = "registry.example/diabetes:1"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> FakeTarget:
    """The target that every verb opens."""
    target = FakeTarget(replicas=4)

    @contextmanager
    def opened(*_: Any) -> Iterator[FakeTarget]:
        yield target

    for module in (deploy_verb, logs_verb, status_verb, target_verbs):
        monkeypatch.setattr(module, "open_target", opened)
    return target


def deploy(shell: Shell, *words: str) -> Ran:
    return shell("deploy", "diabetes", "--to", "kubernetes", "--image", IMAGE, "--no-check", *words)


def released(place: FakeTarget, versions: int = 2) -> None:
    for version in range(1, versions + 1):
        place.carry_out(place.plan(Order(a_release(version))), silent)


def numbers(facts: Mapping[str, Any]) -> list[int]:
    return [record["release"] for record in facts["history"]]


def test_deploy_shows_the_difference_and_releases(stocked: Shell, place: FakeTarget) -> None:
    ran = deploy(stocked, "--yes")
    assert ran.code == 0, ran.err
    assert "+ create servers" in ran.err
    assert "release 1" in ran.out
    assert place.names() == ("diabetes",)


def test_deploy_gives_its_facts_as_json(stocked: Shell, place: FakeTarget) -> None:
    facts = deploy(stocked, "--yes", "--json").facts
    assert facts["release"] == 1
    assert facts["changes"][0]["action"] == "create"
    assert facts["address"]


def test_a_dry_run_releases_nothing(stocked: Shell, place: FakeTarget) -> None:
    assert deploy(stocked, "--dry-run").code == 0
    assert place.names() == ()


def test_the_same_again_changes_nothing_and_says_so(stocked: Shell, place: FakeTarget) -> None:
    deploy(stocked, "--yes")
    ran = deploy(stocked)  # nobody has to be asked where nothing is done
    assert ran.code == 0
    assert "nothing to do" in ran.out
    assert place.done == ["deploy"]


def test_without_a_terminal_only_yes_goes_on(stocked: Shell, place: FakeTarget) -> None:
    assert "--yes" in deploy(stocked).refusal(2)
    assert place.names() == ()


def test_a_release_that_fails_ends_with_1_and_its_cause(stocked: Shell, place: FakeTarget) -> None:
    place.behaviours[1] = Behaviour(ready=False)
    assert "crash" in deploy(stocked, "--yes").refusal(1)


def test_an_interrupted_release_ends_with_130_and_says_how_to_go_on(stocked: Shell, place: FakeTarget) -> None:
    place.fails["carry_out"] = [Interrupted("stopped while 1 of 3 was ready", fix="shipway deploy again")]
    assert "deploy again" in deploy(stocked, "--yes").refusal(130)


@pytest.mark.parametrize("steps", ["", "a", "50,25", "0,50", "25,25", "50,101"])
def test_steps_are_rising_percents(stocked: Shell, place: FakeTarget, steps: str) -> None:
    assert "--steps 25,50,100" in deploy(stocked, "--yes", "--steps", steps).refusal(2)


def test_a_canary_and_steps_exclude_each_other(stocked: Shell, place: FakeTarget) -> None:
    deploy(stocked, "--yes", "--steps", "25,100", "--canary", "25").refusal(2)


def test_steps_that_were_broken_off_go_on_from_the_canary_that_runs(stocked: Shell, place: FakeTarget) -> None:
    released(place, 1)
    deploy(stocked, "--yes", "--canary", "25")
    before = place.status("diabetes").current.bundle
    ran = deploy(stocked, "--yes", "--steps", "25,100", "--step-seconds", "1")
    assert ran.code == 0, ran.err
    assert place.status("diabetes").canary is None
    assert place.status("diabetes").current.bundle != before


def test_steps_take_back_by_themselves(stocked: Shell, place: FakeTarget) -> None:
    assert "--canary" in deploy(stocked, "--yes", "--steps", "25,100", "--no-rollback").refusal(2)


def test_a_dry_run_builds_nothing(stocked: Shell, place: FakeTarget) -> None:
    said = stocked("deploy", "diabetes", "--to", "docker", "--build", "--dry-run").refusal(2)
    assert "--dry-run builds no image" in said


def test_what_a_canary_says_to_do_next_is_about_its_own_target(stocked: Shell, place: FakeTarget) -> None:
    released(place, 1)
    ran = deploy(stocked, "--yes", "--canary", "25")
    assert f"{place.command('promote', 'diabetes')} lets" in ran.err
    assert f"{place.command('rollback', 'diabetes')} ends" in ran.err


def test_an_image_has_to_be_named(stocked: Shell, place: FakeTarget) -> None:
    assert "--image" in stocked("deploy", "diabetes", "--to", "kubernetes", "--yes").refusal(2)


def test_status_shows_servers_and_history(stocked: Shell, place: FakeTarget) -> None:
    released(place)
    facts = stocked("status", "diabetes", "--json").facts
    assert (facts["ready"], facts["wanted"], numbers(facts)) == (4, 4, [1, 2])
    text = stocked("status", "diabetes").out
    assert "4 of 4 ready" in text
    assert "diabetes:2" in text


def test_status_without_a_name_lists_all_releases(stocked: Shell, place: FakeTarget) -> None:
    assert "no releases" in stocked("status").out
    released(place, 1)
    place.carry_out(place.plan(Order(a_release(1, "churn"))), silent)
    assert [one["name"] for one in stocked("status", "--json").facts] == ["churn", "diabetes"]


def test_a_release_is_found_by_its_models_name(stocked: Shell, place: FakeTarget) -> None:
    place.carry_out(place.plan(Order(a_release(1, "churn-eu"))), silent)
    assert stocked("status", "churn_eu:1").code == 0


def test_rollback_brings_back_what_was_before(stocked: Shell, place: FakeTarget) -> None:
    released(place, 3)
    assert stocked("rollback", "diabetes", "--yes").code == 0
    assert place.status("diabetes").current.bundle.startswith("diabetes:2@")
    assert stocked("rollback", "diabetes", "--to", "1", "--yes").code == 0
    assert place.status("diabetes").current.bundle.startswith("diabetes:1@")


def test_a_canary_is_promoted(stocked: Shell, place: FakeTarget) -> None:
    released(place, 1)
    assert deploy(stocked, "--yes", "--canary", "25").code == 0
    assert "canary" in stocked("status", "diabetes").out
    assert stocked("promote", "diabetes", "--yes").code == 0
    assert place.status("diabetes").canary is None


def test_scale_changes_the_number_of_servers(stocked: Shell, place: FakeTarget) -> None:
    released(place, 1)
    assert stocked("scale", "diabetes", "2", "--yes").code == 0
    assert place.status("diabetes").progress.wanted == 2


@pytest.mark.parametrize("replicas", ["x", "5-2", "-1", "0-3", "1-", "999999"])
def test_a_number_of_servers_is_a_number_or_a_range(stocked: Shell, place: FakeTarget, replicas: str) -> None:
    released(place, 1)
    assert stocked("scale", "diabetes", "--yes", "--", replicas).code == 2
    assert place.status("diabetes").progress.wanted == 4


def test_logs_name_the_server_of_each_line(stocked: Shell, place: FakeTarget) -> None:
    released(place, 1)
    lines = stocked("logs", "diabetes").out.splitlines()
    assert lines[0] == "stable-0 | serving"
    assert len(lines) == 4


def test_undeploy_takes_it_down_and_delete_is_its_other_name(stocked: Shell, place: FakeTarget) -> None:
    released(place, 1)
    assert stocked("delete", "diabetes", "--dry-run").code == 0
    assert place.names() == ("diabetes",)
    assert stocked("delete", "diabetes", "--yes").code == 0
    assert place.names() == ()


@pytest.mark.parametrize("words", [("status",), ("logs",), ("rollback",), ("promote",), ("undeploy",)])
def test_a_release_that_is_not_there_is_refused(stocked: Shell, place: FakeTarget, words: tuple[str, ...]) -> None:
    assert "there is no release nothing" in stocked(*words, "nothing").refusal(1)


@pytest.mark.parametrize("name", ["", "Diabetes", "a b", "a,b=c", "-a", "../a"])
def test_what_cannot_be_a_release_is_asked_of_nobody(stocked: Shell, place: FakeTarget, name: str) -> None:
    assert "no release is called" in stocked("status", "--", name).refusal(2)


def test_no_cluster_is_no_traceback(stocked: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stocked("status", "diabetes").refusal(2)
