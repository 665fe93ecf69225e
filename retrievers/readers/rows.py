"""CSV and JSON lines to rows: each a text and the other columns, or an error that names the row."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llms.errors import InputTextError
from llms.texts import check_text, open_csv, parse_json
from retrievers.errors import DocumentError
from retrievers.readers.encoding import decode_text

_TEXT_COLUMNS = ("text", "content")
_MAX_CELL_CHARS = 1_000_000
_MAX_METADATA_CHARS = 1_000
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
    r"""Yield (number, values by column) for each row below the header, counted from 1; empty lines do not count.

    Columns are separated by commas, or by semicolons or tabs where the header has no comma.

    Raises:
        DocumentError: for a row with too few or too many cells or an open quote, and for columns without or with
            the same name.

    Example:
        >>> list(read_csv("text;lang\n退货;zh\n".encode()))
        [(1, {'text': '退货', 'lang': 'zh'})]
    """
    text = check_text(decode_text(raw), max_chars=len(raw))
    header_line = text.split("\n", 1)[0]
    delimiter = next((mark for mark in ",;\t" if mark in header_line), ",")
    lines = open_csv(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 0
    try:
        for cells in lines:
            if not cells:
                continue
            if not header:
                header = _checked_header(cells)
                continue
            number += 1
            if len(cells) != len(header):
                msg = (
                    f"row {number} (line {lines.line_num}) has {len(cells)} cells, the header {len(header)}; correct it"
                )
                raise DocumentError(msg)
            yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        msg = f"row {number + 1} (line {lines.line_num}) is no CSV: {error}; correct it"
        raise DocumentError(msg) from error


def read_json_lines(raw: bytes) -> Iterator[tuple[int, Row]]:
    r"""Yield (line number, values) for each line with a JSON object; empty lines are skipped.

    Raises:
        DocumentError: for a line that is no JSON object, has a key twice, or holds what JSON has not: NaN, numbers
            beyond all bounds, halves of characters.

    Example:
        >>> list(read_json_lines('{"text": "退货", "year": 2026}\n'.encode()))
        [(1, {'text': '退货', 'year': 2026})]
    """
    text = check_text(decode_text(raw), max_chars=len(raw))
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, _parse_object(line)
        except (ValueError, RecursionError) as error:
            reason = "brackets are nested too deeply" if isinstance(error, RecursionError) else error
            msg = f"row {number} is no usable JSON object: {reason}; correct it"
            raise DocumentError(msg) from error


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

    A column with a name that documents need for themselves, such as `source`, becomes `column_source`.

    Example:
        >>> row_metadata({"text": "退货", "source": "shop"})
        {'column_source': 'shop'}
    """
    name = _text_column(row)
    return {
        f"column_{key}" if key in RESERVED_NAMES else key: value
        for key, value in row.items()
        if key != name and len(_as_text(value)) <= _MAX_METADATA_CHARS
    }


def _text_column(row: Row) -> str | None:
    return next((name for name in _TEXT_COLUMNS if name in row), None)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _checked_header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for place, name in enumerate(names, start=1):
        if not name:
            msg = f"the header has no name for column {place}; name it"
            raise DocumentError(msg)
    if len(set(names)) < len(names):
        ((name, _),) = Counter(names).most_common(1)
        msg = f"the header names column {name!r} twice; rename one"
        raise DocumentError(msg)
    return names


def _parse_object(line: str) -> Row:
    values = parse_json(line)
    if not isinstance(values, dict):
        msg = f"expected an object, got {type(values).__name__}"
        raise DocumentError(msg)
    _check_value(values, depth=0)
    return values


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
