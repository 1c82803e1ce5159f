"""`shipway pack --compare`: how many requests a second an app answers, and the model in it when it is served alone."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from shipway.apps.findings import ModelInside
    from shipway.bundle.bundle import Bundle
    from shipway.cli.session import Session

__all__ = ["Compared", "compare_app"]

_START_SECONDS, _ROUND_SECONDS, _ROUNDS, _ANSWER_SECONDS = 60.0, 1.0, 5, 30.0
_MOST = 16 << 20
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Compared:
    """What was measured: one caller, one request after the other, both servers in turn.

    Attributes:
        model: the file, relative to the app's folder.
        app_rate, model_rate: requests a second, the median of the rounds.
    """

    model: str
    app_rate: float
    model_rate: float

    @property
    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        ratio = self.model_rate / self.app_rate
        return {"model": self.model, "app_rate": self.app_rate, "model_rate": self.model_rate, "ratio": ratio}

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"compared: the app answers {self.app_rate:,.0f} requests a second, {self.model} served by itself"
            f" {self.model_rate:,.0f}: {self.model_rate / self.app_rate:.1f} times as many"
        )


def compare_app(session: Session, bundle: Bundle, folder: Path) -> Compared:
    """Serves an app and the model that it holds, each in a process of its own, and calls both with the sample.

    Raises:
        UsageError: the app is more than one model, or was packed without a sample.
        ArtefactError: the model cannot be packed, or does not take the sample's rows.
    """
    from shipway.bundle.folder import write_folder
    from shipway.bundle.pack import PackRequest, pack
    from shipway.bundle.store import Store

    app = bundle.app
    assert app is not None
    inside, sample = _model_of(folder, app.target), app.sample
    if sample is None:
        raise _misused("--compare calls the app with a sample", "give one: --sample request.json")
    with tempfile.TemporaryDirectory(prefix="shipway-compare-") as name:
        place = Path(name)
        session.out.say(f"packing {inside.path} by itself")
        model = pack(PackRequest(folder / inside.path, "model"), Store.at(place / "store")).bundle
        folders = write_folder(bundle, place / "app"), write_folder(model, place / "model")
        with _served(session, folders[0]) as ours, _served(session, folders[1]) as alone:
            asked = _request(ours, sample.method, sample.path, sample.headers, sample.body.encode())
            rows = _rows_for(alone, sample.body.encode(), inside)
            session.out.say(f"measuring both in turn, {2 * _ROUNDS * _ROUND_SECONDS:.0f} s")
            rounds = [(_rate(ours, asked), _rate(alone, rows)) for _ in range(_ROUNDS)]
    return Compared(inside.path, *(statistics.median(rates) for rates in zip(*rounds, strict=True)))


def _model_of(folder: Path, target: str) -> ModelInside:
    from shipway.apps.files import list_files
    from shipway.apps.findings import model_inside, read_facts

    files = list_files(folder)  # what it must not hold was asked when it was packed
    inside = model_inside(read_facts(files, files.source(), folder.as_posix(), target))
    if inside is None:
        raise _misused(
            "there is nothing to compare: the app does more than load one model and predict with it",
            "leave --compare out",
        )
    return inside


def _misused(message: str, fix: str) -> Exception:
    from shipway.errors import UsageError

    return UsageError(message, fix=fix)


@contextmanager
def _served(session: Session, folder: Path) -> Iterator[socket.socket]:
    """Gives a connection to a server of that folder, which ends with the block."""
    from shipway.errors import MachineError

    command = [sys.executable, "-P", "-m", "shipway.serving", str(folder), "--host", "127.0.0.1", "--port", "0"]
    environ = {**session.environ, "SHIPWAY_SERVER__LOG": "off", "SHIPWAY_SERVER__ALLOW_PICKLE": "true",
               "SHIPWAY_SERVER__METRICS_PORT": "0", "SHIPWAY_SERVER__DRAIN_SECONDS": "0"}  # fmt: skip
    with tempfile.TemporaryFile("a+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)  # noqa: S603
        try:
            end = time.monotonic() + _START_SECONDS
            while not (address := _address(log_text := _read(log))):
                if process.poll() is not None or time.monotonic() > end:
                    raise MachineError(f"a server did not start: {log_text.strip()[-500:]}", fix="shipway serve REF")
                time.sleep(0.05)
            with socket.create_connection(address, _ANSWER_SECONDS) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield connection
        finally:
            process.terminate()
            process.wait()


def _read(log: Any) -> str:
    log.seek(0)
    return str(log.read(_MOST).decode("utf-8", "replace"))


def _address(text: str) -> tuple[str, int] | None:
    found = next((line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("serving ")), "")
    parts = urlsplit(found)
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None


def _request(connection: socket.socket, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Gives the bytes of a request, once it was answered well.

    Raises:
        ArtefactError: it was not.
    """
    from shipway.errors import ArtefactError

    fields = {"host": "localhost", **headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body
    status = _exchange(connection, request)
    if status >= 400:
        raise ArtefactError(f"{method} {path} is answered with {status}", fix="give a sample that is answered")
    return request


def _rows_for(connection: socket.socket, body: bytes, inside: ModelInside) -> bytes:
    """Gives the request that asks the model for the rows of the app's sample: its body, or the first part that fits."""
    import msgspec

    from shipway.errors import ArtefactError

    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = None
    parts = [value, *(value.values() if isinstance(value, dict) else ())]
    for part in parts:
        try:
            return _request(connection, "POST", "/", _JSON, msgspec.json.encode(part))
        except ArtefactError:
            continue
    raise ArtefactError(
        f"{inside.path} does not take the rows of the sample as they stand", fix="give a sample whose body is rows"
    )


def _rate(connection: socket.socket, request: bytes) -> float:
    """Gives how many such requests a second are answered, one after the other."""
    begin, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begin) < _ROUND_SECONDS:
        _exchange(connection, request)
        count += 1
    return count / elapsed


def _exchange(connection: socket.socket, request: bytes) -> int:
    """Sends a request and reads its answer to the end; gives its status. As little as can be, since it is measured."""
    from shipway.errors import MachineError

    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lowered = head.lower()
    _, found, length = lowered.partition(b"\r\ncontent-length:")
    if found:
        left = int(length.partition(b"\r\n")[0]) - len(body)
        while left > 0:
            left -= len(_more(connection))
    elif b"\r\ntransfer-encoding: chunked" in lowered:
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(connection)
    else:
        raise MachineError("an answer without a length cannot be compared", fix="leave --compare out")
    return int(head.split(b" ", 2)[1])


def _more(connection: socket.socket) -> bytes:
    from shipway.errors import MachineError

    data = connection.recv(65536)
    if not data:
        raise MachineError("a server hung up while it was measured", fix="shipway serve REF shows why")
    return data
