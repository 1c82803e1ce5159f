"""Docker and Podman, as the tests call them."""

from __future__ import annotations

import subprocess

__all__ = ["call", "docker"]


def docker(*arguments: str, timeout: float = 300) -> str:
    """Runs one of Docker's commands; gives what it printed."""
    return call("docker", *arguments, timeout=timeout)


def call(tool: str, *arguments: str, timeout: float = 300) -> str:
    """Runs one of an engine's commands; gives what it printed."""
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
