"""Documents by their words: BM25, with Chinese cut into words."""

import functools
import logging
import math
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["KeywordIndex", "split_words"]

_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_STEMMER_LOCK = threading.Lock()  # a stemmer keeps the word it works on in itself


class KeywordIndex:
    """BM25 over a fixed list of texts; built anew when the texts change.

    Example:
        >>> index = KeywordIndex(["red shoes", "blue sky"])
        >>> [place for place, _ in index.search("a shoe", k=2)]
        [0]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        corpus = [list(split_words(text)) for text in texts]
        self._words = [frozenset(words) for words in corpus]
        self._num_texts_with = Counter(word for words in self._words for word in words)
        self._index: Any = _bm25s().BM25()
        if self._num_texts_with:
            self._index.index(corpus, show_progress=False)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """Return (place in the list of texts, score) of at most `k` texts that share a word, best first."""
        words = [word for word in split_words(query) if word in self._num_texts_with]
        if not words:
            return []
        places, scores = self._index.retrieve([words], k=min(k, len(self._words)), show_progress=False)
        found = zip(places[0].tolist(), scores[0].tolist(), strict=True)
        return [(int(place), float(score)) for place, score in found if score > 0]

    def word_shares(self, query: str, places: Sequence[int]) -> list[float]:
        """Return for each text the share of the query's words that stand in it, in [0, 1], rare words counting more.

        Unlike a BM25 score it does not grow with the query, so that a threshold on it has a meaning.
        """
        weights = {word: self._rarity(word) for word in set(split_words(query))}
        total = sum(weights.values())
        if not total:
            return [0.0] * len(places)
        found = [sum(weight for word, weight in weights.items() if word in self._words[place]) for place in places]
        return [weight / total for weight in found]

    def _rarity(self, word: str) -> float:
        return math.log(1 + len(self._words) / (1 + self._num_texts_with[word]))


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, Chinese ones as cut by jieba, English ones by their stem.

    Example:
        >>> list(split_words("Returning shoes: 7天退货政策"))
        ['return', 'shoe', '7', '天', '退货', '政策']
    """
    for run in _WORD.findall(text.lower()):
        if _HAN.match(run):
            yield from (word for word in _chinese_cutter().cut_for_search(run) if word.strip())
        else:
            yield _stem(run)


@functools.lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    with _STEMMER_LOCK:
        stem: str = _stemmer().stemWord(word)
    return stem


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@functools.cache
def _bm25s() -> Any:
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.NOTSET)  # its import turns debug messages on for everyone
    return bm25s


@functools.cache
def _chinese_cutter() -> Any:
    import jieba

    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    # jieba keeps its dictionary as a file that can run code when it is read; never take one that others may write
    with tempfile.TemporaryDirectory() as private:
        cutter.tmp_dir = private
        cutter.initialize()
    return cutter
