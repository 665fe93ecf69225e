"""Whether an answer says only what its passages say: numbers, names, most words of each sentence and their order."""

import itertools
import re
from collections.abc import Sequence

from langchain_core.documents import Document

from chains.customer_service.quoting import split_sentences
from retrievers.keyword import split_words

__all__ = ["find_unsupported"]

_MIN_WORD_SHARE = 0.75  # a sentence shortened or joined from a passage keeps more, one that was made up has less
_MIN_PAIR_SHARE = 0.4  # of neighbouring words: words of a passage thrown together have less
_MIN_WORDS = 3  # "Yes" or "C" rests on nothing
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"\b[A-Z]\w*")
_CITED = re.compile(r"\[[\d\s,，、]+\]")
_CONTENT = re.compile(r"\w{3,}|[\u4e00-\u9fff]+")
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


def find_unsupported(answer: str, passages: Sequence[Document]) -> str | None:
    """Return why an answer is not covered by the passages it rests on, or None if it is.

    Every number and name within a sentence must stand in the passages, a number in digits beside one of the words it
    stands beside there, and so must three quarters of the content words of each sentence and two fifths of its pairs of
    neighbouring words. The whole answer has three words at least. This is a check of words, not of meaning: it finds
    what was made up, neither a sentence turned into its opposite nor one that answers another question.

    Example:
        >>> page = Document("Gift cards are valid for five years and cost $2 extra.")
        >>> find_unsupported("Gift cards are valid for five years. [1]", [page])
        >>> find_unsupported("Gift cards are valid for three years. [1]", [page])
        "the number 'three' stands in no passage"
        >>> find_unsupported("Our chief executive likes poems. [1]", [page])
        "most words of 'Our chief executive likes poems.' stand in no passage"
    """
    known = "\n".join(passage.page_content for passage in passages)
    words = list(split_words(known))
    known_words, known_pairs = set(words), set(itertools.pairwise(words))
    known_numbers = set(_NUMBER.findall(known))
    said = _CITED.sub("", answer)
    if len(list(split_words(said))) < _MIN_WORDS:
        return "the answer is too short to rest on a passage"
    for sentence in split_sentences(Document(said)):
        for number in _NUMBER.findall(sentence.text):
            if number not in known_numbers:
                return f"the number {number!r} stands in no passage"
        if reason := _unsupported_words(sentence.text, known_words):
            return reason
        pairs = list(itertools.pairwise(split_words(sentence.text)))
        if number := _moved_number(pairs, known_pairs):
            return f"the number {number!r} stands beside other words in the passages"
        if sum(pair in known_pairs for pair in pairs) < _MIN_PAIR_SHARE * len(pairs):
            return f"{sentence.text!r} joins words that stand apart in the passages"
    return None


def _moved_number(pairs: Sequence[tuple[str, str]], known_pairs: set[tuple[str, str]]) -> str | None:
    numbers = {word for pair in pairs for word in pair if word.isdecimal()}
    at_home = {word for pair in pairs if pair in known_pairs for word in pair}
    return min(numbers - at_home, default=None)


def _unsupported_words(sentence: str, known_words: set[str]) -> str | None:
    for run in sentence.split():
        if unknown := next((word for word in split_words(run) if word in _NUMBER_WORDS - known_words), None):
            return f"the number {unknown!r} stands in no passage"
    _, *after_first = sentence.split(" ", 1)  # whose capital letter makes it no name
    for name in _NAME.findall("".join(after_first)):
        if not known_words.issuperset(split_words(name)):
            return f"the name {name!r} stands in no passage"
    content = [word for run in _CONTENT.findall(sentence) for word in split_words(run) if word not in _FUNCTION_WORDS]
    num_known = sum(word in known_words for word in content)
    if num_known < _MIN_WORD_SHARE * len(content):
        return f"most words of {sentence!r} stand in no passage"
    return None
