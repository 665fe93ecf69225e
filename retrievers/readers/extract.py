"""Result of a reader: one text in which headings, lists, tables and code are marked as in Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from retrievers.blocks import is_item_start
from retrievers.errors import DocumentError

PICTURES_ONLY = "holds pictures and no text, as scans do; run text recognition (OCR) on it first"
MAX_DOCUMENT_CHARS = 5_000_000
_MAX_INDENTS = 8  # else a list nested ten thousand times would be mostly spaces
_BACKTICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Extract:
    """The text of a file, the title it names outside of its text, and where its pages begin in the text.

    `why_empty` says what to do about a file whose text is empty, where the reader knows.
    """

    text: str
    title: str = ""
    page_starts: tuple[int, ...] = ()
    why_empty: str = ""


def join_pages(pages: Sequence[str]) -> Extract:
    r"""Return the pages one after the other; one without text begins where the next does, so that nothing lies on it.

    Example:
        >>> join_pages(["one", "", "three"])
        Extract(text='one\n\nthree', title='', page_starts=(0, 5, 5), why_empty='')
    """
    starts, parts, at = [], [], 0
    for page in pages:
        if page and at:
            parts.append("\n\n")
            at += 2
        starts.append(at)
        parts.append(page)
        at += len(page)
    for index in range(len(starts) - 2, -1, -1):
        if not pages[index]:
            starts[index] = starts[index + 1]
    return Extract("".join(parts), page_starts=tuple(starts))


@dataclass(slots=True)
class TextBlocks:
    r"""Paragraphs, headings and lists in reading order, to be put together as one text.

    Whatever adds more than a document may have raises a DocumentError at once, so that no few bytes that stand for
    much text fill the memory.

    Example:
        >>> blocks = TextBlocks()
        >>> blocks.add_heading("Returns", level=1)
        >>> blocks.add_item("keep the box", marker="- ", depth=1)
        >>> blocks.add_item("keep the bill", marker="- ", depth=1)
        >>> blocks.text()
        '# Returns\n\n- keep the box\n- keep the bill'
    """

    _parts: list[str] = field(default_factory=list)
    _ends_with_item: bool = False
    _num_chars: int = 0

    def add(self, text: str) -> None:
        """Add a paragraph, table or code block; an empty one adds nothing."""
        self._add(text, is_item=False)

    def add_heading(self, text: str, *, level: int) -> None:
        """Add a heading on one line, at most six levels deep."""
        if words := " ".join(text.split()):
            self._add(f"{'#' * min(level, 6)} {words}", is_item=False)

    def add_item(self, text: str, *, marker: str, depth: int) -> None:
        """Add a list item, or with an empty marker what follows in it; `depth` is 1 for a list in no other."""
        if text:
            indent = "  " * (min(depth, _MAX_INDENTS) - 1)
            lines = text.replace("\n", f"\n{indent}  ")
            # a marker that is no item's elsewhere, such as "Step 1:", makes a paragraph, which ends with its line
            is_item = not marker or is_item_start(f"{marker}x")
            self._add(f"{indent}{marker or '  '}{lines}", is_item=is_item)

    def text(self) -> str:
        """Return everything added so far."""
        return "".join(self._parts)

    def _add(self, text: str, *, is_item: bool) -> None:
        if not text:
            return
        self._num_chars += len(text)
        check_document_chars(self._num_chars)
        if self._parts:
            self._parts.append("\n" if is_item and self._ends_with_item else "\n\n")
        self._parts.append(text)
        self._ends_with_item = is_item


def check_document_chars(num_chars: int) -> None:
    """Refuse a document that has more characters than a document may have.

    Raises:
        DocumentError: if it has.
    """
    if num_chars > MAX_DOCUMENT_CHARS:
        msg = f"holds more than {MAX_DOCUMENT_CHARS:,} characters; split it"
        raise DocumentError(msg)


def markdown_table(rows: Sequence[Sequence[str]], *, has_header: bool = True) -> str:
    r"""Return the rows as a Markdown table whose first row is the header; rows without any text are left out.

    Without a header, the line that Markdown has for it is empty.

    Short rows are not filled up: one row with a thousand cells must not make all rows as wide.

    Example:
        >>> print(markdown_table([["size", "price"], ["S | M", "5"]]))
        | size | price |
        | --- | --- |
        | S \| M | 5 |
    """
    lines = [_table_line(row) for row in rows if any(cell.strip() for cell in row)]
    if lines:
        width = next(len(row) for row in rows if any(cell.strip() for cell in row))
        head = [] if has_header else [_table_line([""] * width)]
        lines = [*head, *lines]
        lines.insert(1, _table_line(["---"] * width))
    return "\n".join(lines)


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def fenced_code(code: str) -> str:
    r"""Return the code between fences that do not occur in it, or nothing for blank code.

    Example:
        >>> fenced_code("pip install\n")
        '```\npip install\n```'
    """
    if not code.strip():
        return ""
    longest = max(map(len, _BACKTICKS.findall(code)), default=0)
    fence = "`" * max(longest + 1, 3)
    return f"{fence}\n{code.strip(chr(10))}\n{fence}"
