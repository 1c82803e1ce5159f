"""`shipway run`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.bundle.bundle import Bundle
    from shipway.oci.engine import Engine
    from shipway.spec.contract import Contract

__all__ = ["build_for", "command"]

_READY_SECONDS = 60.0


@verb("run", example="shipway run diabetes\nshipway run registry.example/diabetes:1 --port 9000", facts=False)
@click.argument("ref", metavar="REF|IMAGE", shell_complete=complete_reference)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="On this machine; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address on this machine.")
@click.option("--base", metavar="BASE", help="Base of the image, where it has to be built first.")
@click.option(
    "--env", "variables", multiple=True, metavar="KEY=VALUE", help="A setting for the server in the container."
)
def command(session: Session, ref: str, port: int, host: str, base: str | None, variables: tuple[str, ...]) -> None:
    """Runs a bundle or an image in Docker or Podman, hardened, in the foreground; it is removed when it ends."""
    from shipway.errors import UsageError
    from shipway.oci.engine import find_engine, run_command

    bad = next((text for text in variables if "=" not in text), None)
    if bad:
        raise UsageError(f"--env {bad} is not KEY=VALUE", fix=f"--env {bad}=VALUE")
    engine = find_engine()
    image, contract = (
        (ref, _promised(engine, ref)) if engine.has(ref) else build_for(session, engine, session.bundle(ref), base)
    )
    name = f"shipway-{uuid.uuid4().hex[:12]}"
    environ = dict(text.split("=", 1) for text in variables)
    session.note_keys(environ)
    session.out.say(f"starting {image} in {engine.tool}: read-only, no capabilities, no new privileges")
    engine.call(*run_command(engine.tool, image, contract, port=port, host=host, name=name, environ=environ)[1:])
    try:
        address = _wait_until_ready(engine, name, contract.port)
        session.out.say(f"ready on {session.out.style(address, 'bold')}  (Ctrl-C ends it)")
        _follow(engine, name)
    finally:
        # It drains for a while on SIGTERM; on Ctrl-C the person waits, so it is asked to be quick.
        engine.program([engine.tool, "kill", "--signal", "INT", name])
        engine.program([engine.tool, "wait", name])
        session.out.say("ended and removed")


def build_for(
    session: Session, engine: Engine, bundle: Bundle, base: str | None, tag: str | None = None
) -> tuple[str, Contract]:
    """Builds the image of a bundle for an engine's machine and loads it there; gives its name and contract."""
    from shipway.cli.build import make_image
    from shipway.image.output import load
    from shipway.spec.contract import Contract
    from shipway.spec.image import ImageReference, Platform

    name = ImageReference.parse(tag or f"shipway/{bundle.id.name}:{bundle.id.version}").tagged
    image = make_image(session, bundle, Platform.parse(engine.platform()), base=base).image
    load(image, name, engine.tool)
    return str(name), Contract.of(bundle.manifest)


def _promised(engine: Engine, image: str) -> Contract:
    """Gives the contract of an image that the engine has, which says itself on which port it listens."""
    from shipway.spec.contract import Contract

    exposed = engine.call(
        "image", "inspect", "--format", "{{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}", image
    )
    ports = [int(word.removesuffix("/tcp")) for word in exposed.split() if word.endswith("/tcp")]
    return replace(Contract(), port=ports[0]) if len(ports) == 1 else Contract()


def _wait_until_ready(engine: Engine, name: str, port: int) -> str:
    """Gives the address once the server is ready.

    Raises:
        MachineError: it ended, or was not ready in time; with the last lines of its log.
    """
    import httpx

    from shipway.errors import MachineError

    mapped = engine.call("port", name, str(port)).splitlines()[0]
    address = f"http://{mapped}"
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        try:
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return address
        except httpx.TransportError:
            pass
        if engine.program([engine.tool, "container", "inspect", name]).returncode:
            raise MachineError("the container ended before it was ready", fix=f"look why: {engine.tool} run --rm IMAGE")
        time.sleep(0.1)
    log = engine.program([engine.tool, "logs", "--tail", "5", name])
    raise MachineError(
        f"not ready after {_READY_SECONDS:.0f} s: {(log.stderr or log.stdout).strip()[-500:]}",
        fix=f"look why: {engine.tool} run --rm IMAGE",
    )


def _follow(engine: Engine, name: str) -> None:
    """Shows the container's log until it ends or a signal comes."""
    done = threading.Event()
    previous = {number: signal.signal(number, lambda *_: done.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    logs = subprocess.Popen(  # noqa: S603 - the names are ours
        [engine.tool, "logs", "--follow", name], stdout=sys.stderr, stderr=sys.stderr, start_new_session=True
    )
    try:
        while logs.poll() is None and not done.wait(0.2):
            pass
    finally:
        logs.terminate()
        logs.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
