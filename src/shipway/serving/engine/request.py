"""What every protocol decodes to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from shipway.spec.signature import Columns

__all__ = ["Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One call of one method of one model.

    Attributes:
        model: its name.
        method: one of its signature's.
        columns: the signature's inputs, in its dtypes and shapes.
        rows: how many.
        deadline: until when an answer is of use, on the event loop's clock, in seconds.
        parameters: for predictors that take some.
        outputs: which of the method's outputs are wanted; None for all.
        gone: returns when the caller has gone, so that a call that waits may give its place up.
    """

    model: str
    method: str
    columns: Columns
    rows: int
    deadline: float
    parameters: Mapping[str, object] = field(default_factory=dict)
    outputs: tuple[str, ...] | None = None
    gone: Callable[[], Coroutine[None, None, None]] | None = None
