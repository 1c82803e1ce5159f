"""Docker as a target on an engine in memory: what the contract suite does not ask."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.containers import FakeContainer, FakeContainers, image_of
from fakes.target import a_release
from shipway.deploy.docker.containers import Containers
from shipway.deploy.docker.edits import edits
from shipway.deploy.docker.record import Running
from shipway.deploy.docker.state import read_state
from shipway.deploy.docker.target import DockerTarget
from shipway.deploy.target import Order, Plan, Progress
from shipway.errors import (
    Contested,
    Interrupted,
    PortInUse,
    ReleaseFailed,
    ShipwayError,
    TargetError,
    UnknownRelease,
    UsageError,
)
from shipway.spec.release import Release
from shipway.spec.settings import Docker

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def fake() -> FakeContainers:
    engine = FakeContainers()
    for version in (1, 2, 3):
        engine.add_image(a_release(version).image, a_release(version).bundle)
    return engine


def open_target(fake: FakeContainers, **options: Any) -> DockerTarget:
    clock = Clock()
    return DockerTarget(
        fake.engine, Docker(**{"replicas": 2, **options}), who="ann", now=lambda: NOON, clock=clock, sleep=clock.sleep
    )


def do(target: DockerTarget, plan: Plan, *, restore: bool = True) -> list[Progress]:
    told: list[Progress] = []
    target.carry_out(plan, told.append, restore=restore)
    return told


def deploy(fake: FakeContainers, version: int = 1, *, canary: int | None = None, **options: Any) -> DockerTarget:
    target = open_target(fake, **options)
    do(target, target.plan(Order(a_release(version), canary)))
    return target


def ends(number: int, **state: Any) -> Callable[[FakeContainer], None]:
    """Gives servers of a release that end as told."""

    def behave(container: FakeContainer) -> None:
        if container.labels["io.shipway.release.number"] == str(number):
            for key, value in {"status": "restarting", "restarts": 2, "exit_code": 1, **state}.items():
                setattr(container, key, value)

    return behave


def at(command: str, act: Callable[[], None]) -> Callable[[Sequence[str]], None]:
    """Gives a hook that acts once, before a command that begins so."""
    done: list[bool] = []

    def before(words: Sequence[str]) -> None:
        if " ".join(words).startswith(command) and not done:
            done.append(True)
            act()

    return before


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_server_may_do_no_more_than_it_needs(fake: FakeContainers, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("x")
    deploy(fake, cpus=1.5, memory="1g", keys=str(tmp_path / "keys"))
    server, relay = fake.find("diabetes.1.1"), fake.find("diabetes")
    assert server
    assert relay
    for one in (server, relay):
        assert "--read-only" in one.words
        assert one.values("--cap-drop") == ["ALL"]
        assert one.values("--security-opt") == ["no-new-privileges"]
        assert one.values("--restart") == ["always"]
        assert one.values("--network") == ["shipway-diabetes"]
    assert server.values("--memory") == ["1g"]
    assert server.values("--cpus") == ["1.5"]
    assert server.values("--stop-timeout") == [str(a_release().contract.termination_seconds)]
    assert not server.values("--publish")
    assert relay.values("--publish") == ["127.0.0.1:8000:8000"]
    assert set(server.values("--env")) == {"OMP_NUM_THREADS=2", "SHIPWAY_AUTH__KEYS=/run/shipway/keys"}
    assert server.values("--mount") == [f"type=bind,source={tmp_path / 'keys'},target=/run/shipway/keys,readonly"]


def test_old_servers_end_only_after_all_new_ones_are_ready(fake: FakeContainers) -> None:
    deploy(fake)
    fake.said.clear()
    deploy(fake, 2)
    verbs = [words[0] for words in fake.said if words[0] in ("create", "start", "exec", "stop", "rm")]
    assert verbs.index("stop") > verbs.index("exec") > max(i for i, verb in enumerate(verbs) if verb == "start")
    assert fake.names == {"diabetes", "diabetes.2.1", "diabetes.2.2"}


def test_nothing_without_our_labels_is_touched(fake: FakeContainers) -> None:
    fake.program(["docker", "create", "--name", "diabetes.1.9", "--label", "a=b", "someone/else"])
    fake.program(["docker", "network", "create", "theirs"])
    target = deploy(fake)
    do(target, target.plan_undeploy("diabetes"))
    assert fake.names == {"diabetes.1.9"}
    assert fake.networks == ["theirs"]


@pytest.mark.parametrize("theirs", ["diabetes", "diabetes.1.2"])
def test_a_name_that_is_anothers_is_said_and_nothing_is_left(fake: FakeContainers, theirs: str) -> None:
    fake.program(["docker", "create", "--name", theirs, "someone/else"])
    with pytest.raises(Contested, match=f"called {theirs} already"):
        deploy(fake)
    assert fake.names == {theirs}
    assert not fake.networks


@pytest.mark.parametrize(
    ("state", "log", "kind", "words"),
    [
        ({"out_of_memory": True, "exit_code": 137}, "", "out-of-memory", "more memory than the 512m"),
        ({"exit_code": 137}, "serving\n", "killed", "for its memory, of which it may take 512m"),
        ({}, "serving\nerror: row 3 differs\nfix: pack it again\n", "server-error", "row 3 differs"),
        ({}, "Traceback\nOSError: no\n", "crash", "OSError: no"),
        ({}, "", "crash", "it wrote nothing"),
        ({"status": "created", "error": "exec format error"}, "", "cannot-start", "exec format error"),
    ],
)
def test_why_a_server_ends_is_said(
    fake: FakeContainers, state: dict[str, Any], log: str, kind: str, words: str
) -> None:
    deploy(fake)
    fake.behave = ends(2, **state)
    fake.logs = {"diabetes.2.1": log}
    target = open_target(fake)
    told: list[Progress] = []
    with pytest.raises(ReleaseFailed, match=words) as caught:
        target.carry_out(target.plan(Order(a_release(2))), told.append)
    assert "release 1 serves as before" in caught.value.message
    assert caught.value.fix
    assert told[-1].cause is not None
    assert (told[-1].cause.kind, told[-1].failed) == (kind, True)
    assert fake.names == {"diabetes", "diabetes.1.1", "diabetes.1.2", "diabetes.2.1.failed"}


@pytest.mark.parametrize(("seen", "words"), [(True, "was killed"), (False, "ended 5 times: it is no model")])
def test_a_server_that_is_started_anew_at_once_is_given_up_too(fake: FakeContainers, seen: bool, words: str) -> None:
    deploy(fake)
    # The fake relay does not call it ready.
    fake.behave = ends(2, status="running", restarts=5, exit_code=1)
    fake.logs = {"diabetes.2.1": "it is no model\n"}

    def end() -> None:
        one = fake.find("diabetes.2.1")
        assert one
        one.status, one.exit_code = ("exited", 137) if seen else ("running", 1)

    target = open_target(fake)
    plan = target.plan(Order(a_release(2)))
    fake.before = at("exec", lambda: setattr(fake, "before", at("ps", end)))
    with pytest.raises(ReleaseFailed, match=words):
        do(target, plan)


def test_what_cannot_be_kept_from_starting_again_is_stopped(fake: FakeContainers) -> None:
    deploy(fake)
    fake.behave = ends(2)
    fake.refuse = {"update": "unknown flag: --restart"}
    target = open_target(fake)
    with pytest.raises(ReleaseFailed):
        do(target, target.plan(Order(a_release(2))), restore=False)
    assert {one.status for one in fake.containers if one.name.endswith(".failed")} == {"exited"}


def test_one_crash_may_pass(fake: FakeContainers) -> None:
    fake.behave = ends(1, status="running", restarts=1, exit_code=0)
    target = deploy(fake)
    assert {one.restarts for one in target.status("diabetes").progress.instances} == {1}


def test_a_server_that_is_never_ready_is_given_up_in_time(fake: FakeContainers) -> None:
    fake.behave = ends(1, status="running", restarts=0, exit_code=3)  # which the fake relay does not call ready
    with pytest.raises(ReleaseFailed, match=r"not ready after 300 s: diabetes.1.1, diabetes.1.2: .*; nothing serves"):
        deploy(fake)
    assert not fake.containers
    assert not fake.networks


def test_a_wreck_is_left_as_it_is_and_off_the_network(fake: FakeContainers) -> None:
    deploy(fake)
    fake.behave = ends(2)
    target = open_target(fake)
    with pytest.raises(ReleaseFailed, match=r"diabetes\.2\.1\.failed, diabetes\.2\.2\.failed left for study"):
        do(target, target.plan(Order(a_release(2))), restore=False)
    assert ["network", "disconnect", "--force", "shipway-diabetes", "id6"] in fake.said
    assert {one.status for one in fake.containers if one.name.endswith(".failed")} == {"restarting"}
    assert any("failed of release 2" in note for note in target.status("diabetes").notes)
    fake.behave = ends(9)
    do(target, target.plan(Order(a_release(3))))
    assert fake.names == {"diabetes", "diabetes.3.1", "diabetes.3.2"}
    assert [one.result for one in target.history("diabetes")] == ["replaced", "failed", "complete"]


@pytest.mark.parametrize("moment", ["create --name diabetes.2.2", "start id6", "exec"])
def test_an_interrupt_before_the_old_ones_end_changes_nothing(fake: FakeContainers, moment: str) -> None:
    target = deploy(fake)
    plan = target.plan(Order(a_release(2)))
    fake.before = at(moment, interrupt)
    with pytest.raises(Interrupted, match="release 1 serves as before") as caught:
        do(target, plan)
    assert caught.value.fix
    assert fake.names == {"diabetes", "diabetes.1.1", "diabetes.1.2"}


def test_only_a_server_that_may_have_calls_gets_its_time_when_it_is_taken_back(fake: FakeContainers) -> None:
    target = deploy(fake)
    plan = target.plan(Order(a_release(2)))
    fake.before = at("start id7", interrupt)
    with pytest.raises(Interrupted):
        do(target, plan)
    assert [words for words in fake.said if words[0] == "stop"] == [["stop", "-t", "5", "id7"], ["stop", "id6"]]


def test_an_interrupt_while_the_old_ones_end_says_how_to_go_on(fake: FakeContainers) -> None:
    target = deploy(fake)
    plan = target.plan(Order(a_release(2)))
    fake.before = at("stop", interrupt)
    with pytest.raises(Interrupted, match="still there") as caught:
        do(target, plan)
    assert "same command" in caught.value.fix
    assert [one.result for one in target.history("diabetes")] == ["complete", "interrupted"]
    assert any("broken off" in note for note in target.status("diabetes").notes)
    back = target.plan_rollback("diabetes", None)
    assert [change.what for change in back.changes if change.action == "delete"] == [
        "container diabetes.2.1",
        "container diabetes.2.2",
    ]
    do(target, target.plan(Order(a_release(2))))
    assert fake.names == {"diabetes", "diabetes.2.1", "diabetes.2.2"}


def test_a_port_in_use_is_said_and_nothing_is_left(fake: FakeContainers) -> None:
    fake.refuse = {"start diabetes": "Bind for 127.0.0.1:8000 failed: port is already allocated"}
    with pytest.raises(PortInUse, match=r"127\.0\.0\.1:8000"):
        deploy(fake)
    assert not fake.containers
    assert not fake.networks


@pytest.mark.parametrize("command", ["network create", "create --name diabetes.2.1", "start", "stop", "ps"])
def test_what_the_engine_refuses_is_an_error_of_ours(fake: FakeContainers, command: str) -> None:
    target = deploy(fake)
    do(target, target.plan_undeploy("diabetes")) if command == "network create" else None
    fake.refuse = {command: "the daemon is tired"}
    with pytest.raises(ShipwayError, match="the daemon is tired") as caught:
        do(target, target.plan(Order(a_release(2))))
    assert caught.value.fix


def test_while_somebody_deploys_others_are_told_who(fake: FakeContainers) -> None:
    target = deploy(fake)
    plan = target.plan(Order(a_release(2)))
    other = DockerTarget(fake.engine, Docker(replicas=2), who="ben")

    def meanwhile() -> None:
        for attempt in (lambda: other.plan_scale("diabetes", 3), lambda: other.carry_out(plan, lambda _: None)):
            with pytest.raises(Contested, match="being changed by ann"):
                attempt()
        assert [one.result for one in other.history("diabetes")] == ["complete", "running"]

    fake.before = at("exec", meanwhile)
    do(target, plan)
    assert "diabetes.deploying" not in fake.names


@pytest.mark.parametrize("change", ["label", "entrypoint", "other", "gone"])
def test_an_image_that_does_not_fit_is_refused(fake: FakeContainers, change: str) -> None:
    one = a_release()
    facts = image_of(one.bundle)
    if change == "label":
        facts["Config"]["Labels"] = None
    elif change == "entrypoint":
        facts["Config"]["Entrypoint"] = ["/bin/sh"]
    elif change == "other":
        facts["Config"]["Labels"] = image_of(a_release(2).bundle)["Config"]["Labels"]
    fake.images = {} if change == "gone" else {one.image: facts}
    with pytest.raises(TargetError if change == "gone" else UsageError) as caught:
        deploy(fake)
    assert caught.value.fix
    assert not fake.containers


def test_an_image_that_is_not_here_is_pulled(fake: FakeContainers) -> None:
    fake.images, fake.registry = {}, {a_release().image: image_of(a_release().bundle)}
    deploy(fake)
    assert "diabetes.1.1" in fake.names


def test_a_tag_that_moves_changes_nothing_of_what_runs_and_going_back_notices(fake: FakeContainers) -> None:
    target = deploy(fake)
    do(target, target.plan(Order(a_release(2))))
    old = image_of(a_release(1).bundle)["Id"]
    del fake.images[old]
    fake.images[a_release(1).image] = {**image_of(a_release(1).bundle), "Id": "sha256:" + "f" * 64}
    with pytest.raises(TargetError, match="is another one by now"):
        target.plan_rollback("diabetes", None)


def test_another_port_is_refused_while_it_runs(fake: FakeContainers) -> None:
    deploy(fake)
    with pytest.raises(UsageError, match=r"listens on 127\.0\.0\.1:8000") as caught:
        open_target(fake, port=9000).plan(Order(a_release(2)))
    assert "--port 8000" in caught.value.fix


def test_it_says_where_it_is_reached(fake: FakeContainers) -> None:
    target = deploy(fake, host="0.0.0.0", port=9000)
    assert target.status("diabetes").address == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("name", "change", "lines"),
    [
        ("diabetes.1.1", {"Memory": 300 * 2**20}, ["-memory: 512m", "+memory: 300m"]),
        ("diabetes.1.1", {"Memory": 1000}, ["-memory: 512m", "+memory: 1000b"]),
        ("diabetes.1.2", {"NanoCpus": 500_000_000}, ["-cpus: no limit", "+cpus: 0.5"]),
        ("diabetes.1.2", {"CpuQuota": 25_000, "CpuPeriod": 50_000}, ["-cpus: no limit", "+cpus: 0.5"]),
        ("diabetes.1.1", {"PidsLimit": -1}, ["-processes: 256", "+processes: no limit"]),
        ("diabetes", {"RestartPolicy": {"Name": "no"}}, ["-restart: always", "+restart: no"]),
        ("diabetes", {"Memory": 0}, ["-memory: 128m", "+memory: no limit"]),
    ],
)
def test_what_somebody_has_changed_by_hand_is_shown(
    fake: FakeContainers, name: str, change: dict[str, Any], lines: list[str]
) -> None:
    target = deploy(fake)
    assert target.status("diabetes").edited == ()
    one = fake.find(name)
    assert one
    one.host |= change
    (edit,) = target.status("diabetes").edited
    assert (edit.action, edit.what) == ("update", f"container {name}")
    assert [line for line in edit.difference.splitlines() if line[0] in "+-"] == [
        "--- as released",
        "+++ as it is",
        *lines,
    ]


def test_a_server_that_was_taken_off_its_network_is_shown(fake: FakeContainers) -> None:
    target = deploy(fake)
    fake.program(["docker", "network", "disconnect", "shipway-diabetes", "diabetes.1.2"])
    (edit,) = target.status("diabetes").edited
    assert "+network: none" in edit.difference


@pytest.mark.parametrize("memory", ["300m", "1g", "1.5G", "1024MiB", "2048kb", "700000000", "64m"])
def test_what_is_as_it_was_released_is_no_change_however_it_was_written(fake: FakeContainers, memory: str) -> None:
    target = deploy(fake, cpus=1.5)
    runs = Running("", "", "", "", memory=memory, cpus=1.5)
    amounts = {"m": 2**20, "g": 2**30, "k": 2**10}
    number = float(re.sub("[a-zA-Z]", "", memory)) * amounts.get(re.sub("[0-9.]", "", memory)[:1].lower(), 1)
    state = read_state("diabetes", Containers(fake.engine).list("diabetes"))
    one = state.servers[0]
    assert one.entry
    entry = msgspec.structs.replace(one.entry, runs=runs)
    server = dataclasses.replace(one, entry=entry, limits=dataclasses.replace(one.limits, memory=int(number)))
    assert not list(edits(dataclasses.replace(state, servers=(server,))))
    assert target.status("diabetes").edited == ()


@pytest.mark.parametrize("moment", ["exec", "start id6"])
def test_an_engine_that_goes_away_is_told_and_so_is_the_lock_that_it_keeps(fake: FakeContainers, moment: str) -> None:
    target = deploy(fake)
    plan = target.plan(Order(a_release(2)))
    fake.before = at(moment, lambda: fake.refuse.update({"": "Cannot connect to the Docker daemon"}))
    with pytest.raises(TargetError, match=r"Cannot connect .* the lock .* is still there") as caught:
        do(target, plan)
    assert "docker rm diabetes.deploying" in caught.value.fix


def test_an_interrupt_that_cannot_be_undone_is_still_an_interrupt(fake: FakeContainers) -> None:
    target = deploy(fake)
    plan = target.plan(Order(a_release(2)))

    def break_off() -> None:
        fake.refuse = {"stop": "the daemon is tired"}
        interrupt()

    fake.before = at("exec", break_off)
    with pytest.raises(Interrupted, match=r"taking the new servers away failed too: .* tired"):
        do(target, plan)


def test_an_interrupt_of_an_undeploy_says_what_is_left(fake: FakeContainers) -> None:
    target = deploy(fake)
    plan = target.plan_undeploy("diabetes")
    fake.before = at("stop id3", interrupt)
    with pytest.raises(Interrupted, match="some of diabetes is still there") as caught:
        do(target, plan)
    assert "same command" in caught.value.fix
    do(target, target.plan_undeploy("diabetes"))
    assert not fake.containers


def test_what_failed_is_not_started_again_with_the_engine(fake: FakeContainers) -> None:
    deploy(fake)
    fake.behave = ends(2)
    with pytest.raises(ReleaseFailed):
        deploy(fake, 2)
    left = fake.find("diabetes.2.1.failed")
    assert left
    assert left.host["RestartPolicy"] == {"Name": "no"}


def test_that_another_engine_does_not_answer_is_said_before_a_release_goes_to_this_one(fake: FakeContainers) -> None:
    engine = dataclasses.replace(fake.engine, tool="podman", silent=("docker",))
    target = DockerTarget(engine, Docker())
    with pytest.raises(UnknownRelease, match="podman has no release diabetes; docker is installed too"):
        target.status("diabetes")
    plan = target.plan(Order(a_release()))
    assert plan.notes == ("docker does not answer, and so this is for podman",)
    do(target, plan)
    assert not target.plan(Order(a_release(2))).notes


def test_hints_lead_to_the_same_place(fake: FakeContainers) -> None:
    deploy(fake)
    target = deploy(fake, 2, canary=50)
    with pytest.raises(UsageError) as caught:
        target.plan_scale("diabetes", 3)
    assert target.command("promote", "diabetes") in caught.value.fix
    assert target.command("rollback", "diabetes") == "shipway rollback diabetes --on docker"
    assert target.command("status") == "shipway status --on docker"


def test_a_relay_that_is_gone_is_made_again_and_one_that_was_stopped_is_started(fake: FakeContainers) -> None:
    target = deploy(fake)
    for verb in ("rm", "stop"):
        fake.program(["docker", verb, "diabetes"])
        assert any("no call gets through" in note for note in target.status("diabetes").notes)
        do(target, target.plan_scale("diabetes", 4 if verb == "rm" else 3))
        relay = fake.find("diabetes")
        assert relay
        assert relay.status == "running"


def test_the_same_release_again_starts_a_relay_that_was_stopped(fake: FakeContainers) -> None:
    deploy(fake)
    fake.program(["docker", "stop", "diabetes"])
    deploy(fake)
    relay = fake.find("diabetes")
    assert relay
    assert relay.status == "running"
    assert fake.names == {"diabetes", "diabetes.1.1", "diabetes.1.2"}


def test_a_canary_says_what_share_it_can_have(fake: FakeContainers) -> None:
    deploy(fake, replicas=3)
    plan = open_target(fake, replicas=3).plan(Order(a_release(2), 10))
    assert plan.notes == ("10 % of 3 servers is not to be had: 33.3 % is (1 of 3); --replicas 10 gives 10 %",)
    wider = open_target(fake, replicas=10).plan(Order(a_release(2), 10))
    assert not wider.notes
    assert sum(change.what.startswith("container diabetes.1.") for change in wider.changes) == 9


def test_scaling_waits_for_the_end_of_a_canary(fake: FakeContainers) -> None:
    deploy(fake)
    target = deploy(fake, 2, canary=50)
    with pytest.raises(UsageError, match="a canary runs"):
        target.plan_scale("diabetes", 3)
    with pytest.raises(UsageError):
        target.plan_scale("diabetes", 0)


def test_the_difference_shows_what_a_release_changes(fake: FakeContainers) -> None:
    deploy(fake)
    plan = open_target(fake, memory="1g").plan(Order(a_release(2)))
    (difference,) = [change.difference for change in plan.changes if change.what == "release diabetes"]
    assert "-memory: 512m" in difference
    assert "+memory: 1g" in difference
    assert f"+bundle: {a_release(2).bundle}" in difference


def test_settings_of_the_server_reach_it_and_are_kept_by_a_rollback(fake: FakeContainers) -> None:
    one = a_release(1)
    target = open_target(fake)
    do(target, target.plan(Order(Release(one.name, one.bundle, one.image, one.contract, "[limits]\nrows = 5\n"))))
    do(target, target.plan(Order(a_release(2))))
    do(target, target.plan_rollback("diabetes", None))
    server = fake.find("diabetes.3.1")
    assert server
    assert server.values("--env") == ["SHIPWAY_LIMITS__ROWS=5"]


def test_settings_that_no_label_holds_are_refused(fake: FakeContainers) -> None:
    one = a_release()
    long = f'[server]\ndefault = "{"x" * 11_000}"\n'
    with pytest.raises(UsageError, match="too long"):
        open_target(fake).plan(Order(Release(one.name, one.bundle, one.image, one.contract, long)))


def test_the_oldest_of_a_long_history_go_first(fake: FakeContainers) -> None:
    target = open_target(fake)
    for version in range(1, 7):
        one = a_release(1 + version % 2)
        text = f'[server]\ndefault = "{str(version) * 5_000}"\n'
        do(target, target.plan(Order(Release(one.name, one.bundle, one.image, one.contract, text))))
    numbers = [record.number for record in target.history("diabetes")]
    assert numbers == [3, 4, 5, 6]
    server = fake.find("diabetes.6.1")
    assert server
    assert len(" ".join(server.words)) < 32_000


def test_labels_of_another_kind_are_said(fake: FakeContainers) -> None:
    target = deploy(fake)
    server = fake.find("diabetes.1.1")
    assert server
    place = server.words.index(next(word for word in server.words if word.startswith("io.shipway.release.record=")))
    server.words[place] = "io.shipway.release.record={}"
    with pytest.raises(TargetError, match=r"labels of the container diabetes\.1\.1"):
        target.status("diabetes")


def test_a_file_of_keys_that_is_not_there_is_said(fake: FakeContainers) -> None:
    with pytest.raises(UsageError, match="no file of API keys"):
        deploy(fake, keys="not-there")


def test_logs_are_merged_by_time_and_followed_until_nobody_is_left(fake: FakeContainers) -> None:
    target = deploy(fake)
    fake.logs = {"diabetes.1.1": "2026-01-01T00:00:02Z b\n", "diabetes.1.2": "2026-01-01T00:00:01Z a\n"}
    lines = [(line.instance, line.text) for line in target.logs("diabetes", follow=False, tail=9)]
    assert lines == [("diabetes.1.2", "a"), ("diabetes.1.1", "b")]
    followed = target.logs("diabetes", follow=True, tail=9)
    assert {next(followed).text, next(followed).text} == {"a", "b"}
    do(target, target.plan_undeploy("diabetes"))
    assert list(followed) == []


def test_a_server_whose_metrics_cannot_be_read_is_left_out(fake: FakeContainers) -> None:
    target = deploy(fake)
    assert target.measure("diabetes")["stable"].requests == 14
    fake.refuse = {"exec": "no"}
    assert target.measure("diabetes")["stable"].instances == 0


def test_names_are_those_of_releases(fake: FakeContainers) -> None:
    target = open_target(fake)
    assert target.names() == ()
    deploy(fake)
    fake.add_image("registry.example/churn:1", a_release(1, "churn").bundle)
    do(open_target(fake, port=9000), open_target(fake, port=9000).plan(Order(a_release(1, "churn"))))
    assert target.names() == ("churn", "diabetes")


def test_an_engine_that_speaks_no_json_is_said(fake: FakeContainers) -> None:
    target = deploy(fake)
    fake._container = lambda words: "<html>"  # type: ignore[method-assign]
    with pytest.raises(TargetError, match="no JSON"):
        target.status("diabetes")


def test_a_relay_without_servers_is_no_release_that_has_a_status(fake: FakeContainers) -> None:
    target = deploy(fake)
    for name in ("diabetes.1.1", "diabetes.1.2"):
        fake.program(["docker", "rm", name])
    with pytest.raises(UnknownRelease, match="no servers any more"):
        target.status("diabetes")
    do(target, target.plan_undeploy("diabetes"))
    assert not fake.containers


def test_the_record_is_told_whole(fake: FakeContainers) -> None:
    target = deploy(fake)
    (record,) = target.history("diabetes")
    assert (record.who, record.when, record.reason, record.result) == ("ann", NOON, "deploy", "complete")
    assert (record.bundle, record.image) == (str(a_release().bundle), a_release().image)
    server = fake.find("diabetes.1.1")
    assert server
    assert (
        json.loads(server.labels["io.shipway.release.record"])["runs"]["image_id"] == image_of(a_release().bundle)["Id"]
    )
