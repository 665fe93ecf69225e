"""A linear text classifier over character n-grams: the baseline of every report, and half of the classifier.

It knows nothing of meaning, but it reads every script and shrugs at typing errors, which is where a small
sentence encoder is weak; the two together are better than either.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.classifier.ngrams import count_ngrams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


_NUM_FEATURES = 2**16
_NGRAM_LENGTHS = (1, 5)  # single characters carry meaning in Chinese, five are about an English word stem


class LexicalModel:
    """TF-IDF over hashed character n-grams within words, and one linear score per label.

    Attributes:
        idf: (features,) float32, how rare each n-gram is in the training texts.
        weights: (labels, features) float16.
        bias: (labels,) float32.
    """

    def __init__(self, *, idf: npt.NDArray[Any], weights: npt.NDArray[Any], bias: npt.NDArray[Any]) -> None:
        self.idf = idf
        self.weights = weights
        self.bias = bias

    @classmethod
    def fit(cls, texts: Sequence[str], label_ids: Sequence[int] | npt.NDArray[Any], *, seed: int = 0) -> "LexicalModel":
        """Return a linear support vector classifier fitted on the texts, one against the rest.

        Args:
            label_ids: one per text, or (texts, labels) 0 and 1 where several labels may apply.
        """
        counts = _count_ngrams(texts)
        num_texts = counts.shape[0]
        num_texts_with = np.bincount(counts.indices, minlength=_NUM_FEATURES)
        idf = (np.log((1 + num_texts) / (1 + num_texts_with)) + 1).astype(np.float32)
        weights, bias = _fit_linear(_weigh(counts, idf), np.asarray(label_ids), seed=seed)
        return cls(idf=idf, weights=weights.astype(np.float16), bias=bias.astype(np.float32))

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one signed distance per text and label, (texts, labels) float32; larger is likelier."""
        weighted = _weigh(_count_ngrams(texts), self.idf)
        scores: npt.NDArray[np.float32] = np.asarray(weighted @ self._dense_weights + self.bias, dtype=np.float32)
        return scores

    @functools.cached_property
    def _dense_weights(self) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(self.weights.T, dtype=np.float32)  # (features, labels)


def _fit_linear(
    rows: "csr_matrix", targets: npt.NDArray[Any], *, seed: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    from sklearn.svm import LinearSVC

    if targets.ndim == 2:
        return _fit_each(rows, targets, seed=seed)
    model = LinearSVC(C=1.0, random_state=seed).fit(rows, targets)
    weights, bias = model.coef_, model.intercept_
    if weights.shape[0] == 1:  # scikit-learn keeps one row for two labels
        weights, bias = np.vstack([-weights, weights]), np.concatenate([-bias, bias])
    return weights, bias


def _fit_each(rows: "csr_matrix", targets: npt.NDArray[Any], *, seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return a classifier for each column of `targets` by itself."""
    from sklearn.svm import LinearSVC

    weights = np.zeros((targets.shape[1], rows.shape[1]))
    bias = np.zeros(targets.shape[1])
    for label, column in enumerate(targets.T):
        if column.min() == column.max():  # always or never there: nothing to tell it by
            bias[label] = 1.0 if column.max() else -1.0
            continue
        model = LinearSVC(C=1.0, random_state=seed).fit(rows, column)
        weights[label], bias[label] = model.coef_[0], model.intercept_[0]
    return weights, bias


def _count_ngrams(texts: Sequence[str]) -> "csr_matrix":
    return count_ngrams(texts, lengths=_NGRAM_LENGTHS, num_features=_NUM_FEATURES)


def _weigh(counts: "csr_matrix", idf: npt.NDArray[np.float32]) -> "csr_matrix":
    """Return tf-idf rows of length 1 with sublinear term frequency, as scikit-learn's TfidfTransformer does."""
    weighted = counts.astype(np.float32)
    weighted.data = (1 + np.log(weighted.data)) * idf[weighted.indices]
    rows = np.repeat(np.arange(weighted.shape[0]), np.diff(weighted.indptr))
    lengths = np.sqrt(np.bincount(rows, weights=weighted.data * weighted.data, minlength=weighted.shape[0]))
    weighted.data = (weighted.data / lengths[rows]).astype(np.float32)
    return weighted
