"""Which posts feed the tests: none of no topic, no copies, none that cannot be read; causes of a whole surge."""

from datetime import timedelta

import pytest
from langchain_core.runnables import RunnableLambda

from chains.monitoring import UNKNOWN_TOPIC, MonitoringReport, Post, build_monitoring_chain
from chains.monitoring.representative_posts import CauseKeeper
from llms.classifier.results import Classification
from llms.errors import EngineStoppedError, InputTextError
from tests.chains.monitoring.streams import MONDAY, SENTIMENT, TOPIC, make_posts, read_posts


def add_posts(texts, *, at=MONDAY + timedelta(days=15), every=timedelta(minutes=2)):
    return [Post(id=f"x{n}", source="forum", text=text, time=at + n * every) for n, text in enumerate(texts)]


def watch(posts, topic=TOPIC):
    ordered = sorted(posts, key=lambda post: post.time)
    return build_monitoring_chain(topic=topic, sentiment=SENTIMENT).invoke({"posts": ordered})


def test_posts_that_the_topic_classifier_rejects_count_in_no_topic():
    def doubt(text):
        reply = TOPIC.invoke(text)
        return reply.model_copy(update={"accepted": False, "in_scope": 0.01}) if "strange" in text else reply

    strange = add_posts([f"strange terrible app {n}" for n in range(100)])
    report = watch([*make_posts(days=16), *strange], topic=RunnableLambda(doubt))
    assert report.alerts == ()
    unknown = [point for point in report.trend if point.topic == UNKNOWN_TOPIC]
    assert sum(point.posts for point in unknown) == sum(point.negative for point in unknown) == 100
    assert sum(point.posts for point in report.trend if point.topic == "app") == len(make_posts(days=16))


COPIED = "The app is terrible, nobody answers for days"


@pytest.mark.parametrize("change", [lambda text, _: text, lambda text, n: f"@user{n} {text.upper()}! https://x.y/{n}"])
def test_copies_of_one_text_raise_no_alert(change):
    copies = add_posts([change(COPIED, n) for n in range(60)])
    quiet = make_posts(days=16)
    report = watch([*quiet, *copies])
    assert report.alerts == ()
    assert sum(point.copies for point in report.trend) == 59
    assert sum(point.posts for point in report.trend) == len(quiet) + 1
    assert len(report.readings) == len(quiet) + 60


def test_as_many_posts_of_their_own_words_raise_one_that_names_the_copies():
    own = add_posts([f"The app is terrible for reason {n}, nobody answers" for n in range(60)])
    copies = [post.model_copy(update={"id": f"c{post.id}", "text": own[0].text}) for post in own[1:]]
    (alert,) = watch([*make_posts(days=16), *own, *copies]).alerts
    assert alert.copies > 20
    assert f"{alert.copies} further posts repeat the text of another" in alert.reason


def test_a_text_counts_again_after_two_days():
    texts = add_posts([COPIED] * 3, every=timedelta(days=3))
    assert sum(point.posts for point in watch(texts).trend) == 3


def test_the_causes_come_from_the_whole_surge():
    start = MONDAY.timestamp()
    clearest = Classification(label="negative", probability=0.99, probabilities={"negative": 0.99})
    usual = clearest.model_copy(update={"probability": 0.7, "probabilities": {"negative": 0.7}})
    posts = add_posts([f"{n} terrible app {n}{n}" for n in range(1000)], at=MONDAY, every=timedelta(seconds=10))
    keeper = CauseKeeper("negative")
    for number, reading in enumerate(read_posts(posts)):
        keeper.add(reading.model_copy(update={"sentiment": clearest if number < 50 else usual}))
    causes = keeper.select(since_s=start, until_s=start + 10_000)
    assert [cause.probability for cause in causes] == [0.99] * 5
    hours = {(cause.time.timestamp() - start) // 2500 for _, _, cause in keeper._kept}
    assert (hours, len(keeper._kept)) == ({0, 1, 2, 3}, 200)


def fail_at(word, error):
    def classify(text):
        if word in text:
            raise error
        return TOPIC.invoke(text)

    return RunnableLambda(classify)


@pytest.mark.parametrize("error", [ValueError("cannot be read"), InputTextError("holds a NUL")])
def test_a_text_that_fails_is_set_aside_and_spoils_no_other(error):
    posts = add_posts([f"app {n}" for n in range(20)])
    poisoned = [*posts[:7], posts[7].model_copy(update={"id": "p", "text": "poison"}), *posts[7:]]
    session = build_monitoring_chain(topic=fail_at("poison", error), sentiment=SENTIMENT).open_session()
    report = session.observe(poisoned)
    assert (len(report.readings), report.failed, report.duplicates) == (20, 1, 0)
    (item,) = report.set_aside
    assert (item.post.id, item.reason) == ("p", "failed")
    assert str(error) in item.detail


def test_several_texts_that_fail_side_by_side_are_all_set_aside():
    posts = add_posts(["poison", "app 0", "poison", *["poison"] * 5, *[f"app {n}" for n in range(4)]])
    session = build_monitoring_chain(topic=fail_at("poison", ValueError("no")), sentiment=SENTIMENT).open_session()
    report = session.observe(posts)
    assert (len(report.readings), report.failed) == (5, 7)


@pytest.mark.parametrize(
    ("word", "error"), [("app", ValueError("no model")), ("app 3", EngineStoppedError("the engine was stopped"))]
)
def test_posts_are_not_lost_where_the_model_fails(word, error):
    posts = add_posts([f"app {n}" for n in range(20)])
    failing = [error]

    def classify(text):
        if failing and word in text:
            raise failing[0]
        return TOPIC.invoke(text)

    session = build_monitoring_chain(topic=RunnableLambda(classify), sentiment=SENTIMENT).open_session()
    with pytest.raises(type(error)):
        session.observe(posts)
    failing.clear()
    report = session.observe(posts)
    assert (len(report.readings), report.duplicates) == (20, 0)


def test_a_failure_does_not_make_the_monitor_begin_anew():
    posts = make_posts(days=22, per_hour=5, surge_at_h=17 * 24 + 6)
    half = len(posts) // 2
    chain = build_monitoring_chain(topic=fail_at("poison", ValueError("cannot be read")), sentiment=SENTIMENT)
    session = chain.open_session()
    reports = [session.observe(posts[:half])]
    reports.append(session.observe(add_posts(["poison"], at=posts[half].time)))
    reports += [session.observe(posts[half:]), session.finish()]
    report = MonitoringReport.merge(reports)
    assert [(alert.topic, alert.state) for alert in report.alerts] == [("app", "closed")]
    assert report.failed == 1
