"""Names of groups of texts, taken from the words that tell them from other groups."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from chains.customer_service.learning.placeholders import without_placeholders
from llms.texts import fold_text, is_han
from retrievers import keyword_terms

_MAX_WORDS = 3
_MAX_TEXTS = 200  # of a group that are read: more change no name
_CHINESE_FILLER = re.compile(
    "一下|怎么|什么|可以|请问|你们|我们|为什么|怎么办|这个|那个|哪里|多少|没有|已经|还是|是不是|如何|能不能|现在|想要|知道"
    "|需要|一个|时候|不是|就是|还有|帮忙|告诉|麻烦"
)
# beside the stop words of scikit-learn: what people say whatever they want
_ENGLISH_FILLER = re.compile(
    "want|need|like|know|help|please|tell|possible|does|did|doing|going|way|sure|just|got|getting|trying|tried|able|use"
)
_LATIN_WORD = re.compile(r"[^\W\d_][^\W_]*(?:'[^\W\d_]+)?")


class GroupNames:
    """What groups are called: two or three words that are frequent in a group and rare in the others.

    Words are weighted by class-based TF-IDF, and stand in the order in which people say them.

    Args:
        groups: the texts of each group.

    References:
        Grootendorst, "BERTopic: Neural topic modeling with a class-based TF-IDF procedure", 2022.

    Example:
        >>> groups = [["Where is my parcel?", "the parcel is late"], ["refund my money", "I want a refund"]]
        >>> names = GroupNames(groups)
        >>> names.name(groups[1])
        'refund_money'
    """

    def __init__(self, groups: Iterable[Sequence[str]]) -> None:
        counts = [Counter(word for text in group[:_MAX_TEXTS] for word in set(_words(text))) for group in groups]
        self._totals: Counter[str] = Counter()
        for count in counts:
            self._totals.update(count)
        self._mean = sum(self._totals.values()) / max(len(counts), 1)

    def name(self, texts: Sequence[str]) -> str:
        """Return the name of a group, in the form of an intent."""
        shown = texts[:_MAX_TEXTS]
        counts = Counter(word for text in shown for word in set(_words(text)))
        if not counts:
            return "unnamed"
        weights = {word: count * math.log1p(self._mean / (self._totals[word] or 1)) for word, count in counts.items()}
        best = sorted(weights, key=lambda word: (-weights[word], word))
        least = 0.4 * weights[best[0]]  # a word that tells much less is no part of what the group is about
        chosen = [word for word in best[:_MAX_WORDS] if weights[word] >= least]
        places = {word: _mean_place(word, shown) for word in chosen}
        return "_".join(sorted(chosen, key=lambda word: (places[word], word)))


def unused_name(name: str, taken: Iterable[str]) -> str:
    """Return a name, or with a number behind it where it is taken.

    Example:
        >>> unused_name("refund", ["refund", "refund_2"])
        'refund_3'
    """
    known = set(taken)
    if name not in known:
        return name
    return next(found for number in range(2, len(known) + 3) if (found := f"{name}_{number}") not in known)


def _words(text: str) -> list[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    folded = fold_text(without_placeholders(text))
    found = [word for word in _LATIN_WORD.findall(folded) if len(word) > 2 and not is_han(word[0])]
    is_filler = ENGLISH_STOP_WORDS.__contains__
    latin = [word for word in found if not (is_filler(word) or _ENGLISH_FILLER.fullmatch(word) or "'" in word)]
    if not any(map(is_han, folded)):
        return latin
    terms = [term for term in keyword_terms(folded) if len(term) > 1 and all(map(is_han, term))]
    return [term for term in terms if not _CHINESE_FILLER.fullmatch(term)] + [word for word in latin if word.isascii()]


def _mean_place(word: str, texts: Sequence[str]) -> float:
    places = [folded.index(word) / len(folded) for text in texts if word in (folded := fold_text(text))]
    return sum(places) / len(places) if places else 1.0
