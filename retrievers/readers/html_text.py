"""HTML reader: the visible text of a page as Markdown-like text, without navigation, scripts and styles."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llms.texts import check_text
from retrievers.errors import DocumentError
from retrievers.readers.encoding import declared_charset, decode_text
from retrievers.readers.extract import PICTURES_ONLY, Extract, TextBlocks, fenced_code
from retrievers.readers.inline import TICKED, UNTICKED, InlineText, Level, picture_words
from retrievers.readers.numerals import numeral
from retrievers.readers.tables import Cell, add_table, place_cells

_HIDDEN_TAGS = frozenset(
    [
        "script",
        "style",
        "nav",
        "template",
        "noscript",
        "svg",
        "math",
        "iframe",
        "object",
        "canvas",
        "audio",
        "video",
        "select",
        "button",
        "textarea",
        "datalist",
        "meter",
        "progress",
        "rp",  # brackets for browsers that know no readings
        "del",
        "s",
        "strike",
    ]
)
_BLOCK_TAGS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "main",
        "p",
        "section",
        "summary",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LEVELS = {"sup": Level.SUPER, "sub": Level.SUB}
_INLINE_TAGS = frozenset(
    ["span", "font", "a", "b", "i", "em", "strong", "small", "u", "mark"]
)  # a style may raise them
_RUBY_PARTS = frozenset(["rb", "rt", "rp", "rtc", "ruby"])
_ROW_GROUPS = frozenset(["thead", "tbody", "tfoot"])
_TABLE_INLINE = frozenset(["b", "i", "a", "em", "strong", "span", "code", "font", "u", "small", "mark", "label"])
_LIST_TYPES = {"1": "decimal", "a": "lower-alpha", "A": "upper-alpha", "i": "lower-roman", "I": "upper-roman"}
_UNNUMBERED = frozenset(["none", "disc", "circle", "square"])
_CJK_STYLES = ("cjk", "simp-chinese", "trad-chinese", "japanese")
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)|line-through", re.IGNORECASE)
_VERTICAL_ALIGN = re.compile(r"vertical-align\s*:\s*(super|sub|baseline)\b", re.IGNORECASE)
_ALIGNED = {"super": Level.SUPER, "sub": Level.SUB, "baseline": Level.BASE}
_LIST_STYLE = re.compile(r"list-style(?:-type)?\s*:\s*([\w-]+)", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_INTEGER = re.compile(r"\s*([+-]?\d{1,9})")
_MAX_DEPTH = 5_000  # each end of what is not open is looked for in all that is
_FED_BYTES = 65_536
_SCRIPT_ONLY = "shows its text only with scripts, which are not run; save it from a browser after it has loaded"


def read_html(raw: bytes) -> Extract:
    r"""Return the text of an HTML page; headings, lists, tables and code blocks are marked as in Markdown.

    Left out is what no reader sees: scripts, styles, comments, elements that are `hidden`, `aria-hidden` or not
    displayed by their own style; what is struck out or deleted; and what is no content: navigation and form controls
    but for ticked boxes. Style sheets are not read. Nothing is fetched.

    Raises:
        DocumentError: if the bytes are not in the declared charset (UTF-8 where there is none).

    Example:
        >>> read_html("<title>T</title><h2>退货</h2><nav>Home</nav><p>Keep <b>the</b> box.".encode()).text
        '## 退货\n\nKeep the box.'
    """
    from lxml import etree  # type: ignore[import-untyped,unused-ignore]  # ships no types

    text = check_text(decode_text(raw, charset=declared_charset(raw)), max_chars=len(raw))
    lengths = _ListLengths()
    target = _TextTarget(lengths.found)
    try:
        if "reversed" in text.lower():
            _parse(text, lengths)
        _parse(text, target)
    except etree.LxmlError as error:
        msg = f"cannot be read as HTML: {error}; save it again from a browser"
        raise DocumentError(msg) from error
    title = " ".join("".join(target.title).split())
    return Extract(target.blocks.text(), title=title, why_empty=target.why_empty())


def _parse(text: str, target: Any) -> None:
    from lxml import etree

    # Python's own html.parser takes minutes for some broken pages of 100 kB; libxml2 is linear and closes what is open
    parser = etree.HTMLParser(target=_DepthLimit(target), encoding="utf-8", no_network=True, huge_tree=True)
    raw = text.encode()
    for start in range(0, max(len(raw), 1), _FED_BYTES):  # what a target raises ends the parsing only then
        parser.feed(raw[start : start + _FED_BYTES])
    parser.close()


class _DepthLimit:
    """Passes events on to a target as long as not too many elements are open."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._depth = 0
        self.data, self.close = target.data, target.close

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            msg = f"has more than {_MAX_DEPTH:,} elements in each other; save it again from a browser"
            raise DocumentError(msg)
        self._target.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._target.end(tag)


