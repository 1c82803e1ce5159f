"""The process that serves: socket, signals, loading, drain. The front is uvicorn's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar, cast

import uvicorn

from shipway.bundle.bundle import Bundle
from shipway.errors import MachineError, PortInUse, UsageError
from shipway.serving.application import Application
from shipway.serving.engine.engine import LoadedModel
from shipway.serving.http.connection import Connection
from shipway.serving.state import Phase
from shipway.spec.settings import Server

__all__ = ["bind", "serve"]

_INTERRUPTED = 130
Result = TypeVar("Result")
Ready = Callable[[str, tuple[LoadedModel, ...]], None]


def bind(host: str, port: int) -> socket.socket:
    """Opens the listening socket; port 0 takes a free one.

    Raises:
        PortInUse: another process listens there.
        MachineError: the address is not this machine's, or the port is not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; with it on, an answer whose head
    # and body are written apart waits 40 ms for the other end's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":  # on Windows this option would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"port {port} is in use on {host}", fix="--port 0 takes a free one") from error
        raise MachineError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", fix="--host 127.0.0.1 --port 8000"
        ) from error
    return listener


def serve(application: Application, bundles: Sequence[Bundle], settings: Server, on_ready: Ready) -> None:
    """Serves until a signal ends it.

    SIGTERM drains: readiness turns false, serving goes on for the drain time, then what is in flight is finished. An
    interrupt does without the waiting. A second signal ends the process at once.

    Args:
        application: made and not yet opened.
        bundles: the models.
        settings: address and drain time.
        on_ready: called with the address and the models when callers may come.

    Raises:
        PortInUse, MachineError: the address cannot be had.
        UsageError: an event loop runs in this thread already, as in a notebook.
        ShipwayError: a model does not load.
    """
    if _loop_runs():
        raise UsageError("serve blocks, and an event loop runs here already", fix="shipway.asgi(bundle), or a terminal")
    listener = bind(settings.host, settings.port)
    try:
        asyncio.run(_serve(application, bundles, settings, listener, on_ready))
    finally:
        listener.close()
        application.close()


@dataclass(slots=True)
class _Stop:
    """Whether the process was told to end, and how gently."""

    loop: asyncio.AbstractEventLoop
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gently: bool = True

    def on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.asked.is_set():
            # A model that hangs in a thread would hold an orderly exit for ever.
            os._exit(_INTERRUPTED)
        self.gently = number != signal.SIGINT
        # A handler runs between two byte codes of anything: only this call of the loop is safe there.
        self.loop.call_soon_threadsafe(self.asked.set)


@contextlib.contextmanager
def _heard(stop: _Stop) -> Iterator[None]:
    """Lets signals reach `stop` until the block ends; then they mean to the process what they meant before."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop.on_signal) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            if handler is not None:  # one that is not Python's cannot be set from here
                signal.signal(getattr(signal, name), handler)


class _UvicornServer(uvicorn.Server):
    """Without handlers of its own: ours stand before any model loads, and drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    application: Application, bundles: Sequence[Bundle], settings: Server, listener: socket.socket, on_ready: Ready
) -> None:
    stop = _Stop(asyncio.get_running_loop())
    with _heard(stop):
        await _serve_until(stop, application, bundles, settings, listener, on_ready)


async def _serve_until(
    stop: _Stop,
    application: Application,
    bundles: Sequence[Bundle],
    settings: Server,
    listener: socket.socket,
    on_ready: Ready,
) -> None:
    server = _UvicornServer(
        uvicorn.Config(
            application.asgi,
            access_log=False,
            log_config=None,
            log_level="warning",
            lifespan="off",
            server_header=False,
            proxy_headers=False,  # who the caller is, is not believed on its word
            http=Connection,
            ws="none",
            loop="asyncio",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=math.ceil(application.seconds) + 1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.asked.wait())
    loading = _in_daemon_thread(lambda: application.open(bundles))
    try:
        first: set[asyncio.Future[Any]] = {stopping, loading, serving}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            models = await loading
            on_ready(_address(listener), models)
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            application.state.phase = Phase.DRAINING
            if stop.gently and not serving.done():
                await asyncio.sleep(settings.drain_seconds)
    finally:
        server.should_exit = True
        stopping.cancel()
        await serving


def _in_daemon_thread(call: Callable[[], Result]) -> asyncio.Future[Result]:
    """Runs `call` in a thread that does not keep the process from ending, as those of `asyncio.to_thread` do."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def finish(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(cast("Result", result))
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as problem:
            error = problem
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=run, name="shipway-loading", daemon=True).start()
    return future


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
