"""`FaissStore` beside langchain-community's FAISS: writing, searching, opening, bytes and growth, in one run.

Run: python -m benchmarks.store [--count 100000] [--growth 1000 10000 100000] [--out docs/benchmarks/store.md]
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import processor, timed
from benchmarks.store_vectors import DIMENSION, FixedDimension, metadata_of, texts_of, vectors_of
from retrievers import FaissStore

NUM_QUERIES, K = 100, 10
FILTERS = {
    "0.1 %": {"price": 500},
    "1 %": {"price": {"$lt": 10}},
    "10 %": {"price": {"$gte": 900}},
    "33 %": {"lang": "zh"},
    "67 %": {"lang": {"$in": ["zh", "en"]}},
    "99 %": {"price": {"$gte": 10}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--growth", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        text = _report(arguments, Path(temporary))
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _report(arguments: argparse.Namespace, folder: Path) -> str:
    sizes = "".join(f" {size}" for size in arguments.growth)
    command = f"python -m benchmarks.store --count {arguments.count} --growth{sizes}"
    lines = [
        "# The store beside langchain-community's FAISS",
        "",
        f"`{command}`, {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}, seed 0. Load average at the start: {os.getloadavg()[0]:.1f}.",
        "",
        f"{arguments.count:,} documents of about 250 characters with three metadata fields, vectors of {DIMENSION} "
        "float32 around 2,000 topics. Keyword search is on, unless a row says otherwise. Times are medians.",
    ]
    data = _Data(arguments.count)
    store = _filled(folder / "store", data)
    incumbent = _incumbent(data)
    lines += ["", *_writing(store, incumbent, data, folder)]
    store = FaissStore(folder / "store", embedding=FixedDimension())
    lines += ["", *_searching(store, incumbent, data)]
    lines += ["", *_filtering(store, data)]
    lines += ["", *_concurrent(store, incumbent, data)]
    del incumbent
    store.close()
    lines += ["", *_opening(folder, data)]
    if arguments.growth:
        lines += ["", *_growth(arguments.growth, folder)]
    return "\n".join(lines)


class _Data:
    def __init__(self, count: int) -> None:
        self.vectors, self.texts, self.metadata = vectors_of(count), texts_of(count), metadata_of(count)
        self.ids = [f"document-{index}" for index in range(count)]
        self.queries = vectors_of(NUM_QUERIES, seed=1)

    def __len__(self) -> int:
        return len(self.ids)


def _filled(folder: Path, data: _Data, **options: Any) -> FaissStore:
    store = FaissStore(folder, embedding=FixedDimension(), **options)
    for start in range(0, len(data), 10_000):
        part = slice(start, start + 10_000)
        store.add_vectors(data.texts[part], data.vectors[part], data.metadata[part], ids=data.ids[part])
    return store


def _incumbent(data: _Data) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.vectorstores import FAISS

    pairs = zip(data.texts, data.vectors.tolist(), strict=True)
    return FAISS.from_embeddings(pairs, FixedDimension(), metadatas=data.metadata, ids=data.ids)


def _writing(store: FaissStore, incumbent: Any, data: _Data, folder: Path) -> list[str]:
    rows = []
    fresh = vectors_of(600, seed=2)
    texts = texts_of(600, seed=2)

    def measure(name: str, target: Any, count: int, *, durable: str) -> None:
        add = target.add_vectors if isinstance(target, FaissStore) else None
        ids = [f"{name}-{index}" for index in range(count)]
        started = time.perf_counter()
        for index in range(count):
            if add:
                add([texts[index]], fresh[index : index + 1], [data.metadata[index]], ids=[ids[index]])
            else:
                pair = [(texts[index], fresh[index].tolist())]
                target.add_embeddings(pair, metadatas=[data.metadata[index]], ids=[ids[index]])
        adding = (time.perf_counter() - started) / count
        started = time.perf_counter()
        for id_ in ids:
            target.delete([id_])
        deleting = (time.perf_counter() - started) / count
        rows.append((name, adding * 1e3, deleting * 1e3, durable))

    measure("langchain-community FAISS", incumbent, 60, durable="no")
    measure("FaissStore", store, 600, durable="yes")
    store.close()
    unsynced = FaissStore(folder / "store", embedding=FixedDimension(), durable=False)
    measure("FaissStore(durable=False)", unsynced, 600, durable="killed process yes, power cut no")
    unsynced.close()
    lines = ["## One document at a time", "", "| Store | add, ms | delete, ms | survives |", "|---|---|---|---|"]
    return lines + [f"| {name} | {add:.2f} | {delete:.2f} | {durable} |" for name, add, delete, durable in rows]


def _searching(store: FaissStore, incumbent: Any, data: _Data) -> list[str]:
    queries = data.queries
    ours_single = _each(lambda query: store.search_vectors([query], K), queries)
    theirs_single = _each(lambda query: incumbent.similarity_search_by_vector(query.tolist(), K), queries)
    batch = _median(lambda: store.search_vectors(queries, K), rounds=7) / len(queries)
    return [
        "## Searching, nothing else running",
        "",
        "| Search | ms a query | ratio |",
        "|---|---|---|",
        f"| langchain-community FAISS, one at a time | {theirs_single * 1e3:.2f} | 1 |",
        f"| FaissStore, one at a time | {ours_single * 1e3:.2f} | {theirs_single / ours_single:.2f} |",
        f"| FaissStore, {len(queries)} at once | {batch * 1e3:.2f} | {theirs_single / batch:.2f} |",
        "",
        f"{len(queries)} at once against one at a time: {ours_single / batch:.1f} times the throughput.",
    ]


def _filtering(store: FaissStore, data: _Data) -> list[str]:
    queries = data.queries[:30]
    plain = _each(lambda query: store.search_vectors([query], K), queries)
    lines = [
        "## Filters",
        "",
        "Every result is compared with a scan of all vectors.",
        "",
        "| Allowed | ms a query | to unfiltered | exact |",
        "|---|---|---|---|",
        f"| all | {plain * 1e3:.2f} | 1 | |",
    ]
    for share, condition in FILTERS.items():
        store.search_vectors(queries[:1], K, filter=condition)  # the field becomes a column at its first use
        seconds = _each(lambda query, c=condition: store.search_vectors([query], K, filter=c), queries)
        exact = _is_exact(store, condition, queries, data)
        lines.append(f"| {share} | {seconds * 1e3:.2f} | {seconds / plain:.2f} | {exact} of {len(queries)} |")
    return lines


def _is_exact(store: FaissStore, condition: dict[str, Any], queries: np.ndarray, data: _Data) -> int:
    allowed = np.array([_matches(condition, entry) for entry in data.metadata])
    right = 0
    for query in queries:
        scores = np.where(allowed, data.vectors @ query, -2)
        best = np.sort(scores)[::-1][:K]
        found = store.search_vectors([query], K, filter=condition)[0]
        same_scores = np.allclose([score for _, score in found], best[: len(found)], atol=1e-5)
        right += same_scores and len(found) == min(K, int(allowed.sum()))
    return right


def _matches(condition: dict[str, Any], metadata: dict[str, Any]) -> bool:
    ((field, wanted),) = condition.items()
    if not isinstance(wanted, dict):
        return metadata[field] == wanted
    ((operator, value),) = wanted.items()
    have = metadata[field]
    return {"$lt": lambda: have < value, "$gte": lambda: have >= value, "$in": lambda: have in value}[operator]()


def _concurrent(store: FaissStore, incumbent: Any, data: _Data) -> list[str]:
    rows = []
    for name, search in (
        ("langchain-community FAISS", lambda query: incumbent.similarity_search_by_vector(query.tolist(), K)),
        ("FaissStore", lambda query: store.search_vectors([query], K)),
    ):
        seconds, latencies = _with_callers(search, data.queries, num_callers=16, per_caller=40)
        p50, p95 = (float(np.percentile(latencies, share)) * 1e3 for share in (50, 95))
        rows.append((name, len(latencies) / seconds, p50, p95))
    ratio = rows[1][1] / rows[0][1]
    lines = ["## 16 callers at once", "", "| Store | queries a second | p50, ms | p95, ms |", "|---|---|---|---|"]
    lines += [f"| {name} | {rate:.0f} | {p50:.1f} | {p95:.1f} |" for name, rate, p50, p95 in rows]
    return [*lines, "", f"{ratio:.1f} times the throughput."]


def _with_callers(
    search: Callable[[np.ndarray], object], queries: np.ndarray, *, num_callers: int, per_caller: int
) -> tuple[float, list[float]]:
    latencies: list[float] = []

    def call(number: int) -> None:
        for index in range(per_caller):
            started = time.perf_counter()
            search(queries[(number * per_caller + index) % len(queries)])
            latencies.append(time.perf_counter() - started)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(num_callers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, latencies


def _opening(folder: Path, data: _Data) -> list[str]:
    lines = ["## Opening and bytes", "", "| Store | opening, s | bytes to vectors + text |", "|---|---|---|"]
    for name, options in (("FaissStore", {}), ("FaissStore(keywords=False)", {"keywords": False})):
        store_folder = folder / f"opening-{len(options)}"
        _filled(store_folder, data, **options).close()
        seconds = _median(
            lambda store_folder=store_folder: FaissStore(store_folder, embedding=FixedDimension()).close(), rounds=5
        )
        lines.append(f"| {name} | {seconds:.2f} | {_size_bytes(store_folder) / _payload_bytes(data):.3f} |")
        shutil.rmtree(store_folder)
    return lines


def _growth(sizes: Sequence[int], folder: Path) -> list[str]:
    lines = [
        "## Growth",
        "",
        "Keyword search off. Both indexes are opened from the same folder; HNSW is built by `compact`.",
        "",
        "| Documents | index | filled, s | built, s | ms a query | ms, 1 % allowed | recall@10 | opening, s | bytes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        data, store_folder = _Data(size), folder / "growth"
        filling = timed(
            lambda d=data, p=store_folder: _filled(p, d, index="flat", durable=False, keywords=False).close()
        )
        truth = _exact_neighbours(data)
        lines += [_growth_row(store_folder, kind, data, truth, filling) for kind in ("flat", "hnsw")]
        shutil.rmtree(store_folder)
        print(lines[-2], lines[-1], sep="\n", file=sys.stderr)
    return lines


def _growth_row(store_folder: Path, kind: str, data: _Data, truth: np.ndarray, filling: float) -> str:
    with FaissStore(store_folder, embedding=FixedDimension(), index=kind) as store:
        building = timed(store.compact) if kind == "hnsw" else 0.0
        single = _each(lambda query: store.search_vectors([query], K), data.queries)
        few = FILTERS["1 %"]
        store.search_vectors(data.queries[:1], K, filter=few)  # the field becomes a column at its first use
        filtered = _each(lambda query: store.search_vectors([query], K, filter=few), data.queries[:30])
        recall = _recall(store, data, truth)
    opening = timed(lambda: FaissStore(store_folder, embedding=FixedDimension(), index=kind).close())
    return (
        f"| {len(data):,} | {kind} | {filling:.1f} | {building:.1f} | {single * 1e3:.2f} | {filtered * 1e3:.2f} | "
        f"{recall:.3f} | {opening:.2f} | {_size_bytes(store_folder) / _payload_bytes(data):.3f} |"
    )


def _exact_neighbours(data: _Data) -> np.ndarray:
    scores = data.queries @ data.vectors.T
    return np.argsort(-scores, axis=1)[:, :K]


def _recall(store: FaissStore, data: _Data, truth: np.ndarray) -> float:
    found = store.search_vectors(data.queries, K)
    indices = [{int((document.id or "").removeprefix("document-")) for document, _ in row} for row in found]
    return statistics.mean(len(row & set(wanted.tolist())) / K for row, wanted in zip(indices, truth, strict=True))


def _payload_bytes(data: _Data) -> int:
    return data.vectors.nbytes + sum(len(text.encode()) for text in data.texts)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _each(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Return the median seconds of one query, after some to warm up."""
    for query in queries[:5]:
        search(query)
    return statistics.median(timed(lambda query=query: search(query)) for query in queries)


def _median(run: Callable[[], object], *, rounds: int) -> float:
    run()
    return statistics.median(timed(run) for _ in range(rounds))


if __name__ == "__main__":
    main()
