"""Seasonal baseline of a topic: share of negatives and number of negative posts, by hour and weekend.

Both are regressions on the same terms: two daily harmonics and the weekend. Ridge penalties draw the terms
to zero where a topic has few posts, so that a quiet topic gets a flat baseline instead of a wild one. The
number has a trend as well: it is that of the coming day, not of the middle of the history. The spread that is
left beyond chance is estimated too, because the tests must not take it for news.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chains.monitoring.windows import HourCounts
from llms.arrays import DoubleArray

NUM_CELLS = 48  # hour of the day, on weekdays and at weekends
HALF_LIFE_H = 28 * 24  # the weight of an hour halves in four weeks, so that slow change is followed

# Priors: the standard deviation on the logit or log scale that is plausible before any post is seen
TERM_SD = 0.5
INTERCEPT_SD = 1.5
USUAL_SHARE_LOGIT = -1.5  # 18 % negative
# Spread: value expected before any post is seen, and how much data outweighs it (inverse variance, halved)
USUAL_CORRELATION, CORRELATION_WEIGHT = 0.02, 5000.0
USUAL_EXTRA_VARIANCE, EXTRA_VARIANCE_WEIGHT = 0.15, 90.0
# What all hours of a day have in common: no more than this is believed before it is clearly seen
DAY_VARIANCE_SD = 0.05
MAX_DAY_VARIANCE = 0.5
# The trend of the log rate, a day: its standard deviation that is plausible before any post is seen
TREND_SD = 0.015
USUAL_DAY_VARIANCE, DAY_VARIANCE_DAYS = 0.03, 5.0  # of what days have in common, and how many days outweigh it
MIN_TREND_DAYS = 5


@dataclass(frozen=True, slots=True)
class SeasonalBaseline:
    """The usual share and rate of negatives, with how far they spread and how well they are known."""

    share: DoubleArray  # (48,) mean negative probability of a post
    rate: DoubleArray  # (48,) negative posts per hour, by sums of probabilities
    posts_rate: DoubleArray  # (48,) posts per hour
    correlation: float  # between posts of one hour: variance of the share is 1 + (n - 1) * correlation times chance
    extra_variance: float  # of the rate of an hour, relative: variance is grain * rate + this * rate²
    grain: float  # what one negative post adds to the rate's variance; below 1 for soft probabilities
    low_score: float  # mean negative probability of the posts more likely not negative
    high_score: float  # the same of the others
    share_sd: tuple[float, float]  # error of the logit: common to all hours, and varying over the day
    rate_sd: tuple[float, float]  # error of the log rate, the same two
    share_day_sd: float = 0.0  # of the logit between days, which `correlation` includes
    rate_day_sd: float = 0.0  # of the log rate between days, which `extra_variance` includes

    def dump(self) -> dict[str, Any]:
        """Return everything, as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "SeasonalBaseline":
        """Return the baseline that `dump` described."""
        arrays = {name: np.array(state[name]) for name in ("share", "rate", "posts_rate")}
        pairs = {name: tuple(state[name]) for name in ("share_sd", "rate_sd")}
        return cls(**{**state, **arrays, **pairs})


@lru_cache(maxsize=4096)
def find_cell(hour: int, zone: tzinfo = UTC) -> int:
    """Return which of the 48 cells an hour since the epoch belongs to, by the clocks of a zone.

    Example:
        >>> find_cell(0), find_cell(2 * 24 + 5)  # 1 January 1970 was a Thursday
        (0, 29)
    """
    local = datetime.fromtimestamp(hour * 3600 + 1800, zone)  # its middle, for zones of half hours
    return local.hour + (24 if local.weekday() >= 5 else 0)


