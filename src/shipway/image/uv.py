"""uv as a program: it resolves requirements, and makes wheels of source archives."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from shipway.errors import MissingDependency, RemoteError

__all__ = ["Run", "find_uv", "run_uv"]

_SECONDS = 300
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[bytes]"]
"""Runs a program to its end."""


def find_uv() -> str:
    """Gives the path of uv.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise MissingDependency(
            "uv resolves the image's dependencies and is not installed", fix='pip install "shipway[build]"'
        ) from error


def run_uv(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs it.

    Raises:
        RemoteError: it does not start, or not end in five minutes.
    """
    try:
        return subprocess.run(  # noqa: S603 - no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RemoteError(f"uv gave no answer: {error}", fix="check the network, then try again") from error
