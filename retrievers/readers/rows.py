"""CSV and JSON to rows: each a text and the other columns, or an error that names the row."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from llms.errors import DataFileError, InputTextError
from llms.texts import CsvTable, check_text, json_records
from retrievers.errors import DocumentError
from retrievers.readers.encoding import decode_text

_TEXT_COLUMNS = ("text", "content")
_MAX_CELL_CHARS = 1_000_000
_MAX_METADATA_CHARS = 1_000
_MAX_ROW_METADATA_CHARS = 8_000  # each chunk of a row has them once more
_MAX_DEPTH = 20
# what documents and their chunks say about themselves; a column of such a name is kept under another
RESERVED_NAMES = frozenset(
    [
        "source",
        "row",
        "page",
        "page_starts",
        "section",
        "start",
        "end",
        "body_start",
        "parent_start",
        "parent_end",
        "relevance",
    ]
)

Row = Mapping[str, Any]


def read_csv(raw: bytes) -> Iterator[tuple[int, Row]]:
    r"""Yield (number, values by column) for each row below the header, counted from 1; see `CsvTable` for the rules.

    Raises:
        DocumentError: for a row with too few or too many cells or an open quote, and for columns with the same name
            or with none.

    Example:
        >>> list(read_csv("text;lang\n退货;zh\n".encode()))
        [(1, {'text': '退货', 'lang': 'zh'})]
    """
    text = check_text(decode_text(raw), max_chars=len(raw))
    try:
        table = CsvTable(text)
    except DataFileError as error:
        raise DocumentError(str(error)) from error
    for number, row in enumerate(table.rows(), start=1):
        if row.problem:
            msg = f"row {number} (line {row.line}): {row.problem}"
            raise DocumentError(msg)
        yield number, row.values


def read_json_lines(raw: bytes) -> Iterator[tuple[int, Row]]:
    r"""Yield (line, values) for each JSON object in a line of its own, over several lines, or in one array.

    Raises:
        DocumentError: for what is no JSON object, has a key twice, or holds what JSON has not: NaN, numbers beyond all
            bounds, halves of characters.

    Example:
        >>> list(read_json_lines('{"text": "退货", "year": 2026}\n'.encode()))
        [(1, {'text': '退货', 'year': 2026})]
    """
    text = check_text(decode_text(raw), max_chars=len(raw))
    for record in json_records(text, is_strict=True):
        problem = record.problem or _object_problem(record.value)
        if problem:
            msg = f"row {record.line} is no usable JSON object: {problem}; correct it"
            raise DocumentError(msg)
        yield record.line, record.value


def row_text(row: Row) -> str:
    r"""Return what is searched of a row: the column `text` or `content`, else a line `name: value` per column.

    Raises:
        DocumentError: if that column holds no text.

    Example:
        >>> row_text({"colour": "red", "size": 3})
        'colour: red\nsize: 3'
    """
    name = _text_column(row)
    if name is None:
        lines = (f"{name}: {_as_text(value)}" for name, value in row.items() if value not in ("", None))
        return "\n".join(lines)
    if not isinstance(row[name], str):
        msg = f"column {name!r} must be a text, got {type(row[name]).__name__}; correct it"
        raise DocumentError(msg)
    return str(row[name])


def row_metadata(row: Row) -> dict[str, Any]:
    """Return the columns that can be filtered by: all but the text, without values of more than 1,000 characters.

    Where they have more than 8,000 characters together, names included, the longest ones are left out. A column with
    a name that documents need for themselves, such as `source`, becomes `column_source`.

    Example:
        >>> row_metadata({"text": "退货", "source": "shop"})
        {'column_source': 'shop'}
    """
    text_column = _text_column(row)
    sizes = {name: len(_as_text(value)) for name, value in row.items() if name != text_column}
    lengths = {name: len(name) + size for name, size in sizes.items() if size <= _MAX_METADATA_CHARS}
    names = sorted(lengths, key=lengths.__getitem__)
    totals = itertools.accumulate(lengths[name] for name in names)
    kept = {name for name, total in zip(names, totals, strict=True) if total <= _MAX_ROW_METADATA_CHARS}
    return {f"column_{name}" if name in RESERVED_NAMES else name: row[name] for name in lengths if name in kept}


def _text_column(row: Row) -> str | None:
    return next((name for name in _TEXT_COLUMNS if name in row), None)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _object_problem(value: Any) -> str:
    if not isinstance(value, dict):
        return f"expected an object, got {type(value).__name__}"
    try:
        _check_value(value, depth=0)
    except DocumentError as error:
        return str(error)
    return ""


def _check_value(value: Any, *, depth: int) -> None:
    """Refuse what cannot be stored: texts that are too long or no characters, and values nested too deeply."""
    if depth > _MAX_DEPTH:
        msg = f"values are nested more than {_MAX_DEPTH} deep"
        raise DocumentError(msg)
    if isinstance(value, str):
        try:
            check_text(value, max_chars=_MAX_CELL_CHARS)
        except InputTextError as error:
            raise DocumentError(str(error)) from error
    elif isinstance(value, dict | list):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_value(part, depth=depth + 1)
