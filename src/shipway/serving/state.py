"""Where a server is in its life: starting, ready, draining."""

from __future__ import annotations

from enum import Enum

__all__ = ["Phase", "State"]


class Phase(Enum):
    """The phases, in order."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class State:
    """The phase that one server is in."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING

    @property
    def is_ready(self) -> bool:
        """Whether new callers should come."""
        return self.phase is Phase.READY

    @property
    def serves(self) -> bool:
        """Whether callers who come are answered: also while draining, as endpoints lag behind."""
        return self.phase is not Phase.STARTING
