"""Keeps a server of somebody's code alive: a process without that code starts it again when it dies or hangs.

The supervisor holds the listening sockets. While there is no worker, callers wait in their queue instead of being
refused; those that the dead worker was answering see their connection closed. As process 1 of a container it passes
signals on and reaps orphans, as an init does.

A worker that is ready says each second that it lives. One whose code never lets go of the interpreter or of the event
loop, or whose threads are all lost, falls silent. After longer than any request may take, it is ended.

Where sockets cannot be inherited (Windows), each worker opens its own, callers are refused in between, and a worker
that hangs is not noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, TypeVar

from shipway.serving.listeners import bind_all
from shipway.serving.signals import heard
from shipway.spec.settings import Settings

__all__ = ["WORKER_FLAG", "Worker", "supervise"]

WORKER_FLAG = "--worker"
"""Tells a command that it is a worker; followed by the descriptors of its line to the supervisor and of the sockets."""

_INHERITS = os.name == "posix"
_FIRST_WAIT, _LONGEST_WAIT, _STEADY_SECONDS = 0.1, 30.0, 60.0
_MOST_FAILED_STARTS = 5
_SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGBREAK")
_BEAT, _BEAT_SECONDS = b".", 1.0
# Beyond the longest request. Liveness probes add 30: who is first to end a worker should be who says where it hung.
_PATIENCE_SECONDS = 20.0
_DUMP_SECONDS = 5.0

Entry = TypeVar("Entry")


def supervise(
    command: Sequence[str], settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]
) -> int:
    """Runs a worker, again and again, until a signal ends it; a second one ends the worker at once, whatever it does.

    A worker that ends before it was ever ready has said why, and ends this too; so do five in a row later on.

    Args:
        command: starts a worker; `--worker LINE,SOCKET…` is put behind it.
        settings: addresses, and the longest that a request may take.
        environ: of the worker.
        say: told what became of a worker, a sentence each.

    Returns:
        The exit code for this process.

    Raises:
        PortInUse, MachineError: the address cannot be had.
    """
    with contextlib.ExitStack() as cleanup:
        listeners = [cleanup.enter_context(one) for one in bind_all(settings.server)] if _INHERITS else []
        for listener in listeners:
            listener.listen(2048)
        return _Supervisor(command, environ, listeners, settings.limits.seconds + _PATIENCE_SECONDS, say).run()


class _Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        listeners: Sequence[socket.socket],
        patience: float,
        say: Callable[[str], None],
    ) -> None:
        self._command = command
        self._environ = environ
        self._listeners = listeners
        self._patience = patience
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
                    return _exit_code(code)
                was_ready, failed = was_ready or ready, 0 if ready else failed + 1
                if not was_ready or failed >= _MOST_FAILED_STARTS:
                    return _exit_code(code) or 1
                wait = _FIRST_WAIT if time.monotonic() - begun > _STEADY_SECONDS else min(2 * wait, _LONGEST_WAIT)
                self._say(f"the app's process {_fate(code)}; it is started again in {wait:g} s")
                self._sleep(wait)
                if self._stop:
                    return 0

    def _run_worker(self) -> tuple[int, bool]:
        """Runs one worker to its end; gives its exit code, and whether it was ready."""
        if not _INHERITS:
            begun = time.monotonic()
            self._process = self._start("-")
            return self._process.wait(), time.monotonic() - begun > 10  # nothing else tells
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                numbers = [theirs.fileno(), *(listener.fileno() for listener in self._listeners)]
                # A group of its own: a terminal's Ctrl-C comes once, by way of the supervisor.
                self._process = self._start(",".join(map(str, numbers)), pass_fds=numbers, process_group=0)
            if self._stop:  # a signal that came before there was anybody to pass it on to
                self._process.send_signal(self._stop)
            return self._attend(self._process, ours)

    def _start(self, numbers: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [*self._command, WORKER_FLAG, numbers]
        return subprocess.Popen(command, env=dict(self._environ), **options)  # noqa: S603 - our own

    def _attend(self, process: subprocess.Popen[bytes], line: socket.socket) -> tuple[int, bool]:
        """Waits for a worker's end, and brings it about where the worker was ready and then falls silent."""
        line.settimeout(_BEAT_SECONDS)
        ready, silent, looked = False, 0.0, time.monotonic()
        while (code := _reap(process)) is None:
            beats, now = _listen(line), time.monotonic()
            # Who was stopped, alone or with the whole machine, has not listened all that while.
            silent = 0.0 if beats else silent + min(now - looked, _BEAT_SECONDS)
            ready, looked = ready or beats, now
            if ready and silent > self._patience:
                self._say(f"the app has hung for {silent:.0f} s; its process is ended, and says first where it is")
                _end_stuck(process)
                silent = 0.0
        return code, ready or _listen(line)

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


def _listen(line: socket.socket) -> bool:
    """Whether the worker is heard within a second."""
    with contextlib.suppress(OSError):
        if line.recv(4096):
            return True
        time.sleep(0.05)  # its end of the line is closed, and its own is near
    return False


def _reap(process: subprocess.Popen[bytes]) -> int | None:
    """Gives the worker's exit code if it has ended; as process 1, takes leave of all orphans that have."""
    if os.getpid() == 1:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == process.pid:
                    process.returncode = os.waitstatus_to_exitcode(ended[1])
    return process.poll()


def _end_stuck(process: subprocess.Popen[bytes]) -> None:
    """Ends a worker that hears nothing; its faulthandler, which needs no interpreter, writes all threads' stacks."""
    process.send_signal(signal.SIGABRT)
    end = time.monotonic() + _DUMP_SECONDS
    while _reap(process) is None and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()


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
        self._is_alive: Callable[[], bool] = lambda: False
        self._beaten = 0.0

    def watch(self) -> None:
        """Ends this process gently when the supervisor is there no more; what kills it leaves its stacks in the log."""
        if self._line is not None:
            faulthandler.enable()
            threading.Thread(target=self._watch, args=(self._line,), name="shipway-supervisor", daemon=True).start()

    def ready(self, is_alive: Callable[[], bool]) -> None:
        """Tells the supervisor, from the event loop, that it is ready, and from then on that it lives.

        Args:
            is_alive: whether the app can still answer anything.
        """
        if self._line is not None:
            self._is_alive = is_alive
            self._beat_on(asyncio.get_running_loop())

    def beside(self, log: Callable[[Entry], None]) -> Callable[[Entry], None]:
        """Gives the log with a sign of life beside each entry.

        Calls that each hold the event loop for a while can, one after the other, keep its timers waiting for as long
        as there are calls. That is load, and no hang.
        """
        if self._line is None:
            return log

        def write(entry: Entry) -> None:
            self._beat()
            log(entry)

        return write

    def _beat_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat()
        loop.call_later(_BEAT_SECONDS, self._beat_on, loop)

    def _beat(self) -> None:
        now = time.monotonic()
        if self._line is None or now - self._beaten < _BEAT_SECONDS / 2 or not self._is_alive():
            return
        self._beaten = now
        with contextlib.suppress(OSError):  # a supervisor that is stopped does not stop its worker
            self._line.send(_BEAT, socket.MSG_DONTWAIT)

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
    return code if code >= 0 else 128 - code