def fit_baseline(counts: HourCounts, *, zone: tzinfo = UTC) -> SeasonalBaseline:
    """Return the baseline of one topic, learnt from its usable hours.

    Args:
        counts: at least one hour with a post.
        zone: whose day and weekend people follow.

    Example:
        >>> hours = np.arange(24 * 14)
        >>> flat = HourCounts(hours, np.full(336, 10.0), np.full(336, 2.0), np.full(336, 2.0), np.full(336, 2.0))
        >>> baseline = fit_baseline(flat)
        >>> baseline.share.round(2).min(), baseline.rate.round(1).max()
        (np.float64(0.2), np.float64(2.0))
    """
    cells = np.array([find_cell(hour, zone) for hour in counts.hours.tolist()], dtype=np.int64)
    days = _number_days(counts.hours, zone)
    weight = 0.5 ** ((counts.hours[-1] - counts.hours) / HALF_LIFE_H)
    low, high = _estimate_scores(counts)
    share, correlation, share_covariance = _fit_share(counts, cells, weight, (low, high))
    grain = min(1.0, max(0.05, _estimate_grain(counts, low, high)))
    fit = _fit_trending_rate(counts.negatives, cells, days, weight, grain)
    rate, extra = fit.rate, fit.extra_variance
    posts_rate = _fit_trending_rate(counts.posts, cells, days, weight, 1.0).rate
    emphasis = _sum_by_cell(cells, weight * counts.posts) + 1e-9
    share_day_sd = _find_share_day_sd(counts, days, share[cells], correlation, (low, high))
    expected = rate[cells] * fit.exposure
    variance = grain * expected + extra * expected**2
    rate_day_sd = _find_day_sd(days, counts.negatives - expected, variance, expected, num_fitted=3)
    # days that differ say less of the usual level than as many hours would
    per_day = float(np.square(np.bincount(days, weight)).sum() / weight.sum() ** 2)
    share_sd, rate_sd = _summarise_error(share_covariance, emphasis), _summarise_error(fit.covariance, rate)
    return SeasonalBaseline(
        share=share,
        rate=rate,
        posts_rate=posts_rate,
        correlation=correlation,
        extra_variance=extra,
        grain=grain,
        low_score=low,
        high_score=high,
        share_sd=((share_sd[0] ** 2 + per_day * share_day_sd**2) ** 0.5, share_sd[1]),
        rate_sd=((rate_sd[0] ** 2 + per_day * rate_day_sd**2 + fit.trend_sd**2) ** 0.5, rate_sd[1]),
        share_day_sd=share_day_sd,
        rate_day_sd=rate_day_sd,
    )


def _number_days(hours: NDArray[np.int64], zone: tzinfo) -> NDArray[np.int64]:
    days = [datetime.fromtimestamp(hour * 3600 + 1800, zone).toordinal() for hour in hours.tolist()]
    return np.array(days, dtype=np.int64) - days[0]


def _make_terms() -> DoubleArray:
    hour = np.arange(NUM_CELLS) % 24
    angle = 2 * np.pi * hour / 24
    waves = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    weekend = np.arange(NUM_CELLS) >= 24
    return np.column_stack([np.ones(NUM_CELLS), *waves, weekend])  # (48, 6)


TERMS = _make_terms()
PENALTY = np.array([1 / INTERCEPT_SD**2, *[1 / TERM_SD**2] * 5])


def _sum_by_cell(cells: NDArray[np.int64], values: DoubleArray) -> DoubleArray:
    sums: DoubleArray = np.bincount(cells, weights=values, minlength=NUM_CELLS).astype(np.float64)
    return sums


def _estimate_scores(counts: HourCounts) -> tuple[float, float]:
    """Return the mean score of the lower and of the higher posts, each drawn slightly to 0 and 1."""
    high_posts, high_sum = counts.high_posts.sum(), counts.high_negatives.sum()
    low_posts, low_sum = counts.posts.sum() - high_posts, counts.negatives.sum() - high_sum
    return float(low_sum / (low_posts + 1.0)), float((high_sum + 1.0) / (high_posts + 1.0))


def _estimate_grain(counts: HourCounts, low: float, high: float) -> float:
    """Return mean square over mean of the scores, as if each were `low` or `high`."""
    high_posts = counts.high_posts.sum()
    low_posts = counts.posts.sum() - high_posts
    total = low_posts * low + high_posts * high
    return float((low_posts * low**2 + high_posts * high**2) / total) if total > 0 else 1.0


def _fit_share(
    counts: HourCounts, cells: NDArray[np.int64], weight: DoubleArray, scores: tuple[float, float]
) -> tuple[DoubleArray, float, DoubleArray]:
    """Return share by cell, correlation within an hour, and the covariance of the coefficients."""
    from scipy.special import expit

    low, high = scores
    correlation = USUAL_CORRELATION
    for _ in range(2):  # the spread needs the fit and the fit needs the spread; the second round settles it
        deflated = weight / (1 + np.maximum(counts.posts - 1, 0) * correlation)
        posts = _sum_by_cell(cells, deflated * counts.posts)
        negatives = _sum_by_cell(cells, deflated * counts.negatives)

        def slopes(
            logit: DoubleArray, posts: DoubleArray = posts, negatives: DoubleArray = negatives
        ) -> tuple[DoubleArray, DoubleArray]:
            share = expit(logit)
            return negatives - posts * share, posts * share * (1 - share)

        coefficients, covariance = _solve(slopes, start=USUAL_SHARE_LOGIT)
        share = expit(TERMS @ coefficients)
        # a two-valued score between low and high has this variance; a share at their edge has almost none
        variance = np.maximum((high - share) * (share - low), 0.02 * share * (1 - share))
        correlation = _estimate_correlation(counts, share[cells], variance[cells])
    return share, correlation, covariance


