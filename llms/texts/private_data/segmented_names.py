"""Chinese names by their place between the words of a sentence, where no title or cue stands beside them."""

import re
from collections.abc import Iterator, Sequence

from llms.texts.chinese_words import chinese_cutter
from llms.texts.private_data.name_tables import COMPOUND_SURNAMES, GIVEN_CHARACTERS, SINGLE_SURNAMES
from llms.texts.private_data.spans import Place
from llms.texts.scripts import HAN

_SURNAMES = SINGLE_SURNAMES | COMPOUND_SURNAMES
_CANDIDATE = re.compile(
    f"(?:{'|'.join(sorted(COMPOUND_SURNAMES))}|[{''.join(sorted(SINGLE_SURNAMES))}])"
    f"[{''.join(sorted(GIVEN_CHARACTERS))}]"
)
_RUN = re.compile(f"[{HAN}]+")
# words of sentences more often than surnames where one character follows
_MEASURES = frozenset("张章段方支项成盘卷双件安时于向万米来钱牛左高白乐金花路")
_COUNTS = frozenset("一二三四五六七八九十两几这那每第某哪半整多")
_GIVEN_CHARS = 2


def find_segmented_names(text: str) -> Iterator[Place]:
    """Yield surnames that are words of their own, with one or two characters of given names behind them.

    Names fall apart in a dictionary's words, their neighbours do not: 向 and 永强 stand alone in 昨天和向永强聊过.
    """
    for run in _RUN.finditer(text):
        if _CANDIDATE.search(run[0]):
            yield from _names(list(chinese_cutter().cut(run[0], HMM=False)), run.start())


def _names(words: Sequence[str], start: int) -> Iterator[Place]:
    place, number = start, 0
    while number < len(words):
        given = _given(words, number) if words[number] in _SURNAMES else 0
        length = sum(map(len, words[number : number + 1 + given]))
        if given:
            yield place, place + length
        place += length
        number += 1 + given


def _given(words: Sequence[str], number: int) -> int:
    """Return how many words behind a surname are its given name."""
    before = words[number - 1][-1] if number else ""
    following = words[number + 1 : number + 1 + _GIVEN_CHARS]
    if not following or before in _COUNTS or not set(following[0]) <= GIVEN_CHARACTERS:
        return 0
    if len(following[0]) == _GIVEN_CHARS:
        return 1
    if len(following[0]) > _GIVEN_CHARS:
        return 0
    if len(following) == _GIVEN_CHARS and len(following[1]) == 1 and following[1] in GIVEN_CHARACTERS:
        return 2
    return 0 if words[number] in _MEASURES else 1
