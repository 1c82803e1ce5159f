"""A server in a process of its own, as users run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

SECONDS = 60.0


class ServerProcess:
    """Runs `PREFIX python -m MODULE …` on a free port of loopback; ended by its pid when the block ends."""

    def __init__(
        self,
        *arguments: str,
        environ: dict[str, str] | None = None,
        module: str = "shipway.serving",
        prefix: Sequence[str] = (),
    ) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed with the block
        port = () if "--port" in arguments else ("--port", "0")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "error", "-m", module, *arguments, *port],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **(environ or {})},
        )
        self.client = httpx.Client(timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        self._log.close()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        self._log.flush()
        return Path(f"/proc/self/fd/{self._log.fileno()}").read_text(encoding="utf-8") if os.name == "posix" else ""

    def address(self) -> str:
        """Gives the address, once the server says it."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            line = next((line for line in self.log.splitlines() if line.startswith("serving ")), "")
            if line:
                return "http://127.0.0.1:" + line.partition("127.0.0.1:")[2].split()[0].rstrip("/")
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.log}")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def exit_code(self, seconds: float = SECONDS) -> int:
        """Waits for the end."""
        return self.process.wait(seconds)
