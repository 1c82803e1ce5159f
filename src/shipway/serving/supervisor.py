"""Keeps a server of somebody's code alive: a process without that code starts it again when it dies.

The supervisor holds the listening sockets. While there is no worker, callers wait in their queue instead of being
refused; those that the dead worker was answering see their connection closed. As process 1 of a container it passes
signals on and reaps orphans, as an init does.

Where sockets cannot be inherited (Windows), each worker opens its own, and callers are refused in between.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from shipway.serving.listeners import bind_all
from shipway.serving.signals import heard
from shipway.spec.settings import Server

__all__ = ["WORKER_FLAG", "Worker", "supervise"]

WORKER_FLAG = "--worker"
"""Tells a command that it is a worker; followed by the descriptors of its line to the supervisor and of the sockets."""

_INHERITS = os.name == "posix"
_FIRST_WAIT, _LONGEST_WAIT, _STEADY_SECONDS = 0.1, 30.0, 60.0
_MOST_FAILED_STARTS = 5
_SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGBREAK")
_READY = b"r"


def supervise(command: Sequence[str], settings: Server, environ: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Runs a worker, again and again, until a signal ends it; a second one ends the worker at once, whatever it does.

    A worker that ends before it was ever ready has said why, and ends this too; so do five in a row later on.

    Args:
        command: starts a worker; `--worker LINE,SOCKET…` is put behind it.
        settings: addresses.
        environ: of the worker.
        say: told what became of a worker, a sentence each.

    Returns:
        The exit code for this process.

    Raises:
        PortInUse, MachineError: the address cannot be had.
    """
    with contextlib.ExitStack() as cleanup:
        listeners = [cleanup.enter_context(one) for one in bind_all(settings)] if _INHERITS else []
        for listener in listeners:
            listener.listen(2048)
        return _Supervisor(command, environ, listeners, say).run()


class _Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        listeners: Sequence[socket.socket],
        say: Callable[[str], None],
    ) -> None:
        self._command = command
        self._environ = environ
        self._listeners = listeners
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = 0

    def run(self) -> int:
        wait, failed, was_ready = _FIRST_WAIT, 0, False
        with heard(_SIGNALS, self._on_signal):
            while True:
                begun = time.monotonic()
                code, ready = self._run_worker()
                if self._stop:
                    return code if code >= 0 else 128 - code
                was_ready, failed = was_ready or ready, 0 if ready else failed + 1
                if not was_ready or failed >= _MOST_FAILED_STARTS:
                    return _exit_code(code)
                wait = _FIRST_WAIT if time.monotonic() - begun > _STEADY_SECONDS else min(2 * wait, _LONGEST_WAIT)
                self._say(f"the app's process {_fate(code)}; it is started again in {wait:g} s")
                self._sleep(wait)
                if self._stop:
                    return 0

    def _run_worker(self) -> tuple[int, bool]:
        """Runs one worker to its end; gives its exit code, and whether it was ready."""
        begun = time.monotonic()
        with contextlib.ExitStack() as cleanup:
            if not _INHERITS:
                command = [*self._command, WORKER_FLAG, "-"]
                self._process = subprocess.Popen(command, env=dict(self._environ))  # noqa: S603 - our own
                code = self._process.wait()
                return code, time.monotonic() - begun > 10  # nothing else tells
            ours, theirs = socket.socketpair()
            cleanup.enter_context(ours)
            with theirs:
                numbers = [theirs.fileno(), *(listener.fileno() for listener in self._listeners)]
                self._process = subprocess.Popen(  # noqa: S603 - our own command
                    [*self._command, WORKER_FLAG, ",".join(map(str, numbers))],
                    env=dict(self._environ),
                    pass_fds=numbers,
                    process_group=0,  # a terminal's Ctrl-C comes once, by way of the supervisor
                )
            if self._stop:  # a signal that came before there was anybody to pass it on to
                self._process.send_signal(self._stop)
            code = self._reap(self._process)
            ours.setblocking(False)
            try:
                return code, ours.recv(1) == _READY
            except OSError:
                return code, False

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        """Waits for the worker; as process 1, also for whatever its children left behind."""
        while True:
            pid, status = os.waitpid(-1 if os.getpid() == 1 else process.pid, 0)
            if pid == process.pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stop and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # SIGHUP and SIGQUIT end a server too, and gently: those are what terminals and other inits send.
        told, self._stop = self._stop, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
        process = self._process
        if process is None or process.returncode is not None:
            return  # whoever starts the next one looks
        for listener in self._listeners:
            listener.close()  # else callers would wait in a queue that nobody empties any more
        with contextlib.suppress(OSError):
            if told:
                process.kill()  # code that never lets go of the interpreter hears nothing else
            else:
                process.send_signal(self._stop)


class Worker:
    """A worker's side.

    Args:
        numbers: what stands behind `--worker`.

    Attributes:
        sockets: descriptors of the listening sockets; empty where the worker opens its own.
    """

    def __init__(self, numbers: str) -> None:
        given = [int(number) for number in numbers.split(",")] if numbers != "-" else []
        self.sockets: Sequence[int] = given[1:]
        self._line = socket.socket(fileno=given[0]) if given else None
        if self._line is not None:
            self._line.set_inheritable(False)  # what the app starts has no part in it

    def watch(self) -> None:
        """Ends this process gently when the supervisor is there no more."""
        if self._line is not None:
            threading.Thread(target=self._watch, args=(self._line,), name="shipway-supervisor", daemon=True).start()

    def ready(self) -> None:
        """Tells the supervisor that it is ready."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.send(_READY)

    @staticmethod
    def _watch(line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            line.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)


def _fate(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-code).name
        return f"was ended by {name}{', as one that takes too much memory is' if name == 'SIGKILL' else ''}"
    return f"was ended by signal {-code}"


def _exit_code(code: int) -> int:
    return 128 - code if code < 0 else code or 1
