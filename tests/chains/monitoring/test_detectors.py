from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.monitoring.baseline import SeasonalBaseline, find_cell, fit_baseline
from chains.monitoring.change_points import StepRecord, SurgeExtent, find_start
from chains.monitoring.detectors import CumulativeSum, SurgeDetector
from chains.monitoring.likelihood import LikelihoodRatios
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.representative_posts import CauseKeeper
from chains.monitoring.thresholds import find_thresholds
from chains.monitoring.windows import HourCounts, HourlyHistory
from tests.chains.monitoring.streams import make_posts, read_posts
from tests.waiting import cpu_seconds


def draw_counts(*, weeks=4, per_hour=10.0, correlation=0.0, seed=0, share_day_sd=0.0, rate_day_sd=0.0):
    random = np.random.default_rng(seed)
    hours = np.arange(weeks * 168)
    wave = np.cos(2 * np.pi * (hours % 24 - 2) / 24)
    by_day = np.random.default_rng(seed + 1).standard_normal((2, weeks * 7)).repeat(24, axis=1)
    share = 1 / (1 + np.exp(1.8 - 0.5 * wave - share_day_sd * by_day[0]))
    per_hour = per_hour * np.exp(rate_day_sd * by_day[1])
    if correlation:
        share = random.beta(share * (1 / correlation - 1), (1 - share) * (1 / correlation - 1))
    posts = random.poisson(per_hour * random.gamma(8, 1 / 8, len(hours)))
    negatives = random.binomial(posts, share).astype(float)
    return HourCounts(hours, posts.astype(float), negatives, negatives, negatives)


def grow(counts, a_day):
    """Counts of a topic whose level rises by this share a day, up to what it was in the end."""
    random = np.random.default_rng(9)
    level = (1 + a_day) ** ((counts.hours - counts.hours[-1]) / 24)
    posts, negatives = (
        random.binomial(values.astype(int), level).astype(float) for values in (counts.posts, counts.negatives)
    )
    return HourCounts(counts.hours, posts, negatives, negatives, negatives)


@pytest.mark.parametrize("weeks", [4, 8])
def test_the_usual_number_follows_a_trend(weeks):
    steady = draw_counts(weeks=weeks, per_hour=15)
    growing = fit_baseline(grow(steady, 0.03))
    last = fit_baseline(steady)
    assert growing.rate.mean() == pytest.approx(last.rate.mean(), rel=0.15)
    assert growing.posts_rate.mean() == pytest.approx(last.posts_rate.mean(), rel=0.1)
    assert growing.rate_day_sd < 0.2  # days that follow a trend do not vary
    without = grow(steady, 0.03).negatives.mean()
    assert without < 0.75 * growing.rate.mean()


def test_a_topic_without_a_trend_gets_none():
    ratios = [
        fit_baseline(draw_counts(weeks=6, per_hour=15, seed=seed, rate_day_sd=0.2)).rate.mean()
        / draw_counts(weeks=6, per_hour=15, seed=seed, rate_day_sd=0.2).negatives.mean()
        for seed in range(8)
    ]
    assert all(0.75 < ratio < 1.3 for ratio in ratios)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


def make_flat(share=0.15, posts_rate=10.0):
    flat = np.full(48, share)
    return SeasonalBaseline(
        share=flat,
        rate=flat * posts_rate,
        posts_rate=np.full(48, posts_rate),
        correlation=0.02,
        extra_variance=0.12,
        grain=1.0,
        low_score=0.0,
        high_score=1.0,
        share_sd=(0.05, 0.05),
        rate_sd=(0.05, 0.05),
    )


def test_the_baseline_finds_the_daily_wave_of_the_share():
    baseline = fit_baseline(draw_counts(per_hour=40))
    assert baseline.share[2] == pytest.approx(1 / (1 + np.exp(1.3)), abs=0.03)
    assert baseline.share[14] == pytest.approx(1 / (1 + np.exp(2.3)), abs=0.03)


def test_the_spread_between_hours_is_measured():
    calm, unruly = (fit_baseline(draw_counts(per_hour=40, correlation=c)).correlation for c in (0.0, 0.1))
    assert calm < 0.01
    assert unruly == pytest.approx(0.1, abs=0.03)


def test_the_spread_of_the_volume_is_measured():
    assert fit_baseline(draw_counts(per_hour=100)).extra_variance == pytest.approx(1 / 8, abs=0.05)


