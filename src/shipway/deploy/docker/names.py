"""What the things of a release are called on an engine, and the commands by which a person goes on. Pure.

A release's name is a label of DNS, which has no dot; each name that is made of one has a dot, and so no release can be
called like another's server or lock.
"""

from __future__ import annotations

__all__ = ["command", "failed_name", "is_failed", "lock_name", "network_of", "server_name"]

_FAILED = ".failed"


def command(verb: str, *words: object) -> str:
    """Gives the command by which a person goes on here: `shipway rollback churn --on docker`."""
    return " ".join(("shipway", verb, *(str(word) for word in words if word != ""), "--on docker"))


def network_of(release: str) -> str:
    """Gives the name of a release's network."""
    return f"shipway-{release}"


def server_name(release: str, number: int, index: int) -> str:
    """Gives the name of one server's container; the relay's is the release's own."""
    return f"{release}.{number}.{index}"


def lock_name(release: str) -> str:
    """Gives the name of the container that stands for a change that is going on."""
    return f"{release}.deploying"


def failed_name(server: str) -> str:
    """Gives what the container of a failed server is called from then on: its name says so, for labels cannot."""
    return f"{server}{_FAILED}"


def is_failed(name: str) -> bool:
    """Whether that is the name of a failed server's container."""
    return name.endswith(_FAILED)
