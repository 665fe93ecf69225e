"""HTML reader: the visible text of a page as Markdown-like text, without navigation, scripts and styles."""

import re
from collections.abc import Mapping

from llms.texts import check_text
from retrievers.errors import DocumentError
from retrievers.readers.encoding import declared_charset, decode_text
from retrievers.readers.extract import Extract, TextBlocks, fenced_code, markdown_table

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
_SPACE = re.compile(r"\s+")


def read_html(raw: bytes) -> Extract:
    r"""Return the text of an HTML page; headings, lists, tables and code blocks are marked as in Markdown.

    Left out is what no reader sees: scripts, styles, comments, elements that are `hidden` or `aria-hidden`, and
    what is no content: navigation and form controls. Nothing is fetched.

    Raises:
        DocumentError: if the bytes are not in the declared charset (UTF-8 where there is none).

    Example:
        >>> read_html("<title>T</title><h2>退货</h2><nav>Home</nav><p>Keep <b>the</b> box.".encode()).text
        '## 退货\n\nKeep the box.'
    """
    from lxml import etree  # type: ignore[import-untyped,unused-ignore]  # ships no types

    text = check_text(decode_text(raw, charset=declared_charset(raw)), max_chars=len(raw))
    target = _TextTarget()
    # Python's own html.parser takes minutes for some broken pages of 100 kB; libxml2 is linear and closes what is open
    parser = etree.HTMLParser(target=target, encoding="utf-8", no_network=True, huge_tree=True)
    try:
        parser.feed(text.encode())
        parser.close()
    except etree.LxmlError as error:
        msg = f"cannot be read as HTML: {error}; save it again from a browser"
        raise DocumentError(msg) from error
    return Extract(target.blocks.text(), title=" ".join("".join(target.title).split()))


class _TextTarget:
    """Takes the parser's events, in which every start has its end, and writes blocks of text."""

    def __init__(self) -> None:
        self.blocks = TextBlocks()
        self.title: list[str] = []
        self._line: list[str] = []
        self._num_hidden = 0  # how many elements are open from the outermost hidden one on
        self._num_pre = self._num_tables = 0
        self._in_title = False
        self._lists: list[int] = []  # number of the last item; -1 in a list without numbers
        self._marker = ""
        self._rows: list[list[str]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._num_hidden or _is_hidden(tag, attributes):
            self._num_hidden += 1
        elif tag == "title":
            self._in_title = True
        elif self._num_tables:
            self._start_in_table(tag)
        elif tag in ("ul", "ol"):
            self._flush()
            self._lists.append(0 if tag == "ol" else -1)
        elif tag == "li":
            self._flush()
            self._marker = self._next_marker()
        elif tag == "pre":
            self._flush()
            self._num_pre += 1
        elif tag == "table":
            self._flush()
            self._num_tables, self._rows = 1, []
        else:
            self._start_text(tag)

    def end(self, tag: str) -> None:
        if self._num_hidden:
            self._num_hidden -= 1
        elif tag == "title":
            self._in_title = False
        elif self._num_tables:
            self._end_in_table(tag)
        elif tag in ("ul", "ol"):
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
            self._line.append("`")

    def data(self, text: str) -> None:
        if self._num_hidden:
            return
        if self._in_title:
            self.title.append(text)
        else:
            self._line.append(text if self._num_pre else _SPACE.sub(" ", text))

    def close(self) -> None:
        self._flush()

    def _start_text(self, tag: str) -> None:
        if tag == "br":
            self._line.append("\n")
        elif tag == "code" and not self._num_pre:
            self._line.append("`")
        elif (tag in _BLOCK_TAGS or tag in _HEADINGS) and not self._num_pre:
            self._flush()

    def _start_in_table(self, tag: str) -> None:
        if tag == "table":
            self._num_tables += 1
        if self._num_tables > 1:  # a table in a cell is text of that cell
            self._line.append(" ")
        elif tag == "tr":
            self._add_loose_text()
            self._rows.append([])
        elif tag in ("td", "th"):
            self._add_loose_text()
        elif tag not in ("b", "i", "a", "em", "strong", "span", "code", "sub", "sup"):
            self._line.append(" ")

    def _end_in_table(self, tag: str) -> None:
        if tag == "table":
            self._num_tables -= 1
            if not self._num_tables:
                self._add_loose_text()
                self._add_table()
        elif tag in ("td", "th") and self._num_tables == 1:
            if not self._rows:
                self._rows.append([])
            self._rows[-1].append(self._take_line())
        elif tag == "caption" and self._num_tables == 1:
            self._add_loose_text()

    def _add_table(self) -> None:
        if max(map(len, self._rows), default=0) > 1:
            self.blocks.add(markdown_table(self._rows))
        else:  # one column is a frame around text
            for cell in (cell for row in self._rows for cell in row):
                self.blocks.add(cell)
        self._rows = []

    def _add_loose_text(self) -> None:
        """Add what stands in a table but in no cell, such as its caption."""
        self.blocks.add(self._take_line())

    def _next_marker(self) -> str:
        if not self._lists or self._lists[-1] < 0:
            return "- "
        self._lists[-1] += 1
        return f"{self._lists[-1]}. "

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
        text = "".join(self._line)
        self._line.clear()
        if self._num_pre or not text:
            return text
        lines = (" ".join(line.split()) for line in text.split("\n"))
        return "\n".join(line for line in lines if line)


def _is_hidden(tag: str, attributes: Mapping[str, str]) -> bool:
    if tag in _HIDDEN_TAGS or "hidden" in attributes:
        return True
    return attributes.get("aria-hidden") == "true" or attributes.get("role") == "navigation"
