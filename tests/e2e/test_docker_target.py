"""Docker and Podman as a target, for real: replaced under load without a lost call, healed, taken back, taken down."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e import load
from e2e.base import needs_mmdebstrap
from e2e.engine import call, docker
from e2e.releases import Version
from shipway.deploy.docker.target import DockerTarget
from shipway.deploy.target import Order, Plan
from shipway.errors import Contested, PortInUse, ReleaseFailed, TargetError, UnknownRelease, UsageError
from shipway.oci.engine import TOOLS, find_engine
from shipway.spec.contract import Contract
from shipway.spec.release import Release
from shipway.spec.settings import Docker

pytestmark = [pytest.mark.e2e, needs_mmdebstrap, pytest.mark.usefixtures("docker_engine")]
NAME = "e2e-target"
RATE = 100.0
_OURS = ("--filter", f"label=io.shipway.release={NAME}")
Open = Callable[..., DockerTarget]


@dataclass(frozen=True)
class Tool:
    """An engine, as the tests call it, and what is there under the test's name."""

    name: str

    def __call__(self, *arguments: str) -> str:
        return call(self.name, *arguments)

    def names(self) -> set[str]:
        return set(self("ps", "--all", *_OURS, "--format", "{{.Names}}").split())

    def networks(self) -> list[str]:
        return self("network", "ls", "--quiet", *_OURS).split()

    def crash(self, name: str) -> None:
        """Kills a container from outside, as the kernel would: with a command it would count as stopped by hand."""
        os.kill(int(self("inspect", "--format", "{{.State.Pid}}", name)), signal.SIGKILL)


@pytest.fixture(scope="module", params=TOOLS)
def tool(request: pytest.FixtureRequest, versions: list[Version], tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """Each engine that is installed here and can start a container; all have the images that Docker has."""
    tool = Tool(request.param)
    if shutil.which(tool.name) is None:
        pytest.skip(f"needs {tool.name}")
    if tool.name != "docker":
        archive = str(tmp_path_factory.mktemp("images") / "images.tar")
        docker("save", "--output", archive, *(version.image for version in versions))
        tool("load", "--input", archive)
    python = json.loads(tool("image", "inspect", versions[0].image))[0]["Config"]["Entrypoint"][0]
    trial = [tool.name, "run", "--rm", "--entrypoint", python, versions[0].image, "-c", ""]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"{tool.name} cannot start containers here: {done.stderr.strip()}")
    return tool