def _estimate_correlation(counts: HourCounts, share: DoubleArray, variance: DoubleArray) -> float:
    seen = counts.posts > 1
    posts = counts.posts[seen]
    squares = (counts.negatives[seen] - posts * share[seen]) ** 2 / (posts * variance[seen])
    weight = (posts - 1) / (1 + (posts - 1) * USUAL_CORRELATION) ** 2
    excess = float((weight * (squares - 1)).sum())
    scale = float((weight * (posts - 1)).sum())
    estimate = (excess + CORRELATION_WEIGHT * USUAL_CORRELATION) / (scale + CORRELATION_WEIGHT)
    return min(0.5, max(0.0, estimate))


def _find_share_day_sd(
    counts: HourCounts, days: NDArray[np.int64], share: DoubleArray, correlation: float, scores: tuple[float, float]
) -> float:
    low, high = scores
    chance = np.maximum((high - share) * (share - low), 0.02 * share * (1 - share))
    variance = counts.posts * chance * (1 + np.maximum(counts.posts - 1, 0) * correlation)
    slopes = counts.posts * share * (1 - share)
    return _find_day_sd(days, counts.negatives - counts.posts * share, variance, slopes, num_fitted=2)


def _find_day_sd(
    days: NDArray[np.int64], residuals: DoubleArray, variances: DoubleArray, slopes: DoubleArray, *, num_fitted: int
) -> float:
    """Return the standard deviation of what all hours of a day have in common, read off the sums of days.

    Hours that vary apart cancel out in a day, and hours that vary together do not. An estimate that few posts bear out
    is drawn to zero.

    Args:
        days: (hours,) number of the day.
        residuals: (hours,) what was seen, less what was expected.
        variances: (hours,) of the residuals, with what is common.
        slopes: (hours,) by how much the expected rises where the common part is 1.
        num_fitted: what was fitted to the days: their level and weekend, and maybe their trend.
    """
    total, spread, slope, alone = (np.bincount(days, values) for values in (residuals, variances, slopes, slopes**2))
    scale = float((slope**2 - alone).sum())
    if scale <= 0:
        return 0.0
    seen = float((total**2 - spread).sum()) / scale
    seen *= len(total) / max(1, len(total) - num_fitted)  # the fit has followed the days, and so made them more alike
    error = 2 * float((spread**2).sum()) / scale**2
    believed = seen * DAY_VARIANCE_SD**2 / (DAY_VARIANCE_SD**2 + error)
    believed *= 1 + (2 / len(total)) ** 0.5  # its own error, on the side that raises fewer false alarms
    return math.sqrt(min(MAX_DAY_VARIANCE, max(0.0, believed)))


@dataclass(frozen=True, slots=True)
class _RateFit:
    """Values per hour, as of the coming day.

    Attributes:
        rate: (48,) by cell.
        extra_variance: of an hour, relative.
        covariance: of the coefficients.
        exposure: (hours,) by how much the level of each hour was lower or higher than the coming day's.
        trend_sd: error of the log rate of the coming day that comes from the error of the trend.
    """

    rate: DoubleArray
    extra_variance: float
    covariance: DoubleArray
    exposure: DoubleArray
    trend_sd: float


def _fit_trending_rate(
    values: DoubleArray, cells: NDArray[np.int64], days: NDArray[np.int64], weight: DoubleArray, grain: float
) -> _RateFit:
    exposure = np.ones(len(values))
    ages = days - days[-1] - 1.0  # in days, before the coming one
    trend_sd = 0.0
    rate, extra, covariance = _fit_rate(values, cells, weight, grain, exposure)
    for _ in range(2):  # the trend needs the season and the season needs the trend; the second round settles it
        slope, slope_sd, mean_age = _fit_trend(values, rate[cells], days, ages, weight, grain)
        exposure = np.exp(np.clip(slope * ages, -5.0, 5.0))
        trend_sd = slope_sd * mean_age
        rate, extra, covariance = _fit_rate(values, cells, weight, grain, exposure)
    return _RateFit(rate, extra, covariance, exposure, trend_sd)


