"""Tables from CSV, JSON or Parquet; rows that cannot be used are set aside with their line number."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llms.errors import DataFileError, InputTextError, TextEncodingError
from llms.texts.checks import check_text
from llms.texts.csv_table import CsvTable
from llms.texts.decoding import decode_rows, has_raw_bytes
from llms.texts.records import json_records

MAX_CELL_CHARS = 20_000
_NOT_UTF8 = "bytes that are not UTF-8"
MAX_REJECTED_SHARE = 0.5
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_SUFFIXES = (".csv", *JSON_SUFFIXES, ".parquet")

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


def read_table(
    path: Path,
    columns: Sequence[str],
    *,
    list_column: str | None = None,
    is_list_row: Callable[[list[Any]], bool] = lambda _: False,
    example: str = "",
) -> Table:
    """Return the rows of a `.csv`, `.jsonl`, `.json` or `.parquet` file, each with the named columns.

    A row with bytes that are not UTF-8, a NUL, a lone surrogate, more than 20,000 characters in a cell, too few or
    too many cells or an open quote is set aside with its line number. CSV is read as `CsvTable` says, JSON as
    `json_records` does, and encodings as `decode_text` does.

    Args:
        path: the file; its ending says what it is.
        columns: names that every row must have.
        list_column: where a record of a JSON file may be a list instead of an object, the name its row has it under.
        is_list_row: whether a list that is all a JSON file holds is one row, not the list of all rows.
        example: a row as it should be, for the message where most are not.

    Raises:
        DataFileError: if the file is missing, empty, of another kind, lacks a column, names one twice, or if more than
            half of its rows had to be set aside (then it is the file that is wrong, not the rows); also for Parquet
            without the extra `parquet`.
    """
    raw = _read_table_file(path)
    encoding_problem = ""
    if path.suffix.lower() == ".parquet":
        records = _parquet_records(path, raw, columns)
    else:
        text, encoding_problem = decode_file(path, raw)
        is_json = path.suffix.lower() in JSON_SUFFIXES
        records = (
            _json_records(text, list_column, is_list_row)
            if is_json
            else _csv_records(path, text, columns, encoding_problem)
        )
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    remedy = encoding_problem.partition("; ")[2]  # what the file looks like, and how to convert it
    for line, values, problem in records:
        if reason := problem or check_values(values, columns):
            has_bytes = remedy and reason.endswith(_NOT_UTF8)
            rejected.append(RejectedRow(line, f"{reason}; {remedy}" if has_bytes else reason))
        else:
            rows.append(Row(line, values))
    refuse_bad_file(path, rows, rejected, example=example, encoding_problem=encoding_problem)
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
            has_bytes = has_raw_bytes(value[:MAX_CELL_CHARS])
            return f"{name}: {_NOT_UTF8}" if has_bytes else f"{name}: {error}"
    return None


def refuse_bad_file(
    path: Path,
    rows: Sequence[object],
    rejected: Sequence[RejectedRow],
    *,
    example: str = "",
    encoding_problem: str = "",
) -> None:
    """Refuse a file without usable rows, or with more than half of them set aside.

    Args:
        example: a row as it should be, for the message.
        encoding_problem: what is wrong with the bytes of the file, which is then the reason that counts.

    Raises:
        DataFileError: with the number of bad rows, and the first one's line and reason.
    """
    total = len(rows) + len(rejected)
    if not total:
        msg = f"{path} has a header but no rows; add at least one"
        raise DataFileError(msg)
    if len(rejected) > MAX_REJECTED_SHARE * total:
        if encoding_problem:
            msg = f"{path} {encoding_problem}"
            raise DataFileError(msg)
        first = rejected[0]
        remedy = f"a row should be like {example}" if example else "correct them"
        msg = (
            f"{len(rejected)} of {total} rows of {path} cannot be used, the first in line {first.line}: "
            f"{first.reason}; {remedy}"
        )
        raise DataFileError(msg)


def decode_file(path: Path, raw: bytes) -> tuple[str, str]:
    """Return the text of a file and what is wrong with bytes in it; see `decode_rows`.

    Raises:
        DataFileError: if the file as a whole is in another encoding.
    """
    try:
        return decode_rows(raw)
    except TextEncodingError as error:
        msg = f"{path} {error}"
        raise DataFileError(msg) from error


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
        msg = f"{path} is neither .csv, .jsonl, .json nor .parquet; save the records in one of these forms"
        raise DataFileError(msg)
    raw = read_bytes(path)
    if not raw.strip():
        msg = f"{path} is empty; it needs at least one row"
        raise DataFileError(msg)
    return raw


def _refuse_missing_column(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in header]:
        msg = (
            f"{path} has the columns {list(header)}, but {missing[0]!r} is needed; "
            "rename the column or name it in the call"
        )
        raise DataFileError(msg)


def _csv_records(path: Path, text: str, columns: Sequence[str], encoding_problem: str) -> Iterator[_Record]:
    try:
        table = CsvTable(text)
        if encoding_problem and any(map(has_raw_bytes, table.header)):
            raise DataFileError(encoding_problem)
    except DataFileError as error:
        msg = f"{path} {error}"
        raise DataFileError(msg) from error
    _refuse_missing_column(path, table.header, columns)
    for row in table.rows():
        yield row.line, dict(row.values), row.problem


def _json_records(text: str, list_column: str | None, is_list_row: Callable[[list[Any]], bool]) -> Iterator[_Record]:
    for record in json_records(text, is_record=lambda value: not isinstance(value, list) or is_list_row(value)):
        values = record.value
        if record.problem:
            yield record.line, {}, record.problem
        elif isinstance(values, dict):
            yield record.line, values, None
        elif isinstance(values, list) and list_column:
            yield record.line, {list_column: values}, None
        else:
            yield record.line, {}, f"expected a JSON object, got {type(values).__name__}"


def _parquet_records(path: Path, raw: bytes, columns: Sequence[str]) -> Iterator[_Record]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        msg = f"{path} is Parquet, which pyarrow reads; install it (pip install pyarrow), or save as CSV"
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
            return {}, f"{name}: {_NOT_UTF8}"
        except (ValueError, OverflowError) as error:
            return {}, f"{name}: a value Python cannot hold: {error}"
        values[name] = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return values, None
