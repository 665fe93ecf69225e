"""CSV tables: the delimiter, the columns' names, and rows with their lines, by the same rules for every reader."""

import csv
import io
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from llms.errors import DataFileError

if TYPE_CHECKING:
    from _csv import Reader

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical line"}  # of those that fit alike, the first
_NUM_LOOKED_AT = 20  # rows, to tell the delimiter where the header holds several
_DELIMITER_LINE = re.compile(r'"?sep=([^"\r\n])"?(\r\n|\r|\n)', re.IGNORECASE)  # Excel's, above the header
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # full-width ones, too
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
_NAMELESS = re.compile(r"(Unnamed: \d+)?")  # as pandas calls a column without a name when it reads one


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row below the header.

    Attributes:
        line: where it begins, counted from 1; a quoted cell may go on over several lines.
        values: its cells by column.
        problem: why it cannot be used, or an empty text.
    """

    line: int
    values: dict[str, str]
    problem: str = ""


class CsvTable:
    r"""A table whose first row names the columns.

    Columns are divided by commas, semicolons, tabs or vertical lines: by that which divides the header and most of the
    first rows into the same number of cells, or that which a line `sep=;` above the header names. Names lose white
    space at their ends. A column without a name is left out if it is empty, or if it is the first and numbers the
    rows, as spreadsheets and pandas write them. Cells may be as long as the text; empty lines are no rows.

    Args:
        text: the table; line ends within cells stay as they are.

    Attributes:
        delimiter: what divides the cells.
        cell_names: what each cell of a row belongs to, also those that are left out.
        header: the names of the columns that are read.

    Raises:
        DataFileError: at construction, if a name stands twice or a column with values has none.

    Example:
        >>> table = CsvTable('text;label\n"late; again";parcel\n')
        >>> table.header, [row.values for row in table.rows()]
        (['text', 'label'], [{'text': 'late; again', 'label': 'parcel'}])
    """

    def __init__(self, text: str) -> None:
        found = _DELIMITER_LINE.match(text)
        self._first_line = 1 if found else 0
        self._text = text[found.end() :] if found else text
        csv.field_size_limit(max(len(text), csv.field_size_limit()))  # of the whole process, lower than a page's length
        self.delimiter = found.group(1) if found else _find_delimiter(self._text)
        try:
            cells = next(_filled(_open_reader(self._text, self.delimiter)), [])
        except csv.Error as error:
            msg = f"has a header that cannot be read: {_quote_problem(error)}; correct it"
            raise DataFileError(msg) from error
        self.cell_names = [cell.strip().strip(_UNSEEN).strip() for cell in cells]
        _refuse_doubled(self.cell_names)
        self._kept = self._named_places()
        self.header = [self.cell_names[place] for place in self._kept]

    def rows(self, lines: Iterable[str] | None = None) -> Iterator[CsvRow]:
        """Yield the rows; one with an open quote, or with another number of cells than the header, has a problem.

        Args:
            lines: those of a longer file, with their ends, of which `text` was the beginning; else those of `text`.
        """
        for line, last_line, cells, problem in self._records(lines):
            if not problem and len(cells) != len(self.cell_names):
                missing = _DELIMITERS.get(self.delimiter, self.delimiter)
                is_heading = len(self.cell_names) == 1  # a line above the table, taken for its header
                hint = "does the first line name the columns?" if is_heading else f"is a quote or a {missing} missing?"
                counts = f"{len(cells)} cells where the header has {len(self.cell_names)}"
                problem = f"{counts}{_span(line, last_line)}; {hint}"
            present = self._kept[: bisect_left(self._kept, len(cells))]
            values = {self.cell_names[place]: _unguarded(cells[place]) for place in present}
            yield CsvRow(line, values, problem)

    def _records(self, lines: Iterable[str] | None = None) -> Iterator[tuple[int, int, list[str], str]]:
        """Yield first line, last line, cells and problem of each record below the header."""
        if lines is None:
            reader = _open_reader(self._text, self.delimiter)
        else:
            reader = csv.reader(islice(lines, self._first_line, None), delimiter=self.delimiter, strict=True)
        next(_filled(reader), None)
        while True:
            line = self._first_line + reader.line_num + 1
            cells: list[str] | None = []
            problem = ""
            try:
                cells = next(reader, None)
            except csv.Error as error:  # the reader goes on with the next line
                problem = f"{_quote_problem(error)}{_span(line, self._first_line + reader.line_num)}"
            if cells is None:
                return
            if cells or problem:
                yield line, self._first_line + reader.line_num, cells, problem

    def _named_places(self) -> list[int]:
        """Return which cells of a row are read: all with a name, but not pandas' name for an index."""
        cells_of: dict[int, list[str]] = {
            place: [] for place, name in enumerate(self.cell_names) if _NAMELESS.fullmatch(name)
        }
        if cells_of:
            for _, _, cells, _ in self._records():
                for place, found in cells_of.items():
                    if place >= len(cells):  # a hundred thousand short rows below as many columns are soon done
                        break
                    found.append(cells[place])
        dropped = {place for place, cells in cells_of.items() if _is_empty(cells) or (not place and _is_index(cells))}
        for place in sorted(cells_of.keys() - dropped):
            if not self.cell_names[place]:
                first = next(cell for cell in cells_of[place] if cell.strip())
                msg = f"has no name for column {place + 1}, which holds {first[:40]!r}; name it, or remove the column"
                raise DataFileError(msg)
        return [place for place in range(len(self.cell_names)) if place not in dropped]


