"""Monitors that read sources by themselves, and posts for them."""

import contextlib

from apps.server.monitor_service import LiveMonitor
from chains.monitoring import Post, build_monitoring_chain
from tests.apps.conftest import make_post
from tests.chains.monitoring.streams import SENTIMENT, TOPIC
from tests.waiting import wait_until

POSTS = [Post(**make_post(number, f"app number {number}")) for number in range(6)]


def rows_of(posts):
    """Return posts as plain values."""
    return [post.model_dump(mode="json") for post in posts]


def monitor_of(path, *sources, **options):
    """A monitor that reads sources."""
    return started(build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT), path=path, sources=sources, **options)


@contextlib.contextmanager
def started(chain, **options):
    """A live monitor of a chain, once it has loaded, until the block ends."""
    monitor = LiveMonitor(chain, **options)
    monitor.start()
    try:
        wait_until(lambda: not monitor.snapshot().loading)
        yield monitor
    finally:
        monitor.stop()


def counted(monitor):
    return monitor.snapshot(with_trend=False).num_posts
