"""Sentences of a text as spans, with abbreviations, initials and list numbers that end none."""

import re
from collections.abc import Iterable, Iterator

TextSpan = tuple[int, int]
"""From the first to behind the last character; neither is white space."""

# An end mark and what closes after it; in Chinese no space follows. The look-behinds keep a long run of marks from
# being tried from each of its positions.
_SPACED_END = r"(?<![.!?])[.!?]+[\"'”’)\]*_]*(?=\s)"
_END = re.compile(rf"{_SPACED_END}|(?<![。！？])[。！？]+[”’」』）)\]*_]*")
_END_OR_SEMICOLON = re.compile(rf"{_SPACED_END}|(?<![。！？；])[。！？；]+[”’」』）)\]*_]*")
# a lower-case word goes on with the sentence ("approx. five"), unless it is a name ("eSIM")
_GOES_ON = re.compile(r"\s+[a-z](?![A-Z])")
_MAX_GAP = 80  # white space behind a full stop that is looked through
_WORD_START = r"(?:^|[\s(\"'“‘])"
_ABBREVIATION = re.compile(
    rf"{_WORD_START}(?:e\.g|i\.e|cf|vs|approx|incl|mr|mrs|ms|dr|prof|st|[a-z])\.$", re.IGNORECASE
)
# "no. 5", but "The answer is no."
_NUMBERED, _NUMBER = re.compile(rf"{_WORD_START}(?:no|fig|vol)\.$", re.IGNORECASE), re.compile(r"\s+\d")
_MAX_ABBREVIATION_CHARS = 10
_MAX_NUMBER_CHARS = 40
_ITEM_NUMBER = re.compile(r"(?:^|\n)[ \t]*(?:[-*+][ \t]+)?\d{1,9}\.$")


def split_sentences(text: str, span: TextSpan, *, at_semicolons: bool = False) -> list[TextSpan]:
    """Return the sentences within a span, in order; Chinese ones need no space between them.

    A full stop after an abbreviation, an initial or a list's number, or before a lower-case word ends none.

    Args:
        at_semicolons: a Chinese semicolon ends a sentence, too: what stands between two can be read by itself.

    Example:
        >>> text = "Use No. 5, e.g. the red one. 七天内可以退货。请保留包装！"
        >>> [text[start:end] for start, end in split_sentences(text, (0, len(text)))]
        ['Use No. 5, e.g. the red one.', '七天内可以退货。', '请保留包装！']
    """
    marks = (_END_OR_SEMICOLON if at_semicolons else _END).finditer(text, *span)
    return list(split_at(text, span, (mark.end() for mark in marks if _is_end(text, span, mark))))


def split_at(text: str, span: TextSpan, positions: Iterable[int]) -> Iterator[TextSpan]:
    """Yield what lies between positions of a span, without the white space around it.

    Example:
        >>> list(split_at("one two", (0, 7), [4]))
        [(0, 3), (4, 7)]
    """
    begin, last = span
    for position in (*positions, last):
        piece = text[begin:position]
        if stripped := piece.strip():
            start = begin + len(piece) - len(piece.lstrip())
            yield start, start + len(stripped)
        begin = position


def _is_end(text: str, span: TextSpan, mark: re.Match[str]) -> bool:
    if mark.group()[0] in "。！？；":
        return True
    start, last = span
    end = mark.end()
    if _GOES_ON.match(text, end, min(last, end + _MAX_GAP)):
        return False
    if mark.group()[0] != ".":
        return True
    before = text[max(start, end - _MAX_ABBREVIATION_CHARS) : end]
    if _ABBREVIATION.search(before) or _ITEM_NUMBER.search(text[max(start, end - _MAX_NUMBER_CHARS) : end]):
        return False
    return not (_NUMBERED.search(before) and _NUMBER.match(text, end, min(last, end + _MAX_GAP)))
