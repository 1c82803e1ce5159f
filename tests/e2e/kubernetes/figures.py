"""What the tests measure on a cluster, printed when they have ended."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

__all__ = ["FIGURES", "Figure", "lines"]


@dataclass(frozen=True)
class Figure:
    """One measurement: of what, and what it came to, in words."""

    what: str
    came_to: str


FIGURES: pytest.StashKey[list[Figure]] = pytest.StashKey()
"""Where a run of the tests keeps them."""


def lines(figures: list[Figure]) -> list[str]:
    """Gives them as a table."""
    width = max(len(figure.what) for figure in figures)
    return [f"{figure.what:<{width}}  {figure.came_to}" for figure in figures]
