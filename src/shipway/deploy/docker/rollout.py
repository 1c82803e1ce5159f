"""Carries a plan out: the new servers start, all of them are ready, then the old ones end; or nothing has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shipway.deploy.docker.containers import Container, Containers
from shipway.deploy.docker.diagnose import diagnose, has_failed, progress_of, slow_start
from shipway.deploy.docker.names import command, failed_name, lock_name, network_of
from shipway.deploy.docker.plan import DockerPlan
from shipway.deploy.docker.record import WHO
from shipway.deploy.docker.relay import ready_addresses
from shipway.deploy.docker.state import State, read_state
from shipway.deploy.docker.words import address, lock_words, relay_words, server_words
from shipway.deploy.target import Cause, Outcome, Progress, Tell
from shipway.errors import Contested, Interrupted, ReleaseFailed, ShipwayError

__all__ = ["Rollout", "contested", "url_of"]

_LOOK_SECONDS = 0.5
_END_SECONDS = 3.0
_UNREADY_SECONDS = 5


class _Failed(Exception):
    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.what)
        self.cause = cause


@dataclass(slots=True)
class Rollout:
    """One plan on its way.

    Attributes:
        containers: the engine.
        plan: what to do.
        tell: told of each change.
        restore: take the new servers away where they fail.
        who: the account.
        patience: seconds within which new servers must be ready.
        clock, sleep: the time.
    """

    containers: Containers
    plan: DockerPlan
    tell: Tell
    restore: bool = True
    who: str = ""
    patience: float = 300.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _told: Progress | None = field(default=None)

    def run(self) -> Outcome:
        """Does it.

        Raises:
            Contested: somebody else is at work, or has been since the plan was made.
            ReleaseFailed: the new servers do not become ready.
            Interrupted: Ctrl-C.
            PortInUse, TargetError: the engine refuses.
        """
        begin = self.clock()
        with self._locked():
            self._check_unchanged()
            if self.plan.ends:
                self._end()
                return Outcome(self.plan.name, 0, seconds=self.clock() - begin)
            self._renew()
            self._retire()
            state = self._state()
            self._show(state, self._ready(state))
        return Outcome(self.plan.name, self.plan.number, url_of(state.address), self.clock() - begin)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        name = lock_name(self.plan.name)
        before = self.plan.before
        images = [start.entry.runs.image_id for start in self.plan.starts]
        images += [one.image_id for one in (*self.plan.stops, *before.servers)]
        try:
            lock = self.containers.create(name, lock_words(self.plan.name, self.plan.number, self.who, images[0]))
        except Contested as error:
            raise contested(self._state(), self.containers.tool) from error
        try:
            yield
        except ShipwayError as error:
            self._unlock_after(error, lock)
            raise
        except BaseException:
            with suppress(ShipwayError):
                self.containers.remove([lock])
            raise
        self.containers.remove([lock])

    def _unlock_after(self, error: ShipwayError, lock: str) -> None:
        """Removes the lock after an error, which is the one to tell where that fails too."""
        try:
            self.containers.remove([lock])
        except ShipwayError:
            name = lock_name(self.plan.name)
            raise type(error)(
                f"{error.message}; the lock {name} is still there",
                fix=f"{error.fix}; then {self.containers.tool} rm {name}, and the same command again",
            ) from error

    def _check_unchanged(self) -> None:
        if _ids(self._state()) != _ids(self.plan.before):
            raise Contested(f"{self.plan.name} has changed since the plan was made", fix="the same command again")

    def _renew(self) -> None:
        """Starts the new servers and waits until each is ready; where that fails, they go.

        Raises:
            ReleaseFailed, Interrupted, PortInUse, TargetError: as for `run`.
        """
        try:
            self._prepare()
            for start in self.plan.starts:
                words = server_words(self.plan.name, start.entry, start.track, self.plan.history)
                self.containers.start(self.containers.create(start.name, words))
            self._wait()
        except KeyboardInterrupt as error:
            raise Interrupted(f"broken off: {self._taken_back(())}", fix="the same command again") from error
        except _Failed as failure:
            cause = failure.cause
            raise ReleaseFailed(f"{cause.what}: {cause.why}; {self._give_up()}", fix=cause.fix) from failure
        except ShipwayError:
            with suppress(ShipwayError):
                self._undo(())
            raise

    def _prepare(self) -> None:
        """Sees to it that the network and the relay are there and run."""
        name, plan = self.plan.name, self.plan
        if not self.containers.has_network(network_of(name)):
            self.containers.create_network(name)
        if plan.relay is not None:
            self.containers.create(name, relay_words(name, plan.relay, plan.host, plan.port))
        self.containers.start(name, address(plan.host, plan.port))

    def _wait(self) -> None:
        """Waits until the relay sends calls to each new server.

        Raises:
            _Failed: one ends for good, or the time is over.
        """
        end = self.clock() + self.patience
        names = {start.name for start in self.plan.starts}
        while names:
            state = self._state()
            ready = self._ready(state)
            self._show(state, ready)
            new = [one for one in state.servers if one.name in names]
            missing = [one for one in new if one.status != "running" or one.address not in ready]
            if not missing and len(new) == len(names):
                return
            ended = next((one for one in missing if has_failed(one)), None)
            if ended or len(new) < len(names):
                raise _Failed(self._cause(ended, state, ready, sorted(names - {one.name for one in new})))
            if self.clock() >= end:
                raise _Failed(slow_start(missing, self.patience, self.containers.tool))
            self.sleep(_LOOK_SECONDS)

    def _cause(self, ended: Container | None, state: State, ready: frozenset[str], gone: Sequence[str]) -> Cause:
        if ended is None:
            return Cause("removed", f"{gone[0]} is gone", "somebody removed it", "the same command again")
        ended = self._at_its_end(ended)
        memory = ended.entry.runs.memory if ended.entry else ""
        cause = diagnose(ended, self.containers.last_lines(ended), self.containers.tool, memory)
        self._show(state, ready, cause)
        return cause

    def _at_its_end(self, server: Container) -> Container:
        """Gives a server that crashes again and again as it is when it has ended: only then does it have a reason."""
        end = self.clock() + _END_SECONDS
        while server.status == "running" and self.clock() < end:
            self.sleep(_LOOK_SECONDS / 10)
            server = next((one for one in self._new() if one.id == server.id), server)
        return server

    def _give_up(self) -> str:
        """Leaves what failed as it was asked; gives what is there now, in words."""
        new = self._new()
        if not self.restore:
            for one in new:
                self.containers.set_apart(one)
            names = ", ".join(failed_name(one.name) for one in new)
            return f"{self._serves()}; {names} left for study: {command('undeploy', self.plan.name)} removes all"
        keep = next((one for one in new if has_failed(one)), new[0] if new else None)
        return self._taken_back([keep] if keep and self.plan.number and self.plan.before.servers else ())

    def _taken_back(self, keep: Sequence[Container]) -> str:
        """Takes the new servers away; gives what is there then, in words."""
        try:
            self._undo(keep)
        except ShipwayError as error:
            return f"taking the new servers away failed too: {error.message}"
        return self._serves()

    def _undo(self, keep: Sequence[Container]) -> None:
        """Removes the new servers, but for those of which something shall be left; all of it where nothing was there.

        Those that may have got calls end as gently as any others. One that starts may not yet hear that it shall end.
        """
        new, ready = self._new(), self._ready(self._state())
        self.containers.stop([one.id for one in new if one.address not in ready], _UNREADY_SECONDS)
        self.containers.stop([one.id for one in new if one.address in ready])
        for one in keep:
            self.containers.set_apart(one)
        kept = {one.id for one in keep}
        self.containers.remove([one.id for one in new if one.id not in kept])
        before = self.plan.before
        if not before.servers and not before.leftovers:
            state = self._state()
            self.containers.remove([state.relay.id] if state.relay else [])
            self.containers.remove_network(self.plan.name)

    def _serves(self) -> str:
        current = self.plan.before.current
        return f"release {current.number} serves as before" if current else "nothing serves, as before"

    def _retire(self) -> None:
        """Ends the old servers, together: the new ones are ready, and the relay knows it.

        Raises:
            Interrupted: Ctrl-C; the new servers serve.
        """
        try:
            ids = [one.id for one in self.plan.stops]
            self.containers.stop([one.id for one in self.plan.stops if one.runs])
            self.containers.remove(ids)
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"broken off: {self.plan.reason} is done, and servers that it replaces are still there",
                fix="the same command again removes them",
            ) from error

    def _end(self) -> None:
        """Ends all of it.

        Raises:
            Interrupted: Ctrl-C.
        """
        try:
            for part in ("relay", "server"):
                self.containers.stop([one.id for one in self.plan.stops if one.part == part and one.runs])
            self.containers.remove([one.id for one in self.plan.stops])
            self.containers.remove_network(self.plan.name)
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"broken off: some of {self.plan.name} is still there, and nothing serves any more",
                fix="the same command again removes the rest",
            ) from error

    def _new(self) -> tuple[Container, ...]:
        names = {start.name for start in self.plan.starts}
        return tuple(one for one in self._state().servers if one.name in names)

    def _state(self) -> State:
        return read_state(self.plan.name, self.containers.list(self.plan.name))

    def _ready(self, state: State) -> frozenset[str]:
        return ready_addresses(self.containers, state)

    def _show(self, state: State, ready: frozenset[str], cause: Cause | None = None) -> None:
        number, wanted = self.plan.about
        progress = progress_of(state, number, ready, wanted, cause)
        if progress != self._told:
            self._told = progress
            self.tell(progress)


def contested(state: State, tool: str) -> Contested:
    """Gives what two deploys at once come to."""
    who = state.lock.labels.get(WHO, "") if state.lock else ""
    return Contested(
        f"{state.name} is being changed by {who or 'somebody else'}",
        fix=f"wait for it; if it was killed: {tool} rm {lock_name(state.name)}",
    )


def _ids(state: State) -> frozenset[str]:
    relay = [state.relay] if state.relay else []
    return frozenset(one.id for one in (*relay, *state.servers, *state.leftovers))


def url_of(where: str) -> str:
    """Gives the URL at which a caller on this machine reaches an address: `0.0.0.0` only listens."""
    host, _, port = where.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{host}:{port}" if port else ""
