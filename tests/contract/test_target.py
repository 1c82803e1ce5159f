"""What every target promises (`shipway.deploy.target.Target`), whatever it runs on.

In memory and on an engine in memory it runs always; on real ones, Docker and a cluster, with the end-to-end tests.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from fakes.containers import FakeContainers
from fakes.target import Behaviour, FakeTarget, a_release
from shipway.deploy.docker.target import DockerTarget
from shipway.deploy.kubernetes.target import KubernetesTarget
from shipway.deploy.target import Instance, Order, Outcome, Plan, Progress, Target
from shipway.errors import Contested, ReleaseFailed, UnknownRelease, UsageError
from shipway.oci.engine import find_engine
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release
from shipway.spec.settings import Docker, Kubernetes

NAME = "contract-suite"
_NO_SUCH_MODEL = '[server]\ndefault = "no-such-model"\n'


@dataclass
class Place:
    """A target, and what can be released there.

    Attributes:
        target: under test.
        release: gives the release of a version; versions 1 and 2 are well.
        bad: a release whose servers never become ready.
        is_real: whether its servers take their time.
        told: all progress of which it told.
    """

    target: Target
    release: Callable[[int], Release]
    bad: Release
    is_real: bool = False
    told: list[Progress] = field(default_factory=list)

    def do(self, plan: Plan) -> Outcome:
        return self.target.carry_out(plan, self.told.append)

    def deploy(self, version: int, canary: int | None = None) -> Outcome:
        return self.do(self.target.plan(Order(self.release(version), canary)))

    def bundle(self, version: int) -> str:
        return str(self.release(version).bundle)

    def serving(self) -> list[Instance]:
        """The servers, without those that are on their way out."""
        return [one for one in self.target.status(NAME).progress.instances if one.state != "ending"]


def in_memory(request: pytest.FixtureRequest) -> Iterator[Place]:
    target = FakeTarget(replicas=4, behaviours={3: Behaviour(ready=False)})
    yield Place(target, lambda version: a_release(version, NAME), a_release(3, NAME))


def engine_in_memory(request: pytest.FixtureRequest) -> Iterator[Place]:
    fake = FakeContainers()
    for version in (1, 2, 3):
        fake.add_image(a_release(version, NAME).image, a_release(version, NAME).bundle)

    def crash(container: object) -> None:
        one = fake.containers[-1]
        if one.image.endswith("3"):
            one.status, one.exit_code = "exited", 1

    fake.behave = crash
    target = DockerTarget(fake.engine, Docker(replicas=4), sleep=lambda seconds: None)
    yield Place(target, lambda version: a_release(version, NAME), a_release(3, NAME))


def real_docker(request: pytest.FixtureRequest) -> Iterator[Place]:
    from e2e.releases import Version

    versions: list[Version] = request.getfixturevalue("versions")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    target = DockerTarget(find_engine(("docker",)), Docker(port=port, replicas=4), patience=60)
    try:
        yield Place(
            target, lambda version: versions[version - 1].release(NAME), versions[1].release(NAME, _NO_SUCH_MODEL), True
        )
    finally:
        if NAME in target.names():
            target.carry_out(target.plan_undeploy(NAME), lambda progress: None)


def real_cluster(request: pytest.FixtureRequest) -> Iterator[Place]:
    access = replace(request.getfixturevalue("access"), namespace=request.getfixturevalue("namespace"))
    images: tuple[str, str] = request.getfixturevalue("images")

    def release(version: int, configuration: str = "") -> Release:
        bundle = BundleId(NAME, version, "sha256:" + f"{version:064x}")
        return Release(NAME, bundle, images[version - 1], Contract(), configuration)

    with KubernetesTarget.open(access, Kubernetes(replicas=4)) as target:
        yield Place(target, release, release(2, _NO_SUCH_MODEL), True)


@pytest.fixture(
    params=[
        pytest.param(in_memory, id="memory"),
        pytest.param(engine_in_memory, id="engine"),
        pytest.param(real_docker, id="docker", marks=pytest.mark.e2e),
        pytest.param(real_cluster, id="kubernetes", marks=[pytest.mark.e2e, pytest.mark.kubernetes]),
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    yield from request.param(request)


def test_a_release_is_planned_carried_out_and_there(place: Place) -> None:
    plan = place.target.plan(Order(place.release(1)))
    assert (plan.name, plan.reason, plan.number) == (NAME, "deploy", 1)
    assert not plan.is_empty
    assert NAME not in place.target.names()
    outcome = place.do(plan)
    assert (outcome.name, outcome.number) == (NAME, 1)
    assert outcome.address
    assert place.told[-1].done
    status = place.target.status(NAME)
    assert (status.name, status.current.number, status.current.bundle) == (NAME, 1, place.bundle(1))
    assert status.current.result == "complete"
    assert (status.canary, status.share) == (None, 0)
    assert status.progress.done
    assert all(one.ready for one in place.serving())
    assert NAME in place.target.names()


def test_the_same_again_changes_nothing(place: Place) -> None:
    place.deploy(1)
    assert place.target.plan(Order(place.release(1))).is_empty


def test_a_new_version_replaces_the_old_one_and_is_taken_back_as_a_new_release(place: Place) -> None:
    place.deploy(1)
    place.deploy(2)
    assert place.target.status(NAME).current.bundle == place.bundle(2)
    plan = place.target.plan_rollback(NAME, None)
    assert (plan.reason, plan.number) == ("rollback to 1", 3)
    place.do(plan)
    story = [(one.number, one.bundle, one.reason, one.result) for one in place.target.history(NAME)]
    assert story == [
        (1, place.bundle(1), "deploy", "replaced"),
        (2, place.bundle(2), "deploy", "replaced"),
        (3, place.bundle(1), "rollback to 1", "complete"),
    ]
    assert place.target.plan_rollback(NAME, 2).reason == "rollback to 2"


def test_times_of_the_history_rise(place: Place) -> None:
    place.deploy(1)
    place.deploy(2)
    times = [record.when for record in place.target.history(NAME)]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)


def test_a_canary_runs_beside_and_grows_and_is_promoted(place: Place) -> None:
    place.deploy(1)
    place.deploy(2, canary=25)
    status = place.target.status(NAME)
    assert status.canary is not None
    assert (status.current.number, status.canary.number, status.share) == (1, 2, 25)
    assert sorted(one.track for one in place.serving()) == ["canary", "stable", "stable", "stable"]
    assert set(place.target.measure(NAME)) == {"stable", "canary"}
    place.deploy(2, canary=50)
    status = place.target.status(NAME)
    assert status.canary is not None
    assert (status.current.number, status.canary.bundle, status.share) == (1, place.bundle(2), 50)
    plan = place.target.plan_promote(NAME)
    assert plan.reason == f"promote {status.canary.number}"
    assert plan.number > status.canary.number
    place.do(plan)
    status = place.target.status(NAME)
    assert (status.canary, status.current.bundle, len(place.serving())) == (None, place.bundle(2), 4)
    assert set(place.target.measure(NAME)) == {"stable"}
    # What has only run as a canary is nothing to go back to.
    assert place.target.plan_rollback(NAME, None).reason == "rollback to 1"


def test_a_rollback_ends_a_canary(place: Place) -> None:
    place.deploy(1)
    place.deploy(2, canary=25)
    place.do(place.target.plan_rollback(NAME, None))
    status = place.target.status(NAME)
    assert (status.canary, status.current.bundle, len(place.serving())) == (None, place.bundle(1), 4)


def test_it_is_scaled_and_going_back_passes_over_sizes(place: Place) -> None:
    place.deploy(1)
    place.deploy(2)
    for replicas in (5, 2):
        plan = place.target.plan_scale(NAME, replicas)
        assert plan.reason == f"scale to {replicas}"
        place.do(plan)
        assert len(place.serving()) == replicas
    assert place.target.status(NAME).current.bundle == place.bundle(2)
    assert place.target.plan_rollback(NAME, None).reason == "rollback to 1"


def test_an_autoscaler_is_planned_or_it_is_said_that_there_is_none(place: Place) -> None:
    place.deploy(1)
    try:
        plan = place.target.plan_scale(NAME, 4, 6)
    except UsageError as error:
        assert error.fix
    else:
        assert plan.reason == "scale to 4-6"
        assert not plan.is_empty


def test_undeploy_leaves_nothing(place: Place) -> None:
    place.deploy(1)
    plan = place.target.plan_undeploy(NAME)
    assert {change.action for change in plan.changes} == {"delete"}
    place.do(plan)
    assert NAME not in place.target.names()
    with pytest.raises(UnknownRelease):
        place.target.history(NAME)


@pytest.mark.parametrize(
    "ask",
    [
        lambda target: target.plan_rollback(NAME, None),
        lambda target: target.plan_promote(NAME),
        lambda target: target.plan_scale(NAME, 2),
        lambda target: target.plan_undeploy(NAME),
        lambda target: target.status(NAME),
        lambda target: target.history(NAME),
        lambda target: list(target.logs(NAME, follow=False, tail=1)),
        lambda target: target.measure(NAME),
    ],
    ids=["rollback", "promote", "scale", "undeploy", "status", "history", "logs", "measure"],
)
def test_what_is_not_there_is_said(place: Place, ask: Callable[[Target], object]) -> None:
    with pytest.raises(UnknownRelease) as caught:
        ask(place.target)
    assert caught.value.fix


@pytest.mark.parametrize(
    "ask",
    [
        lambda target: target.plan_rollback(NAME, None),
        lambda target: target.plan_rollback(NAME, 7),
        lambda target: target.plan_promote(NAME),
    ],
    ids=["rollback", "rollback to 7", "promote"],
)
def test_there_is_nothing_to_go_back_to_and_nothing_to_promote(place: Place, ask: Callable[[Target], Plan]) -> None:
    place.deploy(1)
    with pytest.raises(UnknownRelease) as caught:
        ask(place.target)
    assert caught.value.fix


def test_a_canary_needs_something_to_run_beside(place: Place) -> None:
    with pytest.raises((UnknownRelease, UsageError)):
        place.target.plan(Order(place.release(1), 25))


def test_a_plan_that_is_out_of_date_is_refused(place: Place) -> None:
    place.deploy(1)
    plan = place.target.plan_scale(NAME, 2)
    place.deploy(2)
    with pytest.raises(Contested):
        place.do(plan)
    assert place.target.status(NAME).current.bundle == place.bundle(2)


def test_a_release_that_fails_leaves_the_old_one_in_force(place: Place) -> None:
    place.deploy(1)
    with pytest.raises(ReleaseFailed) as caught:
        place.do(place.target.plan(Order(place.bad)))
    assert caught.value.fix
    assert any(one.failed and one.cause is not None for one in place.told)
    status = place.target.status(NAME)
    assert (status.current.bundle, status.current.result) == (place.bundle(1), "complete")
    assert [one.ready for one in place.serving()] == [True] * 4
    history = place.target.history(NAME)
    assert [one.number for one in history if one.result == "failed"] == [2]
    assert status.current.number == 1 or (status.current.number, status.current.reason) == (3, "restore 1")
    outcome = place.deploy(2)
    assert outcome.number == history[-1].number + 1
    assert place.target.status(NAME).current.number == outcome.number


def test_logs_are_of_the_servers(place: Place) -> None:
    place.deploy(1)
    names = {one.name for one in place.target.status(NAME).progress.instances}
    assert {line.instance for line in place.target.logs(NAME, follow=False, tail=3)} <= names


def test_ten_releases_are_kept(place: Place) -> None:
    if place.is_real:
        pytest.skip("too long on a real one")
    for number in range(12):
        place.deploy(1 + number % 2)
    numbers = [one.number for one in place.target.history(NAME)]
    assert numbers == list(range(3, 13))
