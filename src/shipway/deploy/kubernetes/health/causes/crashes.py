"""The server started and ended: out of memory, with a word of its own, or without one."""

from __future__ import annotations

import re
from fractions import Fraction

from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Look, number, text
from shipway.deploy.kubernetes.objects.resources import parse_quantity
from shipway.deploy.last_words import last_error
from shipway.deploy.target import Cause
from shipway.spec.contract import Contract

__all__ = ["cannot_write", "crash", "out_of_memory", "server_error"]

_OOM = re.compile(r"OOM-killed|memory limit too low")
_READ_ONLY = re.compile(r"Read-only file system")
_DENIED = re.compile(r"Permission denied|Operation not permitted|PermissionError")
_SIGNALS = {6: "SIGABRT", 7: "SIGBUS", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}
_MIB = 2**20
_WIDTH = 120


def out_of_memory(look: Look) -> Cause | None:
    """Finds a server that took more memory than its limit, and proposes a limit."""
    killed = look.ended.get("reason") == "OOMKilled"
    early = _OOM.search(f"{text(look.ended, 'message')} {text(look.waiting, 'message')}")
    if not (killed or early):
        return None
    limit = text(look.container, "resources", "limits", "memory")
    least = Contract().memory_limit_mib
    twice = int((parse_quantity(limit) or Fraction(0)) * 2 / _MIB)
    return Cause(
        "out-of-memory",
        f"the server needs more memory than its limit{f' of {limit}' if limit else ''}",
        "the node ended it with OOMKilled" if killed else "the limit is too low even to start a process",
        f"{look.snapshot.again} --memory-limit {max(least, twice)}Mi",
        final=look.is_crashing,
    )


def server_error(look: Look) -> Cause | None:
    """Passes on what Shipway's own server says when it ends: a line `error:`, and one `fix:` where there is one."""
    said = last_error(look.log)
    if not look.ended or said is None:
        return None
    error, fix = said
    return Cause(
        "server-error",
        f"the server ends: {plainly(error)}",
        f"it checks its models and settings before it answers, and ended with exit code {_code(look)}",
        fix or f"mend what it says, then {look.snapshot.again} again",
        final=look.is_crashing,
    )


def cannot_write(look: Look) -> Cause | None:
    """Finds a server that ended because it may not write or open something."""
    if not look.ended:
        return None
    line = next((line for line in reversed(look.last_words) if _READ_ONLY.search(line)), None)
    if line is not None:
        return Cause(
            "read-only",
            "the server wants to write where the container's file system is read-only",
            plainly(line),
            "let it write below /tmp, or mount an emptyDir there with an overlay (docs/kubernetes.md)",
            final=look.is_crashing,
        )
    line = next((line for line in reversed(look.last_words) if _DENIED.search(line)), None)
    if line is None:
        return None
    return Cause(
        "no-permission",
        "the server may not open something that it needs",
        plainly(line),
        f"make it readable for user {Contract().user}, which the container runs as, and build the image again",
        final=look.is_crashing,
    )


def crash(look: Look) -> Cause | None:
    """Finds a server that ended for another reason, and shows its last lines."""
    if not look.ended:
        return None
    said = text(look.ended, "message")
    code = _code(look)
    ended = "ends by itself, as if it had nothing to do" if code == 0 else f"ends with {_meaning(code)}"
    last = (
        f"its last lines: {plainly(' | '.join(each[:_WIDTH] for each in look.last_words))}"
        if look.last_words
        else "it wrote nothing"
    )
    return Cause(
        "crash",
        f"the server {ended}",
        plainly(said) if said else last,
        f"{look.snapshot.kubectl} logs {look.name} --previous, and mend what it says",
        final=look.is_crashing,
    )


def _code(look: Look) -> int:
    return int(number(look.ended, "exitCode"))


def _meaning(code: int) -> str:
    signal = _SIGNALS.get(code - 128)
    return f"exit code {code} ({signal})" if signal else f"exit code {code}"
