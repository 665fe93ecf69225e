"""Several sources, silence, wrong clocks: who is waited for, and when time passes."""

import json
import random
from datetime import timedelta

import pytest

from chains.monitoring import MonitoringOptions, MonitoringRequest, OpinionMonitor, Post, build_monitoring_chain
from tests.chains.monitoring.streams import MONDAY, SENTIMENT, TOPIC, make_posts, read_posts

SURGE_AT_H = 17 * 24 + 6


class Clock:
    """A clock that a test sets."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def make_post(name, minutes, *, source="forum", text="app"):
    return Post(id=name, source=source, text=text, time=MONDAY + timedelta(minutes=minutes))


def reasons(monitor, posts):
    return [item.reason for item in monitor.admit(posts).set_aside]


def test_ids_belong_to_their_source():
    admitted = OpinionMonitor().admit([make_post("1", 0), make_post("1", 0, source="news"), make_post("1", 1)])
    assert ([post.source for post in admitted.posts], admitted.duplicates) == (["forum", "news"], 1)


@pytest.mark.parametrize("behind_min", [20, 45])
def test_a_source_that_is_always_behind_loses_nothing(behind_min):
    fresh = [(minute, make_post(f"f{minute}", minute)) for minute in range(2000)]
    slow = [(minute + behind_min, make_post(f"s{minute}", minute, source="feed")) for minute in range(0, 2000, 3)]
    arrivals = [post for _, post in sorted([*fresh, *slow], key=lambda entry: entry[0])]
    admitted = OpinionMonitor().admit(arrivals)
    assert len(admitted.set_aside) <= behind_min / 3 + 1  # until it is known how far behind the feed is


def test_a_feed_that_is_asked_every_twenty_minutes_loses_nothing_once_it_is_known():
    chance = random.Random(2)
    posts = make_posts(days=22, per_hour=5)
    arrivals = []
    for post in posts:
        is_fed = chance.random() < 0.3
        minute = (post.time - MONDAY) / timedelta(minutes=1)
        comes_at = (minute // 20 + 1) * 20 if is_fed else minute
        arrivals.append((comes_at, post.model_copy(update={"source": "feed"}) if is_fed else post))
    admitted = OpinionMonitor().admit(post for _, post in sorted(arrivals, key=lambda entry: entry[0]))
    assert len(admitted.set_aside) <= 0.01 * len(posts)


def test_a_source_that_has_ended_holds_nothing_up():
    monitor = OpinionMonitor()
    monitor.admit([make_post(f"n{minute}", minute, source="news") for minute in range(5)])
    monitor.admit([make_post(f"f{minute}", minute) for minute in range(5, 60)])
    assert monitor.watermark_s == (MONDAY + timedelta(minutes=49)).timestamp()


def test_one_source_with_a_wrong_clock_makes_no_other_late():
    fast = [make_post(f"x{number}", 60 * 24 * 60 + number, source="fast clock") for number in range(20)]
    right = [make_post(f"f{minute}", minute) for minute in range(300)]
    arrivals = [*right[:50], *fast, *right[50:]]
    assert OpinionMonitor().admit(arrivals).set_aside == ()


def test_one_source_that_goes_on_alone_after_a_long_pause_is_followed():
    monitor = OpinionMonitor()
    monitor.admit([make_post(f"{source}{minute}", minute, source=source) for minute in range(9) for source in "ab"])
    monitor.admit([make_post(f"later{minute}", 100 * 24 * 60 + minute, source="a") for minute in range(60)])
    assert monitor.watermark_s > (MONDAY + timedelta(days=99)).timestamp()


@pytest.fixture(scope="module")
def silent_surge():
    """Two quiet weeks, 300 negative posts in five minutes, and then nothing."""
    quiet = make_posts(days=15, per_hour=5)
    start = MONDAY + timedelta(days=15)
    burst = [
        Post(id=f"b{n}", source="forum", text=f"terrible app number {n}", time=start + timedelta(seconds=n))
        for n in range(300)
    ]
    return quiet, burst


def test_silence_does_not_hold_an_alert_back(silent_surge):
    quiet, burst = silent_surge
    clock = Clock(quiet[0].time)
    session = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT, clock=clock).open_session()
    for post in [*quiet, *burst]:
        clock.now = post.time
        assert session.observe([post]).alerts == ()
    clock.now += timedelta(minutes=14)
    assert session.tick().alerts == ()
    clock.now += timedelta(minutes=12)
    (alert,) = session.tick().alerts
    assert (alert.state, alert.size >= 300) == ("open", True)
    clock.now += timedelta(days=1)
    assert [(closed.id, closed.state) for closed in session.tick().alerts] == [(alert.id, "closed")]


def test_a_request_without_posts_lets_time_pass(silent_surge):
    quiet, burst = silent_surge
    clock = Clock(burst[-1].time)
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT, clock=clock)

    def arrive():
        yield MonitoringRequest(posts=(*quiet, *burst))
        clock.now += timedelta(minutes=30)
        yield MonitoringRequest(posts=())
        found.append(len(reports))

    found, reports = [], []
    reports.extend(chain.transform(arrive()))
    assert any(report.alerts for report in reports[: found[0]])


def test_in_a_replay_the_clock_tells_nothing(silent_surge):
    quiet, burst = silent_surge
    clock = Clock(burst[-1].time + timedelta(days=200))
    session = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT, clock=clock).open_session()
    session.observe([*quiet, *burst])
    before = session.monitor.watermark_s
    clock.now += timedelta(days=1)
    assert session.tick().alerts == ()
    assert session.monitor.watermark_s == before


def test_a_stream_cut_anywhere_and_kept_in_between_gives_the_same():
    posts = make_posts(days=22, per_hour=5, surge_at_h=SURGE_AT_H)
    chance = random.Random(3)
    shuffled = sorted(posts, key=lambda post: post.time.timestamp() + chance.uniform(0, 7200))  # some are late
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    whole = chain.open_session()
    expected = whole.observe(shuffled)
    expected += whole.finish()
    parts, session, at = [], chain.open_session(), 0
    while at < len(shuffled):
        size = chance.randint(1, 200)
        parts.append(session.observe(shuffled[at : at + size]))
        state = json.loads(json.dumps(session.monitor.dump()))
        session = chain.open_session()
        session.monitor.load(state)
        at += size
    parts.append(session.finish())
    total = sum(parts[1:], parts[0])
    assert total.late == expected.late > 20
    assert (total.alerts, total.trend) == (expected.alerts, expected.trend)
    assert [alert.state for alert in expected.alerts] == ["closed"]


def test_stored_readings_bring_a_monitor_where_it_was():
    readings = read_posts(make_posts(days=20, per_hour=5, surge_at_h=SURGE_AT_H))
    first, again = OpinionMonitor(), OpinionMonitor()
    first.admit(reading.post for reading in readings)
    progress = first.process(readings)
    replayed = again.replay([reading.post for reading in readings], readings, watermark_s=first.watermark_s)
    assert replayed == progress
    assert again.dump() == first.dump()


def test_options_of_time_are_checked():
    with pytest.raises(ValueError, match="idle_after"):
        MonitoringOptions(idle_after=timedelta(days=-1))