class _ListLengths:
    """Counts the items of each numbered list, in the order in which the lists begin: some count down to 1."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self._open: list[int] = []  # the numbers of the lists around; -1 for one without numbers

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        if tag == "ol":
            self._open.append(len(self.found))
            self.found.append(0)
        elif tag == "ul":
            self._open.append(-1)
        elif tag == "li" and self._open and self._open[-1] >= 0:
            self.found[self._open[-1]] += 1

    def end(self, tag: str) -> None:
        if tag in ("ol", "ul"):
            self._open[-1:] = []

    def data(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(slots=True)
class _List:
    """A list that is open, and how it counts."""

    style: str = ""  # none in a list without numbers
    number: int = 0  # of the next item
    step: int = 1

    def next_marker(self, attributes: Mapping[str, str]) -> str:
        """Return what stands before the next item, which may name its own number and style."""
        style = _list_style(attributes) or self.style
        if not style or style in _UNNUMBERED:
            return "- "
        number = _integer(attributes.get("value", ""), self.number)
        self.number = number + self.step
        return f"{numeral(number, style)}{'、' if style.startswith(_CJK_STYLES) else '. '}"


@dataclass(slots=True)
class _Table:
    """A table that is open: its rows in their groups."""

    groups: list[list[list[Cell]]] = field(default_factory=lambda: [[]])
    num_header: int = 0
    is_header_over: bool = False
    is_head: bool = False  # within <thead>
    cell: tuple[int, int] = (1, 1)  # what the open cell spans
    is_all_header: bool = True  # of the open row: only <th>
    first_tags: str = ""  # of the cells of the first row

    def start_group(self, tag: str) -> None:
        self.end_row()
        self.is_head = tag == "thead"
        self.groups.append([])

    def start_row(self) -> None:
        self.end_row()
        self.groups[-1].append([])
        self.is_all_header = True

    def start_cell(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.is_all_header &= tag == "th"
        if sum(map(len, self.groups)) <= 1:
            self.first_tags += f" {tag}"
        self.cell = (_integer(attributes.get("colspan", ""), 1), _integer(attributes.get("rowspan", ""), 1))

    def add_cell(self, text: str) -> None:
        if not self.groups[-1]:
            self.groups[-1].append([])
        columns, rows = self.cell
        self.groups[-1][-1].append(Cell(text, columns, max(rows, 0)))

    def end_row(self) -> None:
        """Count the row that was open as header if it is one and follows no other row."""
        if self.groups[-1] and self.groups[-1][-1] and not self.is_header_over:
            if self.is_head or self.is_all_header:
                self.num_header += 1
            else:
                self.is_header_over = True


class _TextTarget:
    """Takes the parser's events, in which every start has its end, and writes blocks of text."""

    def __init__(self, list_lengths: Sequence[int]) -> None:
        self.blocks = TextBlocks()
        self.title: list[str] = []
        self._line = InlineText()
        self._num_hidden = 0  # how many elements are open from the outermost hidden one on
        self._num_pre = self._num_tables = 0
        self._in_title = False
        self._lists: list[_List] = []
        self._list_lengths = iter(list_lengths)
        self._marker = ""
        self._table = _Table()
        self._levels: list[Level] = []
        self._reading_start: int | None = None  # in the line, of the reading above a word
        self._seen: set[str] = set()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._seen.add(tag)
        if self._num_hidden:
            self._num_hidden += 1
            return
        if tag in _RUBY_PARTS:
            self._end_reading()
        if _is_hidden(tag, attributes):
            self._num_hidden = 1
            self._add_label(tag, attributes)
        elif tag == "title":
            self._in_title = True
        elif not self._start_inline(tag, attributes):
            if self._num_tables:
                self._start_in_table(tag, attributes)
            else:
                self._start_block(tag, attributes)

    def end(self, tag: str) -> None:
        if self._num_hidden:
            self._num_hidden -= 1
        elif tag == "title":
            self._in_title = False
        elif tag in _LEVELS:
            self._levels[-1:] = []
        elif tag in _RUBY_PARTS:
            self._end_reading()
        elif tag in _INLINE_TAGS:
            self._levels[-1:] = []
        elif self._num_tables:
            self._end_in_table(tag)
        else:
            self._end_block(tag)

    def data(self, text: str) -> None:
        if self._num_hidden:
            return
        if self._in_title:
            self.title.append(text)
        else:
            self._line.add(text if self._num_pre else _SPACE.sub(" ", text), self._level)

    def close(self) -> None:
        self._flush()

    def why_empty(self) -> str:
        """Return what to do about a page without text."""
        if self._seen & {"noscript", "script"}:
            return _SCRIPT_ONLY
        return PICTURES_ONLY if self._seen & {"img", "svg", "object", "embed"} else ""

    @property
    def _level(self) -> Level:
        return self._levels[-1] if self._levels else Level.BASE

    def _start_inline(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Begin what stands within a line, in tables and elsewhere alike, and return whether this is such a thing."""
        if tag in _LEVELS or tag in _INLINE_TAGS:
            aligned = _VERTICAL_ALIGN.search(_style(attributes))
            self._levels.append(_ALIGNED[aligned[1].lower()] if aligned else _LEVELS.get(tag, self._level))
        if tag == "rt":
            self._reading_start = len(self._line)
        elif tag == "input":
            self._add_input(attributes)
        elif tag == "img":
            self._add_label(tag, attributes)
        elif attributes.get("role") in ("checkbox", "radio", "switch") and "aria-checked" in attributes:
            self._line.add(f"{_tick(is_ticked=attributes['aria-checked'] == 'true')} ")
        else:
            return tag in _RUBY_PARTS or tag in _LEVELS
        return True

    def _add_input(self, attributes: Mapping[str, str]) -> None:
        kind = attributes.get("type", "").lower()
        if kind in ("checkbox", "radio"):
            self._line.add(f"{_tick(is_ticked='checked' in attributes)} ")
        elif kind == "image":
            self._add_label("img", attributes)

    def _add_label(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Add the words that stand for a picture or a formula; not of one that is decoration or hidden."""
        if (
            attributes.get("aria-hidden") == "true"
            or "hidden" in attributes
            or _HIDING_STYLE.search(_style(attributes))
        ):
            return
        name = {"img": "alt", "math": "alttext", "svg": "aria-label"}.get(tag, "")
        if words := picture_words(attributes.get(name, "")):
            self._line.add(f" {words} ")

    def _end_reading(self) -> None:
        if self._reading_start is not None:
            reading = self._line.take_from(self._reading_start)
            self._reading_start = None
            self._line.add_reading(reading)

    def _start_block(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in ("ul", "ol"):
            self._flush()
            self._start_list(tag, attributes)
        elif tag == "li":
            self._flush()
            self._marker = self._next_marker(attributes)
        elif tag == "pre":
            self._flush()
            self._num_pre += 1
        elif tag == "table":
            self._flush()
            self._num_tables, self._table = 1, _Table()
        elif tag == "br":
            self._line.add("\n")
        elif tag == "code" and not self._num_pre:
            self._line.add("`")
        elif (tag in _BLOCK_TAGS or tag in _HEADINGS) and not self._num_pre:
            self._flush()

    def _end_block(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._flush()
            self._lists[-1:] = []
        elif tag == "li":
            self._flush()
            self._marker = ""
        elif tag == "pre":
            self.blocks.add(fenced_code(self._take_line()))
            self._num_pre -= 1
        elif tag in _HEADINGS:
            self.blocks.add_heading(self._take_line(), level=_HEADINGS[tag])
        elif tag in _BLOCK_TAGS:
            self._flush()
        elif tag == "code" and not self._num_pre:
            self._line.add("`")

    def _start_in_table(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "table":
            self._num_tables += 1
        if tag in ("ul", "ol"):
            self._start_list(tag, attributes)
        elif tag == "li":
            self._line.add(f" {self._next_marker(attributes)}")
        elif self._num_tables > 1:  # a table in a cell is text of that cell
            self._line.add(" ")
        elif tag in _ROW_GROUPS:
            self._table.start_group(tag)
        elif tag == "tr":
            self._add_loose_text()
            self._table.start_row()
        elif tag in ("td", "th"):
            self._add_loose_text()
            self._table.start_cell(tag, attributes)
        elif tag not in _TABLE_INLINE:
            self._line.add(" ")

    def _end_in_table(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._lists[-1:] = []
        elif tag == "table":
            self._num_tables -= 1
            if not self._num_tables:
                self._add_loose_text()
                self._table.end_row()
                rows = list(place_cells(self._table.groups))
                # each row names its own value, as in the data of a product
                has_header = self._table.first_tags != " th td" or self._table.num_header > 0
                add_table(self.blocks, rows, num_header=self._table.num_header, has_header=has_header)
        elif tag in ("td", "th") and self._num_tables == 1:
            self._table.add_cell(self._take_line())
        elif tag == "caption" and self._num_tables == 1:
            self._add_loose_text()

    def _add_loose_text(self) -> None:
        """Add what stands in a table but in no cell, such as its caption."""
        self.blocks.add(self._take_line())

    def _start_list(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "ul":
            self._lists.append(_List())
            return
        length = next(self._list_lengths, 0)
        is_reversed = "reversed" in attributes
        number = _integer(attributes.get("start", ""), length if is_reversed else 1)
        self._lists.append(_List(_list_style(attributes) or "decimal", number, -1 if is_reversed else 1))

    def _next_marker(self, attributes: Mapping[str, str]) -> str:
        return self._lists[-1].next_marker(attributes) if self._lists else "- "

    def _flush(self) -> None:
        if self._num_pre:
            return
        text = self._take_line()
        if self._lists or self._marker:
            self.blocks.add_item(text, marker=self._marker, depth=max(len(self._lists), 1))
            self._marker = "" if text else self._marker
        else:
            self.blocks.add(text)

    def _take_line(self) -> str:
        return self._line.take() if self._num_pre else self._line.take_lines()


def _is_hidden(tag: str, attributes: Mapping[str, str]) -> bool:
    if tag in _HIDDEN_TAGS or _HIDING_STYLE.search(_style(attributes)):
        return True
    if "hidden" in attributes and attributes["hidden"].strip().lower() != "until-found":  # which a search opens
        return True
    return attributes.get("aria-hidden") == "true" or attributes.get("role") == "navigation"


def _style(attributes: Mapping[str, str]) -> str:
    return attributes.get("style", "")


def _list_style(attributes: Mapping[str, str]) -> str:
    """Return the style in which a list or an item counts, in CSS's words; nothing where it does not say."""
    if found := _LIST_STYLE.search(_style(attributes)):
        return found.group(1).lower()
    return _LIST_TYPES.get(attributes.get("type", "").strip(), "")


def _integer(text: str, default: int) -> int:
    found = _INTEGER.match(text)
    return int(found.group(1)) if found else default


def _tick(*, is_ticked: bool) -> str:
    return TICKED if is_ticked else UNTICKED
