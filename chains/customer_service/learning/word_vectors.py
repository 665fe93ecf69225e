"""Vectors of texts by their words, for languages that an encoder does not read."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from llms.arrays import FloatArray
from llms.texts import fold_text, is_han
from retrievers import keyword_terms

_DIMENSIONS = 128
_SEED = 0


def word_vectors(texts: Sequence[str]) -> FloatArray:
    """Return unit vectors of texts by which words, and pairs of Chinese characters, they share; zeros without any.

    Args:
        texts: of one log: how rare a word is in them counts.

    Returns:
        (len(texts), dimension) float32, with at most 128 dimensions.

    References:
        Deerwester, Dumais, Furnas, Landauer and Harshman, "Indexing by latent semantic analysis", JASIS 1990.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(map(_terms, texts)):
        return np.zeros((len(texts), 1), dtype=np.float32)
    matrix = TfidfVectorizer(analyzer=_terms, sublinear_tf=True, dtype=np.float32).fit_transform(texts)
    dimensions = min(_DIMENSIONS, *(size - 1 for size in matrix.shape))
    if dimensions < 1:
        return np.ones((len(texts), 1), dtype=np.float32)
    vectors: FloatArray = TruncatedSVD(dimensions, random_state=_SEED).fit_transform(matrix).astype(np.float32)
    return unit_vectors(vectors)


def unit_vectors(vectors: FloatArray) -> FloatArray:
    """Return vectors of length one in the same directions; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0).astype(np.float32)
    return unit


def join_vectors(vectors: FloatArray, words: FloatArray, *, word_weight: float) -> FloatArray:
    """Return vectors whose cosines are the mean of those of both, with `word_weight` for the second one beside 1.

    Example:
        >>> one, other = np.eye(2, dtype=np.float32), np.ones((2, 1), dtype=np.float32)
        >>> joined = join_vectors(one, other, word_weight=1.0)
        >>> f"{joined[0] @ joined[1]:.1f}"
        '0.5'
    """
    share = word_weight / (1.0 + word_weight)
    return np.concatenate([np.sqrt(1 - share) * vectors, np.sqrt(share) * words], axis=1).astype(np.float32)


def _terms(text: str) -> list[str]:
    folded = fold_text(text)
    pairs = [first + second for first, second in pairwise(folded) if is_han(first) and is_han(second)]
    return [*keyword_terms(folded), *pairs]
