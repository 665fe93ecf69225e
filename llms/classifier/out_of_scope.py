"""Out-of-scope score: how alike a text is to the training texts, from four signals that fail on different texts.

No text from outside is needed to fit it, only training texts that were held out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from llms.arrays import FloatArray

NUM_NEIGHBOURS = 5
NUM_SIGNALS = 4
_FEW_ROWS = 20
_TWENTIETH = 1.645  # standard deviations below the mean of a normal variable where a twentieth of it lies


@dataclass(frozen=True, slots=True)
class ScopeModel:
    """Signs to a score between 0 and 1; 0.5 is as unlike the training texts as one held-out text in twenty.

    Attributes:
        centers: (signs,) means on held-out texts.
        spreads: (signs,) standard deviations on held-out texts.
        spread: standard deviation of the mean of the four standardised signs.
    """

    centers: tuple[float, ...]
    spreads: tuple[float, ...]
    spread: float

    @classmethod
    def fit(cls, signs: FloatArray) -> "ScopeModel":
        """Return the model of held-out in-scope texts; (texts, signs).

        Example:
            >>> rng = np.random.default_rng(0)
            >>> model = ScopeModel.fit(rng.normal(size=(400, NUM_SIGNALS)).astype(np.float32))
            >>> strange, usual = model.score(np.array([[-9.0] * NUM_SIGNALS, [0.0] * NUM_SIGNALS], dtype=np.float32))
            >>> bool(strange < 0.001), bool(usual > 0.9)
            (True, True)
        """
        centers = signs.mean(axis=0)
        # the spread of a few rows says little: a constant one must not make every other text a stranger
        shrinkage = max(0.0, 1.0 - len(signs) / _FEW_ROWS)
        assumed = np.abs(centers) / 10
        assumed[0] = (1 - centers[0]) / 4  # a cosine has room up to 1, of some encoders little
        spreads = np.maximum(signs.std(axis=0), 1e-3) + shrinkage * assumed
        combined = ((signs - centers) / spreads).mean(axis=1)
        return cls(
            tuple(float(value) for value in centers),
            tuple(float(value) for value in spreads),
            max(float(combined.std()), 0.25),
        )

    def score(self, signs: FloatArray, *, outside: FloatArray | None = None) -> FloatArray:
        """Return the scores of texts, (texts,) float32 between 0 and 1; (texts, signs) in.

        Args:
            outside: (texts,) how probably each belongs to no label, where the classifier has learnt such texts.
        """
        from scipy.special import ndtr

        standardised = (signs - np.array(self.centers)) / np.array(self.spreads)
        scores: FloatArray = ndtr(standardised.mean(axis=1) / self.spread + _TWENTIETH).astype(np.float32)
        return scores if outside is None else scores * (1 - outside)


def scope_signals(
    cosines: FloatArray, closeness: FloatArray, encoder_logits: FloatArray, lexical_scores: FloatArray
) -> FloatArray:
    """Return four signs that a text resembles the training texts, (texts, signs); larger is more alike.

    The mean cosine to the nearest training texts; the same less how close these are to their own neighbours, for
    some regions are denser than others; the log of the summed exponentials of the logits; the best score by
    character n-grams.

    Args:
        cosines: (texts, training texts).
        closeness: (training texts,), as `leave_one_out_similarity` returns it.
        encoder_logits: (texts, labels), before any scaling.
        lexical_scores: (texts, labels).

    References:
        Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022; Breunig et al., "LOF:
        identifying density-based local outliers", SIGMOD 2000; Liu et al., "Energy-based out-of-distribution
        detection", NeurIPS 2020.
    """
    k = min(NUM_NEIGHBOURS, cosines.shape[1])
    nearest_ids = np.argpartition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]  # (texts, k)
    nearest = np.take_along_axis(cosines, nearest_ids, axis=1).mean(axis=1)
    energy = logsumexp(encoder_logits, axis=1)
    signs = np.stack(
        [nearest, nearest - closeness[nearest_ids].mean(axis=1), energy, lexical_scores.max(axis=1)], axis=1
    )
    return signs.astype(np.float32)


def leave_one_out_similarity(vectors: FloatArray) -> FloatArray:
    """Return for each training text the mean cosine to its nearest others, (rows,); 1 for a single one."""
    if len(vectors) < 2:
        return np.ones(len(vectors), dtype=np.float32)
    k = min(NUM_NEIGHBOURS, len(vectors) - 1)
    closeness = np.zeros(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), 1024):
        cosines = vectors[start : start + 1024] @ vectors.T
        np.put_along_axis(cosines, np.arange(start, start + len(cosines))[:, None], -1.0, axis=1)  # not to itself
        closeness[start : start + 1024] = np.partition(cosines, cosines.shape[1] - k, axis=1)[:, -k:].mean(axis=1)
    return closeness
