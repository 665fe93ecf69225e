"""Tables with spanned cells, laid out so that each value stands below its own header."""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from retrievers.errors import DocumentError
from retrievers.readers.extract import MAX_DOCUMENT_CHARS, TextBlocks, markdown_table

_MAX_CELLS = 1_000_000
_MAX_COLUMN_SPAN = 1_000  # as in HTML
_MAX_ROW_SPAN = 65_534
_END_OF_GROUP = _MAX_ROW_SPAN  # what a row span of 0 stands for


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as HTML and slides write it: its text, and how many columns and rows it spans."""

    text: str
    columns: int = 1
    rows: int = 1  # 0: down to the end of its group


@dataclass(frozen=True, slots=True)
class Span:
    """A cell in its row: the columns from `start` up to `end`, and whether it hangs down from a row above."""

    start: int
    end: int
    text: str
    is_carried: bool = False


Row = Sequence[Span]


def place_cells(groups: Iterable[Sequence[Sequence[Cell]]]) -> Iterator[Row]:
    """Yield the rows of a table, each cell at its columns, also those that hang down from the rows above.

    Args:
        groups: the rows in groups that no cell spans over, such as the head and the body of a table.

    Raises:
        DocumentError: if there are more cells than can be read.

    Example:
        >>> rows = [[Cell("North", rows=2), Cell("Kiel")], [Cell("Hamburg")]]
        >>> [[(span.start, span.text) for span in row] for row in place_cells([rows])]
        [[(0, 'North'), (1, 'Kiel')], [(0, 'North'), (1, 'Hamburg')]]
    """
    num_cells = 0
    for rows in groups:
        hanging: list[tuple[Span, int]] = []  # with the last row that each reaches, ordered by column
        for number, cells in enumerate(rows):
            carried = [span for span, _ in hanging]
            placed = list(_place_row(cells, carried))
            num_cells += len(carried) + len(placed)
            _check_size(num_cells, 0)
            yield sorted([*carried, *(span for span, _ in placed)], key=attrgetter("start"))
            hanging += [(replace(span, is_carried=True), number + height - 1) for span, height in placed if height > 1]
            hanging = [entry for entry in hanging if entry[1] > number]
            hanging.sort(key=lambda entry: entry[0].start)


def _place_row(cells: Sequence[Cell], carried: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Yield (cell at the next free columns, rows it spans)."""
    column = 0
    taken = iter(carried)
    next_taken = next(taken, None)
    for cell in cells:
        while next_taken is not None and next_taken.start <= column:
            column = next_taken.end
            next_taken = next(taken, None)
        end = column + min(max(cell.columns, 1), _MAX_COLUMN_SPAN)
        if next_taken is not None:
            end = min(end, next_taken.start)
        yield Span(column, end, cell.text), min(cell.rows, _MAX_ROW_SPAN) if cell.rows > 0 else _END_OF_GROUP
        column = end


def add_table(blocks: TextBlocks, rows: Sequence[Row], *, num_header: int = 1, has_header: bool = True) -> None:
    r"""Add a table whose spanned cells are repeated in each row and column they span, so that any row is true alone.

    A cell over all columns is written once: above the table it is a caption, within it a row of its own. Several
    header rows become one, whose cells name the group first. A single column is a frame around text.

    Args:
        blocks: what to add it to.
        rows: from top to bottom.
        num_header: how many rows the file says are the header; of a first row with spanned columns, the rows that its
            cells hang down to are header as well.
        has_header: False where the first row is like the others; the columns have no names then.

    Raises:
        DocumentError: if the repeated cells are more than can be read.

    Example:
        >>> blocks = TextBlocks()
        >>> head = [[Cell("To", rows=2), Cell("Standard", columns=2)], [Cell("5 kg"), Cell("20 kg")]]
        >>> add_table(blocks, list(place_cells([[*head, [Cell("Austria"), Cell("7.90"), Cell("14.90")]]])))
        >>> print(blocks.text())
        | To | Standard 5 kg | Standard 20 kg |
        | --- | --- | --- |
        | Austria | 7.90 | 14.90 |
    """
    rows = [row for row in rows if any(span.text.strip() for span in row if not span.is_carried)]
    starts = sorted({span.start for row in rows for span in row if not span.is_carried})
    if len(starts) < 2:
        for span in itertools.chain.from_iterable(rows):
            if not span.is_carried:
                blocks.add(span.text)
        return
    num_captions = _num_captions(rows, starts)
    for row in rows[:num_captions]:
        blocks.add(" ".join(row[0].text.split()))
    rows = rows[num_captions:]
    grid = list(_fill(rows, starts))
    if not has_header:
        blocks.add(markdown_table(grid, has_header=False))
        return
    num_header = _num_header_rows(rows, starts, num_header - num_captions)
    blocks.add(markdown_table([_joined(grid[:num_header]), *grid[num_header:]]))


def _width(span: Span, starts: Sequence[int]) -> int:
    """Return how many columns a cell spans; one in which no cell begins is none."""
    return bisect_left(starts, span.end) - bisect_left(starts, span.start)


def _num_captions(rows: Sequence[Row], starts: Sequence[int]) -> int:
    is_caption = (len(row) == 1 and _width(row[0], starts) == len(starts) for row in rows[:-1])
    return sum(1 for _ in itertools.takewhile(bool, is_caption))


def _num_header_rows(rows: Sequence[Row], starts: Sequence[int], given: int) -> int:
    count = max(given, 1)
    if any(_width(span, starts) > 1 for span in rows[0]):
        while count < len(rows) and any(span.is_carried for span in rows[count]):
            count += 1
    return min(count, max(len(rows) - 1, 1))


def _fill(rows: Sequence[Row], starts: Sequence[int]) -> Iterator[list[str]]:
    """Yield the texts of each row, column by column, up to its last cell."""
    num_cells = num_chars = 0
    for row in rows:
        cells: list[str] = []
        for span in row:
            first, width = bisect_left(starts, span.start), _width(span, starts)
            num_cells += max(first - len(cells), 0) + width
            num_chars += width * len(span.text)
            _check_size(num_cells, num_chars)
            cells += [""] * (first - len(cells))
            cells += [span.text, *[""] * (width - 1)] if width == len(starts) else [span.text] * width
        yield cells


def _joined(header: Sequence[Sequence[str]]) -> list[str]:
    """Return one row of the header rows: below each other, equal texts once."""
    columns: list[list[str]] = [[] for _ in range(max(map(len, header)))]
    for row in header:  # which need not reach as far as the longest one
        for column, text in zip(columns, row, strict=False):
            column.append(text)
    return [" ".join(text for text, _ in itertools.groupby(filter(None, column))) for column in columns]


def _check_size(num_cells: int, num_chars: int) -> None:
    if num_cells > _MAX_CELLS or num_chars > MAX_DOCUMENT_CHARS:
        msg = (
            f"has a table whose spanned cells fill more than {_MAX_CELLS:,} cells or {MAX_DOCUMENT_CHARS:,} "
            "characters; split the table"
        )
        raise DocumentError(msg)
