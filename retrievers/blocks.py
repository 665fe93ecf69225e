"""Blocks of a Markdown-like text: headings, paragraphs, tables, code and list items, each with its offsets."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
_RULE_SIGNS = frozenset("| \t:-")
_HAN_NUMBER = "[一二三四五六七八九十百零]{1,7}"
_ITEM = re.compile(
    r"[ \t]*+(?:"
    r"(?:[-*+•●▪◦☑☐☒]|\d{1,9}[.)]|[A-Za-z]\)|[ivxlc]{2,7}\)|\([A-Za-z0-9]{1,3}\))[ \t]++"
    rf"|\d{{1,9}}、|{_HAN_NUMBER}、|[（(]{_HAN_NUMBER}[)）]|（\d{{1,3}}）"
    rf"|第(?:{_HAN_NUMBER}|\d{{1,4}})[条章节款][ \t　]"
    r"|[①-⑳]"
    r")[ \t　]*+\S"
)


class Kind(Enum):
    """What a block is, and so where it may be cut."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    TABLE = "table"
    CODE = "code"
    ITEM = "item"  # with the items nested in it


@dataclass(slots=True)
class Block:
    """A block from its first to behind its last character; neither is white space."""

    kind: Kind
    start: int
    end: int
    level: int = 0  # of a heading, 1 to 6
    name: str = ""  # of a heading, without its marks


def find_blocks(text: str) -> Iterator[Block]:
    r"""Yield the blocks of a text in their order; together they hold all of it but white space.

    A heading is marked with `#`, a table is lines that begin with `|`, code stands between fences of three or more
    backticks or tildes; a fence that is never closed reaches to the end.

    Example:
        >>> [(block.kind.value, block.start, block.end) for block in find_blocks("# A\n\none\ntwo\n- item\n")]
        [('heading', 0, 3), ('paragraph', 5, 12), ('item', 13, 19)]
    """
    scanner = _Scanner()
    for line in _LINE.finditer(text):
        yield from scanner.read(line.group(), line.start())
    yield from scanner.finish()


def first_heading(text: str) -> str:
    r"""Return the first heading of the first level, or nothing where there is none.

    Example:
        >>> first_heading("```\n# no heading\n```\n# Cables #\n")
        'Cables'
    """
    headings = (block.name for block in find_blocks(text) if block.kind is Kind.HEADING and block.level == 1)
    return next(headings, "")


def is_item_start(line: str) -> bool:
    """Return whether a line begins a list item.

    Example:
        >>> [is_item_start(line) for line in ("- one", "  2. two", "3、三", "b) two", "第三条 病假", "-4 °C")]
        [True, True, True, True, True, False]
    """
    return _ITEM.match(line) is not None


def table_header_end(text: str, table: Block) -> int:
    r"""Return where the header of a table ends, its rule included; where the table begins if it has none.

    Example:
        >>> text = "| a |\n| - |\n| 1 |"
        >>> text[: table_header_end(text, next(find_blocks(text)))]
        '| a |\n| - |'
    """
    header_end = text.find("\n", table.start, table.end)
    rule_end = text.find("\n", header_end + 1, table.end) if header_end >= 0 else -1
    rule = text[header_end + 1 : rule_end].strip() if rule_end >= 0 else ""
    is_rule = rule.startswith("|") and "-" in rule and _RULE_SIGNS.issuperset(rule)
    return rule_end if is_rule else table.start


class _Scanner:
    """Takes line by line and knows the block that is still open."""

    def __init__(self) -> None:
        self._open: Block | None = None
        self._fence = ""
        self._indent = 0  # of the open item's marker
        self._after_blank = False

    def read(self, line: str, at: int) -> Iterator[Block]:
        """Take the line that begins at `at`, and yield the blocks that it ends."""
        stripped = line.strip()
        if self._fence:
            self._extend(line, at)
            if _closes(stripped, self._fence):
                self._fence = ""
                yield from self.finish()
        elif not stripped:
            self._after_blank = True
            if self._open and self._open.kind is not Kind.ITEM:
                yield from self.finish()
        else:
            yield from self._read_text(line, at, stripped)
            self._after_blank = False

    def finish(self) -> Iterator[Block]:
        """Yield the open block, if there is one."""
        if self._open:
            yield self._open
        self._open = None

    def _read_text(self, line: str, at: int, stripped: str) -> Iterator[Block]:
        kind = self._kind_of(line, stripped)
        if self._open and kind is self._open.kind and self._goes_on(line, kind):
            self._extend(line, at)
            return
        yield from self.finish()
        first = at + line.index(stripped[0])
        self._open = Block(kind, first, first + len(stripped))
        if kind is Kind.HEADING:
            marks, name = _heading_parts(line)
            self._open.level, self._open.name = len(marks), name
            yield from self.finish()
        elif kind is Kind.ITEM:
            self._indent = _indent(line)
        elif kind is Kind.CODE and (fence := _FENCE.match(line)):
            self._fence = fence.group(1)

    def _kind_of(self, line: str, stripped: str) -> Kind:
        if self._open and self._open.kind is Kind.ITEM and self._belongs_to_item(line, stripped):
            return Kind.ITEM
        if _HEADING.match(line):
            return Kind.HEADING
        if _opens_fence(line):
            return Kind.CODE
        if stripped.startswith("|"):
            return Kind.TABLE
        return Kind.ITEM if _ITEM.match(line) else Kind.PARAGRAPH

    def _belongs_to_item(self, line: str, stripped: str) -> bool:
        """Return whether a line goes on with the open item: indented, or an unmarked line right below it."""
        if _indent(line) > self._indent:
            return not _opens_fence(line)
        plain = not (_HEADING.match(line) or _opens_fence(line) or stripped.startswith("|"))
        return plain and not self._after_blank

    def _goes_on(self, line: str, kind: Kind) -> bool:
        return kind is not Kind.ITEM or not (_ITEM.match(line) and _indent(line) <= self._indent)

    def _extend(self, line: str, at: int) -> None:
        if self._open and line.strip():
            self._open.end = at + len(line.rstrip())


def _heading_parts(line: str) -> tuple[str, str]:
    found = _HEADING.match(line)
    marks, name = found.groups() if found else ("", "")
    name = name.strip()
    without = name.rstrip("#")  # marks may stand behind it, too, after a space
    return marks, without.rstrip() if without.endswith((" ", "\t")) else name


def _opens_fence(line: str) -> bool:
    fence = _FENCE.match(line)
    return fence is not None and not (fence.group(1).startswith("`") and "`" in fence.group(2))


def _closes(stripped: str, fence: str) -> bool:
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
