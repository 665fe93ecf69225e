"""Kills of a live monitor at random moments, counted against one that nobody kills.

Every round runs in a process forked from this one; it acknowledges each request after the monitor has.
"""

import dataclasses
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from langchain_core.runnables import RunnableLambda

from apps.monitoring_state import MonitoringStore
from apps.server.monitor_service import LiveMonitor
from apps.server.schemas import AlertsReply
from chains.monitoring import MonitoringChain, Post, build_monitoring_chain
from tests.chains.monitoring.streams import SENTIMENT, TOPIC, make_posts
from tests.waiting import wait_until

POST_BATCH = 40
POISON = "poison"


@dataclasses.dataclass
class KillReport:
    """What was counted."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    is_equal: bool = False
    slowest_start_s: float = 0.0


def make_requests(seed: int) -> list[list[Post]]:
    """Return requests of a stream with a surge: shuffled within the lateness, with late, repeated and poison posts."""
    chance = random.Random(seed)
    posts = make_posts(days=20, per_hour=4, seed=seed, surge_at_h=17 * 24)
    arrivals = sorted(posts, key=lambda post: post.time.timestamp() + chance.uniform(0, 600))
    for _ in range(30):
        at = chance.randrange(200, len(arrivals))
        arrivals.insert(at, arrivals[chance.randrange(at)])  # again
        late = arrivals[at - 1]
        changes = {"id": f"late {at} {late.id}", "time": late.time - timedelta(hours=8)}
        arrivals.insert(at, late.model_copy(update=changes))
        arrivals.insert(at, late.model_copy(update={"id": f"poison {at} {late.id}", "text": POISON}))
    return [arrivals[at : at + POST_BATCH] for at in range(0, len(arrivals), POST_BATCH)]


def make_chain() -> MonitoringChain:
    """Return a chain of fakes that cannot read poison."""

    def classify(text: str):
        if text == POISON:
            msg = "cannot be read"
            raise ValueError(msg)
        return TOPIC.invoke(text)

    return build_monitoring_chain(topic=RunnableLambda(classify), sentiment=SENTIMENT)


def run_kills(folder: Path, *, count: int, seed: int) -> KillReport:
    """Kill a monitor `count` times while it works through one stream, sending again what was not acknowledged."""
    requests, chance, report = make_requests(seed), random.Random(seed), KillReport()
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
        sent = [post for request in requests[:done] for post in request if post.text != POISON]
        report.acknowledged, report.lost = len(sent), len(set(map(_key, sent)) - store.find_known(sent))
    report.is_equal = _watch(path, requests[done:]) == _watch(folder / "unbroken.sqlite", requests)
    return report


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
    shown = monitor.snapshot().model_copy(update={"duplicates": 0, "failed": 0})  # both rise when sent again
    monitor.stop()
    with closing(sqlite3.connect(path)) as database:
        return shown, database.execute("SELECT source, id FROM dead_letter ORDER BY id").fetchall()
