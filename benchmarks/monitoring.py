"""Page of opinion monitoring: false alarms on streams that vary, delay beside simple rules, speed, and requests.

Run: python -m benchmarks.monitoring [--topics 60] [--onset-topics 30] [--posts 100000] [--stored 1000000]
     [--out docs/benchmarks/monitoring.md]
"""

import argparse
import contextlib
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from apps.applications import Applications
from apps.monitoring_run import MonitoringRun
from apps.monitoring_state import MonitoringStore
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from benchmarks.machine import processor, timed
from benchmarks.monitoring_detector import BUDGET, VARIETIES, measure_budget, measure_rate
from chains.monitoring import Post, build_monitoring_chain
from llms.fakes import FixedClassifier
from tests.apps.monitoring_worlds import write_world
from tests.chains.monitoring.streams import MONDAY, SENTIMENT
from tests.waiting import wait_until

RATE = 15.0
NUM_TOPICS = 100
BATCH = 256
PAGES = {
    "inbox": "/v1/alerts?trend=false&limit=20&judged=new",
    "alerts with all trends": "/v1/alerts",
    "one alert": "/v1/alert?id=topic-7@207",
    "trends, twelve of a hundred topics": "/v1/trend?max_points=60&limit=12",
    "posts, first page": "/v1/posts",
    "posts of a topic and a source": "/v1/posts?topic=topic-7&source=source-5",
    "posts of a source that nobody has": "/v1/posts?topic=topic-7&source=nobody",
}
METHODS = ("share and volume tests", "static binomial CUSUM", "rolling 24 h share")


