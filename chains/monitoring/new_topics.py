"""New topics: groups of posts that belong to no known topic, with the words and posts that tell what they are about."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from llms.arrays import DoubleArray, FloatArray
from llms.texts import fold_text, is_chinese
from retrievers import keyword_terms

MIN_POSTS = 8  # of a topic; fewer are a coincidence
_NUM_DIRECTIONS = 15  # neighbourhoods in many dimensions are all alike
_MIN_COHESION = 0.15  # mean cosine of two posts of a topic, without what all posts have in common; unrelated ones: 0
_NUM_WORDS = 8
_MIN_WEIGHT = 2.0  # standard errors by which a word must stand out
_NUM_EXAMPLES = 3
_PRIOR = 0.5  # occurrences that each word is taken to have had more, inside and outside
_WORD = re.compile(r"[^\W_]+")
SEED = 20_260_301


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A group of posts that are alike.

    Attributes:
        words: that tell it from the other posts, the most telling first.
        posts: places of its posts among those that were given, the most typical first.
        num_typical: how many of these are shown as examples.
    """

    words: tuple[str, ...]
    posts: tuple[int, ...]
    num_typical: int = _NUM_EXAMPLES

    @property
    def examples(self) -> tuple[int, ...]:
        """Places of the most typical posts."""
        return self.posts[: self.num_typical]


def find_new_topics(texts: Sequence[str], vectors: FloatArray, *, min_posts: int = MIN_POSTS) -> list[NewTopic]:
    """Return the groups among posts, the largest first; most posts usually belong to none.

    Groups are where posts lie more densely than elsewhere, so that their number need not be known and what is about
    nothing in particular stays outside.

    Args:
        texts: of the posts, none twice.
        vectors: (posts, dimensions) of their meanings.
        min_posts: of a topic.

    References:
        Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates", PAKDD 2013.
    """
    if len(texts) < 2 * min_posts:
        return []
    from sklearn.cluster import HDBSCAN

    directions = _to_unit(np.asarray(vectors, dtype=np.float64))
    centred = _to_unit(directions - directions.mean(axis=0))
    points = _reduce(directions)
    labels = HDBSCAN(min_cluster_size=min_posts, copy=True).fit_predict(points)
    words = [Counter(_words(text)) for text in texts]
    topics: list[NewTopic] = []
    for label in range(labels.max() + 1):
        places = np.flatnonzero(labels == label)
        if _find_cohesion(centred[places]) < _MIN_COHESION:  # what is left over, and lies around all the others
            continue
        distances = np.linalg.norm(points[places] - points[places].mean(axis=0), axis=1)
        topics.append(NewTopic(_find_words(words, set(places.tolist())), tuple(places[distances.argsort()].tolist())))
    return sorted(topics, key=lambda topic: (-len(topic.posts), topic.posts))


def _reduce(vectors: DoubleArray) -> DoubleArray:
    """Return vectors of one length in the few directions in which they differ most.

    They get one length again in these: what is about nothing in particular would otherwise meet in the middle.
    """
    from sklearn.decomposition import PCA

    size = min(_NUM_DIRECTIONS, *vectors.shape)
    return _to_unit(PCA(size, random_state=SEED).fit_transform(vectors))


def _find_cohesion(vectors: DoubleArray) -> float:
    """Return the mean cosine of two different vectors of length one."""
    count = len(vectors)
    return float((np.square(vectors.sum(axis=0)).sum() - count) / (count * (count - 1)))


def _to_unit(vectors: DoubleArray) -> DoubleArray:
    unit: DoubleArray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _words(text: str) -> Iterator[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS as stop_words  # noqa: N811  # says what it is here

    for word in _WORD.findall(fold_text(text)):
        if is_chinese(word, min_share=0.5):
            yield from (term for term in keyword_terms(word) if len(term) > 1)
        elif len(word) > 2 and word not in stop_words:
            yield word


def _find_words(words: Sequence[Counter[str]], inside: set[int]) -> tuple[str, ...]:
    """Return the words with the highest log-odds of standing in a post inside, over their standard errors.

    References:
        Monroe, Colaresi and Quinn, "Fightin' words", Political Analysis 2008.
    """
    ours = Counter(word for place in inside for word in words[place])
    others = Counter(word for place, found in enumerate(words) if place not in inside for word in found)
    num_ours, num_others = len(inside), len(words) - len(inside)

    def weight(word: str) -> float:
        with_word, elsewhere = ours[word] + _PRIOR, others[word] + _PRIOR
        odds = math.log(with_word / (num_ours + 1 - with_word)) - math.log(elsewhere / (num_others + 1 - elsewhere))
        return odds / math.sqrt(1 / with_word + 1 / elsewhere)

    weights = {word: weight(word) for word in ours if ours[word] > 1}
    telling = [word for word in weights if weights[word] > _MIN_WEIGHT]
    return tuple(sorted(telling, key=lambda word: (-weights[word], word))[:_NUM_WORDS])