def _fit_trend(
    values: DoubleArray,
    season: DoubleArray,
    days: NDArray[np.int64],
    ages: DoubleArray,
    weight: DoubleArray,
    grain: float,
) -> tuple[float, float, float]:
    """Return the slope of the log level a day, its standard deviation, and the mean age of what it is read off.

    A regression of the sums of days on the season and a line, whose slope is drawn to zero by as much as days differ.

    Args:
        values: (hours,) what was seen.
        season: (hours,) what the season alone lets expect, at any level.
        days: (hours,) number of the day.
        ages: (hours,) in days, negative.
        weight: (hours,) how much an hour counts.
        grain: variance of a value over its mean.
    """
    numbers = np.flatnonzero(np.bincount(days))
    if len(numbers) < MIN_TREND_DAYS:
        return 0.0, 0.0, 0.0

    def sum_by_day(column: DoubleArray) -> DoubleArray:
        return np.bincount(days, column)[numbers].astype(np.float64)

    seen, expected, count = sum_by_day(values), sum_by_day(season), sum_by_day(np.ones(len(values)))
    age, heavy = sum_by_day(ages) / count, sum_by_day(weight) / count
    line = np.column_stack([np.ones(len(numbers)), age - np.average(age, weights=heavy)])
    coefficients = np.array([np.log((seen.sum() + 0.5) / (expected.sum() + 0.5)), 0.0])
    dispersion = 1.0
    for _ in range(15):
        mean = expected * np.exp(np.clip(line @ coefficients, -5.0, 5.0))
        spread = grain + USUAL_DAY_VARIANCE * mean  # over the mean
        squares = float((heavy * (seen - mean) ** 2 / (mean * spread)).sum() / heavy.mean())
        dispersion = (squares + DAY_VARIANCE_DAYS) / (len(numbers) - 2 + DAY_VARIANCE_DAYS)
        penalty = np.diag([0.0, dispersion / TREND_SD**2])
        curvature = (line.T * (heavy * mean / spread)) @ line + penalty
        change = np.linalg.solve(curvature, line.T @ (heavy * (seen - mean) / spread) - penalty @ coefficients)
        coefficients = coefficients + np.clip(change, -0.5, 0.5)
        if np.abs(change).max() < 1e-6:
            break
    variance = dispersion * np.linalg.inv(curvature)[1, 1]
    return float(coefficients[1]), float(variance) ** 0.5, float(-np.average(age, weights=heavy))


def _fit_rate(
    values: DoubleArray, cells: NDArray[np.int64], weight: DoubleArray, grain: float, exposure: DoubleArray
) -> tuple[DoubleArray, float, DoubleArray]:
    """Return values per hour by cell, their extra variance, and the covariance of the coefficients."""
    start = float(np.log((values.sum() + 0.5) / (exposure.sum() + 1)))
    extra = USUAL_EXTRA_VARIANCE
    hours = _sum_by_cell(cells, weight * exposure)
    sums = _sum_by_cell(cells, weight * values)
    for _ in range(2):

        def slopes(log_rate: DoubleArray, extra: float = extra) -> tuple[DoubleArray, DoubleArray]:
            rate = np.exp(np.clip(log_rate, -12, 12))
            spread = grain + extra * rate
            return (sums - hours * rate) / spread, hours * rate / spread

        coefficients, covariance = _solve(slopes, start=start)
        rate = np.exp(np.clip(TERMS @ coefficients, -12, 12))
        expected = rate[cells] * exposure
        excess = float(((values - expected) ** 2 - grain * expected).sum())
        scale = float((expected**2).sum())
        extra = (excess + EXTRA_VARIANCE_WEIGHT * USUAL_EXTRA_VARIANCE) / (scale + EXTRA_VARIANCE_WEIGHT)
        extra = min(5.0, max(0.0, extra))
    return rate, extra, covariance


def _solve(
    slopes: Callable[[DoubleArray], tuple[DoubleArray, DoubleArray]], *, start: float
) -> tuple[DoubleArray, DoubleArray]:
    """Return coefficients and covariance of a penalised regression by Newton's method.

    Args:
        slopes: linear predictor by cell -> first derivative and weight by cell.
        start: where the intercept starts and where its penalty draws it.
    """
    centre = np.zeros(TERMS.shape[1])
    centre[0] = start
    coefficients = centre.copy()
    for _ in range(25):
        first, weight = slopes(TERMS @ coefficients)
        curvature = (TERMS.T * weight) @ TERMS + np.diag(PENALTY)
        gradient = TERMS.T @ first - PENALTY * (coefficients - centre)
        change = np.linalg.solve(curvature, gradient)
        coefficients = coefficients + np.clip(change, -1.5, 1.5)  # keeps early steps from overshooting
        if np.abs(change).max() < 1e-6:
            break
    return coefficients, np.linalg.inv(curvature).astype(np.float64)


def _summarise_error(covariance: DoubleArray, emphasis: DoubleArray) -> tuple[float, float]:
    """Return the error common to all cells and the rest, as standard deviations of the predictor."""
    emphasis = emphasis / emphasis.sum()
    mean_terms = emphasis @ TERMS
    common = float(mean_terms @ covariance @ mean_terms)
    whole = float(emphasis @ np.einsum("ij,jk,ik->i", TERMS, covariance, TERMS))
    return common**0.5, max(0.0, whole - common) ** 0.5
