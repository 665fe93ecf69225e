"""Whether a sentence says only what passages say: its numbers, names, most of its words, their order, and its "not"."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from langchain_core.documents import Document

from chains.customer_service.quoting import Sentence, split_sentences
from retrievers.keyword import split_words

__all__ = ["Grounding", "find_unsupported", "is_short"]

_MIN_WORD_SHARE = 0.75  # a sentence shortened or joined from a passage keeps more, one that was made up has less
_MIN_PAIR_SHARE = 0.4  # of neighbouring words: words of a passage thrown together have less
_MIN_WORDS = 3  # "Yes" or "C" rests on nothing
_RUN = 3  # words in a row, by which a number or a name is recognised where it stands
_MAX_SUPPORTS = 3  # sentences of the passages that one sentence may join
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"\b[A-Z]\w*")
_SMALL = re.compile(r"\b[a-z]\w*")
_CITED = re.compile(r"\[[\d\s,，、]+\]")
_HEADING = re.compile(r"^#{1,6}\s.*$", flags=re.MULTILINE)
_CONTENT = re.compile(r"\w{3,}|[\u4e00-\u9fff]+")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|\w+n['’]t)\b|[不没無无未非勿莫]|禁止", flags=re.IGNORECASE
)
_NUMBER_WORDS = frozenset(
    split_words(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half twice"
    )
)
# the Chinese ones beside it: cutting words loads jieba, which an import must not
_FUNCTION_WORDS = frozenset(
    split_words("the and for with that this from are was you your our can will may must not but they them its have has")
) | {"的", "了", "是"}

_OPENERS = frozenset(
    split_words(
        "a after all also an and any as at before both but by can do during each either every for from here how i if "
        "in it its many most my no not now of on once one only or our please since so some such take than thank that "
        "the their then there these they this those to use we what when where whether which while who why with without "
        "yes you your"
    )
)


class Grounding:
    """The passages an answer may rest on, sentence by sentence.

    A sentence is supported if three sentences of the passages at most, with the headings of their articles, hold each
    of its numbers and names, three quarters of its content words and two fifths of its pairs of neighbouring words.
    Each number and name must stand in a run of three words with its passage; or the closest sentence has no others
    of that kind, and all in the same order. And the sentence must deny something if the closest of them does. This is
    a check of words, not of meaning: it finds what was made up or exchanged, but not a sentence that answers another
    question.

    Example:
        >>> grounding = Grounding([Document("Gift cards are valid for five years and cost $2 extra.")])
        >>> [sentence.text for sentence in grounding.supports("Gift cards are valid for five years. [1]")]
        ['Gift cards are valid for five years and cost $2 extra.']
        >>> grounding.problem("Gift cards are valid for three years. [1]")
        "the number 'three' stands in no passage"
        >>> grounding.problem("Gift cards are not valid for five years. [1]")
        "'Gift cards are not valid for five years.' denies what the passage says, or the other way round"
    """

    def __init__(self, passages: Sequence[Document]) -> None:
        self._sentences = [sentence for passage in passages for sentence in split_sentences(passage)]
        self._words = [tuple(split_words(sentence.text)) for sentence in self._sentences]
        small = (word for sentence in self._sentences for word in _SMALL.findall(sentence.text))
        self._common = _OPENERS.union(*map(split_words, small))
        self._headings = [tuple(split_words(_heading(sentence.passage))) for sentence in self._sentences]

    def supports(self, sentence: str) -> tuple[Sentence, ...]:
        """Return the sentences that support `sentence`, the closest first; empty if it is not supported."""
        places = self._closest(sentence)
        return () if self._problem(sentence, places) else tuple(self._sentences[place] for place in places)

    def problem(self, sentence: str) -> str | None:
        """Return why `sentence` is not supported, or None if it is."""
        return self._problem(sentence, self._closest(sentence))

    def _closest(self, sentence: str) -> list[int]:
        """Return the places of the sentences that cover most of the words, each adding to those before it."""
        missing, places = set(split_words(_CITED.sub("", sentence))), list[int]()
        pairs = set(itertools.pairwise(split_words(_CITED.sub("", sentence))))
        while missing and len(places) < _MAX_SUPPORTS:
            gains = [
                (len(missing.intersection(words)), len(pairs.intersection(itertools.pairwise(words))))
                for words in self._words
            ]
            best = max(range(len(gains)), key=gains.__getitem__, default=-1)
            if best < 0 or gains[best][0] == 0:
                break
            places.append(best)
            missing -= set(self._words[best])
        return places

    def _problem(self, sentence: str, places: Sequence[int]) -> str | None:
        said = _CITED.sub("", sentence).strip()
        words = list(split_words(said))
        known_words = {word for place in places for word in self._words[place]}
        headings = {word for place in places for word in self._headings[place]}
        if len(words) < _MIN_WORDS and not known_words.issuperset(words):
            return f"{said!r} is too short to rest on a passage"
        texts = [words[place] for place in places for words in (self._words, self._headings)]
        known_pairs = {pair for text in texts for pair in itertools.pairwise(text)}
        numbers = {number for place in places for number in _NUMBER.findall(self._sentences[place].text)}
        if stray := next((number for number in _NUMBER.findall(said) if number not in numbers), None):
            return f"the number {stray!r} stands in no passage"
        if stray := next((name for name in self._name_words(said) if name not in known_words | headings), None):
            return f"the name {stray!r} stands in no passage"
        if reason := _unsupported_words(said, known_words, headings):
            return reason
        kinds: list[tuple[str, Callable[[str], list[str]], set[str]]] = [
            ("number", _number_words, set()),
            ("name", self._name_words, headings),  # what the article is about may be named anywhere
        ]
        for kind, found_in, free in kinds:
            if moved := self._moved(found_in(said), words, places, found_in, free=free):
                return f"the {kind} {moved!r} stands among other words in the passages"
        pairs = list(itertools.pairwise(words))
        if sum(pair in known_pairs for pair in pairs) < _MIN_PAIR_SHARE * len(pairs):
            return f"{said!r} joins words that stand apart in the passages"
        if _denies(said) not in {_denies(self._sentences[place].text) for place in places[:2]}:
            return f"{said!r} denies what the passage says, or the other way round"
        return None

    def _name_words(self, sentence: str) -> list[str]:
        """Return the words with a capital letter, but for a first one that is a common word."""
        words = [word for name in _NAME.findall(sentence) for word in split_words(name)]
        is_common = words and next(split_words(sentence), None) == words[0] and words[0] in self._common
        return words[1:] if is_common else words

    def _moved(
        self,
        said: Sequence[str],
        words: Sequence[str],
        places: Sequence[int],
        found_in: Callable[[str], list[str]],
        *,
        free: set[str],
    ) -> str | None:
        """Return a number or name of the sentence that the passages say of something else, or None."""
        runs = {run for place in places for run in _runs(self._words[place])}
        at_home = {word for run in _runs(words) if run in runs for word in run}
        closest = found_in(self._sentences[places[0]].text) if places else []
        if set(closest) <= set(said) and [word for word in said if word in closest] == closest:
            at_home.update(closest)  # nothing there to confuse it with
        return next((word for word in said if word not in at_home and word not in free), None)


def find_unsupported(answer: str, passages: Sequence[Document]) -> str | None:
    """Return why an answer is not covered by the passages it rests on, or None if every sentence of it is.

    Example:
        >>> page = Document("Gift cards are valid for five years and cost $2 extra.")
        >>> find_unsupported("Gift cards are valid for five years. [1]", [page])
        >>> find_unsupported("Our chief executive likes poems. [1]", [page])
        "most words of 'Our chief executive likes poems.' stand in no passage"
    """
    grounding = Grounding(passages)
    sentences = [sentence.text for sentence in split_sentences(Document(_CITED.sub("", answer)))]
    if all(is_short(sentence) for sentence in sentences):
        return "the answer is too short to rest on a passage"
    return next(filter(None, map(grounding.problem, sentences)), None)


def is_short(sentence: str) -> bool:
    """Return whether a sentence has too few words to be an answer by itself, such as "Yes"."""
    return len(list(split_words(_CITED.sub("", sentence)))) < _MIN_WORDS


def _heading(passage: Document) -> str:
    """Return the title of a passage's article and its headings, which name what its sentences speak of."""
    text, body_start = passage.page_content, int(passage.metadata.get("body_start", 0))
    return "\n".join([str(passage.metadata.get("title", "")), text[:body_start], *_HEADING.findall(text, body_start)])


def _denies(sentence: str) -> bool:
    return _NEGATION.search(sentence) is not None


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1))


def _number_words(sentence: str) -> list[str]:
    return [word for word in split_words(sentence) if word.isdecimal() or word in _NUMBER_WORDS]


def _unsupported_words(sentence: str, known_words: set[str], headings: set[str]) -> str | None:
    for run in sentence.split():
        if unknown := next((word for word in split_words(run) if word in _NUMBER_WORDS - known_words), None):
            return f"the number {unknown!r} stands in no passage"
    content = [word for run in _CONTENT.findall(sentence) for word in split_words(run) if word not in _FUNCTION_WORDS]
    num_known = sum(word in known_words or word in headings for word in content)
    if num_known < _MIN_WORD_SHARE * len(content):
        return f"most words of {sentence!r} stand in no passage"
    return None