@dataclass(frozen=True)
class Speed:
    """How fast posts are taken, and what they cost in memory."""

    posts_per_s: float
    early_per_s: float  # of the first 20,000
    late_per_s: float  # of the last 20,000
    growth_mb: float  # of the peak memory, from the first 20,000 on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=int, default=60, help="quiet topics of each kind of stream")
    parser.add_argument("--onset-topics", type=int, default=30, help="topics with four surges each")
    parser.add_argument("--posts", type=int, default=100_000, help="taken one batch after the other")
    parser.add_argument("--stored", type=int, default=1_000_000, help="posts in the store whose pages are read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.process_time()
    lines = [
        "# Opinion monitoring on streams that vary",
        "",
        f"`python -m benchmarks.monitoring --topics {arguments.topics} --onset-topics {arguments.onset_topics} "
        f"--posts {arguments.posts} --stored {arguments.stored} --seed {arguments.seed}`, {os.cpu_count()} cores, "
        f"{processor()}, Python {platform.python_version()}, numpy {np.__version__}, {datetime.now(UTC):%Y-%m-%d}.",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for part in (_false_alarms, _delays, _speed, _pages):
            lines += ["", *part(arguments, Path(folder))]
    seconds, load = time.process_time() - started, os.getloadavg()[0]
    lines += ["", f"CPU time: {seconds / 60:.1f} minutes. Load average at the end: {load:.1f}."]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _false_alarms(arguments: argparse.Namespace, _folder: Path) -> Iterator[str]:
    yield "## False alarms"
    yield ""
    yield f"{arguments.topics} quiet topics each at {RATE:g} posts an hour, watched for 30 days after 35 of history,"
    yield "with the thresholds that the monitor derives. The streams are those of"
    yield "[the simulation](monitoring_detector.md#the-simulation), and vary as said."
    yield ""
    yield "| quiet stream | allowed | raised | silent topics | expected silent |"
    yield "|---|---|---|---|---|"
    for name in ("", *VARIETIES):
        yield measure_budget(arguments.seed, RATE, arguments.topics, name)
    yield ""
    error = (BUDGET / arguments.topics) ** 0.5
    yield f"The sampling error of a rate near the budget is about {error:.2f}; of a higher rate it is larger."


def _delays(arguments: argparse.Namespace, _folder: Path) -> Iterator[str]:
    sizes = (arguments.topics, arguments.onset_topics)
    cells = {rate: measure_rate(arguments.seed, rate, ["jump"], sizes) for rate in (4.0, RATE, 60.0)}
    yield "## Delay"
    yield ""
    yield "A surge from 12 % to 30 % negative posts: median delay in h / % found within 6 h / % within 24 h."
    yield f"Each method's threshold is the one that leaves 37 % of {arguments.topics} quiet topics silent for 30"
    yield f"days, about one false alarm per topic and month; {4 * arguments.onset_topics} surges."
    yield ""
    yield f"| method | {' | '.join(f'{rate:g} posts/h' for rate in cells)} |"
    yield "|---|---|---|---|"
    for method in METHODS:
        yield f"| {method} | {' | '.join(cells[rate][method][0] for rate in cells)} |"


def _speed(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    speed = _measure_speed(folder / "speed.sqlite", arguments.posts)
    yield "## Speed"
    yield ""
    yield f"{arguments.posts:,} posts of 20 days on {NUM_TOPICS} topics in batches of {BATCH}, with classifiers that"
    yield "answer at once: copies are found, hours counted, tests made, and each batch is on the disk before the next."
    yield ""
    yield "| posts a second | of the first 20,000 | of the last 20,000 | growth of peak memory after the first |"
    yield "|---|---|---|---|"
    cells = (speed.posts_per_s, speed.early_per_s, speed.late_per_s)
    yield f"| {' | '.join(f'{value:,.0f}' for value in cells)} | {speed.growth_mb:.0f} MB |"


def _measure_speed(path: Path, num_posts: int) -> Speed:
    words = {f"subject{number:02}": f"topic-{number}" for number in range(NUM_TOPICS)}
    chain = build_monitoring_chain(topic=FixedClassifier(words), sentiment=SENTIMENT)
    random = np.random.default_rng(0)
    step = timedelta(days=20) / num_posts
    moods = np.where(random.random(num_posts) < 0.15, "terrible", "plain").tolist()
    topics = random.integers(0, NUM_TOPICS, num_posts).tolist()

    def batch(at: int) -> list[Post]:
        return [
            Post(
                id=f"p{number}",
                source="forum",
                text=f"{moods[number]} subject{topics[number]:02} {number}",
                time=MONDAY + step * number,
            )
            for number in range(at, min(at + BATCH, num_posts))
        ]

    batches = [batch(at) for at in range(0, num_posts, BATCH)]
    part = min(len(batches), -(-20_000 // BATCH))
    with contextlib.closing(MonitoringStore(path)) as store:
        run = MonitoringRun(chain, store)
        seconds = [timed(lambda posts=posts: run.take(posts)) for posts in batches[:part]]
        before = _peak_mb()
        seconds += [timed(lambda posts=posts: run.take(posts)) for posts in batches[part:]]
    early, late = sum(seconds[:part]), sum(seconds[-part:])
    return Speed(num_posts / sum(seconds), part * BATCH / early, part * BATCH / late, _peak_mb() - before)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _pages(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    yield "## What people read"
    yield ""
    yield f"{arguments.stored:,} posts of eight weeks on {NUM_TOPICS} topics are stored, with a count for each topic"
    yield "and hour, and 300 alerts. Seconds and bytes of the requests that the page makes, each the slowest of three."
    yield ""
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / SETTINGS_NAME).write_text("", encoding="utf-8")
    write_world(workspace / "monitoring.sqlite", num_topics=NUM_TOPICS, num_posts=arguments.stored)
    chain = build_monitoring_chain(topic=FixedClassifier({}, default="topic-1"), sentiment=SENTIMENT)
    begun = time.perf_counter()
    app = create_app(load_settings(workspace), applications=Applications(monitoring=chain))
    with TestClient(app) as client:
        wait_until(lambda: not client.get("/v1/alerts?trend=false").json()["loading"])
        start_s = time.perf_counter() - begun
        yield "| request | s | bytes |"
        yield "|---|---|---|"
        for name, path in PAGES.items():
            seconds, size = _measure_page(lambda path=path: client.get(path).content)
            yield f"| {name} | {seconds:.2f} | {size:,} |"
    yield ""
    yield f"The server took posts {start_s:.1f} s after its start."


def _measure_page(fetch: Callable[[], bytes]) -> tuple[float, int]:
    sizes: list[int] = []
    return max(timed(lambda: sizes.append(len(fetch()))) for _ in range(3)), max(sizes)


if __name__ == "__main__":
    main()
