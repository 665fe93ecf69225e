"""Files of a monitor that has watched many topics for eight weeks, written without classifying a text."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

from apps.monitoring_state import MonitoringStore
from chains.monitoring import Alert, Cause, OpinionMonitor
from tests.chains.monitoring.streams import MONDAY

HOURS = 8 * 7 * 24
END = MONDAY + timedelta(hours=HOURS)


def make_alert(number, *, topic="topic-1", text="terrible", hours=0):
    since = MONDAY + timedelta(hours=hours or number)
    cause = Cause(id=f"p{number}", time=since, source="forum", text=text, probability=0.9)
    return Alert(
        id=f"{topic}@{number}",
        topic=topic,
        since=since,
        raised_at=since + timedelta(hours=1),
        negative_share=0.6,
        baseline_share=0.2,
        size=40,
        causes=(cause,) * 5,
        state="closed",
        closed_at=since + timedelta(hours=8),
        track="share",
        reason="negative share 60 %",
    )


def write_world(path, *, num_topics=100, num_posts=20_000, num_alerts=300, text="app down", cause="terrible"):
    """Write a file with a count for each topic and hour, and posts spread evenly over them."""
    start = int(MONDAY.timestamp())
    kinds = ("negative", "neutral", "positive")
    label = json.dumps({"label": "x", "probability": 1.0, "probabilities": {"x": 1.0}})

    def rows():
        for number in range(num_posts):
            time = start + number * HOURS * 3600 / num_posts
            stamp = datetime.fromtimestamp(time, UTC).isoformat()
            source = f"source-{number % 7}"
            post = json.dumps(
                {"id": f"p{number}", "source": source, "text": f"{text} {number}", "time": stamp}, ensure_ascii=False
            )
            yield (source, f"p{number}", time, post, label, label, f"topic-{number % num_topics}", kinds[number % 3])

    with contextlib.closing(MonitoringStore(path)) as store:
        with store.database.transaction() as database:
            _fill(database, rows(), start, num_topics, num_alerts, cause)
            database.execute("INSERT INTO numbers VALUES ('counted', ?)", (num_posts,))
        store.keep_learnt(OpinionMonitor().dump(), watermark_s=END.timestamp())


def _fill(database, rows, start, num_topics, num_alerts, cause):
    database.executemany(
        "INSERT INTO posts (source, id, time, post, topic, sentiment, topic_name, sentiment_name) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    database.executemany(
        "INSERT INTO hours VALUES (?, ?, 10, 3, 4, 3, 1, 0.2)",
        ((f"topic-{topic}", start + hour * 3600) for topic in range(num_topics) for hour in range(HOURS)),
    )
    alerts = [make_alert(number, topic=f"topic-{number % num_topics}", text=cause) for number in range(num_alerts)]
    database.executemany(
        "INSERT INTO alerts VALUES (?, ?, ?)",
        [(alert.id, alert.raised_at.timestamp(), alert.model_dump_json()) for alert in alerts],
    )
