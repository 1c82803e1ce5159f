"""The process that serves: sockets, signals, loading, drain. The front is uvicorn's."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol, TypeVar, cast

import uvicorn

from shipway.bundle.bundle import Bundle
from shipway.errors import UsageError
from shipway.serving.http.asgi import AsgiApp, Receive, Scope, Send
from shipway.serving.http.connection import Connection
from shipway.serving.listeners import address_of, bind_all
from shipway.serving.signals import heard
from shipway.serving.state import Phase, State
from shipway.spec.settings import Server

__all__ = ["Servable", "serve"]

_INTERRUPTED = 130
Result = TypeVar("Result")
Opened = TypeVar("Opened", covariant=True)


class Servable(Protocol[Opened]):
    """What a server can serve: models, or an app.

    Attributes:
        state: starting, ready or draining.
        websockets: whether connections may become WebSockets.
    """

    state: State
    websockets: bool

    @property
    def asgi(self) -> AsgiApp:
        """What callers reach."""

    @property
    def operations(self) -> AsgiApp:
        """Metrics and health alone, for the platform."""

    @property
    def seconds(self) -> float:
        """The longest that a request may take."""

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer anything."""

    def open(self, bundles: Sequence[Bundle]) -> tuple[Opened, ...]:
        """Loads what is served, in a thread; gives what is told of it."""

    async def start_up(self) -> None:
        """Does what is left to do on the event loop; is ready then."""

    async def shut_down(self) -> None:
        """Ends what runs on the event loop, once nobody calls any more."""

    def close(self) -> None:
        """Ends its threads."""


def serve(
    application: Servable[Opened],
    bundles: Sequence[Bundle],
    settings: Server,
    on_ready: Callable[[str, tuple[Opened, ...]], None],
    *,
    listeners: Sequence[socket.socket] = (),
) -> None:
    """Serves until a signal ends it.

    SIGTERM drains: readiness turns false, serving goes on for the drain time, then what is in flight is finished. An
    interrupt does without the waiting. A second signal ends the process at once.

    Args:
        application: made and not yet opened.
        bundles: the models, or the app.
        settings: addresses and drain time.
        on_ready: called with the address and what is served when callers may come.
        listeners: sockets that are open already, in place of those that the settings name.

    Raises:
        PortInUse, MachineError: the address cannot be had.
        UsageError: an event loop runs in this thread already, as in a notebook; or both ports are the same.
        ShipwayError: a model does not load.
    """
    if _loop_runs():
        raise UsageError("serve blocks, and an event loop runs here already", fix="shipway.asgi(bundle), or a terminal")
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(application.close)
        sockets = [cleanup.enter_context(one) for one in listeners or bind_all(settings)]
        asyncio.run(_serve(application, bundles, settings, sockets, on_ready))


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


class _UvicornServer(uvicorn.Server):
    """Without handlers of its own: ours stand before any model loads, and drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _by_port(application: Servable[Any], metrics_port: int) -> AsgiApp:
    """Gives the ASGI application of both listeners. Which one a caller came to, the connection's own port says."""
    if not metrics_port:
        return application.asgi

    def front(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_platform = scope["server"][1] == metrics_port
        return (application.operations if is_platform else application.asgi)(scope, receive, send)

    return front


async def _serve(
    application: Servable[Opened],
    bundles: Sequence[Bundle],
    settings: Server,
    listeners: list[socket.socket],
    on_ready: Callable[[str, tuple[Opened, ...]], None],
) -> None:
    stop = _Stop(asyncio.get_running_loop())
    with heard(("SIGINT", "SIGTERM", "SIGBREAK"), stop.on_signal):
        await _serve_until(stop, application, bundles, settings, listeners, on_ready)


async def _serve_until(
    stop: _Stop,
    application: Servable[Opened],
    bundles: Sequence[Bundle],
    settings: Server,
    listeners: list[socket.socket],
    on_ready: Callable[[str, tuple[Opened, ...]], None],
) -> None:
    server = _UvicornServer(
        uvicorn.Config(
            _by_port(application, settings.metrics_port),
            interface="asgi3",
            access_log=False,
            log_config=None,
            log_level="warning",
            lifespan="off",
            server_header=False,
            proxy_headers=False,  # who the caller is, is not believed on its word
            http=Connection,
            ws="websockets-sansio" if application.websockets else "none",
            loop="asyncio",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=math.ceil(application.seconds) + 1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=listeners))
    stopping = asyncio.create_task(stop.asked.wait())
    loading = asyncio.ensure_future(_load(application, bundles))
    try:
        first: set[asyncio.Future[Any]] = {stopping, loading, serving}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            models = await loading
            on_ready(address_of(listeners[0]), models)
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            application.state.phase = Phase.DRAINING
            if stop.gently and not serving.done():
                await asyncio.sleep(settings.drain_seconds)
    finally:
        server.should_exit = True
        stopping.cancel()
        loading.cancel()
        await serving
        await application.shut_down()


async def _load(application: Servable[Opened], bundles: Sequence[Bundle]) -> tuple[Opened, ...]:
    opened = await _in_daemon_thread(lambda: application.open(bundles))
    await application.start_up()
    return opened


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