@pytest.mark.parametrize("name", ["share_day_sd", "rate_day_sd"])
@pytest.mark.parametrize("size", [0.0, 0.3, 0.5])
def test_what_the_hours_of_a_day_have_in_common_is_read_off_the_days(name, size):
    baseline = fit_baseline(draw_counts(per_hour=30, weeks=6, **{name: size}))
    other = "rate_day_sd" if name == "share_day_sd" else "share_day_sd"
    # a share that varies by day makes the number of negatives vary too
    allowed = 0.12 if name == "rate_day_sd" else size + 0.12
    assert getattr(baseline, name) == pytest.approx(size, abs=0.12)
    assert getattr(baseline, other) <= allowed


@pytest.mark.parametrize("weeks", [2, 5])
def test_the_spread_of_days_errs_on_the_side_of_fewer_alarms(weeks):
    drawn = [draw_counts(weeks=weeks, per_hour=15, seed=seed, rate_day_sd=0.3) for seed in range(0, 60, 3)]
    squares = [fit_baseline(counts).rate_day_sd ** 2 for counts in drawn]
    assert 1.1 * 0.3**2 < np.mean(squares) < 1.6 * 0.3**2  # though the fit has made the days more alike


def test_quiet_months_raise_as_many_alarms_as_the_budget_allows():
    """Alarms come in clusters where a fitted level is off; each of them counts, and not the months that have any."""
    baseline = replace(make_flat(posts_rate=15.0), rate_sd=(0.1, 0.09))
    threshold = find_thresholds(baseline, alarms_per_month=0.5)[1]
    assert (
        0.15 < count_volume_alarms(baseline, threshold, num_months=400) < 0.31
    )  # half of the budget is the other test's


def count_volume_alarms(baseline, threshold, *, num_months):
    """Alarms of the volume test in a quiet month; one is over after twelve hours."""
    random, table = np.random.default_rng(5), LikelihoodRatios(baseline)
    cost = table.weigh_volume(0, 0.0)
    gain = table.weigh_volume(0, 1.0) - cost
    level = baseline.rate[0] * np.exp(random.normal(0, baseline.rate_sd[0], num_months))
    value, paused, alarms = np.zeros(num_months), np.zeros(num_months, dtype=int), 0
    for _ in range(30 * 24):
        rate = level * random.gamma(1 / baseline.extra_variance, baseline.extra_variance, num_months)
        for _ in range(6):
            value = np.maximum(0.0, value + gain * random.poisson(rate / 6) + cost)
            value[paused > 0] = 0.0
            paused -= 1
            raised = value >= threshold
            value[raised], paused[raised] = 0.0, 72
            alarms += int(raised.sum())
    return alarms / num_months


@pytest.mark.parametrize(("name", "track"), [("share_day_sd", 0), ("rate_day_sd", 1)])
def test_days_that_differ_give_higher_thresholds(name, track):
    varied = replace(make_flat(), **{name: 0.3, "extra_variance": 0.2, "correlation": 0.03})
    usual = find_thresholds(make_flat(), alarms_per_month=0.5)
    assert find_thresholds(varied, alarms_per_month=0.5)[track] > 1.3 * usual[track]


def test_few_posts_give_a_flat_baseline_that_is_known_to_be_uncertain():
    few = fit_baseline(draw_counts(weeks=1, per_hour=0.3))
    many = fit_baseline(draw_counts(per_hour=40))
    assert np.ptp(few.share) < 0.2
    assert few.share_sd[0] > 3 * many.share_sd[0]


def test_a_topic_without_any_negative_post_has_a_baseline():
    hours, empty = np.arange(168), np.zeros(168)
    baseline = fit_baseline(HourCounts(hours, np.ones(168), empty, empty, empty))
    assert 0 < baseline.share.max() < 0.1
    assert all(np.isfinite(find_thresholds(baseline, alarms_per_month=0.5)))


def test_a_smaller_budget_gives_higher_thresholds():
    strict, lax = (find_thresholds(make_flat(), alarms_per_month=budget) for budget in (0.1, 2.0))
    assert strict[0] > lax[0]
    assert strict[1] > lax[1]


def test_an_uncertain_baseline_gives_higher_thresholds():
    unsure = SeasonalBaseline(
        **{name: getattr(make_flat(), name) for name in SeasonalBaseline.__slots__}
        | {"share_sd": (0.5, 0.3), "rate_sd": (0.5, 0.3)}
    )
    for sure, doubtful in zip(
        find_thresholds(make_flat(), alarms_per_month=1.0),
        find_thresholds(unsure, alarms_per_month=1.0),
        strict=True,
    ):
        assert doubtful > sure


