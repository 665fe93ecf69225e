"""XLSX reader: each visible sheet as tables with their headers, values as the sheet shows them."""

import bisect
import datetime as dt
import io
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from retrievers.errors import DocumentError
from retrievers.readers.archive import has_pictures, open_archive, refusing_damage
from retrievers.readers.extract import MAX_DOCUMENT_CHARS, PICTURES_ONLY, Extract, TextBlocks
from retrievers.readers.inline import InlineText, Level
from retrievers.readers.tables import Row, Span, add_table

_MAX_ROWS = 1_048_576  # as in Excel
_MAX_CELLS = 2_000_000  # that are looked at, the empty ones before the last of a row included
_MAX_TAGS = 5_000_000  # of sheets, only one row of cells is held as a tree
_MAX_FORMAT_CHARS = 255  # as in Excel
_MAX_MERGED = 1_000_000
_NUMBER_FORMAT = re.compile(r"([#0?][#0?,]*)(?:\.([0#?]+))?(%?)")
_LITERAL = re.compile(r'"([^"]*)"|\[\$([^\]-]*)[^\]]*\]|\\(.)|([$€£¥￥])')
_LEVELS = {"superscript": Level.SUPER, "subscript": Level.SUB}

_Cells = Mapping[int, tuple[str, bool]]  # column -> (text, whether it is a number or a date)


