"""What training adds to finding: fine-tuned embeddings and rerankers beside the frozen encoder, in one run.

Run: python -m benchmarks.finetuned_retrieval [--parts stackfaq,scifact] [--out docs/benchmarks/finetuned_retrieval.md]

No option was chosen on the questions that are reported: they are the defaults, with the numbers of epochs below.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.machine import processor
from benchmarks.retrieval import DEFAULT_DATA, Task, read_tasks
from llms import LocalEmbeddings, LocalReranker
from llms.finetuning.embeddings import EmbeddingsOptions, finetune_embeddings
from llms.finetuning.pairs import TextPair, TextPairs
from llms.finetuning.reranker import RerankerOptions, finetune_reranker
from retrievers.metrics import hit_at_k, ndcg_at_k

NUM_RERANKED = 10
Hits = list[float]
Vectors = npt.NDArray[np.float32]


def stackfaq(task: Task, folder: Path, seed: int) -> list[str]:
    """Return a section: P@1 where each half of the FAQs is asked for after training on the other half."""
    hits: dict[str, Hits] = {}
    seconds = {"embeddings": 0.0, "reranker": 0.0}
    frozen = LocalEmbeddings()
    frozen_vectors = frozen.embed_array([document.page_content for document in task.documents])
    for half in (0, 1):
        print(f"StackFAQ, asking half {half}", file=sys.stderr)
        asked, learnt = _halves(task, half)
        options = EmbeddingsOptions(epochs=2, hard_negatives=3, seed=seed, track="none")
        started = time.perf_counter()
        pairs = TextPairs([TextPair(query, _question(task, faq), group=faq) for query, faq in learnt])
        trained = LocalEmbeddings(finetune_embeddings(pairs, folder / f"embeddings-{half}", options).folder)
        seconds["embeddings"] += time.perf_counter() - started
        started = time.perf_counter()
        questions = sorted({_question(task, faq) for _, faq in learnt})
        reranker_options = RerankerOptions(epochs=2, seed=seed, max_tokens=64, track="none")
        found = _search(frozen, questions)
        fitted = finetune_reranker(pairs, folder / f"reranker-{half}", reranker_options, mine=found)
        reranker = LocalReranker(fitted.folder)
        seconds["reranker"] += time.perf_counter() - started
        trained_vectors = trained.embed_array([document.page_content for document in task.documents])
        for name, embeddings, vectors in (
            ("frozen encoder", frozen, frozen_vectors),
            ("fine-tuned embeddings", trained, trained_vectors),
        ):
            rankings = _rank_faqs(task, embeddings, vectors, [query for query, _ in asked])
            hits.setdefault(name, []).extend(_hits(rankings, asked))
            reranked = [_rerank(task, reranker, query, faqs) for (query, _), faqs in zip(asked, rankings, strict=True)]
            hits.setdefault(f"{name}, then the trained reranker", []).extend(_hits(reranked, asked))
    return [
        "## StackFAQ: questions in other words",
        "",
        f"{len(task.questions):,} questions to 125 FAQs, {len(task.documents):,} texts; P@1 with the best text of an "
        "FAQ. Split by FAQ: trained on the wordings of one half of the FAQs, asked for the other half among all, and "
        f"the other way round; no wording of an FAQ that is asked for was trained on. The reranker reads the questions "
        f"of the first {NUM_RERANKED} FAQs. Its base is the same encoder with a new layer.",
        "",
        *_table("P@1", hits, hits["frozen encoder"]),
        "",
        f"Training both halves: embeddings {seconds['embeddings']:.0f} s, rerankers {seconds['reranker']:.0f} s.",
    ]


def scifact(test: Task, train: Task, folder: Path, seed: int) -> list[str]:
    """Return a section: nDCG@10 of the test claims after training on the training claims."""
    print("SciFact", file=sys.stderr)
    text_of = {document.id: document.page_content for document in test.documents}
    pairs = TextPairs([TextPair(claim, text_of[id_]) for claim, ids in train.questions for id_ in sorted(ids)])
    options = EmbeddingsOptions(epochs=2, hard_negatives=1, batch_size=16, seed=seed, track="none")
    started = time.perf_counter()
    trained = LocalEmbeddings(finetune_embeddings(pairs, folder / "scifact", options).folder)
    seconds = time.perf_counter() - started
    gains = {}
    for name, embeddings in (("frozen encoder", LocalEmbeddings()), ("fine-tuned embeddings", trained)):
        vectors = embeddings.embed_array([document.page_content for document in test.documents])
        queries = embeddings.embed_array([claim for claim, _ in test.questions], role="query")
        orders = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :10]
        ranked = [[test.documents[int(place)].id or "" for place in order] for order in orders]
        gains[name] = [ndcg_at_k(found, right, 10) for found, (_, right) in zip(ranked, test.questions, strict=True)]
    return [
        "## SciFact: claims and abstracts",
        "",
        f"{len(pairs.rows)} training pairs, {len(test.questions)} test claims, {len(test.documents):,} documents.",
        "Training and test claims share documents: 181 of the 283 documents that answer a test claim answer a training "
        "claim, too, and 95 test claims have a near twin among the training claims. The gain is partly that.",
        "",
        *_table("nDCG@10", gains, gains["frozen encoder"]),
        "",
        f"Training: {seconds:.0f} s.",
    ]


def _halves(task: Task, half: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    rows = [(query, min(faqs)) for query, faqs in task.questions]
    return [row for row in rows if int(row[1]) % 2 == half], [row for row in rows if int(row[1]) % 2 != half]


def _question(task: Task, faq: str) -> str:
    documents = (document for document in task.documents if document.metadata["is_question"])
    return next(document.page_content for document in documents if document.metadata["faq"] == faq)


def _search(embeddings: LocalEmbeddings, texts: Sequence[str]) -> Callable[[str], list[str]]:
    vectors = embeddings.embed_array(texts)

    def find(query: str) -> list[str]:
        cosines = vectors @ embeddings.embed_array([query], role="query")[0]
        return [texts[int(place)] for place in np.argsort(-cosines, kind="stable")[:NUM_RERANKED]]

    return find


def _rank_faqs(task: Task, embeddings: LocalEmbeddings, vectors: Vectors, queries: Sequence[str]) -> list[list[str]]:
    cosines = embeddings.embed_array(queries, role="query") @ vectors.T  # (queries, documents)
    orders = np.argsort(-cosines, axis=1, kind="stable")
    return [task.ids([task.documents[int(place)] for place in order])[:NUM_RERANKED] for order in orders]


def _rerank(task: Task, reranker: LocalReranker, query: str, faqs: Sequence[str]) -> list[str]:
    scores = reranker.score(query, [_question(task, faq) for faq in faqs])
    return [faqs[int(place)] for place in np.argsort(-scores, kind="stable")]


def _hits(rankings: Sequence[Sequence[str]], asked: Sequence[tuple[str, str]]) -> Hits:
    return [hit_at_k(ranked, {faq}, 1) for ranked, (_, faq) in zip(rankings, asked, strict=True)]


def _table(metric: str, figures: dict[str, list[float]], baseline: Sequence[float]) -> list[str]:
    """Return rows with the mean, and with how far it lies from the baseline's and the standard error of that."""
    lines = [f"| method | {metric} | more than frozen | standard error |", "|---|---|---|---|"]
    for name, values in figures.items():
        differences = np.array(values) - np.array(baseline)
        error = float(differences.std(ddof=1)) / len(differences) ** 0.5
        lines.append(f"| {name} | {np.mean(values):.4f} | {differences.mean():+.4f} | {error:.4f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="stackfaq,scifact")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    started = time.perf_counter()
    tasks = read_tasks(Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)))  # noqa: TID251  # no workspace here
    sections: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        if "stackfaq" in arguments.parts:
            sections += [*stackfaq(tasks["StackFAQ"], Path(temporary), arguments.seed), ""]
        if "scifact" in arguments.parts:
            train = tasks["SciFact train (choice)"]
            sections += [*scifact(tasks["SciFact test"], train, Path(temporary), arguments.seed), ""]
    lines = [
        "# Finding after training",
        "",
        f"`python -m benchmarks.finetuned_retrieval --parts {arguments.parts} --seed {arguments.seed}`, "
        f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}. "
        f"{time.perf_counter() - started:.0f} s in all; load of the machine before the run: {load:.1f}.",
        "",
        "Base and frozen encoder: all-MiniLM-L6-v2. Exact search by cosine, nothing but the vectors and the reranker.",
        "",
        *sections,
    ]
    text = "\n".join(lines).rstrip()
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