def test_a_refit_takes_seconds_at_most():
    counts = draw_counts(per_hour=23.7, seed=8)
    assert cpu_seconds(lambda: SurgeDetector(fit_baseline(counts), alarms_per_month=0.77)) < 5  # 0.5 as a rule


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_doubtful_posts_say_less_than_clear_ones(scores):
    table = LikelihoodRatios(make_flat())
    clear = table.weigh_share(0, [1.0] * len(scores))
    assert table.weigh_share(0, [0.0] * len(scores)) <= table.weigh_share(0, scores) <= clear
    assert table.weigh_volume(0, sum(scores)) <= table.weigh_volume(0, float(len(scores)))


def test_evidence_of_the_usual_share_does_not_pile_up():
    table = LikelihoodRatios(make_flat())
    test = CumulativeSum(threshold=5.0)
    for step in range(500):
        test.add(step, table.weigh_share(0, [1.0] * 3 + [0.0] * 17))
    assert test.value == 0.0


@given(st.lists(st.floats(-5, 5), max_size=50))
def test_a_sum_never_falls_below_zero_and_its_excursion_is_the_part_above(gains):
    test = CumulativeSum(threshold=3.0)
    for step, gain in enumerate(gains):
        test.add(step, gain)
        assert test.value >= 0.0
        assert test.first_step <= step
    if test.value > 0:
        assert test.value == pytest.approx(sum(gains[test.first_step :]))


def test_an_outage_is_not_taken_for_a_quiet_topic():
    history = HourlyHistory(first_hour=0)
    for hour in [*range(100), *range(400, 500)]:
        history.add(hour, [0.0, 1.0])
    assert fit_baseline(history.collect()).posts_rate.min() == pytest.approx(2.0, rel=0.1)


def test_hours_of_a_surge_are_left_out():
    history = HourlyHistory(first_hour=0)
    for hour in range(200):
        history.add(hour, [1.0 if 150 <= hour < 160 else 0.0])
    history.mask(150, 159)
    assert history.collect().negatives.sum() == 0.0
    assert len(history.collect(before_hour=120).hours) == 120


def test_history_keeps_eight_weeks():
    history = HourlyHistory(first_hour=0)
    for hour in range(0, 3000, 2):
        history.add(hour, [1.0])
    counts = history.collect()
    assert (counts.hours[0], counts.hours[-1], len(counts.hours)) == (2998 - 1343, 2998, 1344)


@pytest.mark.parametrize(("day", "hour", "cell"), [(4, 0, 0), (9, 3, 27), (10, 23, 47), (11, 0, 0)])
def test_cells_tell_the_weekend_from_the_week(day, hour, cell):
    assert find_cell(day * 24 + hour) == cell


@pytest.mark.parametrize(
    ("time", "zone", "cell"),
    [
        ("2026-03-06T20:30:00+00:00", "Asia/Shanghai", 24 + 4),  # Friday evening there is Saturday
        ("2026-03-08T20:30:00+00:00", "Asia/Shanghai", 4),
        ("2026-03-27T12:10:00+00:00", "Europe/Berlin", 13),
        ("2026-03-30T12:10:00+00:00", "Europe/Berlin", 14),  # summer time
        ("2026-03-30T18:50:00+00:00", "Asia/Kolkata", 0),  # half an hour apart from the others
    ],
)
def test_cells_follow_the_clocks_of_a_zone(time, zone, cell):
    hour = int(datetime.fromisoformat(time).timestamp() // 3600)
    assert find_cell(hour, MonitoringOptions(time_zone=zone).zone) == cell


@pytest.mark.parametrize("name", ["Nowhere", "../etc/passwd", "", "a\0b"])
def test_a_zone_that_does_not_exist_is_refused(name):
    with pytest.raises(ValueError, match="time_zone must be a name"):
        MonitoringOptions(time_zone=name)


def test_causes_leave_out_reprints_and_cut_at_five():
    readings = [r for r in read_posts(make_posts(days=3)) if "terrible" in r.post.text][:12]
    reprint = readings[0].model_copy(
        update={"post": readings[0].post.model_copy(update={"id": "again", "text": readings[0].post.text.upper()})}
    )
    keeper = CauseKeeper("negative")
    for reading in [readings[0], reprint, *readings[1:]]:
        keeper.add(reading)
    causes = keeper.select(since_s=0.0, until_s=float("inf"))
    assert len(causes) == 5
    assert "again" not in [cause.id for cause in causes]


def test_the_start_and_the_end_of_a_surge_are_found():
    calm, surge = (StepRecord(0, 10, negatives, 1.5, 1.5) for negatives in (2.0, 7.0))
    records = [calm] * 20 + [surge] * 5 + [calm] * 9
    for track in ("share", "volume"):
        assert find_start(records[:25], track) == 20
        assert SurgeExtent(track, records[20:]).surge.posts == sum(record.posts for record in records[20:25])
