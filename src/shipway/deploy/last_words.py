"""What a server of ours says when it ends by itself: a line `error:`, and a line `fix:` where something mends it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["last_error"]


def last_error(lines: Sequence[str]) -> tuple[str, str] | None:
    """Gives the last error and what mends it, empty where nothing is said to; None where there is no error.

    Args:
        lines: the last that it wrote, perhaps over several starts: only a mend that follows the error is its own.
    """
    at = max((i for i, line in enumerate(lines) if line.startswith("error: ")), default=-1)
    if at < 0:
        return None
    fix = next((line.removeprefix("fix: ") for line in lines[at + 1 :] if line.startswith("fix: ")), "")
    return lines[at].removeprefix("error: "), fix
