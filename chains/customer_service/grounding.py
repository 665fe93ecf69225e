"""Grounding of a sentence in passages: its numbers, names, denials, most of its words and their order."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from langchain_core.documents import Document

from chains.customer_service.quoting import Sentence, split_passage
from chains.customer_service.text_features import CITED, Wording, small_words
from llms.texts import HAN, fold_text
from retrievers import keyword_terms

_MIN_WORD_SHARE = 0.75  # a sentence shortened or joined from a passage keeps more, one that was made up has less
_MIN_PAIR_SHARE = 0.4  # of neighbouring words: words of a passage thrown together have less
_MIN_WORDS = 3  # "Yes" or "C" rests on nothing
_RUN = 4  # words in a row by which a fact is recognised in its place; three are often "in the" and the fact
_MAX_SUPPORTS = 3  # sentences of the passages that one sentence may join
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_HEADING = re.compile(r"^#{1,6}\s.*$", flags=re.MULTILINE)
_SURFACE = re.compile(r"[^\W_]+")
_CONTENT = re.compile(rf"\w{{3,}}|[{HAN}]+")
# the Chinese ones beside it: cutting words loads jieba, which an import must not
_FUNCTION_WORDS = frozenset(
    keyword_terms(
        "the and for with that this from are was you your our can will may must not but they them its have has"
    )
) | {"的", "了", "是"}


class Grounding:
    """The passages an answer may rest on, sentence by sentence.

    A sentence is supported if three sentences of the passages at most, with the headings of their articles, hold each
    of its numbers and names, three quarters of its content words and two fifths of its pairs of neighbouring words.
    Each number, name and denial must stand in a run of four words with its passage; numbers and names also may if the
    closest sentence has the same ones in the same order. No denial of the closest sentence may be missing. This is a
    check of words, not of meaning: it finds what was made up or exchanged, but not a sentence that answers another
    question.

    Example:
        >>> grounding = Grounding([Document("Gift cards are valid for five years and cost $2 extra.")])
        >>> [sentence.text for sentence in grounding.supports("Gift cards are valid for five years. [1]")]
        ['Gift cards are valid for five years and cost $2 extra.']
        >>> grounding.problem("Gift cards are valid for three years. [1]")
        "the number 'three' stands in no passage"
        >>> grounding.problem("Cards are not valid for five years. [1]")
        "the denial 'not' stands among other words in the passages"
    """

    def __init__(self, passages: Sequence[Document]) -> None:
        self._sentences = [sentence for passage in passages for sentence in split_passage(passage)]
        self._common = set[str]().union(*(small_words(sentence.text) for sentence in self._sentences))
        self._wordings = [Wording.of(sentence.text, common=self._common) for sentence in self._sentences]
        self._headings = [tuple(keyword_terms(_heading(sentence.passage))) for sentence in self._sentences]

    def supports(self, sentence: str) -> tuple[Sentence, ...]:
        """Return the sentences that support `sentence`, the closest first; empty if it is not supported."""
        said = Wording.of(sentence, common=self._common)
        closest = self._closest(said)
        return () if self._problem(sentence, said, closest) else tuple(self._sentences[index] for index in closest)

    def problem(self, sentence: str) -> str | None:
        """Return why `sentence` is not supported, or None if it is."""
        said = Wording.of(sentence, common=self._common)
        return self._problem(sentence, said, self._closest(said))

    def _closest(self, said: Wording) -> dict[int, int]:
        """Return the indices of the sentences that cover most of the words, with how many each adds, most first."""
        missing, pairs = set(said.words), set(itertools.pairwise(said.words))
        closest: dict[int, int] = {}
        while missing and len(closest) < _MAX_SUPPORTS:
            gains = [
                (len(missing.intersection(known.words)), len(pairs.intersection(itertools.pairwise(known.words))))
                for known in self._wordings
            ]
            best = max(range(len(gains)), key=gains.__getitem__, default=-1)
            if best < 0 or gains[best][0] == 0:
                break
            closest[best] = gains[best][0]
            missing -= set(self._wordings[best].words)
        return closest

    def _problem(self, sentence: str, said: Wording, closest: Mapping[int, int]) -> str | None:
        shown = CITED.sub("", sentence).strip()
        words = {word for index in closest for word in self._wordings[index].words}
        if not closest or (len(said.words) < _MIN_WORDS and not words.issuperset(said.words)):
            return f"{shown!r} is too short to rest on a passage" if is_short(sentence) else _unknown(shown)
        # a further sentence that adds a word or two is where an exchanged number or name comes from
        first, *others = closest
        main = [first, *(index for index in others if closest[index] >= _MIN_WORDS)]
        return (
            self._missing_fact(shown, said, main)
            or self._unknown_words(shown, closest)
            or self._moved(said, main)
            or self._thrown_together(shown, said, closest)
        )

    def _missing_fact(self, shown: str, said: Wording, main: Sequence[int]) -> str | None:
        """Return the first number or name that is nowhere, in words, or None."""
        words = {word for index in main for word in self._wordings[index].words}
        numbers = {number for index in main for number in _NUMBER.findall(self._sentences[index].text)}
        written = {word for index in main for word in _surfaces(self._sentences[index])}
        if missing := _first([number for number in _NUMBER.findall(shown) if number not in numbers]):
            return f"the number {missing!r} stands in no passage"
        if missing := _first([word for word in said.told("number") if word not in words]):
            return f"the number {missing!r} stands in no passage"
        if missing := _first([name for name in said.names if name not in written]):
            return f"the name {missing!r} stands in no passage"
        return None

    def _unknown_words(self, shown: str, closest: Mapping[int, int]) -> str | None:
        known = {word for index in closest for word in (*self._wordings[index].words, *self._headings[index])}
        content = [
            word
            for run in _CONTENT.findall(fold_text(shown))
            for word in keyword_terms(run)
            if word not in _FUNCTION_WORDS
        ]
        num_known = sum(word in known for word in content)
        return _unknown(shown) if num_known < _MIN_WORD_SHARE * len(content) else None

    def _thrown_together(self, shown: str, said: Wording, closest: Mapping[int, int]) -> str | None:
        """Return that neighbouring words stand apart in the passages, or that a denial is missing, or None."""
        pairs = list(itertools.pairwise(said.words))
        texts = [text for index in closest for text in (self._wordings[index].words, self._headings[index])]
        known_pairs = {pair for text in texts for pair in itertools.pairwise(text)}
        if sum(pair in known_pairs for pair in pairs) < _MIN_PAIR_SHARE * len(pairs):
            return f"{shown!r} joins words that stand apart in the passages"
        if len(said.told("denial")) < len(self._wordings[next(iter(closest))].told("denial")):
            return f"{shown!r} leaves out what the passage denies"
        return None

    def _moved(self, said: Wording, main: Sequence[int]) -> str | None:
        """Return that a fact of the sentence is said of something else in the passages, or None."""
        length = min(_RUN, len(said.words))
        runs = {run for index in main for run in _runs(self._wordings[index].words, length)}
        own = _runs(said.words, length)
        at_home = {start + step for start, run in enumerate(own) if run in runs for step in range(length)}
        # what is the same and in the same order in the closest sentence cannot be confused with anything there
        is_same = said.told("number", "name") == self._wordings[main[0]].told("number", "name")
        headings = {word for index in main for word in self._headings[index]}
        for index, (word, kind) in enumerate(zip(said.words, said.facts, strict=True)):
            if kind is None or index in at_home or (is_same and kind != "denial"):
                continue
            if kind != "name" or word not in headings:  # what the article is about may be named anywhere
                return f"the {kind} {word!r} stands among other words in the passages"
        return None


def find_unsupported(answer: str, passages: Sequence[Document]) -> str | None:
    """Return why an answer is not covered by the passages it rests on, or None if every sentence of it is.

    Example:
        >>> page = Document("Gift cards are valid for five years and cost $2 extra.")
        >>> find_unsupported("Gift cards are valid for five years. [1]", [page])
        >>> find_unsupported("Our chief executive likes poems. [1]", [page])
        "most words of 'Our chief executive likes poems.' stand in no passage"
    """
    grounding = Grounding(passages)
    sentences = [sentence.text for sentence in split_passage(Document(CITED.sub("", answer)))]
    if all(is_short(sentence) for sentence in sentences):
        return "the answer is too short to rest on a passage"
    return _first([problem for sentence in sentences if (problem := grounding.problem(sentence))])


def is_short(sentence: str) -> bool:
    """Return whether a sentence has too few words to be an answer by itself, such as "Yes"."""
    return len(list(keyword_terms(CITED.sub("", sentence)))) < _MIN_WORDS


def repeats_heading(sentence: str, passages: Sequence[Document]) -> bool:
    """Return whether a sentence says no more than a title or a heading does."""
    words = tuple(keyword_terms(CITED.sub("", sentence)))
    return any(words == tuple(keyword_terms(line)) for one in passages for line in _heading(one).splitlines())


def _surfaces(sentence: Sentence) -> set[str]:
    """Return the words as they are written, without regard to capitals: "Orient" is not what "Orientalism" says."""
    return set(_SURFACE.findall(fold_text(f"{sentence.text}\n{_heading(sentence.passage)}")))


def _heading(passage: Document) -> str:
    """Return the title of a passage's article and its headings, which name what its sentences speak of."""
    text, body_start = passage.page_content, int(passage.metadata.get("body_start", 0))
    return "\n".join([str(passage.metadata.get("title", "")), text[:body_start], *_HEADING.findall(text, body_start)])


def _runs(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[index : index + length]) for index in range(len(words) - length + 1))


def _first(found: Sequence[str]) -> str | None:
    return found[0] if found else None


def _unknown(sentence: str) -> str:
    return f"most words of {sentence!r} stand in no passage"
