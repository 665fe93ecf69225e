"""What became of each post that was sent."""

from collections.abc import Sequence

from apps.server.schemas import PostOutcome
from chains.monitoring import MonitoringReport, Post


def judge_posts(posts: Sequence[Post], report: MonitoringReport) -> tuple[PostOutcome, ...]:
    """Return what became of each post; of an id sent twice the first one counts."""
    readings = {reading.post.id: reading for reading in report.readings}
    set_aside = {item.post.id: item.reason for item in report.set_aside}
    outcomes = []
    for post in posts:
        reading = readings.pop(post.id, None)
        if reading is not None:
            labels = {"topic": reading.topic.label, "sentiment": reading.sentiment.label}
            outcomes.append(PostOutcome(id=post.id, outcome="counted", **labels))
        else:
            outcomes.append(PostOutcome(id=post.id, outcome=set_aside.get(post.id, "duplicate")))
    return tuple(outcomes)