@pytest.fixture
def open_target(tool: Tool) -> Iterator[Open]:
    """Opens the target with one port, which is free; what is under the test's name goes with the test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    def opened(replicas: int = 2, *, patience: float = 60.0, **options: object) -> DockerTarget:
        docker_options = Docker(port=port, replicas=replicas, **options)  # type: ignore[arg-type]
        return DockerTarget(find_engine((tool.name,)), docker_options, who="tester", patience=patience)

    try:
        yield opened
    finally:
        if left := tool("ps", "--all", "--quiet", *_OURS).split():
            tool("rm", "--force", *left)
        if left := tool.networks():
            tool("network", "rm", *left)


def do(target: DockerTarget, plan: Plan, *, restore: bool = True) -> str:
    return target.carry_out(plan, lambda progress: None, restore=restore).address


def deploy(target: DockerTarget, version: Version, canary: int | None = None) -> str:
    return do(target, target.plan(Order(version.release(NAME), canary)))


def under_load(address: str, versions: list[Version], work: Callable[[], None]) -> load.Report:
    """Does some work while calls come; a second longer on either side."""

    async def run() -> load.Report:
        expected = [version.answer for version in versions]
        async with load.during(address, RATE, versions[0].row, expected) as report:
            await asyncio.sleep(1)
            await asyncio.to_thread(work)
            await asyncio.sleep(1)
        return report

    return asyncio.run(run())


def test_no_call_is_lost_or_wrong_while_it_is_replaced_scaled_shared_and_taken_back(
    open_target: Open, tool: Tool, versions: list[Version]
) -> None:
    target = open_target()
    first, second = versions
    address = deploy(target, first)

    def work() -> None:
        deploy(target, second)
        do(target, target.plan_scale(NAME, 3))
        do(target, target.plan_scale(NAME, 2))
        do(target, target.plan_rollback(NAME, None))
        deploy(target, second, canary=50)
        do(target, target.plan_promote(NAME))

    report = under_load(address, versions, work)
    assert (report.failed, report.wrong) == (0, 0), report
    assert report.sent > 1000
    assert set(report.answers) == {0, 1}
    story = [(record.number, record.reason, record.result) for record in target.history(NAME)]
    assert story == [
        (1, "deploy", "replaced"),
        (2, "deploy", "replaced"),
        (3, "rollback to 1", "replaced"),
        (4, "canary 50 %", "replaced"),
        (5, "promote 4", "complete"),
    ]
    assert {record.who for record in target.history(NAME)} == {"tester"}
    assert target.status(NAME).current.bundle == str(second.bundle.id)
    assert tool.names() == {NAME, f"{NAME}.5.1", f"{NAME}.5.2"}
    do(target, target.plan_undeploy(NAME))
    assert not tool.names()
    assert not tool.networks()
    with pytest.raises(UnknownRelease):
        target.status(NAME)


def test_a_canary_gets_the_share_that_its_servers_are_and_goes_with_a_rollback(
    open_target: Open, versions: list[Version]
) -> None:
    target = open_target(replicas=3)
    address = deploy(target, versions[0])
    plan = target.plan(Order(versions[1].release(NAME), 30))
    assert "33.3 %" in " ".join(plan.notes)
    do(target, plan)
    status = target.status(NAME)
    assert status.canary is not None
    assert (status.canary.number, round(status.share)) == (2, 33)
    report = asyncio.run(load.run(address, 3, 50, versions[0].row, [version.answer for version in versions]))
    assert (report.failed, report.wrong) == (0, 0), report
    assert abs(report.answers[1] / report.sent - 1 / 3) < 0.15
    measured = target.measure(NAME)
    assert measured["canary"].requests == report.answers[1]
    assert measured["stable"].requests == report.answers[0]
    assert (measured["stable"].instances, measured["canary"].instances) == (2, 1)
    do(target, target.plan_rollback(NAME, None))
    assert target.status(NAME).canary is None
    assert len(target.status(NAME).progress.instances) == 3


def test_a_server_that_is_killed_comes_back_by_itself(open_target: Open, tool: Tool, versions: list[Version]) -> None:
    target = open_target()
    address = deploy(target, versions[0])
    victim = f"{NAME}.1.1"

    def work() -> None:
        tool.crash(victim)
        end = time.monotonic() + 30
        while not (progress := target.status(NAME).progress).done:
            assert time.monotonic() < end, progress
            time.sleep(0.2)

    report = under_load(address, versions, work)
    assert report.wrong == 0
    # What the killed server was answering is lost; what came after went to the other one.
    assert report.failed <= 10, report
    assert sum(one.restarts for one in target.status(NAME).progress.instances) == 1


def test_a_release_that_fails_is_explained_and_the_old_one_serves_on(
    open_target: Open, tool: Tool, versions: list[Version], tmp_path: Path
) -> None:
    address = deploy(open_target(), versions[0])
    keys = tmp_path / "keys"
    keys.write_text("not a key\n")
    keys.chmod(0o600)
    broken = open_target(keys=str(keys))

    def work() -> None:
        with pytest.raises(ReleaseFailed) as caught:
            deploy(broken, versions[1])
        assert "API keys" in caught.value.message
        assert "release 1 serves as before" in caught.value.message
        assert caught.value.fix

    report = under_load(address, versions[:1], work)
    assert (report.failed, report.wrong) == (0, 0), report
    target = open_target()
    assert [record.result for record in target.history(NAME)] == ["complete", "failed"]
    deploy(target, versions[1])
    assert [record.result for record in target.history(NAME)] == ["replaced", "failed", "complete"]
    assert not any(name.endswith(".failed") for name in tool.names())


def test_too_little_memory_is_said_and_a_first_release_that_fails_leaves_nothing(
    open_target: Open, tool: Tool, versions: list[Version]
) -> None:
    with pytest.raises(ReleaseFailed, match="memory"):
        deploy(open_target(1, memory="32m"), versions[0])
    assert not tool.names()
    assert not tool.networks()


def test_a_wreck_is_left_for_study_where_that_is_asked(open_target: Open, tool: Tool, versions: list[Version]) -> None:
    deploy(open_target(1), versions[0])
    broken = open_target(1, memory="32m")
    with pytest.raises(ReleaseFailed, match=r"e2e-target.2.1.failed left for study"):
        do(broken, broken.plan(Order(versions[1].release(NAME))), restore=False)
    assert tool.names() == {NAME, f"{NAME}.1.1", f"{NAME}.2.1.failed"}


def test_it_comes_back_when_all_of_its_containers_are_started_anew(
    open_target: Open, tool: Tool, versions: list[Version]
) -> None:
    target = open_target()
    address = deploy(target, versions[0])
    tool("kill", *tool.names())
    tool(
        "start", *tool.names()
    )  # as the engine does after a restart of the machine: in any order, with other addresses
    end = time.monotonic() + 30
    while not target.status(NAME).progress.done:
        assert time.monotonic() < end
        time.sleep(0.2)
    report = asyncio.run(load.run(address, 1, 20, versions[0].row, versions[0].answer))
    assert (report.failed, report.wrong) == (0, 0), report


def test_settings_of_the_server_and_limits_reach_the_container(
    open_target: Open, tool: Tool, versions: list[Version]
) -> None:
    target = open_target(1, cpus=0.5, memory="300m")
    do(target, target.plan(Order(versions[0].release(NAME, "[limits]\nrows = 7\n"))))
    (found,) = json.loads(tool("inspect", f"{NAME}.1.1"))
    assert "SHIPWAY_LIMITS__ROWS=7" in found["Config"]["Env"]
    host = found["HostConfig"]
    assert (host["Memory"], host["NanoCpus"]) == (300 * 2**20, 500_000_000)
    for name in tool.names():
        (found,) = json.loads(tool("inspect", name))
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert "CapBnd:\t0000000000000000" in Path(f"/proc/{found['State']['Pid']}/status").read_text()
        assert "no-new-privileges" in host["SecurityOpt"]
        assert host["RestartPolicy"]["Name"] == "always"


def test_the_same_again_is_nothing_to_do_and_another_port_is_refused(
    open_target: Open, versions: list[Version]
) -> None:
    target = open_target(1)
    deploy(target, versions[0])
    assert target.plan(Order(versions[0].release(NAME))).is_empty
    with pytest.raises(UsageError, match="listens on"):
        open_target(1, host="127.0.0.2").plan(Order(versions[1].release(NAME)))


def test_of_two_deploys_at_once_one_wins_and_the_other_says_so(
    open_target: Open, tool: Tool, versions: list[Version]
) -> None:
    target = open_target(1)
    plan = target.plan(Order(versions[0].release(NAME)))
    labels = {"": NAME, ".part": "lock", ".who": "ann"}
    words = [word for key, value in labels.items() for word in ("--label", f"io.shipway.release{key}={value}")]
    tool("create", "--name", f"{NAME}.deploying", *words, versions[0].image)
    for attempt in (lambda: do(target, plan), lambda: target.plan(Order(versions[0].release(NAME)))):
        with pytest.raises(Contested, match="being changed by ann"):
            attempt()
    assert tool.names() == {f"{NAME}.deploying"}


def test_a_plan_that_is_out_of_date_is_refused(open_target: Open, versions: list[Version]) -> None:
    target = open_target(1)
    deploy(target, versions[0])
    plan = target.plan_scale(NAME, 2)
    do(target, target.plan_scale(NAME, 3))
    with pytest.raises(Contested, match="has changed"):
        do(target, plan)
    assert len(target.status(NAME).progress.instances) == 3


def test_a_port_in_use_is_said_and_nothing_is_left(open_target: Open, tool: Tool, versions: list[Version]) -> None:
    target = open_target(1)
    plan = target.plan(Order(versions[0].release(NAME)))
    with socket.create_server(("127.0.0.1", target._options.port)), pytest.raises(PortInUse):
        do(target, plan)
    assert not tool.names()
    assert not tool.networks()


def test_an_image_that_is_anothers_or_not_there_is_refused(
    open_target: Open, tool: Tool, versions: list[Version], tmp_path: Path
) -> None:
    target = open_target()
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCMD ["x"]\n')
    tool("build", "--tag", "shipway-e2e/foreign:1", str(tmp_path))
    bundle = versions[0].bundle.id
    cases = [("shipway-e2e/foreign:1", UsageError), (versions[1].image, UsageError)]
    for image, kind in [*cases, ("localhost:1/not-there:1", TargetError)]:
        with pytest.raises(kind) as caught:
            target.plan(Order(Release(NAME, bundle, image, Contract())))
        assert caught.value.fix
    assert not tool.names()


def test_logs_are_merged_and_followed_across_a_release(open_target: Open, versions: list[Version]) -> None:
    target = open_target()
    address = deploy(target, versions[0])
    asyncio.run(load.run(address, 1, 20, versions[0].row, versions[0].answer))
    lines = list(target.logs(NAME, follow=False, tail=5))
    assert {line.instance for line in lines} == {f"{NAME}.1.1", f"{NAME}.1.2"}
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    followed = target.logs(NAME, follow=True, tail=1)
    next(followed)
    deploy(target, versions[1])
    end = time.monotonic() + 20
    for line in followed:
        assert time.monotonic() < end
        if line.instance == f"{NAME}.2.2":
            break
    followed.close()  # type: ignore[attr-defined]


def test_logs_of_a_server_that_crashed_are_followed_on(open_target: Open, tool: Tool, versions: list[Version]) -> None:
    target = open_target(1)
    deploy(target, versions[0])
    followed = target.logs(NAME, follow=True, tail=1)
    first = next(followed)
    tool.crash(f"{NAME}.1.1")
    again = next(followed)
    assert (again.instance, again.text) == (first.instance, first.text)
    assert again.time > first.time
    followed.close()  # type: ignore[attr-defined]


def test_what_was_changed_by_hand_is_shown(open_target: Open, tool: Tool, versions: list[Version]) -> None:
    target = open_target(1, cpus=0.5, memory="300m")
    deploy(target, versions[0])
    assert target.status(NAME).edited == ()
    tool("network", "disconnect", f"shipway-{NAME}", f"{NAME}.1.1")
    expected = ["+network: none"]
    if tool.name == "docker":  # Podman 4 does not tell what `podman update` has changed
        tool("update", "--cpus", "1", "--memory", "400m", "--memory-swap", "800m", "--restart", "no", f"{NAME}.1.1")
        expected = ["+memory: 400m", "+cpus: 1", "+restart: no", "+network: none"]
    (edit,) = target.status(NAME).edited
    assert edit.what == f"container {NAME}.1.1"
    assert [line for line in edit.difference.splitlines()[2:] if line.startswith("+")] == expected
