from datetime import timedelta

import pytest

from chains.monitoring import Alert, KnownSurge, score_alerts
from tests.chains.monitoring.streams import MONDAY

MONTH = timedelta(days=30)


def make_alert(topic, hour, *, state="open"):
    raised_at = MONDAY + timedelta(hours=hour)
    return Alert(
        id=f"{topic}-{hour}",
        topic=topic,
        since=raised_at,
        raised_at=raised_at,
        negative_share=0.5,
        baseline_share=0.1,
        size=9,
        causes=(),
        state=state,
        track="share",
        reason="-",
    )


def make_surge(topic, hour):
    start = MONDAY + timedelta(hours=hour)
    return KnownSurge(topic, start, start + timedelta(hours=24))


def test_delay_is_the_first_alert_of_the_surges_topic():
    alerts = [make_alert("fees", 1), make_alert("app", 9), make_alert("app", 4)]
    scores = score_alerts(alerts, [make_surge("app", 0)], topics=["app", "fees"], duration=MONTH)
    assert scores.delay_hours == (4.0,)
    assert (scores.found, scores.false_alarms, scores.false_alarms_per_topic_month) == (1, 1, 0.5)


def test_an_alert_that_closes_counts_once():
    alerts = [make_alert("app", 1), make_alert("app", 1, state="closed")]
    assert score_alerts(alerts, [], topics=["app"], duration=MONTH).false_alarms == 1


def test_a_missed_surge_is_later_than_any_other():
    surges = [make_surge("app", 0), make_surge("fees", 0), make_surge("loans", 0)]
    scores = score_alerts(
        [make_alert("app", 2), make_alert("fees", 30)], surges, topics=["app", "fees", "loans"], duration=MONTH
    )
    assert scores.delay_hours == (2.0, None, None)
    assert scores.median_delay_hours is None
    assert scores.false_alarms == 1


def test_a_rate_needs_topics_and_time():
    with pytest.raises(ValueError, match="topics must not be empty"):
        score_alerts([], [], topics=[], duration=MONTH)