def guarded_row(cells: Iterable[str]) -> list[str]:
    """Return cells that no spreadsheet takes for formulas; `CsvTable` reads them back as they were.

    References:
        OWASP, "CSV Injection": a single quote before cells that begin with `=`, `+`, `-`, `@`, a tab or a line end; of
        full width too, which spreadsheets in East Asian languages read alike.

    Example:
        >>> guarded_row(["=HYPERLINK(1)", "plain"])
        ["'=HYPERLINK(1)", 'plain']
    """
    return [f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells]


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def _open_reader(text: str, delimiter: str) -> "Reader":
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _filled(reader: "Reader") -> Iterator[list[str]]:
    return (cells for cells in reader if cells)


def _find_delimiter(text: str) -> str:
    fitting: dict[str, int] = {}
    for delimiter in _DELIMITERS:
        num_cells = _first_lengths(text, delimiter)
        if num_cells and num_cells[0] > 1:
            fitting[delimiter] = num_cells.count(num_cells[0])
    return max(fitting, key=fitting.__getitem__, default=",")


def _first_lengths(text: str, delimiter: str) -> list[int]:
    """Return how many cells the header and the first rows have; nothing where the header is none."""
    reader = _open_reader(text, delimiter)
    lengths: list[int] = []
    while len(lengths) <= _NUM_LOOKED_AT:
        try:
            cells = next(reader, None)
        except csv.Error:
            if not lengths:
                return []
            continue
        if cells is None:
            break
        if cells:
            lengths.append(len(cells))
    return lengths


def _refuse_doubled(names: Sequence[str]) -> None:
    places: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        if name and name in places:
            msg = f"names the column {name!r} twice, as column {places[name]} and column {place}; rename one of them"
            raise DataFileError(msg)
        places[name] = place


def _is_empty(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _is_index(cells: Sequence[str]) -> bool:
    """Return whether cells could number rows, which may have been filtered or shuffled since."""
    return all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)


def _quote_problem(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote is opened and never closed"
    if "field limit" in str(error):
        return "a cell is too long, or a quote is opened and never closed"
    return 'text stands behind a closing quote; write "" for a quote within a quoted cell'


def _span(line: int, last_line: int) -> str:
    return f" in lines {line} to {last_line}" if last_line > line else ""
