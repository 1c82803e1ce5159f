"""`shipway predict`."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from shipway.cli.session import Session, verb

if TYPE_CHECKING:
    from shipway.bundle.records import Format
    from shipway.spec.signature import Columns, Method, Signature

__all__ = ["command"]

_BATCH = 1000
Answer = Callable[[list[dict[str, Any]]], list[Any]]


@verb(
    "predict",
    example="shipway predict diabetes --data new.csv --out out.csv\nshipway predict http://127.0.0.1:8000 --data -",
    facts=False,
)
@click.argument("ref", metavar="REF|URL")
@click.option("--data", required=True, metavar="FILE|-", help="CSV, JSON or JSONL; - reads standard input.")
@click.option(
    "--format", "format_", type=click.Choice(["csv", "json", "jsonl"]), help="Of the data, where its name does not say."
)
@click.option("--method", metavar="NAME", help="predict, predict_proba, ...  [default: the model's first]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write; standard output by default.",
)
@click.option(
    "--api-key", envvar="SHIPWAY_API_KEY", metavar="KEY", help="For a server that wants one (or SHIPWAY_API_KEY)."
)
def command(
    session: Session,
    ref: str,
    data: str,
    format_: Format | None,
    method: str | None,
    out: Path | None,
    api_key: str | None,
) -> None:
    """Predicts from a file of any size, with a bundle or a server. Columns that the model does not know are ignored."""
    from shipway.bundle.records import format_of, parse_texts, read_records
    from shipway.cli.progress import progress

    kind = format_ or ("json" if data == "-" else format_of(Path(data)))
    with _model(session, ref, method, api_key) as (signature, chosen, answer), _input(data) as (stream, size):
        known = set(signature.names)
        rows = 0

        def answers() -> Iterator[Any]:
            nonlocal rows
            for batch in _batched(read_records(stream, kind, columns=signature.names), _BATCH):
                records = [
                    parse_texts({name: cell for name, cell in record.items() if name in known}, signature, rows + index)
                    for index, record in enumerate(batch)
                ]
                yield from _at_row(answer, records, rows)
                rows += len(batch)
                show(_position(stream), f"{rows:,} rows")

        with progress(session.out, "predicting", size) as show, _output(out) as target:
            _write(answers(), target, format_of(out) if out else kind, chosen)
    session.out.say(f"{rows:,} rows predicted" + (f" into {out}" if out else ""))


def _batched(records: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _at_row(answer: Answer, records: list[dict[str, Any]], first: int) -> list[Any]:
    """Answers a batch; an error's row is counted from the file's begin."""
    from shipway.errors import InvalidInput

    try:
        return answer(records)
    except InvalidInput as error:
        if error.row is None or not first:
            raise
        message = error.message.replace(f"row {error.row}", f"row {first + error.row}")
        raise InvalidInput(message, column=error.column, row=first + error.row, fix=error.fix) from error


@contextlib.contextmanager
def _model(
    session: Session, ref: str, method: str | None, api_key: str | None
) -> Iterator[tuple[Signature, Method, Answer]]:
    """Gives the signature, the method, and what answers records, here or at a server."""
    if ref.startswith(("http://", "https://")):
        from shipway.client.client import Client

        url, _, name = ref.partition("/models/")
        with Client(url, api_key=api_key) as client:
            model = name.strip("/") or client.models()[0]["name"]
            signature = client.signature(model)
            remote = _method(signature, method)
            yield signature, remote, lambda records: client.call(remote.name, records, model=model).tolist()
        return
    from shipway.bundle.load import open_predictor
    from shipway.spec.rows import RowReader, cells_of

    bundle = session.bundle(ref)
    predictor = open_predictor(bundle, allow_pickle=session.resolve().settings.server.allow_pickle)
    reader = RowReader(predictor.signature, ignore_extra=True)
    chosen = _method(predictor.signature, method)

    def answer(records: list[dict[str, Any]]) -> list[Any]:
        outputs = predictor.call(chosen.name, reader.read_records(records), {})
        return _rows(outputs) if len(outputs) > 1 else cells_of(next(iter(outputs.values())))

    yield predictor.signature, chosen, answer


def _rows(outputs: Columns) -> list[Any]:
    from shipway.spec.rows import records_of

    return list(records_of(outputs))


def _method(signature: Signature, name: str | None) -> Method:
    from shipway.errors import UsageError

    method = signature.method(name) if name else signature.methods[0]
    if method is None:
        raise UsageError(
            f"the model has no method {name!r}", fix=f"it has {', '.join(m.name for m in signature.methods)}"
        )
    return method


@contextlib.contextmanager
def _input(data: str) -> Iterator[tuple[TextIO, int]]:
    """Gives the data as a text stream, and its size in bytes, 0 where that is not known."""
    from shipway.errors import UsageError

    if data == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline=""), 0
        return
    path = Path(data)
    try:
        stream = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    with stream:
        yield stream, path.stat().st_size


def _position(stream: TextIO) -> int:
    try:
        return stream.buffer.tell()
    except (OSError, ValueError):
        return 0


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Gives where to write. A file appears under its name when it is whole."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(answers: Iterator[Any], target: TextIO, format_: Format, method: Method) -> None:
    import msgspec

    encode = msgspec.json.Encoder().encode
    if format_ == "jsonl":
        for answer in answers:
            target.write(encode({"prediction": answer}).decode() + "\n")
    elif format_ == "json":
        target.write("[")
        for index, answer in enumerate(answers):
            target.write((",\n " if index else "") + encode(answer).decode())
        target.write("]\n")
    else:
        writer = csv.writer(target, lineterminator="\n")
        for index, answer in enumerate(answers):
            cells = (
                answer if isinstance(answer, list) else list(answer.values()) if isinstance(answer, dict) else [answer]
            )
            if index == 0:
                writer.writerow(_head(answer, method))
            writer.writerow(["" if cell is None else cell for cell in cells])


def _head(answer: Any, method: Method) -> list[str]:
    if isinstance(answer, dict):
        return list(answer)
    if not isinstance(answer, list):
        return ["prediction"]
    labels = method.classes if method.classes and len(method.classes) == len(answer) else range(len(answer))
    return [f"prediction_{label}" for label in labels]
