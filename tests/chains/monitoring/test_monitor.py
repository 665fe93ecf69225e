import random
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from chains.errors import ChainInputError
from chains.monitoring import MonitoringOptions, OpinionMonitor, Post, Reading, Trend
from chains.monitoring.detectors import SurgeDetector
from chains.monitoring.event_time import PostIntake
from chains.monitoring.windows import NUM_HOURS
from llms.classifier.results import Classification
from tests.chains.monitoring.streams import MONDAY, make_posts, read_posts

SURGE_AT_H = 17 * 24 + 6  # Thursday, 06:00


def observe(monitor, readings):
    """What was admitted of the posts, and what their readings brought."""
    by_id = {reading.post.id: reading for reading in readings}
    admitted = monitor.admit([reading.post for reading in readings])
    return admitted, monitor.process([by_id[post.id] for post in admitted.posts])


def run(readings, **options):
    """What was admitted of a whole stream, and its alerts."""
    monitor = OpinionMonitor(MonitoringOptions(**options))
    admitted, progress = observe(monitor, readings)
    return admitted, [*progress.alerts, *monitor.finish().alerts]


def opened(events):
    return [alert for alert in events if alert.state == "open"]


@pytest.fixture(scope="module")
def surge_readings():
    return read_posts(make_posts(days=22, per_hour=5, surge_at_h=SURGE_AT_H))


@pytest.fixture(scope="module")
def surge_events(surge_readings):
    return run(surge_readings)[1]


@pytest.mark.parametrize(
    ("per_hour", "seed"),
    [(0.7, 1), (4.0, 1), *(pytest.param(*case, marks=pytest.mark.nightly) for case in product((0.7, 4.0), (2, 3)))],
)
def test_a_quiet_stream_raises_nothing_in_thirty_days(per_hour, seed):
    _, events = run(read_posts(make_posts(days=37, per_hour=per_hour, seed=seed)), false_alarms_per_topic_month=0.02)
    assert events == []


def test_a_surge_is_raised_once_within_six_hours_and_closes(surge_events):
    alerts = opened(surge_events)
    assert len(alerts) == 1
    start = MONDAY + timedelta(hours=SURGE_AT_H)
    assert start < alerts[0].raised_at <= start + timedelta(hours=6)
    assert abs(alerts[0].since - start) <= timedelta(hours=3)
    closed = surge_events[-1]
    assert (closed.id, closed.state) == (alerts[0].id, "closed")
    assert start + timedelta(hours=24) < closed.closed_at < start + timedelta(hours=36)


def test_an_alert_explains_itself(surge_events):
    alert = surge_events[0]
    assert alert.negative_share > 0.4 > 0.3 > alert.baseline_share
    assert 1 <= len(alert.causes) <= 5
    assert all("terrible" in cause.text and cause.time >= alert.since for cause in alert.causes)
    assert f"since {alert.since:%Y-%m-%d %H:%M} UTC, usual" in alert.reason
    assert f"of {alert.size} posts" in alert.reason
    assert f"negative share {alert.negative_share:.0%}".replace("%", " %") in alert.reason


def test_a_closed_alert_tells_the_size_of_the_surge_and_not_of_the_time_after(surge_events):
    assert surge_events[-1].size > 2 * surge_events[0].size
    assert surge_events[-1].negative_share > 0.4


def test_more_posts_at_the_usual_share_raise_the_volume_track():
    quiet = make_posts(days=20)
    extra = make_posts(word="fee and app", days=0.5, per_hour=15, start=MONDAY + timedelta(days=16), seed=5)
    _, events = run(read_posts(sorted(quiet + extra, key=lambda post: post.time)))
    assert [(alert.track, alert.topic) for alert in opened(events)] == [("volume", "app")]
    assert "negative posts since" in events[0].reason


def test_a_surge_in_the_warm_up_is_silent():
    _, events = run(read_posts(make_posts(days=7, surge_at_h=60)))
    assert events == []


def test_too_few_posts_never_alarm():
    _, events = run(read_posts(make_posts(days=22, surge_at_h=SURGE_AT_H)), min_posts=100_000)
    assert events == []


def test_too_few_negative_posts_never_alarm(surge_readings):
    _, events = run(surge_readings, min_negative_posts=10_000)
    assert events == []


def test_one_topic_never_influences_another(surge_readings, surge_events):
    calm = read_posts(make_posts(word="fee", days=22, seed=9))
    _, events = run(sorted(surge_readings + calm, key=lambda reading: reading.post.time))
    assert [alert for alert in events if alert.topic == "app"] == surge_events
    assert not [alert for alert in events if alert.topic == "fees"]


