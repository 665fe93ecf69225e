"""Size and speed of recommendation: building, lists and memory by the number of items, on a synthetic shop.

Run: `python -m benchmarks.recommendation --sizes 1000 3000 6000` (each size in a process of its own, so that the
memory is its own). Vectors are random and the interest model is fixed: neither changes how much work a list is.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from typing_extensions import override

from chains.recommendation import InterestModel, build_recommendation_chain, learn_item_models
from chains.recommendation.features import FEATURE_NAMES
from retrievers.interactions import Event, Interactions
from retrievers.items import Item, ItemCatalogue

START = datetime(2026, 1, 1, tzinfo=UTC)
NUM_GROUPS = 40
DIMENSION = 384
KINDS = ("view", "view", "click", "buy")


class RandomEmbeddings(Embeddings):
    """Random vectors, the same for each call of the same size."""

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = np.random.default_rng(0).normal(size=(len(texts), DIMENSION)).tolist()
        return vectors

    @override
    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@dataclass(frozen=True, kw_only=True)
class SizeReport:
    """What one catalogue took."""

    num_items: int
    num_events: int
    learning_s: float  # the models of items, without encoding
    start_s: float  # the chain over models that were kept
    median_ms: float  # of one list
    p95_ms: float
    p95_filtered_ms: float  # with a price limit and 1,000 excluded items
    users_per_s: float  # in batches
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


def measure_size(num_items: int, num_events: int, make_store: Callable[[ItemCatalogue], Any] | None) -> SizeReport:
    """Return what a catalogue of this size takes."""
    catalogue, interactions = make_shop(num_items, num_events)
    size = len(FEATURE_NAMES)
    interest = InterestModel(means=(0.0,) * size, scales=(1.0,) * size, coefficients=(0.5,) * size, intercept=-1.0)
    embeddings = RandomEmbeddings()
    started = time.perf_counter()
    models = learn_item_models(
        catalogue=catalogue, embeddings=embeddings, interactions=interactions, options=interest.feature_options
    )
    learnt = time.perf_counter()
    options: dict[str, Any] = {"clock": lambda: START + timedelta(days=91)} if make_store is None else {}
    chain = build_recommendation_chain(
        catalogue=catalogue,
        embeddings=embeddings,
        store=None if make_store is None else make_store(catalogue),
        interactions=interactions,
        interest=interest,
        item_models=models,
        **options,
    )
    built = time.perf_counter()
    users = [f"u{number}" for number in range(100)]
    excluded = [f"i{number}" for number in range(1000)]
    plain = _time_each(chain, [{"user": user} for user in users])
    filtered = _time_each(chain, [{"user": user, "max_price": 30.0, "exclude": excluded[:num_items]} for user in users])
    at = time.perf_counter()
    chain.batch([{"user": user} for user in users])
    batch_s = time.perf_counter() - at
    return SizeReport(
        num_items=num_items,
        num_events=num_events,
        learning_s=learnt - started,
        start_s=built - learnt,
        median_ms=float(np.median(plain)),
        p95_ms=float(np.quantile(plain, 0.95)),
        p95_filtered_ms=float(np.quantile(filtered, 0.95)),
        users_per_s=len(users) / batch_s,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _time_each(chain: Any, requests: Sequence[dict[str, Any]]) -> list[float]:
    """Return the milliseconds of each list, after a first one."""
    chain.invoke(requests[0])
    taken = []
    for request in requests:
        at = time.perf_counter()
        chain.invoke(request)
        taken.append(1000 * (time.perf_counter() - at))
    return taken


def show_sizes(sizes: Sequence[int], *, num_events: int) -> None:
    """Print a table of all sizes."""
    print("\n## Size and speed\n")
    print(f"A synthetic shop, {num_events:,} events, vectors of {DIMENSION}; learning is without encoding.\n")
    print("| items | learning | start | list, median | p95 | p95 filtered | users/s in batches | memory, peak |")
    print("|---|---|---|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        with context.Pool(1) as pool:
            report = pool.apply(measure_size, (size, num_events, None))
        print(
            f"| {size:,} | {report.learning_s:.1f} s | {report.start_s:.2f} s | {report.median_ms:.1f} ms | "
            f"{report.p95_ms:.1f} ms | {report.p95_filtered_ms:.1f} ms | {report.users_per_s:.0f} | "
            f"{report.peak_mb:.0f} MB |",
            flush=True,
        )
