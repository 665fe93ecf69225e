"""Kills of a live monitor at random moments, counted against one that nobody kills.

Every round runs in a process forked from this one; it acknowledges each request after the monitor has.
"""

import dataclasses
import json
import math
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from langchain_core.runnables import RunnableLambda

from apps import monitoring_run
from apps.alert_outbox import OutboxRules, message_key
from apps.alert_sinks import FileSink, WebhookSink
from apps.monitoring_state import MonitoringStore
from apps.server.monitor_service import LiveMonitor
from apps.server.schemas import AlertsReply
from chains.monitoring import MonitoringChain, Post, build_monitoring_chain
from tests.chains.monitoring.streams import MONDAY, SENTIMENT, TOPIC, make_posts
from tests.waiting import wait_until

POST_BATCH = 40
POISON = "poison"


@dataclasses.dataclass
class KillReport:
    """What was counted."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    is_equal: bool = False  # to a monitor that got the same requests and that nobody killed
    is_as_sorted: bool = False  # to one that got the posts that count in the order of their times, each once
    slowest_start_s: float = 0.0


def make_posts_that_count(seed: int) -> list[Post]:
    """Return a stream with a surge, in the order of its times."""
    return make_posts(days=20, per_hour=4, seed=seed, surge_at_h=17 * 24)


def make_requests(seed: int, *, size: int = POST_BATCH) -> list[list[Post]]:
    """Return requests of that stream, shuffled within the lateness; with late, future, repeated and poison posts."""
    chance = random.Random(seed)
    posts = make_posts_that_count(seed)
    arrivals = sorted(posts, key=lambda post: post.time.timestamp() + chance.uniform(0, 600))
    for _ in range(30):
        at = chance.randrange(200, len(arrivals))
        arrivals.insert(at, arrivals[chance.randrange(at)])  # again
        late = arrivals[at - 1]
        changes = {"id": f"late {at} {late.id}", "time": late.time - timedelta(hours=8)}
        arrivals.insert(at, late.model_copy(update=changes))
        changes = {"id": f"future {at} {late.id}", "time": datetime.now(UTC) + timedelta(days=900)}
        arrivals.insert(at, late.model_copy(update=changes))
        arrivals.insert(at, late.model_copy(update={"id": f"poison {at} {late.id}", "text": POISON}))
    return [arrivals[at : at + size] for at in range(0, len(arrivals), size)]


def make_chain() -> MonitoringChain:
    """Return a chain of fakes that cannot read poison."""

    def classify(text: str):
        if text == POISON:
            msg = "cannot be read"
            raise ValueError(msg)
        return TOPIC.invoke(text)

    return build_monitoring_chain(topic=RunnableLambda(classify), sentiment=SENTIMENT)


def run_kills(folder: Path, *, count: int, seed: int, size: int = POST_BATCH) -> KillReport:
    """Kill a monitor `count` times while it works through one stream, sending again what was not acknowledged.

    Args:
        folder: for its files.
        count: of kills; fewer if the stream is over before.
        seed: of the stream and of the moments of the kills.
        size: posts of a request.
    """
    requests, chance, report = make_requests(seed, size=size), random.Random(seed), KillReport()
    path, done = folder / "monitoring.sqlite", 0
    while report.kills < count and done < len(requests):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _serve(path, requests[done:], writing)
        os.close(writing)
        begun = time.monotonic()
        with os.fdopen(reading, "rb") as acknowledged:
            first = acknowledged.read(1)
            report.slowest_start_s = max(report.slowest_start_s, time.monotonic() - begun)
            time.sleep(chance.uniform(0.0, 0.04))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += len(first) + len(acknowledged.read())
        report.kills += 1
    with closing(MonitoringStore(path)) as store:
        sent = [post for request in requests[:done] for post in request if not post.id.startswith(("poison", "future"))]
        report.acknowledged, report.lost = len(sent), len(set(map(_key, sent)) - store.find_known(sent))
    shown = _watch(path, requests[done:])
    report.is_equal = shown == _watch(folder / "unbroken.sqlite", requests)
    reference, _ = _watch(folder / "sorted.sqlite", [make_posts_that_count(seed)])
    report.is_as_sorted = shown[0].model_copy(update={"late": 0}) == reference
    return report


@dataclasses.dataclass
class AlertKillReport:
    """What was told of alerts although a monitor was killed.

    Attributes:
        states: each alert in each of its states.
        keys: of the messages on them.
        lines: keys in the file of alerts.
    """

    kills: int = 0
    states: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    keys: list[str] = dataclasses.field(default_factory=list)
    lines: list[str] = dataclasses.field(default_factory=list)


def run_alert_kills(folder: Path, *, address: str, count: int, seed: int) -> AlertKillReport:
    """Kill a monitor `count` times while it tells a webhook and a file of its alerts, then let it finish."""
    with mock.patch.object(monitoring_run, "_POSTS_BETWEEN_STATES", 200):  # else each start learns all days again
        return _run_alert_kills(folder, address=address, count=count, seed=seed)


def _run_alert_kills(folder: Path, *, address: str, count: int, seed: int) -> AlertKillReport:
    chance, report = random.Random(seed), AlertKillReport()
    requests, done = make_surges(seed), 0
    share = -(-len(requests) // count)  # each round works through some of them, so that alerts come in all rounds
    while report.kills < count:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            monitor = _start_telling(folder, address)
            for request in requests[done : done + 3 * share]:
                monitor.observe(request)
                os.write(writing, b".")
            os.close(writing)
            time.sleep(60)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as acknowledged:
            heard = 0
            while heard < share and (more := acknowledged.read(1)):
                heard += len(more)
            time.sleep(chance.uniform(0.0, 0.05))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += heard + len(acknowledged.readall())
        report.kills += 1
    monitor = _start_telling(folder, address)
    for request in requests[done:]:
        monitor.observe(request)
    wait_until(lambda: math.isinf(monitor.outbox.next_wait_s(["webhook", "file"])))
    report.states = [(one.alert, one.state) for one in monitor.outbox.deliveries() if one.sink == "file"]
    monitor.stop()
    report.keys = [message_key(*state) for state in report.states]
    rows = (folder / "alerts.jsonl").read_text("utf-8").splitlines()
    report.lines = [json.loads(row)["key"] for row in rows]
    return report


def make_surges(seed: int) -> list[list[Post]]:
    """Return requests of a stream of three topics, on each of which opinion surges twice."""
    posts: list[Post] = []
    for word in ("app", "fee", "loan"):
        for start, days in ((0, 13), (13, 6)):
            begin = MONDAY + timedelta(days=start)
            options = {"surge_at_h": (10 if start == 0 else 2) * 24, "surge_h": 12, "surge_share": 0.9}
            part = make_posts(word=word, days=days, per_hour=4, seed=seed + start, start=begin, **options)
            posts += [post.model_copy(update={"id": f"{start} {post.id}"}) for post in part]
    posts.sort(key=lambda post: post.time)
    return [posts[at : at + POST_BATCH] for at in range(0, len(posts), POST_BATCH)]


def _start_telling(folder: Path, address: str) -> LiveMonitor:
    sinks = {"webhook": WebhookSink(address), "file": FileSink(folder / "alerts.jsonl")}
    rules = OutboxRules(sinks=tuple(sinks), max_age=None, max_per_day=1_000)
    monitor = LiveMonitor(make_chain(), path=folder / "monitoring.sqlite", sinks=sinks, rules=rules)
    monitor.start()
    wait_until(lambda: not monitor.snapshot().loading)
    return monitor


def _key(post: Post) -> tuple[str, str]:
    return post.source, post.id


def _serve(path: Path, requests: list[list[Post]], writing: int) -> None:
    monitor = LiveMonitor(make_chain(), path=path)
    monitor.start()
    wait_until(lambda: not monitor.snapshot().loading)
    for request in requests:
        monitor.observe(request)
        os.write(writing, b".")
    time.sleep(60)
    os._exit(0)


def _watch(path: Path, requests: list[list[Post]]) -> tuple[AlertsReply, list[tuple[str, str]]]:
    """Return what is shown after the requests, without repeats, and the dead letters."""
    monitor = LiveMonitor(make_chain(), path=path)
    monitor.start()
    wait_until(lambda: not monitor.snapshot().loading)
    for request in requests:
        monitor.observe(request)
    # these rise when posts are sent again
    shown = monitor.snapshot().model_copy(update={"duplicates": 0, "failed": 0, "future": 0})
    monitor.stop()
    with closing(sqlite3.connect(path)) as database:
        return shown, database.execute("SELECT source, id FROM dead_letter ORDER BY id").fetchall()
