"""How far a roll-out is, and why a server does not become ready: pure functions of what the engine shows."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.deploy.docker.containers import Container
from shipway.deploy.docker.state import State
from shipway.deploy.last_words import last_error
from shipway.deploy.target import Cause, Instance, Progress

__all__ = ["diagnose", "has_failed", "instance_of", "progress_of", "slow_start"]

_MOST_CHARACTERS = 500
_KILLED = 128 + 9
_ENOUGH_RESTARTS, _MANY_RESTARTS = 2, 5
"""Once is chance: a first crash may pass, the second is meant. Podman starts a server anew at once, and it is seldom
seen to have ended: after many restarts that is not waited for."""


def instance_of(container: Container, *, ready: bool, newest: int) -> Instance:
    """Gives a server as targets tell it.

    Args:
        container: of it.
        ready: whether the relay sends it calls.
        newest: number of the newest release.
    """
    match container.status:
        case "running":
            state = "ready" if ready else "starting"
        case "restarting":
            state = "crashed"
        case "created":
            state = "created"
        case "exited" | "stopped" | "dead":
            state = "stopped" if container.exit_code == 0 else "crashed"
        case other:
            state = other
    new = container.number == newest
    return Instance(container.name, container.track, ready, state, container.restarts, new)


def progress_of(state: State, number: int, ready: frozenset[str], wanted: int, cause: Cause | None = None) -> Progress:
    """Gives how far a release is.

    Args:
        state: all that is there.
        number: of the release.
        ready: addresses to which the relay sends calls.
        wanted: how many servers of it there shall be.
        cause: what holds it up.
    """
    instances = tuple(
        instance_of(one, ready=one.status == "running" and one.address in ready, newest=number) for one in state.servers
    )
    new = [one for one in instances if one.new]
    tracks = {one.track for one in new}
    old = [one for one in instances if not one.new and one.track in tracks]
    count = sum(one.ready for one in new)
    is_done = count >= wanted and len(new) == wanted and not old
    return Progress(wanted, len(new), count, len(old), instances, cause, is_done, cause is not None and cause.final)


def has_failed(container: Container) -> bool:
    """Whether a new server will not become ready by waiting longer."""
    ended = container.status in ("exited", "stopped", "dead")
    enough = _MANY_RESTARTS if container.status == "running" else _ENOUGH_RESTARTS
    return ended or bool(container.error) or container.restarts >= enough


def diagnose(container: Container, lines: Sequence[str], tool: str, memory: str) -> Cause:
    """Gives why a server ended.

    Args:
        container: of it.
        lines: what it wrote last.
        tool: `docker` or `podman`.
        memory: most that it may take.
    """
    name = container.name
    if container.out_of_memory:
        return Cause(
            "out-of-memory",
            f"{name} took more memory than the {memory} that it may take",
            "the kernel ended it",
            "give it more: --memory, or deploy.docker.memory",
        )
    if container.error:
        return Cause("cannot-start", f"{tool} cannot start {name}", container.error, f"{tool} inspect {name} says more")
    said = last_error(lines)
    code = f"with exit code {container.exit_code}" if container.status != "running" else f"{container.restarts} times"
    what = f"{name} ended {code}"
    if said is not None:
        error, fix = (words.strip()[:_MOST_CHARACTERS] for words in said)
        return Cause("server-error", what, error, fix or f"{tool} logs {name} says more")
    if container.exit_code == _KILLED:  # Podman does not always hear of it from the kernel
        return Cause(
            "killed",
            f"{name} was killed",
            f"most likely by the kernel, for its memory, of which it may take {memory}",
            "give it more: --memory, or deploy.docker.memory",
        )
    last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
    return Cause("crash", what, last.strip()[-300:], f"{tool} logs {name} says more")


def slow_start(containers: Sequence[Container], seconds: float, tool: str) -> Cause:
    """Gives what a server that neither ends nor becomes ready in time amounts to."""
    names = ", ".join(one.name for one in containers) or "no server"
    return Cause(
        "slow-start",
        f"not ready after {seconds:.0f} s: {names}",
        "models are loaded, warmed up and replay their golden rows before a server is ready",
        f"{tool} logs {containers[0].name if containers else 'NAME'} says how far it is",
    )
