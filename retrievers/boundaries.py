"""Cutting of long spans between sentences, lines, clauses and words, at the strongest borders that help."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from llms.texts import TextSpan, split_at, split_sentences
from retrievers.blocks import Kind, is_item_start

_LINE_BREAK = re.compile(r"\n")
_CLAUSE_END = re.compile(r"[，；：、]|[,;:](?=\s)")
_SPACE = re.compile(r"\s+")


def cut_span(text: str, span: TextSpan, kind: Kind, *, max_chars: int) -> Iterator[TextSpan]:
    """Yield pieces of at most `max_chars`: the whole span if it fits, else cut at the strongest borders that help.

    Tables are cut between rows, code between lines, list items before the items nested in them; what still does
    not fit is cut after sentences, then lines, clauses and words, at last between any two characters.
    """
    yield from _cut(text, [span], _CUTTERS[kind], max_chars)


def _cut(text: str, spans: Iterable[TextSpan], cutters: Sequence["_Cutter"], max_chars: int) -> Iterator[TextSpan]:
    for start, end in spans:
        if end - start <= max_chars:
            yield start, end
        elif cutters:
            yield from _cut(text, cutters[0](text, (start, end)), cutters[1:], max_chars)
        else:
            yield from ((at, min(at + max_chars, end)) for at in range(start, end, max_chars))


def _split_lines(text: str, span: TextSpan) -> Iterable[TextSpan]:
    return split_at(text, span, (mark.end() for mark in _LINE_BREAK.finditer(text, *span)))


def _split_items(text: str, span: TextSpan) -> Iterable[TextSpan]:
    """Cut before each line that begins an item; the lines below it stay with it."""
    starts = (start for start, end in _split_lines(text, span) if is_item_start(text[start:end]))
    return split_at(text, span, starts)


def _split_clauses(text: str, span: TextSpan) -> Iterable[TextSpan]:
    return split_at(text, span, (mark.end() for mark in _CLAUSE_END.finditer(text, *span)))


def _split_words(text: str, span: TextSpan) -> Iterable[TextSpan]:
    return split_at(text, span, (mark.end() for mark in _SPACE.finditer(text, *span)))


_Cutter = Callable[[str, TextSpan], Iterable[TextSpan]]
_PROSE: tuple[_Cutter, ...] = (split_sentences, _split_lines, _split_clauses, _split_words)
_CUTTERS: dict[Kind, tuple[_Cutter, ...]] = {
    Kind.HEADING: _PROSE,
    Kind.PARAGRAPH: _PROSE,
    Kind.TABLE: (_split_lines, *_PROSE),
    Kind.CODE: (_split_lines, *_PROSE),
    Kind.ITEM: (_split_items, *_PROSE),
}
