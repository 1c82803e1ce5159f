"""What is done with a release, in order: recorded on a real cluster, and done again against the recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fakes.releases import DIGEST
from shipway.deploy.kubernetes.target import KubernetesTarget
from shipway.deploy.target import Order, Outcome, Progress
from shipway.spec.contract import Contract
from shipway.spec.reference import BundleId
from shipway.spec.release import Release
from shipway.spec.settings import Kubernetes

__all__ = ["SCENARIOS", "Scenario", "quietly", "release"]


def release(version: int, registry: str, tag: str = "") -> Release:
    """Gives a release of `diabetes`."""
    image = f"{registry}/diabetes:{tag or version}"
    return Release("diabetes", BundleId("diabetes", version, DIGEST), image, Contract())


def quietly(progress: Progress) -> None:
    """Is told and says nothing."""


@dataclass(frozen=True)
class Scenario:
    """One change.

    Attributes:
        run: makes the plan and carries it out.
        options: with which.
    """

    run: Callable[..., Outcome]
    options: Kubernetes = field(default_factory=lambda: Kubernetes(replicas=1))


def _order(version: int, tag: str = "", canary: int | None = None) -> Callable[..., Outcome]:
    def run(target: KubernetesTarget, registry: str, tell: Callable[[Progress], None] = quietly) -> Outcome:
        return target.carry_out(target.plan(Order(release(version, registry, tag), canary)), tell)

    return run


def _again(target: KubernetesTarget, registry: str, tell: Callable[[Progress], None] = quietly) -> Outcome:
    target.status("diabetes")
    return _order(1)(target, registry, tell)


def _scale(replicas: int, most: int | None = None) -> Callable[..., Outcome]:
    def run(target: KubernetesTarget, registry: str, tell: Callable[[Progress], None] = quietly) -> Outcome:
        return target.carry_out(target.plan_scale("diabetes", replicas, most), tell)

    return run


def _promote(target: KubernetesTarget, registry: str, tell: Callable[[Progress], None] = quietly) -> Outcome:
    target.status("diabetes")
    return target.carry_out(target.plan_promote("diabetes"), tell)


def _rollback(target: KubernetesTarget, registry: str, tell: Callable[[Progress], None] = quietly) -> Outcome:
    return target.carry_out(target.plan_rollback("diabetes", None), tell)


def _undeploy(target: KubernetesTarget, registry: str, tell: Callable[[Progress], None] = quietly) -> Outcome:
    return target.carry_out(target.plan_undeploy("diabetes"), tell)


_TWO = Kubernetes(replicas=2)

SCENARIOS: Mapping[str, Scenario] = {
    "first": Scenario(_order(1)),
    "again": Scenario(_again),
    "fails": Scenario(_order(2, "nope")),
    "autoscaler": Scenario(_scale(2, 3)),
    "fixed": Scenario(_scale(1)),
    "canary": Scenario(_order(2, canary=50), _TWO),
    "promote": Scenario(_promote, _TWO),
    "rollback": Scenario(_rollback, _TWO),
    "undeploy": Scenario(_undeploy, _TWO),
}
"""By name, each after the one before it."""
