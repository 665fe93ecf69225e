"""Sentences per second of `LocalEmbeddings` beside `HuggingFaceEmbeddings`, and what each precision costs in quality.

Run: python -m benchmarks.embeddings [--rounds 5] [--skip-retrieval] [--out docs/benchmarks/embeddings.md]

All ways use the same model folder and take turns, so that what else the machine does hits each of them; the median
of the rounds counts. The data sets lie in the folder TUNECHAIN_DATA.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import processor, timed
from llms import LocalEmbeddings, SqliteByteStore
from llms.openvino_export import read_manifest
from retrievers.metrics import ndcg_at_k

SEED = 0
NUM_SENTENCES = 3000
NUM_THREADS, QUERIES_PER_THREAD = 16, 20
DEFAULT_DATA = "../shared/data"
INCUMBENT = "HuggingFaceEmbeddings, defaults"
# way -> what is passed to LocalEmbeddings; the first is what closeness and ranking are compared with
WAYS = {
    "LocalEmbeddings, torch float32": {"engine": "torch", "precision": "float32"},
    "LocalEmbeddings, torch bfloat16": {"engine": "torch", "precision": "bfloat16"},
    "LocalEmbeddings, OpenVINO bfloat16": {"engine": "openvino", "precision": "bfloat16"},
    "LocalEmbeddings, OpenVINO int8": {"engine": "openvino", "precision": "int8"},
}
REFERENCE = next(iter(WAYS))


@dataclass(frozen=True)
class Retrieval:
    """Documents, queries, and which documents answer each query."""

    documents: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, set[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-retrieval", action="store_true", help="leave SciFact out, which takes most of the time")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        text = _report(arguments, Path(temporary))
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _report(arguments: argparse.Namespace, temporary: Path) -> str:
    load = os.getloadavg()[0]
    # a copy, so that no export is written beside the installed model
    folder = shutil.copytree(
        LocalEmbeddings().folder, temporary / "all-MiniLM-L6-v2", ignore=shutil.ignore_patterns("openvino")
    )
    sentences = _sentences()
    ways = {INCUMBENT: _incumbent(folder)} | {name: LocalEmbeddings(folder, **way) for name, way in WAYS.items()}
    seconds_to_first = {name: timed(lambda way=way: way.embed_query("first")) for name, way in ways.items()}
    command = f"python -m benchmarks.embeddings --rounds {arguments.rounds}"
    lines = [
        "# Speed and quality of sentence vectors on a CPU",
        "",
        f"`{command}{' --skip-retrieval' if arguments.skip_retrieval else ''}`, {os.cpu_count()} cores, "
        f"{processor()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, seed {SEED}. "
        f"Load of the machine before the run: {load:.1f}.",
        "",
        "all-MiniLM-L6-v2, the same folder for every way. The ways take turns; the median of the rounds counts.",
        "",
        *_throughput_lines(ways, sentences, arguments.rounds),
        "",
        *_concurrency_lines(ways, sentences, arguments.rounds),
        "",
        *_cache_lines(folder, sentences, temporary),
        "",
        *_export_lines(folder, seconds_to_first),
    ]
    if not arguments.skip_retrieval:
        lines += ["", *_retrieval_lines(ways)]
    return "\n".join(lines)


def _incumbent(folder: Path) -> Any:
    from langchain_huggingface import HuggingFaceEmbeddings

    return HuggingFaceEmbeddings(model_name=str(folder))


def _throughput_lines(ways: dict[str, Any], sentences: Sequence[str], rounds: int) -> list[str]:
    vectors = {name: np.array(way.embed_documents(list(sentences))) for name, way in ways.items()}  # warms up too
    seconds = _take_turns(
        {name: lambda way=way: way.embed_documents(list(sentences)) for name, way in ways.items()}, rounds
    )
    base = statistics.median(seconds[INCUMBENT])
    lines = [
        f"## {NUM_SENTENCES:,} Banking77 sentences, `embed_documents`",
        "",
        "Closeness is the cosine to the vectors of torch in float32.",
        "",
        "| way | sentences/s | x incumbent | x incumbent, worst to best round | mean cosine | least cosine |",
        "|---|---|---|---|---|---|",
    ]
    for name, times in seconds.items():
        middle = statistics.median(times)
        ratios = sorted(other / own for other, own in zip(seconds[INCUMBENT], times, strict=True))
        cosines = _cosines(vectors[name], vectors[REFERENCE])
        lines.append(
            f"| {name} | {len(sentences) / middle:,.0f} | {base / middle:.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} "
            f"| {cosines.mean():.5f} | {cosines.min():.5f} |"
        )
    return lines


def _concurrency_lines(ways: dict[str, Any], sentences: Sequence[str], rounds: int) -> list[str]:
    parts = [
        sentences[begin : begin + QUERIES_PER_THREAD]
        for begin in range(0, NUM_THREADS * QUERIES_PER_THREAD, QUERIES_PER_THREAD)
    ]
    failures = dict.fromkeys(ways, 0)

    def ask(name: str) -> None:
        def one_thread(part: Sequence[str]) -> int:
            failed = 0
            for text in part:
                try:
                    ways[name].embed_query(text)
                except RuntimeError:  # a tokenizer that two threads change at once
                    failed += 1
            return failed

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            failures[name] += sum(pool.map(one_thread, parts))

    seconds = _take_turns({name: lambda name=name: ask(name) for name in ways}, rounds)
    base = statistics.median(seconds[INCUMBENT])
    lines = [
        f"## {NUM_THREADS} threads, each with {QUERIES_PER_THREAD} calls of `embed_query`",
        "",
        "| way | queries/s | x incumbent | failed calls |",
        "|---|---|---|---|",
    ]
    for name, times in seconds.items():
        middle = statistics.median(times)
        rate = NUM_THREADS * QUERIES_PER_THREAD / middle
        lines.append(f"| {name} | {rate:,.0f} | {base / middle:.2f} | {failures[name]} |")
    return lines


def _cache_lines(folder: Path, sentences: Sequence[str], temporary: Path) -> list[str]:
    with SqliteByteStore(temporary / "vectors.sqlite") as store:
        embeddings = LocalEmbeddings(folder, cache=store, **WAYS[REFERENCE])
        first = timed(lambda: embeddings.embed_array(sentences))
        again = statistics.median(timed(lambda: embeddings.embed_array(sentences)) for _ in range(5))
    return [
        "## The same sentences again, from `SqliteByteStore`",
        "",
        "| | sentences/s |",
        "|---|---|",
        f"| first time, embedded and written | {len(sentences) / first:,.0f} |",
        f"| second time, read | {len(sentences) / again:,.0f} |",
    ]


def _export_lines(folder: Path, seconds_to_first: dict[str, float]) -> list[str]:
    lines = [
        "## What the conversion measured",
        "",
        "32 built-in sentences, English and Chinese, none of them calibrated on; cosine to torch in float32. An int8 "
        "export with a mean below 0.995 is refused.",
        "",
        "| precision | mean cosine | least cosine | seconds from nothing to the first vector | MiB |",
        "|---|---|---|---|---|",
    ]
    for name, way in WAYS.items():
        if way["engine"] != "openvino":
            continue
        export = folder / "openvino" / f"encoder-{way['precision']}"
        verified = read_manifest(export)["verified"]
        size_mib = sum(path.stat().st_size for path in export.iterdir()) / 2**20
        lines.append(
            f"| {way['precision']} | {verified['mean_cosine']:.5f} | {verified['min_cosine']:.5f} "
            f"| {seconds_to_first[name]:.1f} | {size_mib:.0f} |"
        )
    return lines


def _retrieval_lines(ways: dict[str, Any]) -> list[str]:
    data = _scifact()
    ours = {name: way for name, way in ways.items() if name != INCUMBENT}
    scores, rates = {}, {}
    for name, way in ours.items():
        started = time.perf_counter()
        documents = way.embed_array(list(data.documents.values()))
        rates[name] = len(documents) / (time.perf_counter() - started)
        queries = way.embed_array(list(data.queries.values()), role="query")
        scores[name] = _mean_ndcg(data, queries @ documents.T)
    lines = [
        f"## SciFact: {len(data.queries)} test queries, {len(data.documents):,} documents, nDCG@10",
        "",
        "Title and text together, exact search. Documents are about fifteen times as long as the sentences above; "
        "their speed is that of one run.",
        "",
        "| way | nDCG@10 | less than float32 | documents/s |",
        "|---|---|---|---|",
    ]
    for name, score in scores.items():
        lines.append(f"| {name} | {score:.4f} | {scores[REFERENCE] - score:+.4f} | {rates[name]:,.0f} |")
    return lines


def _mean_ndcg(data: Retrieval, similarities: np.ndarray) -> float:
    ids = list(data.documents)
    values = []
    for query_id, row in zip(data.queries, similarities, strict=True):
        ranked = [ids[index] for index in np.argsort(-row, kind="stable")[:10]]
        values.append(ndcg_at_k(ranked, data.relevant[query_id], k=10))
    return statistics.mean(values)


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def _take_turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    return seconds


def _data_folder() -> Path:
    return Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA))  # noqa: TID251  # a script, not the library


def _sentences() -> list[str]:
    with (_data_folder() / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        texts = sorted({row["text"] for row in csv.DictReader(file)})
    return random.Random(SEED).sample(texts, NUM_SENTENCES)


def _scifact() -> Retrieval:
    folder = _data_folder() / "scifact"
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        entries = [json.loads(line) for line in file]
    documents = {entry["_id"]: f"{entry['title']} {entry['text']}" for entry in entries}
    relevant: dict[str, set[str]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])
    texts = {}
    for line in (folder / "queries.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["_id"] in relevant:
            texts[entry["_id"]] = entry["text"]
    return Retrieval(documents, texts, relevant)


if __name__ == "__main__":
    main()
