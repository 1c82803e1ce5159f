"""The server runs, but does not answer the node's probes as it should."""

from __future__ import annotations

import re

from shipway.deploy.kubernetes.health.causes.words import plainly
from shipway.deploy.kubernetes.health.snapshot import Look, number, part, text
from shipway.deploy.target import Cause

__all__ = ["not_ready", "restarted", "starting"]

STARTING_SECONDS = 6
"""How long a server may take to start before that is worth a word; a small model takes 1 to 4."""

_STATUS = re.compile(r"statuscode: (\d+)")
_KILLED = re.compile(r"failed (startup|liveness) probe")


def restarted(look: Look) -> Cause | None:
    """Finds a server that the node ended because it failed its startup or liveness probe."""
    match = next((found for said in look.said("Killing") if (found := _KILLED.search(said))), None)
    if match is None:
        return None
    probe = match[1]
    said = _failure(look, probe)
    port, path = _address(look, probe)
    patience = _patience(look, probe)
    log = f"{look.snapshot.kubectl} logs {look.name} --previous"
    if probe == "startup":
        what = f"the server was not ready within {patience:.0f} s and is started again"
        fix = _listens(f"{log}; raise the startup probe's failureThreshold if it only needs longer", said, port)
        return Cause("probe-startup", what, said, fix)
    what = f"the server does not answer {path} and is started again"
    return Cause("probe-liveness", what, said, _listens(f"{log}; {_ask(look, port)}", said, port), look.is_crashing)


def starting(look: Look) -> Cause | None:
    """Finds a server that is still starting: not final before its startup probe has used up its time."""
    began = text(look.server, "state", "running", "startedAt")
    since = look.snapshot.since(began)
    if not began or look.server.get("started") is not False or since < STARTING_SECONDS:
        return None
    said = _failure(look, "startup")
    port, path = _address(look, "startup")
    silent = "refused" in said or "timeout" in said.lower() or "deadline" in said
    what = (
        f"nothing in the container answers on port {port} yet"
        if silent
        else f"the server is still loading: it does not answer {path} with 200 yet"
    )
    patience = _patience(look, "startup")
    return Cause(
        "slow-start",
        f"{what}, {since:.0f} s after its start",
        said or "the startup probe has not passed",
        _listens(
            f"wait: it has {patience:.0f} s; {look.snapshot.kubectl} logs {look.name} shows what it does", said, port
        ),
        final=False,
    )


def not_ready(look: Look) -> Cause | None:
    """Finds a server that has started and does not take calls: its readiness probe fails."""
    said = _failure(look, "readiness")
    if not said or look.server.get("started") is not True or look.server.get("ready") is not False:
        return None
    port, path = _address(look, "readiness")
    return Cause(
        "probe-readiness",
        f"the server has started but does not answer {path} with 200, so it gets no calls",
        said,
        _listens(f"{look.snapshot.kubectl} logs {look.name}; {_ask(look, port)}", said, port),
        final=False,
    )


def _failure(look: Look, probe: str) -> str:
    """The probe's last failure: with the answer's status, or with what the connection came to."""
    said = next((said for said in look.said("Unhealthy") if said.lower().startswith(f"{probe} probe")), "")
    status = _STATUS.search(said)
    if status:
        return f"the {probe} probe was answered with status {status[1]}"
    return plainly(re.sub(r"Get \"[^\"]*\": ", "", said))


def _ask(look: Look, port: object) -> str:
    return f"ask it yourself: {look.snapshot.kubectl} port-forward {look.name} 8000:{port}"


def _listens(fix: str, said: str, port: object) -> str:
    if "refused" not in said:
        return fix
    return f"{fix}; if it listens on another port than {port}, take that setting (server.port, server.host) back"


def _address(look: Look, probe: str) -> tuple[object, str]:
    """The port's number and the path that a probe asks."""
    asked = part(look.container, f"{probe}Probe", "httpGet")
    port, ports = asked.get("port"), look.container.get("ports")
    named = [each for each in ports if isinstance(each, dict)] if isinstance(ports, list) else []
    number_of = next((each.get("containerPort") for each in named if each.get("name") == port), port)
    return number_of, text(asked, "path") or "its probe"


def _patience(look: Look, probe: str) -> float:
    """Seconds that a probe may fail before the server is started again; defaults as in the API reference."""
    asked = part(look.container, f"{probe}Probe")
    times, period = number(asked, "failureThreshold", default=3), number(asked, "periodSeconds", default=10)
    return number(asked, "initialDelaySeconds") + times * period
