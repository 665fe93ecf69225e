from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chains.errors import ChainInputError
from chains.monitoring import (
    MonitoringOptions,
    MonitoringReport,
    MonitoringRequest,
    Post,
    build_monitoring_chain,
)
from llms.fakes import FixedClassifier
from tests.chains.monitoring.streams import MONDAY, SENTIMENT, TOPIC, make_posts


def build_chain(**options):
    return build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT, options=MonitoringOptions(**options))


def cut(posts, size):
    return [MonitoringRequest(posts=tuple(posts[at : at + size])) for at in range(0, len(posts), size)]


@pytest.fixture(scope="module")
def posts():
    calm = make_posts(word="fee", days=12, per_hour=2)
    surge = make_posts(days=12, surge_at_h=9 * 24, surge_h=14, surge_share=0.9)
    return sorted(calm + surge, key=lambda post: (post.time, post.id))


@pytest.fixture(scope="module")
def report(posts):
    return build_chain().invoke(MonitoringRequest(posts=tuple(posts)))


def test_invoke_reads_every_post_and_finds_the_surge(posts, report):
    assert [reading.post for reading in report.readings] == posts
    assert [alert.topic for alert in report.alerts] == ["app"]
    assert sum(point.posts for point in report.trend) == len(posts)


def test_posts_are_put_in_order_within_a_request(posts, report):
    assert build_chain().invoke(MonitoringRequest(posts=tuple(reversed(posts)))) == report


@pytest.mark.parametrize("size", [97, 1000])
def test_live_chunks_add_up_to_one_invoke(posts, report, size):
    assert MonitoringReport.merge(build_chain().transform(iter(cut(posts, size)))) == report


def test_a_live_alert_comes_before_the_stream_ends(posts):
    reports = build_chain().transform(iter(cut(posts, 50)))
    first = next(at for at, report in enumerate(reports) if report.alerts)
    assert first < len(posts) / 50 - 3


def test_stream_adds_up_to_invoke(posts, report):
    assert sum(build_chain().stream(MonitoringRequest(posts=tuple(posts))), MonitoringReport()) == report


async def test_async_gives_the_same(posts, report):
    request = MonitoringRequest(posts=tuple(posts))
    assert await build_chain().ainvoke(request) == report
    assert MonitoringReport.merge([part async for part in build_chain().astream(request)]) == report

    async def arrive():
        for part in cut(posts, 500):
            yield part

    assert MonitoringReport.merge([part async for part in build_chain().atransform(arrive())]) == report


def test_batch_treats_each_request_as_a_stream_of_its_own(posts):
    request = MonitoringRequest(posts=tuple(posts[:20]))
    first, second = build_chain().batch([request, request])
    assert first == second
    assert second.duplicates == 0


def test_a_plain_dict_is_accepted(posts):
    request = {"posts": [post.model_dump(mode="json") for post in posts[:3]]}
    assert len(build_chain().invoke(request).readings) == 3


def test_an_empty_request_gives_an_empty_report():
    assert build_chain().invoke({"posts": []}) == MonitoringReport()


def test_a_request_of_another_form_is_explained():
    with pytest.raises(ChainInputError, match=r"posts\.0\.time: must be a time with a zone"):
        build_chain().invoke({"posts": [{"id": "1", "source": "s", "text": "t", "time": "2026-03-02T09:00:00"}]})


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValidationError, match="timezone"):
        Post(id="1", source="s", text="t", time=datetime(2026, 3, 2))


def test_repeats_are_not_classified_again(posts):
    seen = []

    class Listening(FixedClassifier):
        def invoke(self, input, config=None, **kwargs):  # noqa: A002
            seen.append(input)
            return super().invoke(input, config, **kwargs)

    chain = build_monitoring_chain(topic=Listening({"app": "app"}), sentiment=SENTIMENT)
    requests = [MonitoringRequest(posts=tuple(posts[:5])), MonitoringRequest(posts=tuple(posts[:9]))]
    reports = list(chain.transform(iter(requests)))
    assert len(seen) == 9
    assert [part.duplicates for part in reports] == [0, 5, 0]


def test_late_posts_are_counted_across_requests(posts):
    late = Post(id="late", source="s", text="app", time=MONDAY - timedelta(days=1))
    reports = build_chain().transform(iter([*cut(posts[:10], 10), MonitoringRequest(posts=(late,))]))
    report = MonitoringReport.merge(reports)
    assert (report.late, report.set_aside[0].post, len(report.readings)) == (1, late, 10)


def test_a_sentiment_without_the_negative_label_is_an_error(posts):
    chain = build_monitoring_chain(topic=TOPIC, sentiment=FixedClassifier({"terrible": "bad"}))
    with pytest.raises(ChainInputError, match="negative"):
        chain.invoke(MonitoringRequest(posts=tuple(posts[:3])))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": timedelta(0)},
        {"warm_up": timedelta(hours=1)},
        {"false_alarms_per_topic_month": 0.0},
        {"min_posts": 0},
        {"negative_label": "positive"},
    ],
)
def test_options_no_stream_could_be_read_with_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MonitoringOptions(**wrong)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20_000)), max_size=40), st.integers(1, 10))
def test_every_post_is_counted_exactly_once(arrivals, size):
    posts = [
        Post(id=str(name), source="s", text="app", time=MONDAY + timedelta(seconds=second)) for name, second in arrivals
    ]
    report = MonitoringReport.merge(build_chain().transform(iter(cut(posts, size))))
    assert len(report.readings) + report.late + report.duplicates == len(posts)
    assert sum(point.posts for point in report.trend) == len(report.readings)
    assert len({reading.post.id for reading in report.readings}) == len(report.readings)