def test_order_within_the_lateness_does_not_matter(surge_readings, surge_events):
    chance = random.Random(4)
    jittered = sorted(surge_readings, key=lambda reading: reading.post.time.timestamp() + chance.uniform(0, 600))
    assert jittered != surge_readings
    admitted, events = run(jittered)
    assert (events, admitted.set_aside) == (surge_events, ())


def test_readings_are_released_by_time_though_each_part_belongs_before_the_end_of_the_last(surge_readings):
    chance = random.Random(4)
    jittered = sorted(surge_readings[:200], key=lambda reading: reading.post.time.timestamp() + chance.uniform(0, 600))
    intake = PostIntake(MonitoringOptions(), clock=lambda: datetime(2027, 1, 1, tzinfo=UTC))
    released = []
    for reading in jittered:
        assert intake.admit(reading.post) == "new"
        intake.hold(reading)
        released += intake.release()
    released += intake.release(everything=True)
    assert released == surge_readings[:200]


def test_repeats_are_counted_and_change_nothing(surge_readings, surge_events):
    doubled = [reading for reading in surge_readings for _ in range(2)]
    admitted, events = run(doubled)
    assert events == surge_events
    assert admitted.duplicates == len(surge_readings)


def test_a_late_post_is_set_aside_and_counted():
    early, *_, before, earlier, last = read_posts(make_posts(days=1))
    admitted = OpinionMonitor().admit([before.post, earlier.post, last.post, early.post])
    assert [(item.post, item.reason) for item in admitted.set_aside] == [(early.post, "late")]


def _dated(reading, time):
    return reading.model_copy(update={"post": reading.post.model_copy(update={"id": f"dated {time}", "time": time})})


@pytest.mark.parametrize("place", [0, 1, 2, 10, 150])
@pytest.mark.parametrize("ahead_days", [2, 60, 240])
def test_one_wrong_clock_makes_nobody_late(surge_readings, surge_events, place, ahead_days):
    ahead = _dated(surge_readings[0], surge_readings[-1].post.time + timedelta(days=ahead_days))
    admitted, events = run([*surge_readings[:place], ahead, *surge_readings[place:]])
    assert admitted.set_aside == ()
    assert len(admitted.posts) == len(surge_readings) + 1
    assert opened(events) == opened(surge_events)


def test_a_stream_that_goes_on_after_a_long_pause_is_followed(surge_readings):
    later = [_dated(reading, reading.post.time + timedelta(days=90)) for reading in surge_readings[:50]]
    monitor = OpinionMonitor()
    observe(monitor, surge_readings[:50])
    admitted, progress = observe(monitor, later)
    assert admitted.set_aside == ()
    assert sum(point.posts for point in progress.trend) >= 45  # the last ones wait for the allowed lateness
    assert [item.reason for item in monitor.admit([surge_readings[60].post]).set_aside] == ["late"]


def test_posts_days_apart_are_all_counted():
    posts = [
        _dated(reading, MONDAY + timedelta(days=3 * at))
        for at, reading in enumerate(read_posts(make_posts(days=1))[:9])
    ]
    monitor = OpinionMonitor()
    counts = [sum(point.posts for point in observe(monitor, [post])[1].trend) for post in posts]
    assert sum(counts) == 6  # two more must come before time moves on, and a post waits for the next
    assert sum(point.posts for point in monitor.finish().trend) == 3


def test_a_time_before_there_were_feeds_is_refused():
    for time in ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"):
        with pytest.raises(ValueError, match="lies before 1990, so it is no time of an event; correct it"):
            Post(id="1", source="s", text="t", time=time)


def test_a_post_from_the_future_is_set_aside_and_does_not_make_others_late():
    first, second, *_ = read_posts(make_posts(days=1))
    ahead = first.model_copy(update={"post": first.post.model_copy(update={"time": MONDAY + timedelta(days=400)})})
    monitor = OpinionMonitor(clock=lambda: datetime(2026, 3, 4, tzinfo=UTC))
    admitted = monitor.admit([ahead.post, first.post, second.post])
    assert [item.reason for item in admitted.set_aside] == ["future"]
    assert admitted.posts == (first.post, second.post)


def test_a_classifier_without_the_negative_label_is_named():
    post = make_posts(days=1)[0]
    kind = Classification(label="bad", probability=1.0, probabilities={"bad": 1.0})
    with pytest.raises(ChainInputError, match='"negative", but it knows bad; name its negative label'):
        OpinionMonitor().process([Reading(post=post, topic=kind, sentiment=kind)])


