"""The verbs as they are typed, with an account that has the Role of `shipway render --rbac` and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace

import pytest

from e2e.kubernetes.figures import FIGURES, Figure
from e2e.kubernetes.user import NAME, User, seconds_of, wait
from e2e.load import during
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.health.snapshot import condition

pytestmark = pytest.mark.kubernetes

_ONE = ("--replicas", "1")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[Figure]:
    return request.config.stash[FIGURES]


def test_deploy_returns_within_two_seconds_of_the_servers_being_ready(user: User, figures: list[Figure]) -> None:
    user.deploy(1, "--replicas", "2")
    returned = time.time()
    ready = max(seconds_of(condition(pod, "Ready")["lastTransitionTime"]) for pod in user.pods())
    took = returned - ready
    figures.append(Figure("deploy returns", f"{took:.1f} s after the last server was ready (which is told in whole s)"))
    assert took < 2 + 1  # the cluster's times are whole seconds, cut off


def test_everything_is_done_with_the_rights_that_render_writes(user: User) -> None:
    where = ("--namespace", user.namespace)
    user.deploy(1, "--replicas", "2", "--max-replicas", "3")
    status = user.status()
    assert (status["current"]["bundle"], status["edited"]) == (next(iter(user.models.answers)), [])
    assert status["current"]["who"].endswith(":shipway")
    assert any("metrics" in note for note in status["notes"]) or _has_metrics(user)
    user.deploy(2, "--replicas", "2", "--canary", "50")
    assert user.status()["canary"]["bundle"].startswith(f"{NAME}:2@")
    user.change("promote")
    user.change("scale", "2-3")
    user.change("scale", "1")
    user.change("rollback", "--to", "1")
    assert user.status()["current"]["reason"] == "rollback to 1"
    assert "serving diabetes" in user("logs", NAME, *where, "--tail", "1000").stdout
    assert NAME in user("status", *where).stdout
    user.change("undeploy")
    assert NAME not in user("status", *where).stdout
    assert user.pods() == []


def _has_metrics(user: User) -> bool:
    return user.cluster.serves("metrics.k8s.io/v1beta1")


def test_ctrl_c_says_what_it_left_and_deploy_again_goes_on(user: User) -> None:
    user.deploy(1, *_ONE)
    # What runs in the background of a shell ignores Ctrl-C, and so would all that it starts.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = user.start(*user.deploying(2, *_ONE))
    signal.signal(signal.SIGINT, former)
    try:
        wait(lambda: len(user.pods()) == 2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "release 2 of diabetes (deploy) was broken off" in said
    assert "shipway rollback diabetes goes back" in said
    user.deploy(2, *_ONE)
    status = user.status()
    assert status["current"]["bundle"].startswith(f"{NAME}:2@")
    assert [record["result"] for record in status["history"]] == ["replaced", "interrupted", "complete"]


def test_of_two_deploys_at_once_one_wins(user: User) -> None:
    both = [user.start(*user.deploying(version, *_ONE)) for version in (1, 2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    lost = next(text for text, process in zip(said, both, strict=True) if process.returncode == 1)
    assert "somebody else" in lost or "being rolled out" in lost
    won = 1 + [process.returncode for process in both].index(0)
    assert user.status()["current"]["bundle"].startswith(f"{NAME}:{won}@")


def test_a_hand_is_seen_and_refused_and_overruled(user: User) -> None:
    user.deploy(1, *_ONE)
    patch = {"spec": {"minReadySeconds": 3}}
    hand = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, **patch}
    user.cluster.apply(hand, manager="kubectl-edit", force=True)
    assert [one["what"] for one in user.status()["edited"]] == [f"Deployment {NAME}"]
    shown = user("status", NAME, "--namespace", user.namespace).stdout
    assert "changed by hand: Deployment diabetes" in shown
    assert "minReadySeconds: 3" in shown
    refused = user.deploy(2, *_ONE, code=1).stderr
    assert "spec.minReadySeconds belongs to kubectl-edit" in refused
    assert "--force" in refused
    user.deploy(2, *_ONE, "--force")
    assert user.status()["edited"] == []


def test_what_is_not_ours_stays_untouched(user: User) -> None:
    labels = {"app.kubernetes.io/instance": NAME, "app.kubernetes.io/managed-by": "Helm"}
    about = {"name": "diabetes-extra", "labels": labels}
    user.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"a": "b"}})
    before = user.cluster.get(KINDS["ConfigMap"], "diabetes-extra")
    user.deploy(1, *_ONE)
    user.deploy(2, *_ONE)
    user.change("undeploy")
    assert user.cluster.get(KINDS["ConfigMap"], "diabetes-extra") == before
    service = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    user.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": service})
    assert "not of release diabetes" in user.deploy(1, *_ONE, code=1).stderr
    assert user.pods() == []


def test_steps_go_on_while_the_canary_is_no_worse(user: User, figures: list[Figure]) -> None:
    flags = ("--replicas", "4", "--service", "NodePort")
    user.deploy(1, *flags)
    said = _walk(user, 0, *flags)
    assert "no worse than the stable version" in said
    assert user.status()["current"]["bundle"].startswith(f"{NAME}:2@")
    assert len(user.pods("canary")) == 0
    verdict = next(line for line in said.splitlines() if "no worse than" in line)
    figures.append(Figure("--steps 25,50,100, a good version", f"promoted: {verdict}"))


def test_steps_take_back_a_canary_that_is_slow(user: User, figures: list[Figure]) -> None:
    """So little CPU that its calls wait for the next slice of time, as a version that computes too much would."""
    flags = ("--replicas", "4", "--service", "NodePort")
    user.deploy(1, *flags)
    said = _walk(user, 1, *flags, "--cpu", "30m", "--cpu-limit", "30m")
    assert "the canary is slower" in said
    assert "it was taken back, and the stable version serves alone" in said
    assert user.status()["canary"] is None
    assert user.status()["current"]["bundle"].startswith(f"{NAME}:1@")
    figures.append(Figure("--steps 25,50,100, a slow version", said.partition("error: ")[2].partition("; it was")[0]))


def _walk(user: User, code: int, *flags: str) -> str:
    """Releases version 2 in steps under load; gives what was said."""
    from e2e.kubernetes.test_load import address_of

    address = address_of(user)
    command = user.deploying(2, *flags, "--steps", "25,50,100", "--step-seconds", "12")

    async def calling() -> str:
        async with during(address, 60, user.models.row, user.models.answers) as report:
            done = await asyncio.to_thread(user, *command, code=code)
        assert report.wrong == 0
        return done.stderr + done.stdout

    return asyncio.run(calling())


def test_a_name_as_long_as_a_cluster_takes(user: User) -> None:
    name = "m" + "x" * 49
    done = user.deploy(1, *_ONE, "--name", name + "x" * 20, code=2)
    assert "--name" in done.stderr
    user.deploy(1, *_ONE, "--name", name)
    user.deploy(2, "--replicas", "2", "--name", name, "--canary", "50")
    user.change("promote", name=name)
    user.change("undeploy", name=name)


def test_what_cannot_be_done_is_said(user: User) -> None:
    other = ("--namespace", "kube-system")
    for words, code, said in (
        (("status", "--context", "nowhere"), 2, "nowhere"),
        (("status", NAME), 1, "no release diabetes"),
        (("status", *other), 1, "list"),
        (("logs", NAME), 1, "no servers of diabetes"),
        (("rollback", NAME, "--yes"), 1, "no release diabetes"),
        (("promote", NAME, "--yes"), 1, "no release diabetes"),
        (("scale", NAME, "3", "--yes"), 1, "no release diabetes"),
        (("scale", NAME, "5-2", "--yes"), 2, "no number of servers"),
        (("undeploy", NAME, "--yes"), 1, "no release diabetes"),
        (("deploy", f"{NAME}:9", "--to", "kubernetes", "--image", user.models.images[0], "--yes"), 1, "diabetes:9"),
        (("deploy", f"{NAME}:1", "--to", "kubernetes", "--yes"), 2, "--image"),
        (("deploy", f"{NAME}:2", "--to", "kubernetes", "--image", user.models.images[0], "--yes"), 2, "holds diabetes"),
        ((*user.deploying(1), *other), 1, "kube-system"),
        (user.deploying(1, "--canary", "25"), 2, "nothing runs as diabetes"),
    ):
        done = user(*words, code=code)
        assert said in done.stderr, (words, done.stderr)
        assert "fix: " in done.stderr


def test_a_cluster_that_does_not_answer_is_said(user: User) -> None:
    path = user.folder / "kubeconfig"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path.write_text(json.dumps(config), encoding="utf-8")
    done = user("status", NAME, code=1)
    assert "127.0.0.1:1" in done.stderr
    assert "fix: " in done.stderr


def test_a_namespace_that_is_being_deleted_is_said(user: User) -> None:
    held = {"name": "held", "finalizers": ["example.com/hold"]}
    user.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    user.cluster.delete(KINDS["Namespace"], user.namespace)
    # The account of the tests goes with the namespace: its administrator's stays.
    administrator = replace(user, environ=user.environ | {"KUBECONFIG": os.environ["KUBECONFIG"]})
    try:
        done = administrator.deploy(1, *_ONE, code=1)
    finally:
        user.cluster.merge(KINDS["ConfigMap"], "held", {"metadata": {"finalizers": None}})
    assert "is being " in done.stderr or "terminated" in done.stderr
    assert "fix: " in done.stderr
