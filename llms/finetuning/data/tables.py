"""Tables from CSV, JSON lines or Parquet; rows that cannot be used are set aside with their line number."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llms.errors import DataFileError, InputTextError
from llms.texts.checks import check_text
from llms.texts.csv_cells import open_csv

MAX_CELL_CHARS = 20_000
MAX_REJECTED_SHARE = 0.5
_JSON_SUFFIXES = (".jsonl", ".ndjson")
_SUFFIXES = (".csv", *_JSON_SUFFIXES, ".parquet")

# a record's line, its values, and what is wrong with it
_Record = tuple[int, dict[str, Any], str | None]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was set aside: where it stands and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record and the line it starts on (the header of a CSV file is line 1).

    Parquet files have no lines; there it is the number of the row, from 1.
    """

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """The usable rows of a file and those set aside."""

    rows: list[Row]
    rejected: list[RejectedRow] = field(default_factory=list)


def read_table(path: Path, columns: Sequence[str], *, list_column: str | None = None) -> Table:
    """Return the rows of a `.csv`, `.jsonl` or `.parquet` file, each with the named columns.

    A row with bytes that are not UTF-8, a NUL, a lone surrogate, more than 20,000 characters in a cell, or too
    few or too many cells is set aside with its line number. A byte-order mark is skipped.

    Args:
        path: the file; its ending says what it is.
        columns: names that every row must have.
        list_column: where a line of a JSONL file may be a list instead of an object, the name its row has it under.

    Raises:
        DataFileError: if the file is missing, empty, of another kind, lacks a column, or if more than half of
            its rows had to be set aside (then it is the file that is wrong, not the rows); also for Parquet
            without the extra `parquet`.
    """
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    for line, values, problem in _records(path, columns, list_column):
        reason = problem or check_values(values, columns)
        if reason:
            rejected.append(RejectedRow(line, reason))
        else:
            rows.append(Row(line, values))
    refuse_bad_file(path, rows, rejected)
    return Table(rows, rejected)


def check_values(values: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """Return what is wrong with the named values of a record, or None if nothing is.

    Example:
        >>> check_values({"text": "a"}, ["text", "label"])
        "no 'label'"
    """
    for name in columns:
        if name not in values:
            return f"no {name!r}"
        value = values[name]
        if not isinstance(value, str):
            continue
        try:
            check_text(value, max_chars=MAX_CELL_CHARS)
        except InputTextError as error:
            is_escaped_byte = any("\udc80" <= character <= "\udcff" for character in value[:MAX_CELL_CHARS])
            return f"{name}: bytes that are not UTF-8" if is_escaped_byte else f"{name}: {error}"
    return None


def refuse_bad_file(path: Path, rows: Sequence[object], rejected: Sequence[RejectedRow]) -> None:
    """Refuse a file without usable rows, or with more than half of them set aside.

    Raises:
        DataFileError: with the number of bad rows, and the first one's line and reason.
    """
    total = len(rows) + len(rejected)
    if not total:
        msg = f"{path} has a header but no rows; add at least one"
        raise DataFileError(msg)
    if len(rejected) > MAX_REJECTED_SHARE * total:
        first = rejected[0]
        msg = (
            f"{len(rejected)} of {total} rows of {path} cannot be used, the first in line {first.line}: "
            f"{first.reason}; is the file UTF-8 and complete?"
        )
        raise DataFileError(msg)


def _records(path: Path, columns: Sequence[str], list_column: str | None) -> Iterator[_Record]:
    raw = _read_table_file(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_records(path, raw, columns)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"{path} is UTF-16; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        raise DataFileError(msg)
    text = raw.decode("utf-8-sig", errors="surrogateescape")
    return _json_records(text, list_column) if suffix in _JSON_SUFFIXES else _csv_records(path, text, columns)


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        DataFileError: if it is not there, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        msg = f"there is no file {path}; check the path"
        raise DataFileError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DataFileError(msg) from error


def _read_table_file(path: Path) -> bytes:
    if path.suffix.lower() not in _SUFFIXES:
        msg = f"{path} is neither .csv, .jsonl nor .parquet; save the records in one of these forms"
        raise DataFileError(msg)
    raw = read_bytes(path)
    if not raw.strip():
        msg = f"{path} is empty; it needs a header and at least one row"
        raise DataFileError(msg)
    return raw


def _refuse_missing_column(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in header]:
        msg = (
            f"{path} has the columns {list(header)}, but {missing[0]!r} is needed; "
            "rename the column or name it in the call"
        )
        raise DataFileError(msg)


def _csv_records(path: Path, text: str, columns: Sequence[str]) -> Iterator[_Record]:
    # a cell larger than the csv module's default limit is reported as a row, not raised as an error
    reader = open_csv(text)
    header = [name.strip() for name in next(reader, [])]
    _refuse_missing_column(path, header, columns)
    line = reader.line_num + 1
    for cells in reader:
        if cells:
            problem = None
            if len(cells) != len(header):
                span = f" in lines {line} to {reader.line_num}" if reader.line_num > line else ""
                problem = f"{len(cells)} cells where the header has {len(header)}{span}; is a quote or a comma missing?"
            yield line, dict(zip(header, cells, strict=False)), problem
        line = reader.line_num + 1


def _json_records(text: str, list_column: str | None) -> Iterator[_Record]:
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            values = json.loads(row)
        except (ValueError, RecursionError) as error:
            yield line, {}, f"not valid JSON: {error}"
            continue
        if isinstance(values, dict):
            yield line, values, None
        elif isinstance(values, list) and list_column:
            yield line, {list_column: values}, None
        else:
            yield line, {}, f"expected a JSON object, got {type(values).__name__}"


def _parquet_records(path: Path, raw: bytes, columns: Sequence[str]) -> Iterator[_Record]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        msg = f'{path} is Parquet, which pyarrow reads; install it (pip install "tunechain[parquet]"), or save as CSV'
        raise DataFileError(msg) from error
    try:
        with pq.ParquetFile(pa.BufferReader(raw)) as file:
            _refuse_missing_column(path, file.schema_arrow.names, columns)
            line = 0
            for batch in file.iter_batches():
                cells = {name: _readable(batch.column(name)) for name in batch.schema.names}
                for index in range(batch.num_rows):
                    line += 1
                    yield line, *_parquet_values(cells, index)
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} is no Parquet file, or a damaged one: {error}; write it anew"
        raise DataFileError(msg) from error


def _readable(column: Any) -> Any:
    """Return a column whose values Python can hold, texts as bytes so that a bad one harms no other row."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _readable(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_binary())
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    return column


def _parquet_values(cells: Mapping[str, Any], index: int) -> tuple[dict[str, Any], str | None]:
    values: dict[str, Any] = {}
    for name, column in cells.items():
        try:
            value = column[index].as_py(maps_as_pydicts="lossy")
        except UnicodeDecodeError:
            return {}, f"{name}: bytes that are not UTF-8"
        except (ValueError, OverflowError) as error:
            return {}, f"{name}: a value Python cannot hold: {error}"
        values[name] = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return values, None
