"""Log-likelihood ratios of a few minutes of one topic, surge against baseline, corrected for spread."""

import math
from collections.abc import Sequence

import numpy as np

from chains.monitoring.baseline import SeasonalBaseline
from llms.arrays import DoubleArray

ODDS_RATIO = 2.2  # the rise of the share the test is made for; both smaller and larger ones are found
RATE_RATIO = 2.0  # the same for the number of negative posts
STEP_S = 600  # the evidence is weighed every ten minutes of event time
STEPS_PER_HOUR = 3600 // STEP_S


def raise_share(share: DoubleArray) -> DoubleArray:
    """Return the share during a surge of the size the test is made for.

    Example:
        >>> raise_share(np.array([0.1, 0.5])).round(3).tolist()
        [0.196, 0.688]
    """
    raised: DoubleArray = ODDS_RATIO * share / (1 - share + ODDS_RATIO * share)
    return raised


class LikelihoodRatios:
    """Gains of both tests under one baseline, looked up by cell of the week.

    A post of score q is worth log(q * p1 / p0 + (1 - q) * (1 - p1) / (1 - p0)). For labels of 0 and 1 this is
    the binomial log-likelihood ratio; for probabilities it weighs a doubtful post less, and its exponential
    still averages 1 in quiet times, calibrated or not. Each gain is divided by the spread beyond chance, the
    variance inflation of an hour, so that posts which follow each other do not count as independent.

    Args:
        baseline: what is usual.
    """

    def __init__(self, baseline: SeasonalBaseline) -> None:
        share = np.clip(baseline.share, 1e-4, 1 - 1e-4)
        raised = raise_share(share)
        share_spread = 1 + np.maximum(baseline.posts_rate - 1, 0) * baseline.correlation
        rate_spread = baseline.grain + baseline.extra_variance * baseline.rate
        # plain lists: one look-up per step is faster than with arrays
        self.share: list[float] = share.tolist()
        self.rate: list[float] = baseline.rate.tolist()
        self._if_negative: list[float] = (raised / share).tolist()
        self._if_other: list[float] = ((1 - raised) / (1 - share)).tolist()
        self._share_spread: list[float] = share_spread.tolist()
        self._rate_spread: list[float] = rate_spread.tolist()

    def weigh_share(self, cell: int, scores: Sequence[float]) -> float:
        """Return the gain of the share test from posts with these negative probabilities."""
        other = self._if_other[cell]
        slope = self._if_negative[cell] - other
        return sum([math.log(other + slope * score) for score in scores]) / self._share_spread[cell]

    def weigh_volume(self, cell: int, negatives: float) -> float:
        """Return the gain of the volume test from one step with this sum of negative probabilities."""
        expected = self.rate[cell] / STEPS_PER_HOUR
        gain = negatives * math.log(RATE_RATIO) - expected * (RATE_RATIO - 1)
        return gain / self._rate_spread[cell]
