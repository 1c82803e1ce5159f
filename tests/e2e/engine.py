"""Docker, as the tests call it."""

from __future__ import annotations

import subprocess

__all__ = ["docker"]


def docker(*arguments: str, timeout: float = 300) -> str:
    """Runs one of Docker's commands; gives what it printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
