"""A service of 150 intents: messages answered right, handed over right, and answered wrong."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from benchmarks.classifier_data import DATA_SETS
from chains.customer_service import ServiceReply, TemplateBook, build_customer_service_chain
from llms import LocalClassifier, LocalEmbeddings
from llms.finetuning.classifier import ClassifierOptions, finetune_classifier
from llms.finetuning.rows import LabelledTexts

__all__ = ["routes_section"]

EPOCHS = 4
ACCEPTED_ACCURACY = 0.98


def routes_section(data: Path, folder: Path) -> list[str]:
    """Return the table of CLINC150, where each intent has an approved answer and the knowledge base is empty."""
    clinc = DATA_SETS["clinc150"](data)
    options = ClassifierOptions(
        epochs=EPOCHS, accepted_accuracy=ACCEPTED_ACCURACY, seed=0, track="none", show_progress=False
    )
    model = finetune_classifier(LabelledTexts(clinc.train), folder / "model", options).folder
    return routes_table(model, data)


def routes_table(model: Path, data: Path) -> list[str]:
    """Return the table for a trained model."""
    clinc = DATA_SETS["clinc150"](data)
    classifier = LocalClassifier(model)
    chain = build_customer_service_chain(
        classifier=classifier,
        templates=TemplateBook(answers={label: f"Answer for {label}." for label in classifier.labels}),
        retriever=_Nothing(),
        embeddings=LocalEmbeddings(),
    )
    inside = chain.batch([row.text for row in clinc.test])
    outside = chain.batch(clinc.outside["far"])
    right = [
        reply.route == "template" and reply.intent == row.label for reply, row in zip(inside, clinc.test, strict=True)
    ]
    offered = [row.label in _offered(reply) for reply, row in zip(inside, clinc.test, strict=True)]
    wrong = [
        reply.route == "template" and reply.intent != row.label for reply, row in zip(inside, clinc.test, strict=True)
    ]
    kept_out = [reply.route == "handover" for reply in outside]
    answered = [reply.route == "template" for reply in outside]
    overall = [*(one or other for one, other in zip(right, offered, strict=True)), *kept_out]
    return [
        "## Routes of 150 intents: CLINC150",
        "",
        f"Full training, {EPOCHS} epochs, accepted where {ACCEPTED_ACCURACY:.0%} are right; no text out of scope is "
        "used before it is scored. *offered*: the question between two intents names the right one.",
        "",
        "| messages | right answer | right one offered | wrong answer | handed over |",
        "|---|---|---|---|---|",
        f"| {len(inside):,} in scope | {_share(right)} | {_share(offered)} | {_share(wrong)} | "
        f"{_share([reply.route == 'handover' for reply in inside])} |",
        f"| {len(outside):,} out of scope | | | {_share(answered)} | {_share(kept_out)} |",
        f"| all | | | {_share([*wrong, *answered])} | |",
        "",
        f"Right way in all: {_share(overall)} (answered or offered in scope, handed over out of it); "
        f"{_share([*right, *kept_out])} without questions back.",
    ]


class _Nothing(BaseRetriever):
    def _get_relevant_documents(self, *_: object, **__: object) -> list[Document]:
        return []


def _offered(reply: ServiceReply) -> Sequence[str]:
    return reply.open_question.intents if reply.open_question else ()


def _share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.4f}"
