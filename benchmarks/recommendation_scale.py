"""Size and speed of recommendation: building, lists and memory by the number of items, on a synthetic shop.

Run: `python -m benchmarks.recommendation --sizes 1000 10000 100000 --events 300000 --out
docs/benchmarks/recommendation_scale.md`; learning and serving are a process each, so that the memory is its own.
Vectors are random and the interest model is fixed: neither changes how much work a list is.
"""

import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import FakeEmbeddings

from chains.recommendation import InterestModel, InterestOptions, ItemModels, build_recommendation_chain
from chains.recommendation.features import FEATURE_NAMES, BehaviourModels
from llms.arrays import load_arrays, save_arrays
from retrievers.interactions import Event, Interactions
from retrievers.items import Item, ItemCatalogue

START = datetime(2026, 1, 1, tzinfo=UTC)
NUM_GROUPS = 40
DIMENSION = 384
NUM_BATCHED = 500
KINDS = ("view", "view", "click", "buy")
OPTIONS = InterestOptions().features  # as a shop's models are learnt with


@dataclass(frozen=True, kw_only=True)
class LearningReport:
    """What learning the models of the items took, without encoding."""

    seconds: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, kw_only=True)
class ServingReport:
    """What a process took that loads the models which were kept, and makes lists."""

    start_s: float  # from records in memory to the first list
    median_ms: float
    p95_ms: float
    cpu_ms: float  # of a processor, per list: what is left of it on an idle machine
    p95_filtered_ms: float  # with a price limit and 1,000 excluded items
    cpu_filtered_ms: float
    users_per_s: float  # in batches
    users_per_cpu_s: float  # in batches, for each second of a processor
    peak_mb: float


