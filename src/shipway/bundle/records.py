"""Records from CSV, JSON and JSON Lines: one after the other, so that a file of any size needs constant memory."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from shipway.errors import InvalidInput, UsageError
from shipway.spec.signature import Array, Column, Columns, Signature

__all__ = ["Format", "format_of", "infer_columns", "parse_texts", "read_records", "read_sample"]

Format = Literal["csv", "json", "jsonl"]
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_CHUNK = 1 << 16
_OTHER_FORMAT = "if it is of another format, its name must say so: .csv, .json, .jsonl (or --format)"
_SHAPES = 'write rows as objects: [{"column": value, …}, …]'
MAX_SAMPLE_ROWS = 100_000


def format_of(path: Path) -> Format:
    """Gives the format that the file's name says.

    Raises:
        UsageError: it says none that is read.
    """
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path.name}: not a format that is read", fix=f"use one of {', '.join(_SUFFIXES)}") from None


def read_records(stream: TextIO, format_: Format, *, columns: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Gives the records of a text stream, one a row.

    Args:
        stream: opened with `newline=""`.
        format_: how it is written. The cells of CSV are `str`, or None where empty.
        columns: names for rows that are plain lists (JSON); a CSV file has its own in the first line.

    Raises:
        UsageError: the text is not of that format; says the line or row.
    """
    try:
        match format_:
            case "csv":
                yield from _csv_records(stream)
            case "jsonl":
                yield from (_named(value, columns, f"line {n}") for n, value in _json_lines(stream))
            case "json":
                yield from (_named(value, columns, f"row {n}") for n, value in enumerate(_json_values(stream)))
    except UnicodeDecodeError as error:
        raise UsageError(f"the data is no UTF-8 text: {error.reason}", fix="save it as UTF-8") from error
    except (csv.Error, RecursionError) as error:
        raise UsageError(f"the data is no {format_.upper()}: {error}", fix=_OTHER_FORMAT) from error


def read_sample(path: Path) -> Columns:
    """Reads a sample's columns, of at most 100,000 rows, with the dtypes that its values show.

    Raises:
        UsageError: it cannot be read, is of no known format, or has no rows.
    """
    format_ = format_of(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            records = list(islice(read_records(stream, format_), MAX_SAMPLE_ROWS))
    except UsageError as error:
        raise UsageError(f"{path.name}: {error.message}", fix=error.fix) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", fix="check the path") from error
    return infer_columns(records, what=path.name)


def infer_columns(records: Iterable[Mapping[str, Any]], *, what: str = "the sample") -> Columns:
    """Gives records as columns: float64, bool, or object with `str` and None.

    Raises:
        UsageError: there are none, or they have no common columns.
    """
    rows = list(records)
    if not rows:
        raise UsageError(f"{what} has no rows", fix="give some rows of the training data")
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    return {name: _infer([row.get(name) for row in rows], name, what) for name in names}


def parse_texts(record: Mapping[str, Any], signature: Signature, row: int) -> dict[str, Any]:
    """Gives a CSV record's texts as the values that the signature's columns hold.

    Raises:
        InvalidInput: a text is no number where one is expected.
    """
    kinds = {column.name: column for column in signature.inputs}
    return {name: _parse(text, kinds[name], row) if name in kinds else text for name, text in record.items()}


def _parse(text: Any, column: Column, row: int) -> Any:
    if not isinstance(text, str) or column.dtype == "string":
        return text
    if text.strip().lower() in _MISSING:
        return None
    if column.dtype == "bool" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        number = float(text)
    except ValueError:
        raise InvalidInput(
            f"column {column.name!r}, row {row}: expected a number, got the text {text[:40]!r}",
            column=column.name,
            row=row,
            fix="mend that cell, or leave it empty if it is missing",
        ) from None
    return int(text) if column.dtype != "float64" and text.strip().lstrip("+-").isdigit() else number


def _infer(cells: list[Any], name: str, what: str) -> Array:
    if any(isinstance(cell, list | dict) for cell in cells):
        raise UsageError(f"column {name!r} of {what} holds lists or objects", fix="give a sample with one value a cell")
    if all(isinstance(cell, bool) for cell in cells):
        return np.array(cells, dtype=bool)
    numbers = [math.nan if _is_missing(cell) else _number_or_none(cell) for cell in cells]
    if None not in numbers:
        return np.array(numbers, dtype=np.float64)
    texts = np.empty(len(cells), dtype=object)
    texts[:] = [None if cell is None or cell == "" else str(cell) for cell in cells]
    return texts


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _MISSING)


