"""No call is lost: 200 a second through the Service, half of them on kept connections, none tried again, each checked.

An answer has to be that of the bundle which it names. What ends by somebody's will (roll-out, scaling, canary,
deletion, eviction) loses no call. A process that is killed outright takes those with it that it has, and one that
hangs answers nobody until its probe has found out: nobody can promise these, so they are counted, and held to that
time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from e2e.kubernetes.conftest import user_on
from e2e.kubernetes.figures import FIGURES, Figure
from e2e.kubernetes.user import NAME, Models, Object, User, process_of, wait
from e2e.load import Report, asking, during
from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.kinds import KINDS

pytestmark = pytest.mark.kubernetes

RATE = 200.0
LEAST = 20_000
_BEFORE, _AFTER = 2.0, 3.0


@dataclass
class Served:
    """A release that is called from here.

    Attributes:
        user: who released it.
        address: `host:port` at which its Service answers.
        figures: of the whole run.
        reports: of the scenarios in which nothing may be lost, by what was done.
    """

    user: User
    address: str
    figures: list[Figure]
    reports: dict[str, Report] = field(default_factory=dict)

    def at(self, version: int, replicas: int = 3) -> None:
        """Sees to it that a version runs alone, with so many servers."""
        self.user.deploy(version, *_flags(replicas))
        wait(lambda: len(self.user.ready()) == replicas)

    def change(self, verb: str, *words: str, ending: bool = False) -> Callable[[], None]:
        """Gives what runs a verb; with `ending` it waits until the pods that end have ended."""
        return lambda: self._run(lambda: self.user.change(verb, *words), ending=ending)

    def deploy(self, version: int, *flags: str, ending: bool = False) -> Callable[[], None]:
        """Gives what releases a version, as `change` does."""
        return lambda: self._run(lambda: self.user.deploy(version, *_flags(3), *flags), ending=ending)

    def _run(self, do: Callable[[], object], *, ending: bool) -> None:
        do()
        if ending:
            wait(lambda: len(self.user.all_of("Pod")) == len(self.user.pods()), 90)

    def call_during(self, what: str, do: Callable[[], object], *, again: bool = False) -> Report:
        """Calls while something is done, and a little before and after; with `again`, through `shipway.AsyncClient`."""

        async def calling() -> Report:
            models = self.user.models
            if again:
                load = asking(self.address, RATE / 2, models.row, tuple(models.answers.values()))
            else:
                load = during(self.address, RATE, models.row, models.answers)
            async with load as report:
                await asyncio.sleep(_BEFORE)
                await asyncio.to_thread(do)
                await asyncio.sleep(_AFTER)
            return report

        report = asyncio.run(calling())
        self.figures.append(Figure(what, f"{report.sent} calls, {report.failed} failed, {report.wrong} wrong"))
        assert report.wrong == 0
        return report

    def lose_nothing_during(self, what: str, do: Callable[[], object]) -> Report:
        """Calls while something is done by which no call may be lost."""
        report = self.reports[what] = self.call_during(what, do)
        assert report.failed == 0, report.reasons
        return report


def _flags(replicas: int) -> tuple[str, ...]:
    return "--replicas", str(replicas), "--service", "NodePort"


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, access: Access, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with user_on(access, models, tmp_path_factory.mktemp("user")) as user:
        user.deploy(1, *_flags(3))
        yield Served(user, address_of(user), request.config.stash[FIGURES])


def address_of(user: User) -> str:
    """Gives where the Service answers: its own address, as inside the cluster, else a port of a node."""
    service = user.cluster.get(KINDS["Service"], NAME)
    assert service is not None
    ways = [(service["spec"]["clusterIP"], 80)]
    for node in user.all_of("Node"):
        internal = (each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        ways += [(address, service["spec"]["ports"][0]["nodePort"]) for address in internal]
    for host, port in ways:
        try:
            socket.create_connection((host, port), timeout=3).close()
        except OSError:
            continue
        return f"{host}:{port}"
    pytest.skip(f"the Service cannot be called from here: none of {ways} answers (a port-forward would pin one pod)")


def test_a_rolling_update(served: Served) -> None:
    served.at(1)
    report = served.lose_nothing_during("rolling update", served.deploy(2))
    assert min(report.answers.values()) > 0
    assert len(report.answers) == 2


def test_a_rollback(served: Served) -> None:
    if len(served.user.status()["history"]) < 2:
        served.at(1)
    served.at(2)
    served.lose_nothing_during("rollback", served.change("rollback"))


def test_fewer_servers_and_more(served: Served) -> None:
    served.at(1)
    served.lose_nothing_during("scale down, 3 to 1", served.change("scale", "1", ending=True))
    served.lose_nothing_during("scale up, 1 to 3", served.change("scale", "3"))


def test_a_canary_that_is_promoted(served: Served) -> None:
    served.at(1)
    report = served.lose_nothing_during("canary step, 25 %", served.deploy(2, "--canary", "25", ending=True))
    assert report.answers[1] > 0
    served.lose_nothing_during("promote", served.change("promote", ending=True))
    assert {pod["metadata"]["labels"]["io.shipway/track"] for pod in served.user.pods()} == {"stable"}


def test_a_canary_that_is_taken_back(served: Served) -> None:
    served.at(1)
    served.user.deploy(2, *_flags(3), "--canary", "25")
    served.lose_nothing_during("end of a canary", served.change("rollback", ending=True))


def test_a_pod_that_is_deleted(served: Served) -> None:
    served.at(1)

    def delete() -> None:
        pod = served.user.pods()[0]
        served.user.cluster.delete(KINDS["Pod"], pod["metadata"]["name"])
        _replaced(served.user, [pod], 3)

    served.lose_nothing_during("pod deleted, 1 of 3", delete)


@pytest.mark.parametrize("replicas", [3, 1])
def test_a_drain_moves_all_pods_and_keeps_to_the_budget(served: Served, replicas: int) -> None:
    served.at(1, replicas)
    refused: list[int] = []

    def drain() -> None:
        before = served.user.pods()
        for pod in before:
            while (status := served.user.evict(pod)) == 429:
                refused.append(status)
                assert len(served.user.ready()) >= replicas - 1
                time.sleep(0.5)
            assert status == 201
        _replaced(served.user, before, replicas)

    served.lose_nothing_during(f"drain (Eviction API), {replicas} of {replicas}", drain)
    assert bool(refused) == (replicas > 1)  # of one, the budget lets one go: its successor answers before it ends


def test_a_server_that_is_killed_comes_back_and_takes_only_its_own_calls_with_it(served: Served) -> None:
    served.at(1)
    pod = served.user.pods()[0]
    server, restarts, times = process_of(pod), _restarts(served.user, pod), []

    def kill() -> None:
        times.append(time.time())
        os.kill(server, signal.SIGKILL)
        wait(lambda: _restarts(served.user, pod) > restarts and len(served.user.ready()) == 3, 60)
        times.append(time.time())

    report = served.call_during("crash (kill -9), 1 of 3", kill)
    begin, end = times
    lost_for = max(report.failed_at, default=begin) - begin
    served.figures.append(Figure("", f"ready again after {end - begin:.1f} s; calls lost for {lost_for:.2f} s"))
    served.figures.append(Figure("", ", ".join(f"{count} {reason}" for reason, count in report.reasons.items())))
    assert lost_for < 3
    assert report.failed < RATE * 3 / 2
    assert end - begin < 30


def test_a_server_that_hangs_is_taken_out_and_started_again(served: Served) -> None:
    served.at(1)
    pod = served.user.pods()[0]
    server, restarts, times = process_of(pod), _restarts(served.user, pod), []

    def hang() -> None:
        times.append(time.time())
        os.kill(server, signal.SIGSTOP)
        wait(lambda: len(served.user.ready()) == 2, 60)
        times.append(time.time())

    report = served.call_during("hang (SIGSTOP), 1 of 3, until it is out", hang)
    begin, out = times
    wait(lambda: _restarts(served.user, pod) > restarts and len(served.user.ready()) == 3, 240)
    again = time.time() - begin
    served.figures.append(Figure("", f"out after {out - begin:.1f} s, started again and ready after {again:.0f} s"))
    served.figures.append(Figure("", ", ".join(f"{count} {reason}" for reason, count in report.reasons.items())))
    assert max(report.failed_at, default=begin) < out + 1  # what is called later is answered by the others
    assert report.failed < RATE * (out - begin + 2) / 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_callers_with_our_client_lose_nothing_to_a_crash_or_a_hang(served: Served, number: signal.Signals) -> None:
    served.at(1)
    pod = served.user.pods()[0]
    server, restarts = process_of(pod), _restarts(served.user, pod)

    def harm() -> None:
        os.kill(server, number)
        wait(lambda: len(served.user.ready()) == 2, 60)

    report = served.call_during(f"{number.name}, 1 of 3, called through shipway.AsyncClient", harm, again=True)
    assert report.failed == 0, report.reasons
    wait(lambda: _restarts(served.user, pod) > restarts and len(served.user.ready()) == 3, 240)


def test_a_server_that_hangs_for_a_moment_loses_nothing(served: Served) -> None:
    served.at(1)
    server = process_of(served.user.pods()[0])

    def pause() -> None:
        os.kill(server, signal.SIGSTOP)
        time.sleep(3)  # as many calls as may wait for one model
        os.kill(server, signal.SIGCONT)

    served.lose_nothing_during("pause of 3 s (SIGSTOP, SIGCONT)", pause)


def test_all_of_it_were_calls_enough(served: Served) -> None:
    if len(served.reports) < 11:
        pytest.skip("only some of the scenarios were run")
    sent = sum(report.sent for report in served.reports.values())
    lost = sum(report.failed + report.wrong for report in served.reports.values())
    served.figures.append(Figure("all but crash and hang", f"{sent} calls, {lost} failed or wrong"))
    assert sent >= LEAST


def _replaced(user: User, pods: list[Object], replicas: int) -> None:
    """Waits until pods are gone and others answer in their place."""
    gone = {pod["metadata"]["name"] for pod in pods}
    wait(
        lambda: not gone & {pod["metadata"]["name"] for pod in user.all_of("Pod")} and len(user.ready()) == replicas, 90
    )


def _restarts(user: User, pod: Object) -> int:
    now = user.cluster.get(KINDS["Pod"], pod["metadata"]["name"]) or {}
    return sum(each["restartCount"] for each in now.get("status", {}).get("containerStatuses") or ())
