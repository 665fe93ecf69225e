"""A sentence as words, of which some are facts that must not be exchanged: numbers, names and denials."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llms.texts import HAN, fold_text
from retrievers import keyword_terms

Fact: TypeAlias = Literal["number", "name", "denial"]

CITED = re.compile(r"\[[\d\s,，、]+\]")  # [1], [1, 3]
_WORD = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+(?:['’][a-z]{{1,2}}\b)?")
_SURFACE = re.compile(r"[^\W_]+")
_SMALL = re.compile(r"\b[a-z]\w*")
_HAN_DENIAL = re.compile(r"[不没無无未非勿莫]|禁止")
_DENIALS = frozenset({"not", "no", "never", "none", "neither", "nor", "cannot", "without"})
_NUMBER_WORDS = frozenset(
    keyword_terms(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half twice"
    )
)
# words a sentence may begin with whatever the passages say: their capital letter makes them no name
_OPENERS = frozenset(
    keyword_terms(
        "a after all also an and any as at before both but by can do during each either every for from here how i if "
        "in it its many most my no not now of on once one only or our please since so some such take than thank that "
        "the their then there these they this those to use we what when where whether which while who why with without "
        "yes you your"
    )
)


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a sentence as the keyword index knows them, and for each which fact it is, if any.

    Attributes:
        names: the names as they are written, without regard to capitals.
    """

    words: tuple[str, ...]
    facts: tuple[Fact | None, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str, *, common: Collection[str] = ()) -> "Wording":
        """Return the wording of a sentence, without the numbers of passages it cites.

        Args:
            text: the sentence.
            common: words that are no names although a sentence begins with them.

        Example:
            >>> wording = Wording.of("Denver never paid $25 [1].")
            >>> [word for word, fact in zip(wording.words, wording.facts) if fact]
            ['denver', 'never', '25']
        """
        words: list[str] = []
        facts: list[Fact | None] = []
        names: list[str] = []
        for run in _WORD.findall(fold_text(CITED.sub("", text), keep_case=True)):
            pieces = list(keyword_terms(run))
            opens = not words and (pieces[:1] == [] or pieces[0] in _OPENERS or pieces[0] in common)
            words += pieces
            facts += [_fact(run, piece, opens=opens) for piece in pieces]
            if "name" in facts[len(facts) - len(pieces) :]:
                names.append(_SURFACE.findall(run)[0].casefold())
        return cls(tuple(words), tuple(facts), tuple(names))

    def told(self, *kinds: Fact) -> list[str]:
        """Return the words that are facts of these kinds, in order."""
        return [word for word, kind in zip(self.words, self.facts, strict=True) if kind in kinds]


def small_words(text: str) -> set[str]:
    """Return the words of a text that are written without a capital letter."""
    return {piece for word in _SMALL.findall(fold_text(text, keep_case=True)) for piece in keyword_terms(word)}


def _fact(run: str, piece: str, *, opens: bool) -> Fact | None:
    if piece.isdecimal() or piece in _NUMBER_WORDS:
        return "number"
    small = run.lower()
    if small in _DENIALS or small.endswith(("n't", "n’t")) or _HAN_DENIAL.search(piece):
        return "denial"
    return "name" if run[0].isupper() and not opens else None
