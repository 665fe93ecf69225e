"""Waiting times of eight customers at once over ten thousand passages, by template and by quotes."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from langchain_core.documents import Document

from apps.lookups import read_lookups
from apps.readers import read_templates
from apps.workspace import create_workspace
from benchmarks.retrieval import read_tasks
from benchmarks.service_lies import nobody
from chains.customer_service import ServiceReply, TemplateBook, build_customer_service_chain
from llms import LocalClassifier, LocalEmbeddings
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.labelled_files import read_labelled_texts
from retrievers import FaissStore, HybridRetriever
from retrievers.chunking import split_documents

__all__ = ["speed_section"]

NUM_USERS = 8
NUM_PASSAGES = 10_000
MESSAGES_PER_USER = 60


def speed_section(data: Path, folder: Path) -> list[str]:
    """Return the table of waiting times."""
    create_workspace(folder / "shop")
    records = folder / "shop/customer_service"
    rows = read_labelled_texts(records / "intents.csv", label_column="intent")
    options = ClassifierOptions(method="head", track="none", show_progress=False)
    model = finetune_classifier(rows, folder / "intent", options).folder
    classifier = LocalClassifier(model, engine="openvino", precision="int8")
    embeddings = LocalEmbeddings(engine="openvino", precision="int8")
    passages, questions = _passages(data)
    store = FaissStore(embedding=embeddings)
    store.add_documents(passages)
    retriever = HybridRetriever(store=store)
    service = build_customer_service_chain(
        classifier=classifier,
        templates=read_templates(records / "templates.yaml"),
        retriever=retriever,
        embeddings=embeddings,
        lookups=read_lookups(records / "lookups"),
    )
    quotes = build_customer_service_chain(
        classifier=nobody(), templates=TemplateBook(answers={}), retriever=retriever, embeddings=embeddings
    )
    messages = [row.text for row in read_labelled_texts(records / "intents_test.csv", label_column="intent").rows]
    sure = [text for text in messages if service.invoke(text).intent is not None]
    quotes.invoke(questions[0])
    runs = {
        "template": _waits(service.invoke, sure),
        "quotes, passages that nobody asked for before": _waits(quotes.invoke, questions),
        "quotes, passages asked for again": _waits(quotes.invoke, questions),
    }
    lines = []
    for name, waits in runs.items():
        middle, slow = np.quantile(waits, [0.5, 0.95])
        lines.append(f"| {name} | {len(waits)} | {middle:.0f} | {slow:.0f} |")
    return [
        "## Waiting times",
        "",
        f"{NUM_USERS} customers at once, each asking {MESSAGES_PER_USER} messages one after the other; "
        f"{len(passages):,} passages, classifier and encoder on OpenVINO in int8. Milliseconds from the message to the "
        "whole reply.",
        "",
        "| route | replies | median | 95 % within |",
        "|---|---|---|---|",
        *lines,
    ]


def _waits(ask: Callable[[str], ServiceReply], texts: Sequence[str]) -> list[float]:
    waits: list[float] = []

    def talk(user: int) -> None:
        generator = random.Random(user)
        for _ in range(MESSAGES_PER_USER):
            text = generator.choice(texts)
            started = time.perf_counter()
            ask(text)
            waits.append(1000 * (time.perf_counter() - started))

    threads = [threading.Thread(target=talk, args=(user,)) for user in range(NUM_USERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def _passages(data: Path) -> tuple[list[Document], list[str]]:
    """Return passages of SciFact's abstracts, and claims that ask for them."""
    task = read_tasks(data)["SciFact test"]
    documents = [
        Document(document.page_content, metadata={"source": document.id, "title": document.page_content[:60]})
        for document in task.documents
    ]
    return list(split_documents(documents))[:NUM_PASSAGES], [claim for claim, _ in task.questions]