def _number_or_none(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _csv_records(stream: TextIO) -> Iterator[dict[str, Any]]:
    head = stream.readline()
    if not head:
        raise UsageError("the data is empty: no header line", fix="let the first line name the columns")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(chain([head], stream), delimiter=delimiter, strict=True)
    names = [name.strip() for name in next(reader, [])]
    if not any(names):
        raise UsageError("the CSV data has no header line", fix="let the first line name the columns")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"the CSV header names column {twice!r} twice", fix="rename one of them")
    for row in reader:
        if len(row) != len(names):
            if not row:
                continue
            raise UsageError(
                f"line {reader.line_num} has {len(row)} cells, the header {len(names)}", fix="mend that line"
            )
        yield {name: cell or None for name, cell in zip(names, row, strict=True)}


def _json_lines(stream: TextIO) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise UsageError(f"line {number} is no JSON: {error}", fix=_OTHER_FORMAT) from error


def _json_values(stream: TextIO) -> Iterator[Any]:
    """Gives the elements of a JSON array as they are read; an object of columns is read whole and turned into rows."""
    decoder = json.JSONDecoder()
    buffer = stream.read(_CHUNK).lstrip()
    if not buffer.startswith("["):
        try:
            value = json.loads(buffer + stream.read())
        except ValueError as error:
            raise UsageError(f"the data is no JSON: {error}", fix=_OTHER_FORMAT) from error
        yield from _rows_of_object(value)
        return
    buffer, row = buffer[1:], 0
    while True:
        buffer = buffer.lstrip()
        if buffer.startswith("]"):
            return
        if row and buffer and not buffer.startswith(","):
            raise UsageError(f"the JSON data is malformed at row {row}: no comma before it", fix="mend that row")
        try:
            value, end = decoder.raw_decode(buffer, _next_value(buffer) if row else 0)
        except ValueError as error:
            value, end, problem = None, len(buffer), str(error)
        else:
            problem = "it has no end"
        # What ends where the text does may go on in the next chunk, as a number does.
        if end == len(buffer):
            more = stream.read(max(_CHUNK, len(buffer)))
            if not more:
                raise UsageError(
                    f"the JSON data breaks off or is malformed at row {row}: {problem}", fix="mend that row"
                )
            buffer += more
            continue
        yield value
        buffer, row = buffer[end:], row + 1


def _next_value(buffer: str) -> int:
    """Gives where the value behind a comma begins."""
    return len(buffer) - len(buffer[1:].lstrip())


def _rows_of_object(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and value and all(isinstance(cells, list) for cells in value.values()):
        if len({len(cells) for cells in value.values()}) > 1:
            raise UsageError("the JSON columns are of different lengths", fix="give every column as many rows")
        yield from (dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True))
    elif isinstance(value, dict) and value:
        yield value
    else:
        raise UsageError("the JSON data is neither a list of rows nor an object of columns", fix=_SHAPES)


def _named(value: Any, columns: tuple[str, ...], where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and not columns:
        columns = tuple(f"x{index}" for index in range(len(value)))
    if isinstance(value, list) and len(value) == len(columns):
        return dict(zip(columns, value, strict=True))
    if len(columns) == 1:
        return {columns[0]: value}
    raise UsageError(f"{where}: expected an object, or a list of {len(columns)} values", fix=_SHAPES)
