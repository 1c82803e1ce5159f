"""Docker and Podman as a target: named servers behind a relay that has the port, and their history in labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from shipway.deploy.canary import share
from shipway.deploy.docker import logs
from shipway.deploy.docker.containers import Containers
from shipway.deploy.docker.diagnose import progress_of
from shipway.deploy.docker.edits import edits
from shipway.deploy.docker.names import command, network_of
from shipway.deploy.docker.plan import DockerPlan, Wanted, make_plan, plan_end
from shipway.deploy.docker.record import KEPT, Entry, Running, kept
from shipway.deploy.docker.relay import measures, ready_addresses
from shipway.deploy.docker.rollout import Rollout, contested, url_of
from shipway.deploy.docker.state import State, read_state
from shipway.deploy.docker.words import address, environment_of
from shipway.deploy.target import LogLine, Measure, Operator, Order, Outcome, Plan, Record, Status, Tell, Track
from shipway.errors import TargetError, UnknownRelease, UsageError
from shipway.oci.engine import Engine, find_engine
from shipway.spec.release import Release
from shipway.spec.settings import Docker

__all__ = ["DockerTarget"]


class DockerTarget:
    """Fulfils `shipway.deploy.target.Target` on one engine.

    Args:
        engine: Docker or Podman.
        options: where a release listens, how many servers it has, and what each may take.
        who: the account, for the history.
        patience: seconds within which new servers must be ready.
        now: the time of day.
        clock, sleep: seconds that go by.
    """

    def __init__(
        self,
        engine: Engine,
        options: Docker,
        *,
        who: str = "",
        patience: float = 300.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._containers = Containers(engine)
        self._options = options
        self._who = who
        self._patience = patience
        self._now = now
        self._clock = clock
        self._sleep = sleep

    @classmethod
    def find(cls, options: Docker, operator: Operator) -> Self:
        """Finds the engine of this machine.

        Raises:
            MissingDependency, MachineError: there is none, or it does not answer.
        """
        return cls(find_engine(), options, who=operator.name)

    def command(self, verb: str, name: str = "") -> str:
        """Gives the command by which a person goes on here; see `Target.command`."""
        return command(verb, name)

    def plan(self, order: Order) -> Plan:
        """Says what a release would change; see `Target.plan`. An image that is not here is pulled for it."""
        release, options = order.release, self._options
        state = self._free(release.name)
        runs = self._runs(release)
        self._check_port(state)
        if order.canary is not None:
            return self._plan_canary(state, runs, order.canary)
        going_on = next(
            (one for one in (state.arriving, state.current) if one and one.runs == runs and not state.canary), None
        )
        if going_on:  # the same again: what an interrupt or a crash left undone, or nothing
            return self._plan(state, [Wanted(going_on, "stable", options.replicas)], "deploy")
        entry = self._entry(state, runs, "deploy")
        return self._plan(state, [Wanted(entry, "stable", options.replicas)], "deploy", entry.number)

    def _plan_canary(self, state: State, runs: Running, percent: int) -> Plan:
        current = state.current
        if current is None or state.arriving:
            raise UsageError(
                f"{state.name} has no stable version for a canary to run beside",
                fix="deploy one first, without --canary",
            )
        shared = share(percent, max(self._options.replicas, state.total))
        reason = f"canary {percent} %"
        stable = Wanted(current, "stable", shared.stable)
        notes = () if shared.is_exact else (shared.sentence("servers"),)
        if state.canary and state.canary.runs == runs:
            return self._plan(state, [stable, Wanted(state.canary, "canary", shared.canary)], reason, notes=notes)
        entry = self._entry(state, runs, reason)
        return self._plan(state, [stable, Wanted(entry, "canary", shared.canary)], reason, entry.number, notes)

    def plan_rollback(self, name: str, to: int | None) -> Plan:
        """Says what going back would change; see `Target.plan_rollback`."""
        state = self._known(self._free(name))
        current = state.current
        if current and (state.canary or state.arriving) and to in (None, current.number):
            wanted = [Wanted(current, "stable", state.total)]
            return self._plan(state, wanted, f"rollback to {current.number}")
        goal = self._goal(state, to)
        found = self._containers.image(goal.runs.image_id if self._engine.has(goal.runs.image_id) else goal.runs.image)
        if found.id != goal.runs.image_id:
            raise TargetError(
                f"the image of release {goal.number} is gone, and {goal.runs.image} is another one by now",
                fix="build it again and deploy it",
            )
        entry = self._entry(state, goal.runs, f"rollback to {goal.number}")
        wanted = [Wanted(entry, "stable", state.total or self._options.replicas)]
        return self._plan(state, wanted, entry.reason, entry.number)

    def _goal(self, state: State, to: int | None) -> Entry:
        """Gives the release to go back to."""
        current = state.current
        earlier = [one for one in state.history() if current is None or one.number < current.number]
        if to is None:
            good = [one for one in earlier if one.result in ("complete", "replaced")]
            # A canary that was replaced never had all the calls: it is gone back to only by its number.
            good = [one for one in good if not one.reason.startswith("canary")]
            if good:
                return good[-1]
            raise UnknownRelease(
                f"{state.name} has nothing to go back to", fix=f"{command('status', state.name)} says what there is"
            )
        found = next((one for one in state.history() if one.number == to), None)
        if found is None:
            raise UnknownRelease(
                f"{state.name} has no release {to} in its history of the last {KEPT}",
                fix=f"{command('status', state.name)} lists them",
            )
        return found

    def plan_promote(self, name: str) -> Plan:
        """Says what it would change to let the canary replace the stable version; see `Target.plan_promote`."""
        state = self._known(self._free(name))
        if state.canary is None:
            raise UnknownRelease(
                f"{name} has no canary", fix=f"shipway deploy REF --to docker --name {name} --canary 25"
            )
        entry = self._entry(state, state.canary.runs, f"promote {state.canary.number}")
        return self._plan(state, [Wanted(entry, "stable", state.total)], entry.reason, entry.number)

    def plan_scale(self, name: str, replicas: int, most: int | None = None) -> Plan:
        """Says what another number of servers would change; see `Target.plan_scale`. It makes no release."""
        state = self._known(self._free(name))
        if most is not None:
            raise UsageError(f"{self._engine.tool} has no autoscaler", fix=command("scale", name, replicas))
        if replicas < 1:
            raise UsageError("a release has one server at least", fix=command("undeploy", name))
        current = state.current
        if current is None or state.canary or state.arriving:
            what = "a canary runs beside it" if state.canary else "its last release is not complete"
            raise UsageError(
                f"{name} cannot be scaled: {what}",
                fix=f"{command('promote', name)}, or {command('rollback', name)}, first",
            )
        return self._plan(state, [Wanted(current, "stable", replicas)], f"scale to {replicas}")

    def plan_undeploy(self, name: str) -> Plan:
        """Says what would be deleted; see `Target.plan_undeploy`."""
        return plan_end(self._known(self._free(name)))

    def carry_out(self, plan: Plan, tell: Tell, *, restore: bool = True) -> Outcome:
        """Does what a plan says and watches until it is healthy; see `Target.carry_out`."""
        assert isinstance(plan, DockerPlan)
        rollout = Rollout(
            self._containers, plan, tell, restore, self._who, self._patience, self._clock, self._sleep
        )  # fmt: skip
        return rollout.run()

    def names(self) -> tuple[str, ...]:
        """Gives the names of all releases here, sorted."""
        return tuple(sorted({one.release for one in self._containers.list() if one.part != "lock"}))

    def status(self, name: str) -> Status:
        """Says how a release is; see `Target.status`."""
        state = self._known(self._state(name))
        history = {one.number: one.record() for one in state.history()}
        if not history:
            raise UnknownRelease(
                f"{name} has a relay and no servers any more", fix=f"{command('undeploy', name)} removes it"
            )
        ready = ready_addresses(self._containers, state)
        current, canary = state.current, state.canary
        stable = len(state.of(current.number, "stable")) if current else 0
        canaries = len(state.of(canary.number, "canary")) if canary else 0
        return Status(
            name,
            f"{self._engine.tool}, network {network_of(name)}",
            history[current.number] if current else history[max(history)],
            history[canary.number] if canary else None,
            100 * canaries / (stable + canaries) if canaries else 0.0,
            progress_of(state, current.number if current else 0, ready, stable),
            url_of(state.address),
            tuple(edits(state)),
            tuple(_notes(state)),
        )

    def history(self, name: str) -> tuple[Record, ...]:
        """Gives the releases that are kept, oldest first; see `Target.history`."""
        return tuple(one.record() for one in self._known(self._state(name)).history())

    def logs(self, name: str, *, follow: bool, tail: int) -> Iterator[LogLine]:
        """Gives what the servers wrote; see `Target.logs`."""
        servers = self._known(self._state(name)).servers
        if follow:
            return logs.followed(self._engine, lambda: self._state(name).servers, tail)
        return logs.read(self._engine, servers, tail)

    def measure(self, name: str) -> Mapping[Track, Measure]:
        """Reads what the servers of each track have counted; see `Target.measure`."""
        return measures(self._containers, self._known(self._state(name)))

    def _state(self, name: str) -> State:
        return read_state(name, self._containers.list(name))

    def _known(self, state: State) -> State:
        """Gives the state back if there is such a release.

        Raises:
            UnknownRelease: there is none.
        """
        if state.is_there:
            return state
        silent = "".join(f"; {tool} is installed too, and does not answer" for tool in self._engine.silent)
        raise UnknownRelease(
            f"{self._engine.tool} has no release {state.name}{silent}", fix=f"{command('status')} lists those there are"
        )

    def _free(self, name: str) -> State:
        """Gives the state of a release that nobody is changing.

        Raises:
            Contested: somebody is.
        """
        state = self._state(name)
        if state.lock:
            raise contested(state, self._engine.tool)
        return state

    def _runs(self, release: Release) -> Running:
        """Gives what the servers of a release run."""
        image, options, contract = self._containers.image(release.image), self._options, release.contract
        if image.bundle != str(release.bundle):
            raise UsageError(
                f"{release.image} holds {image.bundle}, not {release.bundle}",
                fix=f"build it again: shipway build {release.bundle.name} --tag {release.image} --load",
            )
        keys = str(Path(options.keys).resolve()) if options.keys else ""
        if keys and not Path(keys).is_file():
            raise UsageError(f"there is no file of API keys {options.keys}", fix="shipway keys new --api")
        environment = dict(environment_of(release.configuration, contract))
        memory = options.memory or f"{contract.memory_limit_mib}m"
        return Running(
            image.bundle, image.name, image.id, image.python, contract, environment, memory, options.cpus, keys
        )

    def _check_port(self, state: State) -> None:
        """Refuses another port for a release that runs: its callers know the one it has.

        Raises:
            UsageError: it listens elsewhere.
        """
        wanted = address(self._options.host, self._options.port)
        if state.address and state.address != wanted:
            host, _, port = state.address.rpartition(":")
            raise UsageError(
                f"{state.name} listens on {state.address}, and not on {wanted}",
                fix=f"--port {port} (deploy.docker.host is {host}), or {command('undeploy', state.name)} first",
            )

    def _entry(self, state: State, runs: Running, reason: str) -> Entry:
        return kept(Entry(state.next_number(), runs, self._who, self._now(), reason, "complete"))

    def _plan(
        self, state: State, wanted: Sequence[Wanted], reason: str, number: int = 0, notes: Sequence[str] = ()
    ) -> DockerPlan:
        silent = () if state.is_there else self._engine.silent
        notes = (*notes, *(f"{one} does not answer, and so this is for {self._engine.tool}" for one in silent))
        return make_plan(
            state, wanted, reason=reason, number=number, host=self._options.host, port=self._options.port,
            has_network=self._containers.has_network(network_of(state.name)), notes=notes,
        )  # fmt: skip


def _notes(state: State) -> Iterator[str]:
    if state.relay is None or not state.relay.runs:
        yield f"the container {state.name}, which has the port, does not run: no call gets through"
    if state.arriving and not state.lock:
        yield (
            f"release {state.arriving.number} was broken off: the same deploy again completes it, "
            f"{command('rollback', state.name)} takes it back"
        )
    for one in state.leftovers:
        yield f"{one.name} is what failed of release {one.number}; the next release removes it"