def read_xlsx(raw: bytes) -> Extract:
    """Return the visible sheets of a workbook, each under its name; formulas give the results that were stored.

    Hidden sheets, rows and columns are left out, and so is struck text; merged cells are repeated. Nothing is
    calculated, and linked workbooks are never opened. Comments, charts and pictures are not read.

    Raises:
        DocumentError: if the file is damaged, encrypted, an old `.xls`, declares entities, unpacks to more than is
            reasonable, or holds formulas without stored results: their cells would silently be empty.
    """
    import openpyxl

    archive = open_archive(raw, kind="XLSX", max_tags=_MAX_TAGS)
    blocks = TextBlocks()
    with refusing_damage("XLSX"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the library does not know, such as conditional formats
        workbook = openpyxl.load_workbook(
            io.BytesIO(raw), read_only=True, data_only=True, keep_links=False, rich_text=True
        )
        sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        if len({sheet._worksheet_path for sheet in sheets}) < len(sheets):  # one part for any number of names
            msg = "names one sheet twice; save it anew from an office program"
            raise DocumentError(msg)
        for sheet in sheets:
            _write_sheet(blocks, sheet, _read_layout(archive, sheet._worksheet_path))
        title = str(workbook.properties.title or "")
    return Extract(blocks.text(), title=title, why_empty=PICTURES_ONLY if has_pictures(archive) else "")


@dataclass(slots=True)
class _Layout:
    """What a sheet says beside its cells."""

    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)  # first column and row, last column and row
    num_unknown: int = 0  # formulas without a stored result
    rich_texts: dict[str, list[Any]] = field(default_factory=dict)  # by place, of texts that stand in the sheet itself

    def merge_hidden_columns(self) -> None:
        """Put the hidden columns in order, none of them twice."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(self.hidden_columns):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self.hidden_columns = merged

    def is_hidden(self, column: int) -> bool:
        """Return whether a column is hidden; they are in order."""
        place = bisect.bisect_right(self.hidden_columns, column, key=itemgetter(0))
        return place > 0 and column <= self.hidden_columns[place - 1][1]


def _read_layout(archive: zipfile.ZipFile, path: str) -> _Layout:
    """Read what the library leaves out where it does not hold a whole sheet in memory."""
    from lxml import etree
    from openpyxl.cell.rich_text import CellRichText
    from openpyxl.utils.cell import range_boundaries

    layout = _Layout()
    tags = ("{*}row", "{*}col", "{*}mergeCell")
    with archive.open(path) as part:
        for _, element in etree.iterparse(part, tag=tags, resolve_entities=False, no_network=True):
            name = etree.QName(element).localname
            is_hidden = element.get("hidden") in ("1", "true")
            if name == "row":
                layout.num_unknown += sum(map(_is_unknown, element))
                for cell in element.iterfind("{*}c[{*}is]"):
                    if cell.find("{*}is/{*}r") is not None:
                        layout.rich_texts[cell.get("r", "")] = list(CellRichText.from_tree(cell.find("{*}is")))
                if is_hidden:
                    layout.hidden_rows.add(int(element.get("r", "0")))
            elif name == "mergeCell":
                layout.merged.append(range_boundaries(element.get("ref")))
            elif is_hidden:
                layout.hidden_columns.append((int(element.get("min")), int(element.get("max"))))
            element.clear()
    layout.merge_hidden_columns()
    return layout


def _is_unknown(cell: Any) -> bool:
    """Return whether a cell has a formula and no result; an empty text is a result."""
    is_formula = cell.find("{*}f") is not None
    return is_formula and not (cell.findtext("{*}v") or "") and cell.get("t") != "str"


def _write_sheet(blocks: TextBlocks, sheet: Any, layout: _Layout) -> None:
    if layout.num_unknown:
        msg = (
            f"holds {layout.num_unknown:,} formulas without results in the sheet {sheet.title!r}; "
            "open it in an office program and save it, which stores them"
        )
        raise DocumentError(msg)
    rows = dict(_rows(sheet, layout))
    if rows:
        blocks.add_heading(sheet.title, level=2)
    merged = _merged_by_row(layout, rows)
    for numbers in _tables(rows):
        is_title = (len(rows[number]) == 1 and not merged.get(number) for number in numbers[:-1])
        num_titles = sum(1 for _ in itertools.takewhile(bool, is_title))
        for number in numbers[:num_titles]:
            blocks.add(next(iter(rows[number].values()))[0])
        add_table(blocks, [_spans(rows[number], merged.get(number, ())) for number in numbers[num_titles:]])


def _rows(sheet: Any, layout: _Layout) -> Iterator[tuple[int, _Cells]]:
    """Yield (number, cells) of each visible row that is not empty."""
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    num_cells = num_chars = 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        num_cells += len(row)
        if number > _MAX_ROWS or num_cells > _MAX_CELLS:
            msg = f"uses more than {_MAX_CELLS:,} cells of the sheet {sheet.title!r}; delete what is empty, or split it"
            raise DocumentError(msg)
        cells: dict[int, tuple[str, bool]] = {}
        for column, cell in enumerate(row if number not in layout.hidden_rows else (), start=1):
            if cell.value is None or layout.is_hidden(column):
                continue
            num_chars += _num_chars(cell.value)  # one text may stand in any number of cells, struck out as well
            if num_chars > MAX_DOCUMENT_CHARS:
                msg = f"holds more than {MAX_DOCUMENT_CHARS:,} characters in the sheet {sheet.title!r}; split it"
                raise DocumentError(msg)
            if text := _text(cell, layout):
                cells[column] = (text, not isinstance(cell.value, str))
        if cells:
            yield number, cells


def _merged_by_row(layout: _Layout, rows: Mapping[int, _Cells]) -> dict[int, list[Span]]:
    """Return the merged cells that each row shares in, as far as their first cell is shown."""
    found: dict[int, list[Span]] = {}
    num_cells = 0
    last_row = max(rows, default=0)
    for first_column, first_row, last_column, bottom in layout.merged:
        text, _ = rows.get(first_row, {}).get(first_column, ("", False))
        shown = range(first_row, min(bottom, last_row) + 1) if text else ()
        num_cells += len(shown)
        if num_cells > _MAX_MERGED:
            msg = f"merges cells over more than {_MAX_MERGED:,} rows; split the sheet"
            raise DocumentError(msg)
        for row in shown:
            span = Span(first_column, last_column + 1, text, is_carried=row > first_row)
            found.setdefault(row, []).append(span)
    return found


def _tables(rows: Mapping[int, _Cells]) -> Iterator[list[int]]:
    """Yield the rows of each table: below an empty row a new one begins if that looks like a header.

    That is a row of texts above a row with numbers or dates. Else the empty row divides one table into groups.
    """
    numbers: list[int] = []
    following = dict(itertools.pairwise(rows))
    for number, cells in rows.items():
        below = rows.get(following.get(number, 0), {})
        is_header = len(cells) > 1 and not _has_numbers(cells) and _has_numbers(below)
        if numbers and number > numbers[-1] + 1 and is_header:
            yield numbers
            numbers = []
        numbers.append(number)
    if numbers:
        yield numbers


def _has_numbers(cells: _Cells) -> bool:
    return any(is_number for _, is_number in cells.values())


def _spans(cells: _Cells, merged: Sequence[Span]) -> Row:
    taken = {span.start for span in merged}
    own = [Span(column, column + 1, text) for column, (text, _) in cells.items() if column not in taken]
    return sorted([*own, *merged], key=lambda span: span.start)


def _num_chars(value: Any) -> int:
    """Return how long a value is as text; each piece of a text whose pieces look different counts one more."""
    if isinstance(value, list):
        return len(value) + sum(map(len, map(str, value)))
    return len(value) if isinstance(value, str) else 1


def _text(cell: Any, layout: _Layout) -> str:
    """Return a cell's value as the sheet shows it."""
    value = layout.rich_texts.get(cell.coordinate, cell.value) if layout.rich_texts else cell.value
    if isinstance(value, list):  # pieces that look different
        return _rich_text(value)
    font = cell.font
    if font is not None and font.strike:
        return ""
    text = InlineText()
    text.add(_shown(value, str(cell.number_format)), _level(font))
    return " ".join(text.take().split())


