"""Turns what a cluster says into a part of a sentence."""

from __future__ import annotations

import re

__all__ = ["listed", "plainly"]

_LONGEST = 400
_WRAPPING = re.compile(
    r"rpc error: code = \w+ desc = |Back-off pulling image \"[^\"]*\": |ErrImagePull: |(?<!\w)Error: "
    r"|failed to create containerd task: |failed to create shim task: |OCI runtime create failed: "
    r"|runc create failed: |unable to start container process: |failed to generate spec: "
    r"|\(pod: \"[^\"]*\", container: [^)]*\)|Mounting command: .*Output: "
    r"|Failed to pull image \"[^\"]*\": |failed to resolve reference \"[^\"]*\": "
    r"|failed to pull and unpack image \"[^\"]*\": |failed to resolve image: |failed to do request: "
    r"|failed to generate container \"[0-9a-f]*\" spec: ",
    re.DOTALL,
)


def plainly(message: str) -> str:
    """Gives a message of the cluster on one line, without the names of the programs that handed it on.

    Nothing of it can steer a terminal: a log says what its program wants.
    """
    line = " ".join(_WRAPPING.sub("", message).split()).rstrip(". ")
    line = "".join(each for each in line if each.isprintable())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def listed(words: list[str]) -> str:
    """Gives `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
