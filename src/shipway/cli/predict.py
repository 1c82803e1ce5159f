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

from shipway.cli.output import count
from shipway.cli.session import Session, complete_reference, verb

if TYPE_CHECKING:
    from shipway.bundle.records import Format
    from shipway.client.client import Client
    from shipway.spec.signature import Method, Signature

__all__ = ["command"]

_BATCH = 1000
Answer = Callable[[list[dict[str, Any]]], list[Any]]


@verb(
    "predict",
    example="shipway predict diabetes --data new.csv --out out.csv\n"
    "shipway predict http://127.0.0.1:8000 --data new.jsonl",
    facts=False,
)
@click.argument("ref", metavar="REF|URL", shell_complete=complete_reference)
@click.option(
    "--data",
    required=True,
    type=click.Path(allow_dash=True),
    metavar="FILE|-",
    help="CSV, JSON or JSONL; - reads standard input.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "jsonl"]),
    help="Of the data, where its name does not say.  [default for standard input: json]",
)
@click.option("--method", metavar="NAME", help="predict, predict_proba, ...  [default: the model's first]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write, in the format that its name says.  [default: standard output, as the data]",
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
    from shipway.bundle.records import format_of, read_records
    from shipway.cli.progress import progress

    kind = format_ or ("json" if data == "-" else format_of(Path(data)))
    out_kind = format_of(out) if out else kind
    with _model(session, ref, method, api_key) as (signature, chosen, answer), _input(data) as (stream, size):
        rows = 0

        def answers() -> Iterator[Any]:
            nonlocal rows
            for batch in _batched(read_records(stream, kind, columns=signature.names), _BATCH):
                yield from _answer_batch(answer, batch, signature, first=rows, texts=kind == "csv")
                rows += len(batch)
                show(_position(stream), count(rows, "row"))

        with progress(session.out, "predicting", size) as show, _output(out) as target:
            _write(answers(), target, out_kind, chosen)
    session.out.say(f"{count(rows, 'row')} predicted" + (f" into {out}" if out else ""))


def _batched(records: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _answer_batch(
    answer: Answer, records: list[dict[str, Any]], signature: Signature, *, first: int, texts: bool
) -> list[Any]:
    """Answers a batch.

    Args:
        answer: of the model.
        records: as read.
        signature: the model's; columns that it does not have are left out.
        first: row of the file that the batch begins with; errors count from the file's begin.
        texts: whether the cells are texts that stand for numbers, as in CSV.

    Raises:
        InvalidInput: a record does not fit.
    """
    from shipway.bundle.records import parse_texts
    from shipway.errors import InvalidInput

    try:
        known = [_known(record, signature, row) for row, record in enumerate(records)]
        return answer([parse_texts(record, signature, row) for row, record in enumerate(known)] if texts else known)
    except InvalidInput as error:
        message, row = error.message, error.row
        if row is not None:
            message, row = message.replace(f"row {row}", f"row {first + row}"), first + row
        fix = error.fix or "mend that cell in the data, or leave its row out"
        raise InvalidInput(message, column=error.column, row=row, fix=fix) from error


def _known(record: dict[str, Any], signature: Signature, row: int) -> dict[str, Any]:
    """Gives the record's cells that the model knows; where one lacks, the error names what it may be called there."""
    from shipway.errors import InvalidInput
    from shipway.spec.words import did_you_mean

    names = signature.names
    missing = next((name for name in names if name not in record), None)
    if missing is None:
        return {name: record[name] for name in names}
    unknown = [name for name in record if name not in names]
    fix = did_you_mean(missing, unknown) or f"the model takes {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
    raise InvalidInput(f"row {row}: missing column {missing!r}", column=missing, row=row, fix=fix)


@contextlib.contextmanager
def _model(
    session: Session, ref: str, method: str | None, api_key: str | None
) -> Iterator[tuple[Signature, Method, Answer]]:
    """Gives the signature, the method, and what answers records, here or at a server."""
    from shipway.spec.rows import RowReader, cells_of, records_of

    def rows_of(outputs: Any) -> list[Any]:
        return list(records_of(outputs)) if isinstance(outputs, dict) else cells_of(outputs)

    if ref.startswith(("http://", "https://")):
        from shipway.client.client import Client
        from shipway.errors import Unauthorized

        url, _, name = ref.partition("/models/")
        try:
            with Client(url, api_key=api_key) as client:
                model = name.strip("/") or _only_model(client, url)
                signature = client.signature(model)
                remote = _method(signature, method)
                yield signature, remote, lambda records: rows_of(client.call(remote.name, records, model=model))
        except Unauthorized as error:
            raise Unauthorized(error.message, fix="--api-key KEY, or SHIPWAY_API_KEY") from error
        return
    from shipway.bundle.load import open_predictor

    bundle = session.bundle(ref)
    predictor = open_predictor(bundle, allow_pickle=session.resolve().settings.server.allow_pickle)
    reader = RowReader(predictor.signature)
    chosen = _method(predictor.signature, method)

    def answer(records: list[dict[str, Any]]) -> list[Any]:
        outputs = predictor.call(chosen.name, reader.read_records(records), {})
        return rows_of(outputs if len(outputs) > 1 else next(iter(outputs.values())))

    yield predictor.signature, chosen, answer


def _only_model(client: Client, url: str) -> str:
    from shipway.errors import UsageError

    names = [described["name"] for described in client.models()]
    if len(names) != 1:
        raise UsageError(
            f"{url} serves {count(len(names), 'model')}: {', '.join(names)}",
            fix=f"name one: {url.rstrip('/')}/models/{next(iter(names), 'NAME')}",
        )
    return str(names[0])


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
        raise UsageError(f"cannot read {path}: {error.strerror}", fix="check --data") from error
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
    from shipway.errors import UsageError

    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", fix=f"mkdir {path.parent}")
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
        begin = "["  # written with the first answer, so that what fails before it leaves nothing behind
        for answer in answers:
            target.write(begin + encode(answer).decode())
            begin = ",\n "
        target.write("[]\n" if begin == "[" else "]\n")
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
