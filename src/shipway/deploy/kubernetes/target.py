"""Kubernetes as a target: plain objects, server-side apply, and a history in the cluster itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, get_args

from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.kinds import KINDS, Object
from shipway.deploy.kubernetes.api.kubeconfig import kubeconfig_files, read_access
from shipway.deploy.kubernetes.health.address import address_of, node_port
from shipway.deploy.kubernetes.health.following import Evidence
from shipway.deploy.kubernetes.health.logs import follow_logs, last_lines
from shipway.deploy.kubernetes.health.rollout import progress
from shipway.deploy.kubernetes.health.snapshot import condition, is_deleted
from shipway.deploy.kubernetes.objects.labels import TRACK, ours, selector_of
from shipway.deploy.kubernetes.objects.render import objects
from shipway.deploy.kubernetes.plans.applying import Carrier
from shipway.deploy.kubernetes.plans.edits import autoscaler_of, beside, with_replicas
from shipway.deploy.kubernetes.plans.planning import Planner
from shipway.deploy.kubernetes.plans.situation import Situation, names_in
from shipway.deploy.kubernetes.plans.steps import KubernetesPlan
from shipway.deploy.kubernetes.plans.trying import changed_since
from shipway.deploy.measure import add, read_measure
from shipway.deploy.target import (
    Change,
    LogLine,
    Measure,
    Operator,
    Order,
    Outcome,
    Plan,
    Progress,
    Record,
    Status,
    Tell,
    Track,
)
from shipway.errors import NotAllowed, ShipwayError, UnknownRelease, UsageError
from shipway.spec.contract import Contract
from shipway.spec.settings import Kubernetes

__all__ = ["KubernetesTarget"]

_AT_ONCE = 8


class KubernetesTarget:
    """One namespace of a cluster, as a place where releases run; see `shipway.deploy.target.Target`.

    Args:
        cluster: which.
        options: how releases are rendered for it.
        clock: gives seconds.
    """

    def __init__(self, cluster: Cluster, options: Kubernetes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._options = cluster, options
        self._planner = Planner(cluster)
        self._carrier = Carrier(cluster, self._planner, clock)

    @classmethod
    def find(cls, options: Kubernetes, operator: Operator) -> Self:
        """Finds the cluster that kubeconfig means; nothing is asked of it yet.

        Raises:
            UsageError: there is none, kubeconfig is damaged, or a certificate, key or token file cannot be read.
            MissingDependency: PyYAML is not installed.
        """
        access = read_access(
            kubeconfig_files(operator.environ, operator.home),
            context=options.context or None,
            namespace=options.namespace or None,
            environ=operator.environ,
            interactive=operator.is_present,
        )
        return cls.open(access, options, warn=operator.warn)

    @classmethod
    def open(cls, access: Access, options: Kubernetes, *, warn: Callable[[str], None] = lambda _: None) -> Self:
        """Prepares a target; nothing is asked of the cluster yet.

        Args:
            access: which cluster and namespace, and as whom.
            options: how releases are rendered for it.
            warn: told each of the cluster's warnings once.

        Raises:
            UsageError: a certificate, key or token file cannot be read.
        """
        return cls(Cluster.open(access, warn=warn), options)

    def close(self) -> None:
        """Ends what runs in other threads, and the connections."""
        self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where releases run, in words."""
        return f"context {self._cluster.context}, namespace {self._cluster.namespace}"

    def command(self, verb: str, name: str = "") -> str:
        """See `Target.command`."""
        return " ".join(filter(None, ("shipway", verb, name)))

    def plan(self, order: Order) -> KubernetesPlan:
        """See `Target.plan`."""
        wanted, release = objects(order.release, self._options), order.release
        if self._options.namespace not in {"", self._cluster.namespace}:
            raise UsageError(
                f"the objects are for namespace {self._options.namespace}, and this is {self._cluster.namespace}",
                fix=f"--namespace {self._options.namespace}",
            )
        if order.canary is None:
            return self._planner.release(release.name, wanted, release.image, force=order.force)
        return self._planner.canary(release.name, wanted, release.image, order.canary, force=order.force)

    def plan_rollback(self, name: str, to: int | None) -> KubernetesPlan:
        """See `Target.plan_rollback`."""
        return self._planner.rollback(name, to)

    def plan_promote(self, name: str) -> KubernetesPlan:
        """See `Target.plan_promote`."""
        return self._planner.promote(name)

    def plan_scale(self, name: str, replicas: int, most: int | None = None) -> KubernetesPlan:
        """See `Target.plan_scale`."""
        return self._planner.scale(name, replicas, most, self._options.cpu_percent)

    def plan_undeploy(self, name: str) -> KubernetesPlan:
        """See `Target.plan_undeploy`."""
        return self._planner.undeploy(name)

    def carry_out(self, plan: Plan, tell: Tell, *, restore: bool = True) -> Outcome:
        """See `Target.carry_out`."""
        if not isinstance(plan, KubernetesPlan):
            raise UsageError("the plan is one of another target", fix="make it on this one")
        return self._carrier.carry_out(plan, tell, restore=restore)

    def names(self) -> tuple[str, ...]:
        """See `Target.names`."""
        return names_in(self._cluster)

    def status(self, name: str) -> Status:
        """See `Target.status`."""
        situation = self._planner.read(name)
        current, canary = situation.require(), situation.canary
        live = situation.objects.values()
        return Status(
            name,
            self.place,
            current.record,
            canary.record if canary else None,
            situation.share,
            self._progress(situation),
            address_of(name, self._cluster.namespace, live),
            self._edited(situation),
            (*_running_notes(situation), *self._autoscaler_notes(live), *node_port(live)),
        )

    def history(self, name: str) -> tuple[Record, ...]:
        """See `Target.history`."""
        situation = self._planner.read(name)
        situation.require()
        return tuple(entry.record for entry in situation.entries)

    def logs(self, name: str, *, follow: bool, tail: int) -> Iterator[LogLine]:
        """See `Target.logs`."""
        self._require(name)
        return follow_logs(self._cluster, name, tail) if follow else iter(last_lines(self._cluster, name, tail))

    def measure(self, name: str) -> Mapping[Track, Measure]:
        """See `Target.measure`."""
        self._require(name)
        pods = [pod for pod in self._pods(name) if not is_deleted(pod)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = list(pool.map(self._measure_one, pods))
        measures: dict[Track, Measure] = {}
        for track in get_args(Track):
            of_track = [
                measure for pod, measure in zip(pods, read, strict=True) if measure and _is_of(pod, name, track)
            ]
            if any(_is_of(pod, name, track) for pod in pods):
                measures[track] = add(of_track)
        return measures

    def _measure_one(self, pod: Object) -> Measure | None:
        """Reads what one server has counted; None where it cannot be read."""
        try:
            answer = self._cluster.proxy(pod["metadata"]["name"], _metrics_port(pod), "/metrics")
            return read_measure(answer.decode("utf-8", "replace"))
        except NotAllowed:
            raise
        except ShipwayError:
            return None

    def _require(self, name: str) -> None:
        if not self._cluster.list(KINDS["Deployment"], ours(name)).items:
            raise UnknownRelease(f"no servers of {name} run here", fix="shipway status lists what there is")

    def _pods(self, name: str) -> tuple[Object, ...]:
        return self._cluster.list(KINDS["Pod"], ours(name)).items

    def _progress(self, situation: Situation) -> Progress:
        deployment = situation.deployment("stable")
        if deployment is None:
            return Progress(0, 0, 0, 0)
        pods = self._pods(situation.name)
        replica_sets = self._cluster.list(KINDS["ReplicaSet"], ours(situation.name)).items
        now = progress(deployment, replica_sets, pods)
        if now.done:
            return now
        return progress(deployment, replica_sets, pods, Evidence(self._cluster).cause(deployment, replica_sets, pods))

    def _autoscaler_notes(self, live: Iterable[Object]) -> tuple[str, ...]:
        # The autoscaler itself says that it sees nothing only when it has looked, some 15 s after it was made.
        return self._planner.on_autoscaler(live) or _limits_of(live)

    def _edited(self, situation: Situation) -> tuple[Change, ...]:
        """Compares with what was released; a canary's share of the servers is no edit."""
        current, canary = situation.require(), situation.canary
        if not current.is_whole or situation.deployment("stable") is None:
            return ()
        released = current.objects
        if canary is not None and autoscaler_of(released) is None:
            released = with_replicas(released, situation.replicas("stable"))
        if canary is not None and canary.is_whole:
            released = (*released, *beside(canary.objects, current.objects, situation.replicas("canary")))
        return changed_since(self._cluster, situation, released)


def _is_of(pod: Object, name: str, track: Track) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return labels.get(TRACK) == selector_of(name, track)[TRACK]


def _metrics_port(pod: Object) -> int:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == "metrics":
                return int(port["containerPort"])
    return Contract().metrics_port


def _running_notes(situation: Situation) -> tuple[str, ...]:
    return tuple(
        f"release {entry.number} ({entry.record.reason}) is being rolled out by {entry.record.who or 'somebody'}"
        for entry in situation.entries
        if entry.result == "running" and situation.now < entry.given_up_at()
    )


def _limits_of(live: Iterable[Object]) -> tuple[str, ...]:
    """Says what the cluster says of an autoscaler that cannot do its work."""
    autoscaler = autoscaler_of(live)
    if autoscaler is None:
        return ()
    active, limited = condition(autoscaler, "ScalingActive"), condition(autoscaler, "ScalingLimited")
    notes = []
    if active.get("status") == "False" and active.get("reason") != "ScalingDisabled":
        notes.append(f"the autoscaler cannot see the load: {active.get('message') or active.get('reason')}")
    if limited.get("status") == "True" and limited.get("reason") == "TooManyReplicas":
        most = autoscaler["spec"].get("maxReplicas")
        notes.append(f"the autoscaler is at its limit of {most} servers and would add more")
    return tuple(notes)
