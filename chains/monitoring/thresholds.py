"""Alarm thresholds that keep a false-alarm budget, from a seeded simulation of quiet months.

For each test, 30 quiet days are simulated many times from the fitted baseline: posts arrive by chance, their
share or number spreads between hours and between days as measured, and the true baseline differs from the fitted
one by as much as the fit is uncertain. Alarms are counted at several heights: where days differ, or a fit is off,
they come in clusters, and how many months have none says too little of how many the others have. The logarithm of
the alarm rate falls almost linearly with the threshold, so a line through the counts gives the threshold of any
budget. Parameters are rounded to a grid first, so that topics and days that are alike share one simulation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from chains.monitoring.baseline import SeasonalBaseline
from chains.monitoring.likelihood import RATE_RATIO, STEPS_PER_HOUR, raise_share
from llms.arrays import DoubleArray

NUM_MONTHS = 240
MONTH_H = 30 * 24
SEED = 20_240_301
RATES = np.array([0.15, 0.25, 0.4, 0.6, 0.9, 1.3])  # -log of the months without alarms, where they are counted
LOWEST = 1.0  # below this a single post could raise an alert
POSTS_SWING = 0.6  # how much the number of posts follows the day; the share test hardly depends on it

SPREAD_LEVELS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.5)
EXTRA_LEVELS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.5, 0.8, 1.3, 2.0, 3.0, 5.0)
ERROR_LEVELS = (0.0, 0.07, 0.14, 0.22, 0.35, 0.55, 0.9)
DAY_LEVELS = (0.0, 0.06, 0.12, 0.18, 0.24, 0.3, 0.36, 0.44, 0.55, 0.7)
SWING_LEVELS = (0.0, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class _ShareProfile:
    posts_rate: float
    share: float
    correlation: float
    scores: tuple[float, float]
    error: tuple[float, float]
    day_sd: float


@dataclass(frozen=True, slots=True)
class _VolumeProfile:
    rate: float
    extra_variance: float
    grain: float
    swing: float
    error: tuple[float, float]
    day_sd: float


def find_thresholds(baseline: SeasonalBaseline, *, alarms_per_month: float) -> tuple[float, float]:
    """Return the thresholds of the share test and of the volume test.

    Args:
        baseline: what both tests compare with.
        alarms_per_month: accepted false alarms of both tests together; each gets half.

    References:
        Lorden, "Procedures for reacting to a change in distribution", Annals of Mathematical Statistics 1971:
        why the run length grows exponentially with the threshold.
    """
    target = np.log(alarms_per_month / 2)
    share_line = _simulate_share(_round_share(baseline))
    volume_line = _simulate_volume(_round_volume(baseline))
    share, volume = (max(LOWEST, start + slope * target) for start, slope in (share_line, volume_line))
    return float(share), float(volume)


def _nearest(value: float, levels: tuple[float, ...]) -> float:
    return min(levels, key=lambda level: abs(level - value))


def _round_log(value: float, step: float = 0.25) -> float:
    return float(np.exp(np.round(np.log(max(value, 1e-3)) / step) * step))


def _round_error(error: tuple[float, float]) -> tuple[float, float]:
    return _nearest(error[0], ERROR_LEVELS), _nearest(error[1], ERROR_LEVELS)


def _round_share(baseline: SeasonalBaseline) -> _ShareProfile:
    posts_rate = float(baseline.posts_rate.mean())
    share = float(np.average(baseline.share, weights=baseline.posts_rate))
    odds = _round_log(share / (1 - share), 0.2)
    chance = max((baseline.high_score - share) * (share - baseline.low_score), 0.02 * share * (1 - share))
    of_days = (baseline.share_day_sd * share * (1 - share)) ** 2 / chance
    return _ShareProfile(
        posts_rate=_round_log(posts_rate),
        share=odds / (1 + odds),
        correlation=_nearest(max(0.0, baseline.correlation - of_days), SPREAD_LEVELS),
        scores=(round(baseline.low_score * 20) / 20, round(baseline.high_score * 10) / 10),
        error=_round_error(baseline.share_sd),
        day_sd=_nearest(baseline.share_day_sd, DAY_LEVELS),
    )


def _round_volume(baseline: SeasonalBaseline) -> _VolumeProfile:
    mean = float(baseline.rate.mean())
    return _VolumeProfile(
        rate=_round_log(mean),
        extra_variance=_nearest(baseline.extra_variance, EXTRA_LEVELS),
        day_sd=_nearest(baseline.rate_day_sd, DAY_LEVELS),
        grain=max(0.1, round(baseline.grain * 10) / 10),
        swing=_nearest(float(baseline.rate.std()) / mean * 2**0.5, SWING_LEVELS),
        error=_round_error(baseline.rate_sd),
    )


@lru_cache(maxsize=4096)
def _simulate_share(profile: _ShareProfile) -> tuple[float, float]:
    """Return start and slope of the threshold as a line over the log of the alarms per month."""
    random = np.random.default_rng(SEED)
    low = min(profile.scores[0], 0.8 * profile.share)
    high = max(profile.scores[1], 1.2 * profile.share, 0.5)
    logit = np.log(profile.share / (1 - profile.share)) + _draw_error(random, profile.error)
    logit = logit + _draw_days(random, profile.day_sd)
    true_share = 1 / (1 + np.exp(-logit))  # (hours, months)
    high_share = np.clip((true_share - low) / (high - low), 1e-6, 1 - 1e-6)
    if profile.correlation > 0:
        sharpness = 1 / profile.correlation - 1
        high_share = random.beta(high_share * sharpness, (1 - high_share) * sharpness)
    posts_rate = profile.posts_rate * _draw_day(POSTS_SWING)[:, None]
    raised = raise_share(np.array(profile.share))
    if_negative, if_other = raised / profile.share, (1 - raised) / (1 - profile.share)
    spread = 1 + np.maximum(posts_rate - 1, 0) * profile.correlation
    gains = [float(np.log(score * if_negative + (1 - score) * if_other)) for score in (high, low)]
    return _fit_line(
        _find_daily_maxima(
            random, (posts_rate * high_share, gains[0] / spread), (posts_rate * (1 - high_share), gains[1] / spread)
        )
    )


@lru_cache(maxsize=4096)
def _simulate_volume(profile: _VolumeProfile) -> tuple[float, float]:
    """Return start and slope of the threshold as a line over the log of the alarms per month."""
    random = np.random.default_rng(SEED)
    baseline = profile.rate * _draw_day(profile.swing)[:, None]  # (hours, 1)
    days = _draw_days(random, profile.day_sd)
    rate = baseline * np.exp(_draw_error(random, profile.error) + days - profile.day_sd**2 / 2)
    of_hours = profile.extra_variance - profile.day_sd**2
    if of_hours > 0:
        rate = rate * random.gamma(1 / of_hours, of_hours, size=rate.shape)
    spread = profile.grain + profile.extra_variance * baseline
    gain = profile.grain * np.log(RATE_RATIO) / spread
    cost = baseline / STEPS_PER_HOUR * (RATE_RATIO - 1) / spread
    return _fit_line(_find_daily_maxima(random, (rate / profile.grain, gain), cost=cost))


def _draw_day(swing: float) -> DoubleArray:
    hours = np.arange(MONTH_H)
    return 1 + swing * np.sin(2 * np.pi * (hours - 8) / 24)  # (hours,), mean 1


def _draw_error(random: np.random.Generator, error: tuple[float, float]) -> DoubleArray:
    """Return by how much the true logit or log rate lies above the fitted one: (hours, months)."""
    common, daily = error
    phase = random.uniform(0, 2 * np.pi, NUM_MONTHS)
    wave = np.cos(2 * np.pi * np.arange(MONTH_H)[:, None] / 24 + phase)
    sizes = random.standard_normal((2, NUM_MONTHS))
    errors: DoubleArray = common * sizes[0] + daily * 2**0.5 * sizes[1] * wave
    return errors


def _draw_days(random: np.random.Generator, day_sd: float) -> DoubleArray | float:
    """Return by how much each day lies above the usual one: (hours, months)."""
    if day_sd == 0:
        return 0.0
    days: DoubleArray = day_sd * random.standard_normal((MONTH_H // 24, NUM_MONTHS))
    return np.repeat(days, 24, axis=0)


def _find_daily_maxima(
    random: np.random.Generator, *arrivals: tuple[DoubleArray, DoubleArray | float], cost: DoubleArray | float = 0.0
) -> DoubleArray:
    """Return the highest value the statistic reaches on each simulated day: (days, months).

    Args:
        random: where the posts come from.
        arrivals: pairs of posts per hour (hours, months) and what each adds to the statistic (hours, 1).
        cost: what each step takes from it (hours, 1).
    """
    statistic = np.zeros(NUM_MONTHS)
    highest = np.zeros((MONTH_H // 24, NUM_MONTHS))
    shape = (MONTH_H, STEPS_PER_HOUR, NUM_MONTHS)
    change = np.zeros(shape) - np.reshape(cost, (-1, 1, 1))
    for rate, gain in arrivals:
        counts = random.poisson(np.broadcast_to((rate / STEPS_PER_HOUR)[:, None, :], shape))
        change += counts * np.reshape(gain, (-1, 1, 1))
    for day, steps in zip(highest, change.reshape(len(highest), -1, NUM_MONTHS), strict=True):
        for step in steps:
            statistic += step
            np.maximum(statistic, 0.0, out=statistic)
            np.maximum(day, statistic, out=day)
    return highest


def _fit_line(highest: DoubleArray) -> tuple[float, float]:
    """Return start and slope of the height over the log of the alarms per month that reach it.

    Args:
        highest: (days, months) of the statistic; a run of days above a height is one alarm.

    References:
        Smith and Weissman, "Estimating the extremal index", Journal of the Royal Statistical Society B 1994: why runs
        are counted, and not the steps above a height.
    """
    heights = np.quantile(highest.max(axis=0), np.exp(-RATES))
    above = highest > heights[:, None, None]
    begun = above[:, 0].sum(axis=1) + (above[:, 1:] & ~above[:, :-1]).sum(axis=(1, 2))
    # at low heights days run together, so fewer are counted than the months without any tell of
    rates = np.maximum(begun / NUM_MONTHS, RATES)
    slope, start = np.polyfit(np.log(rates), heights, 1)
    return float(start), float(min(slope, 0.0))