def _rich_text(pieces: Sequence[Any]) -> str:
    text = InlineText()
    for piece in pieces:
        font = getattr(piece, "font", None)
        if font is None or not font.strike:
            text.add(str(piece), _level(font))
    return " ".join(text.take().split())


def _level(font: Any) -> Level:
    return _LEVELS.get(getattr(font, "vertAlign", None) or "", Level.BASE)


def _shown(value: Any, number_format: str) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return shown_number(value, number_format)
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d" if value.time() == dt.time() else "%Y-%m-%d %H:%M")
    if isinstance(value, dt.timedelta):
        return _duration(value)
    return value.strftime("%H:%M") if isinstance(value, dt.time) else str(value)


def _duration(value: dt.timedelta) -> str:
    minutes, seconds = divmod(round(abs(value).total_seconds()), 60)
    shown = f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    return f"-{shown}" if value < dt.timedelta() else shown


def shown_number(value: float, number_format: str) -> str:
    """Return a number with the decimals, the percent sign and the currency that its format shows.

    Digits are not grouped: who asks for 1299 euros does not write 1,299.

    Example:
        >>> [shown_number(4.9, '0.00" €"'), shown_number(0.19, "0%"), shown_number(1299, "[$£-809]#,##0")]
        ['4.90 €', '19%', '£1299']
        >>> [shown_number(0.1 + 0.2, "General"), shown_number(1067, "00000"), shown_number(0.5, "# ?/?")]
        ['0.3', '01067', '0.5']
    """
    section = number_format.split(";")[0] if len(number_format) <= _MAX_FORMAT_CHARS else ""
    if number_format == ";;;":  # the way to hide values
        return ""
    blank = _LITERAL.sub(lambda literal: " " * len(literal.group()), section)
    found = _NUMBER_FORMAT.search(blank)
    is_simple = found is not None and not re.search(r"[#0?/,]", blank[: found.start()] + blank[found.end() :])
    if found is None or not is_simple or found.group(1).endswith(","):  # fractions, phone numbers, thousands cut off
        return str(int(value)) if value == int(value) else f"{value:.15g}"
    integer, decimals, percent = found.group(1), len(found.group(2) or ""), found.group(3)
    number = f"{abs(value) * 100 if percent else abs(value):.{decimals}f}"
    number = number.zfill(integer.count("0") + (decimals + 1 if decimals else 0))
    literals = [(mark.start(), next(filter(None, mark.groups()), "")) for mark in _LITERAL.finditer(section)]
    before = "".join(text for place, text in literals if place < found.start())
    behind = "".join(text for place, text in literals if place > found.start()).strip()
    gap = " " if behind[:1].isalpha() or (behind and " " in section[found.end() :]) else ""
    return f"{'-' if value < 0 else ''}{before}{number}{percent}{gap}{behind}".strip()