def make_shop(num_items: int, num_events: int) -> tuple[ItemCatalogue, Interactions]:
    """Return items in groups, and people each of whom uses items of one group; some items are used much more."""
    rng = np.random.default_rng(0)
    catalogue = ItemCatalogue(
        Item(id=f"i{at}", title=f"Thing {at}", tags=(f"t{at % NUM_GROUPS}",), price=float(rng.uniform(1, 100)))
        for at in range(num_items)
    )
    num_users = max(num_events // 10, 10)
    users = rng.integers(num_users, size=num_events)
    within = (rng.pareto(1.2, size=num_events) * num_items / NUM_GROUPS / 20).astype(int) % (num_items // NUM_GROUPS)
    rows = within * NUM_GROUPS + users % NUM_GROUPS
    kinds = rng.integers(len(KINDS), size=num_events)
    seconds = np.sort(rng.uniform(0, 90 * 86_400, size=num_events))
    events = [
        Event(user=f"u{user}", item=f"i{row}", event=KINDS[kind], time=START + timedelta(seconds=second))
        for user, row, kind, second in zip(*(part.tolist() for part in (users, rows, kinds, seconds)), strict=True)
    ]
    return catalogue, Interactions(events, items=list(catalogue))


def learn(num_items: int, num_events: int, path: Path) -> LearningReport:
    """Keep the models of a shop at `path`."""
    _, interactions = make_shop(num_items, num_events)
    vectors = np.random.default_rng(0).normal(size=(num_items, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    started, started_cpu = time.perf_counter(), time.process_time()
    behaviour = BehaviourModels.learn(interactions, OPTIONS, now=interactions.now, vectors=vectors)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    peak_mb = _peak_mb()
    save_arrays(path, ItemModels.of(vectors, behaviour).arrays(), fingerprint="")
    return LearningReport(seconds=seconds, cpu_s=cpu_s, peak_mb=peak_mb)


def serve(num_items: int, num_events: int, path: Path) -> ServingReport:
    """Make lists from the models that `learn` kept."""
    catalogue, interactions = make_shop(num_items, num_events)
    size = len(FEATURE_NAMES)
    interest = InterestModel(
        means=(0.0,) * size, scales=(1.0,) * size, coefficients=(0.5,) * size, intercept=-1.0, feature_options=OPTIONS
    )
    started = time.perf_counter()
    arrays = load_arrays(path, fingerprint="")
    assert arrays is not None  # noqa: S101
    chain = build_recommendation_chain(
        catalogue=catalogue,
        embeddings=FakeEmbeddings(size=DIMENSION),  # not asked: the vectors come with the models
        interactions=interactions,
        interest=interest,
        item_models=ItemModels(**arrays),
        clock=lambda: START + timedelta(days=91),
    )
    chain.invoke({"user": "u0"})
    start_s = time.perf_counter() - started
    users = [f"u{number}" for number in range(100)]
    excluded = [f"i{number}" for number in range(min(1000, num_items))]
    at_cpu = time.process_time()
    plain = _time_each(chain, [{"user": user} for user in users])
    cpu_ms = 1000 * (time.process_time() - at_cpu) / len(users)
    at_cpu = time.process_time()
    filtered = _time_each(chain, [{"user": user, "max_price": 30.0, "exclude": excluded} for user in users])
    cpu_filtered_ms = 1000 * (time.process_time() - at_cpu) / len(users)
    many = [{"user": f"u{number}"} for number in range(NUM_BATCHED)]
    at, at_cpu = time.perf_counter(), time.process_time()
    chain.batch(many)
    batch_s, batch_cpu_s = time.perf_counter() - at, time.process_time() - at_cpu
    return ServingReport(
        start_s=start_s,
        median_ms=float(np.median(plain)),
        p95_ms=float(np.quantile(plain, 0.95)),
        cpu_ms=cpu_ms,
        p95_filtered_ms=float(np.quantile(filtered, 0.95)),
        cpu_filtered_ms=cpu_filtered_ms,
        users_per_s=len(many) / batch_s,
        users_per_cpu_s=len(many) / batch_cpu_s,
        peak_mb=_peak_mb(),
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _time_each(chain: Any, requests: Sequence[dict[str, Any]]) -> list[float]:
    """Return the milliseconds of each list, after a first one."""
    chain.invoke(requests[0])
    taken = []
    for request in requests:
        at = time.perf_counter()
        chain.invoke(request)
        taken.append(1000 * (time.perf_counter() - at))
    return taken


BEFORE = """
Before (9d36ffb, the same shop with 50,000 events, learning and serving in one process, the store included):

| items | learning | start | list, median | p95 | p95 filtered | users/s in batches | memory |
|---|---|---|---|---|---|---|---|
| 1,000 | 0.7 s | 0.3 s | 12.9 ms | 19.2 ms | 27.2 ms | 106 | 217 MB |
| 3,000 | 7.3 s | 1.1 s | 21.2 ms | 31.8 ms | 356.0 ms | 61 | 515 MB |
| 6,000 | 106.6 s | 3.0 s | 17.6 ms | 23.0 ms | 308.5 ms | 36 | 1,581 MB |

And before batches were computed as matrices (5d236e8, 100,000 items and 300,000 events): 43.5 ms a list, 20.0 ms of a
processor, p95 123.1 ms, filtered 195.7 ms, 19 users/s in batches.

- Up to 5,000 items (`max_dense_items`) each item is predicted from all others, above from its 100 nearest. On
  MovieLens-100k, random split 75/25 per user, seed 0, the model alone has nDCG@10 0.474 instead of 0.484.
- Candidates by taste come from vectors rounded to small whole numbers, in 96 dimensions where there are more than
  20,000 items. Their products are exact in whatever order they are added up, so a batch equals its single lists to the
  last bit.
- A wall time is that of a machine that other work shares; the columns of processor time are what is left of it alone.
- Events one at a time, 20 writers: 1,600 acknowledged a second, 10 ms at p95 (`EventLog.add`, the same machine).
"""


def show_sizes(sizes: Sequence[int], *, num_events: int, out: Path | None = None) -> None:
    """Print a page with a row for each size, and write it to `out`."""
    threads = os.environ.get("OMP_NUM_THREADS", "")  # noqa: TID251  # a script, not the library
    columns = "learning", "memory", "start", "list, median", "p95", "processor", "p95 filtered", "processor"
    header = ["items", *columns, "users/s in batches", "per processor second", "memory"]
    lines = [
        "# Recommendation: size and speed",
        "",
        f"`python -m benchmarks.recommendation --sizes {' '.join(map(str, sizes))} --events {num_events}`,",
        f"`OMP_NUM_THREADS={threads}`; {platform.machine()}, {os.cpu_count()} cores that other work shared "
        f"(load {os.getloadavg()[0]:.0f}), {datetime.now(tz=UTC):%Y-%m-%d}.",
        f"A synthetic shop, seed 0: people each of whom uses items of one of {NUM_GROUPS} groups; vectors of",
        f"{DIMENSION} numbers; learning is without encoding. A filtered list has a price limit and 1,000 excluded",
        f"items; a batch has {NUM_BATCHED} users. In brackets: seconds of a processor.",
        "",
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
    ]
    print("\n".join(lines), flush=True)
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder, context.Pool(1, maxtasksperchild=1) as pool:
            path = Path(folder) / "models"
            learnt = pool.apply(learn, (size, num_events, path))
            served = pool.apply(serve, (size, num_events, path))
        lines.append(
            f"| {size:,} | {learnt.seconds:.1f} s ({learnt.cpu_s:.1f} s) | {learnt.peak_mb:.0f} MB | "
            f"{served.start_s:.1f} s | {served.median_ms:.1f} ms | {served.p95_ms:.1f} ms | {served.cpu_ms:.1f} ms | "
            f"{served.p95_filtered_ms:.1f} ms | {served.cpu_filtered_ms:.1f} ms | {served.users_per_s:.0f} | "
            f"{served.users_per_cpu_s:.0f} | {served.peak_mb:.0f} MB |"
        )
        print(lines[-1], flush=True)
    if out is not None:
        out.write_text("\n".join(lines) + "\n" + BEFORE, encoding="utf-8")
