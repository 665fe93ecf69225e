"""Where a text may be cut: between sentences, lines, clauses and words, the stronger border first."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from retrievers.blocks import Kind, is_item_start

Span = tuple[int, int]
"""From the first to behind the last character; neither is white space."""

# The look-behinds keep a long run of marks from being tried from each of its places.
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]+[\"'”’)\]*_]*(?=\s)|(?<![。！？])[。！？]+[”’」』）)\]*_]*")
_GOES_ON = re.compile(r"\s+[a-z](?![A-Z])")  # "approx. five", but a name such as eSIM may begin a sentence
_MAX_GAP = 80  # white space behind a full stop that is looked through
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:e\.g|i\.e|cf|vs|approx|incl|etc|mr|mrs|ms|dr|prof|st|no|fig|vol|[a-z])\.$", re.IGNORECASE
)
_MAX_ABBREVIATION_CHARS = 10
_MAX_NUMBER_CHARS = 40
_ITEM_NUMBER = re.compile(r"(?:^|\n)[ \t]*(?:[-*+][ \t]+)?\d{1,9}\.$")
_LINE_BREAK = re.compile(r"\n")
_CLAUSE_END = re.compile(r"[，；：、]|[,;:](?=\s)")
_SPACE = re.compile(r"\s+")


def split_sentences(text: str, span: Span) -> list[Span]:
    """Return the sentences within a span, in order; Chinese ones need no space between them.

    A full stop after an abbreviation, an initial or a list's number, or before a lower-case word ends none.

    Example:
        >>> text = "Use No. 5, e.g. the red one. 七天内可以退货。请保留包装！"
        >>> [text[start:end] for start, end in split_sentences(text, (0, len(text)))]
        ['Use No. 5, e.g. the red one.', '七天内可以退货。', '请保留包装！']
    """
    start, end = span
    ends = (mark.end() for mark in _SENTENCE_END.finditer(text, start, end) if _is_end(text, start, mark))
    return list(_between(text, span, ends))


def cut_span(text: str, span: Span, kind: Kind, *, max_chars: int) -> Iterator[Span]:
    """Yield pieces of at most `max_chars`: the whole span if it fits, else cut at the strongest borders that help.

    Tables are cut between rows, code between lines, list items before the items nested in them; what still does
    not fit is cut after sentences, then lines, clauses and words, at last between any two characters.
    """
    yield from _cut(text, [span], _CUTTERS[kind], max_chars)


def _cut(text: str, spans: Iterable[Span], cutters: Sequence["_Cutter"], max_chars: int) -> Iterator[Span]:
    for start, end in spans:
        if end - start <= max_chars:
            yield start, end
        elif cutters:
            yield from _cut(text, cutters[0](text, (start, end)), cutters[1:], max_chars)
        else:
            yield from ((at, min(at + max_chars, end)) for at in range(start, end, max_chars))


def _split_lines(text: str, span: Span) -> Iterable[Span]:
    return _between(text, span, (mark.end() for mark in _LINE_BREAK.finditer(text, *span)))


def _split_items(text: str, span: Span) -> Iterable[Span]:
    """Cut before each line that begins an item; the lines below it stay with it."""
    starts = (start for start, end in _split_lines(text, span) if is_item_start(text[start:end]))
    return _between(text, span, starts)


def _split_clauses(text: str, span: Span) -> Iterable[Span]:
    return _between(text, span, (mark.end() for mark in _CLAUSE_END.finditer(text, *span)))


def _split_words(text: str, span: Span) -> Iterable[Span]:
    return _between(text, span, (mark.end() for mark in _SPACE.finditer(text, *span)))


_Cutter = Callable[[str, Span], Iterable[Span]]
_PROSE: tuple[_Cutter, ...] = (split_sentences, _split_lines, _split_clauses, _split_words)
_CUTTERS: dict[Kind, tuple[_Cutter, ...]] = {
    Kind.HEADING: _PROSE,
    Kind.PARAGRAPH: _PROSE,
    Kind.TABLE: (_split_lines, *_PROSE),
    Kind.CODE: (_split_lines, *_PROSE),
    Kind.ITEM: (_split_items, *_PROSE),
}


def _between(text: str, span: Span, places: Iterable[int]) -> Iterator[Span]:
    """Yield what lies between these places of a span, without the white space around it."""
    begin, last = span
    for place in (*places, last):
        piece = text[begin:place]
        if stripped := piece.strip():
            start = begin + len(piece) - len(piece.lstrip())
            yield start, start + len(stripped)
        begin = place


def _is_end(text: str, start: int, mark: re.Match[str]) -> bool:
    if mark.group()[0] in "。！？":
        return True
    end = mark.end()
    if _GOES_ON.match(text, end, end + _MAX_GAP):
        return False
    if mark.group()[0] != ".":
        return True
    before = text[max(start, end - _MAX_ABBREVIATION_CHARS) : end]
    return not (_ABBREVIATION.search(before) or _ITEM_NUMBER.search(text[max(start, end - _MAX_NUMBER_CHARS) : end]))