def test_a_new_surge_waits_for_the_end_of_the_cool_down():
    first = make_posts(days=18.5, per_hour=8, surge_at_h=SURGE_AT_H, surge_h=12)
    second = make_posts(days=2.5, per_hour=8, surge_at_h=0, surge_h=60, start=MONDAY + timedelta(days=18.5))
    readings = read_posts(first + [post.model_copy(update={"id": f"second-{post.id}"}) for post in second])
    _, events = run(readings, cool_down=timedelta(hours=30))
    assert [alert.state for alert in events] == ["open", "closed", "open"]
    assert events[2].raised_at >= events[1].closed_at + timedelta(hours=30)
    assert events[2].since < events[2].raised_at - timedelta(hours=12)


def test_reasons_speak_the_language_and_the_zone_of_the_workspace(surge_readings):
    _, events = run(surge_readings, language="zh", time_zone="Asia/Shanghai")
    local = events[0].since.astimezone(ZoneInfo("Asia/Shanghai"))
    assert f"自 {local:%Y-%m-%d %H:%M}（Asia/Shanghai） 起" in events[0].reason
    assert "negative" not in events[0].reason
    with pytest.raises(ValueError, match="language must be one of en, zh"):
        MonitoringOptions(language="fr")


def test_an_open_alert_looks_at_no_earlier_step_again(surge_readings, monkeypatch):
    looks = []
    recall = SurgeDetector.recall
    monkeypatch.setattr(SurgeDetector, "recall", lambda self, step: looks.append(step) or recall(self, step))
    _, events = run(surge_readings)
    assert [alert.state for alert in events] == ["open", "closed"]
    assert len(looks) <= 3


def test_a_surge_that_doubles_escalates_its_alert_once():
    options = {"per_hour": 12, "surge_at_h": 0, "start": MONDAY + timedelta(hours=SURGE_AT_H)}
    quiet = make_posts(days=SURGE_AT_H / 24, per_hour=4)
    posts = [*quiet, *make_posts(days=0.5, seed=1, **options)]
    later = make_posts(days=0.5, seed=2, **{**options, "per_hour": 32, "start": posts[-1].time})
    renamed = [post.model_copy(update={"id": f"{at} {post.id}"}) for at, post in enumerate([*posts, *later])]
    _, events = run(read_posts(renamed))
    assert [(alert.state, alert.escalations) for alert in events] == [("open", 0), ("open", 1)]
    assert timedelta(0) <= events[1].changed_at - posts[-1].time <= timedelta(hours=3)
    assert "doubled by" in events[1].reason


def test_a_surge_that_lasts_becomes_the_new_normal():
    _, events = run(read_posts(make_posts(days=34, per_hour=5, seed=1, surge_at_h=SURGE_AT_H, surge_h=10_000)))
    assert [alert.state for alert in events] == ["open", "closed"]
    assert events[1].closed_at - events[1].since == timedelta(days=7)


def test_a_topic_that_returns_after_months_begins_anew():
    before = make_posts(days=10)
    after = [
        post.model_copy(update={"id": f"again-{post.id}", "time": post.time + timedelta(days=200)})
        for post in make_posts(days=6, seed=2, surge_at_h=100)
    ]
    assert run(read_posts(before + after))[1] == []


def test_memory_does_not_grow_with_the_stream():
    monitor = OpinionMonitor(MonitoringOptions(window=timedelta(hours=6)))
    for week in range(12):
        start = MONDAY - timedelta(weeks=20) + timedelta(weeks=week)
        posts = make_posts(days=7, per_hour=1, seed=week, start=start)
        named = [post.model_copy(update={"id": f"{week}-{post.id}"}) for post in posts]
        _, progress = observe(monitor, read_posts(named))
        assert len(progress.trend) <= 7 * 4 + 1
    assert set(monitor._trend._current) == {"app"}
    assert len(monitor._intake._held) < 10
    topic = monitor._topics["app"]
    assert topic._history._counts.shape == (NUM_HOURS, 4)
    assert len(topic._causes._kept) <= 200


def test_trend_counts_posts_by_window_and_label():
    posts = make_posts(days=2)
    monitor = OpinionMonitor()
    _, progress = observe(monitor, read_posts(posts))
    trend = Trend([*progress.trend, *monitor.finish().trend]).collect()
    assert sum(point.posts for point in trend) == len(posts)
    for point in trend:
        inside = [post for post in posts if point.start <= post.time < point.start + timedelta(hours=1)]
        assert point.posts == len(inside) == point.negative + point.neutral + point.positive
        assert point.negative == sum("terrible" in post.text for post in inside)
        assert point.baseline_share is None
