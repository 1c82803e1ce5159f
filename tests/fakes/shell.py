"""The command line, in this process or in one of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shipway.cli.entry import run

SHIPWAY = (sys.executable, "-m", "shipway")


@dataclass(frozen=True)
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """What `--json` printed."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    def refusal(self, code: int) -> str:
        """Gives the error's and the fix's text, after checking that both are there and nothing of the inside shows."""
        assert self.code == code, (self.code, self.err)
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith(("error: ", "fix: "))]
        assert [line.partition(":")[0] for line in lines] == ["error", "fix"], self.err
        assert all(line.partition(": ")[2] for line in lines)
        return "\n".join(lines)


@dataclass(frozen=True)
class Shell:
    """Runs commands in this process, in a folder and a store of their own."""

    folder: Path
    store: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def __call__(self, *words: str, data: bytes = b"") -> Ran:
        """Runs `shipway WORDS` with `data` at standard input."""
        self.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        self.capture.readouterr()
        code = run(words)
        said = self.capture.readouterr()
        return Ran(code, said.out, said.err)

    def write(self, name: str, content: str | bytes) -> str:
        """Writes a file into the folder; gives its name."""
        data = content if isinstance(content, bytes) else content.encode()
        (self.folder / name).write_bytes(data)
        return name

    @property
    def environ(self) -> dict[str, str]:
        """The environment for a process of its own."""
        return {**os.environ, "SHIPWAY_STORE": str(self.store), "PYTHONWARNINGS": "error"}

    def process(self, *words: str, **arguments: Any) -> subprocess.Popen[str]:
        """Starts `shipway WORDS` as a process; the test ends it."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {"env": self.environ, "cwd": self.folder, "text": True, **pipes, **arguments}
        return subprocess.Popen([*SHIPWAY, *words], **options)

    def apart(self, *words: str, **arguments: Any) -> Ran:
        """Runs `shipway WORDS` as a process, to its end."""
        with self.process(*words, **arguments) as process:
            out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out or "", err or "")


@dataclass(frozen=True)
class Workshop:
    """Real models, as a data scientist has them in a folder, and a store into which they were packed.

    Attributes:
        folder: `diabetes.joblib` and `diabetes.csv` (target `progression`), the same of `churn` (target `outcome`).
        store: with `diabetes:1` and `churn:1`.
        people: the inputs of `churn`, with texts and missing cells.
        churn: the fitted pipeline.
    """

    folder: Path
    store: Path
    people: pd.DataFrame
    churn: Any
