"""Routes of customer service with 150 intents: messages answered right, handed over right, answered wrong."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from benchmarks.classifier_data import DATA_SETS, DataSet
from chains.customer_service import ServiceReply, TemplateBook, build_customer_service_chain
from llms import LocalClassifier, LocalEmbeddings
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts

__all__ = ["routes_section"]

EPOCHS = 4
ACCEPTED_ACCURACY = 0.98
OUTSIDE = "out of scope"


def routes_section(data: Path, folder: Path) -> list[str]:
    """Return the table of CLINC150, where each intent has an approved answer and the knowledge base is empty."""
    clinc = DATA_SETS["clinc150"](data)
    more, strange = _read_more(data)
    print("CLINC150, training part", file=sys.stderr)
    alone = _train(clinc.train, folder / "alone", outside_label=None)
    print("CLINC150, with texts out of scope", file=sys.stderr)
    shown = _train([*clinc.train, *more, *strange], folder / "shown", outside_label=OUTSIDE)
    return [
        "## Routes of 150 intents: CLINC150",
        "",
        f"Full training, {EPOCHS} epochs, accepted where {ACCEPTED_ACCURACY:.0%} are right. *offered*: the question "
        "between two intents names the right one. *right way*: answered or offered in scope, handed over out of it; "
        "the last column is without those offered.",
        "",
        "| learnt from | in scope: right | offered | wrong | handed over | out of scope: handed over | all: wrong "
        "| right way | answered or handed over |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| {len(clinc.train):,} texts in scope | {_row(alone, clinc)} |",
        f"| these, {len(more):,} of the validation part and {len(strange)} out of scope (`outside_label`) | "
        f"{_row(shown, clinc)} |",
        "",
        f"Asked: {len(clinc.test):,} texts in scope and {len(clinc.outside['far']):,} out of scope.",
    ]


def _read_more(data: Path) -> tuple[list[LabelledText], list[LabelledText]]:
    """Return the validation part, and texts out of scope of the training and validation parts."""
    content = json.loads((data / "clinc150" / "data_oos_plus.json").read_text("utf-8"))
    strange = [text for part in ("oos_train", "oos_val") for text, _ in content[part]]
    return [LabelledText(*row) for row in content["val"]], [LabelledText(text, OUTSIDE) for text in strange]


def _train(rows: list[LabelledText], folder: Path, *, outside_label: str | None) -> LocalClassifier:
    options = ClassifierOptions(
        epochs=EPOCHS,
        accepted_accuracy=ACCEPTED_ACCURACY,
        outside_label=outside_label,
        seed=0,
        track="none",
        show_progress=False,
    )
    return LocalClassifier(finetune_classifier(LabelledTexts(rows), folder, options).folder)


def _row(classifier: LocalClassifier, clinc: DataSet) -> str:
    chain = build_customer_service_chain(
        classifier=classifier,
        templates=TemplateBook(answers={row.label: f"Answer for {row.label}." for row in clinc.train}),
        retriever=_Nothing(),
        embeddings=LocalEmbeddings(),
    )
    inside = list(zip(chain.batch([row.text for row in clinc.test]), (row.label for row in clinc.test), strict=True))
    outside = chain.batch(clinc.outside["far"])
    right = [reply.route == "template" and reply.intent == label for reply, label in inside]
    offered = [label in _offered(reply) for reply, label in inside]
    wrong = [reply.route == "template" and reply.intent != label for reply, label in inside]
    kept_out = [reply.route == "handover" for reply in outside]
    right_way = [*(one or other for one, other in zip(right, offered, strict=True)), *kept_out]
    shares = (
        right,
        offered,
        wrong,
        [reply.route == "handover" for reply, _ in inside],
        kept_out,
        [*wrong, *(reply.route == "template" for reply in outside)],
        right_way,
        [*right, *kept_out],
    )
    return " | ".join(f"{np.mean(share):.4f}" for share in shares)


class _Nothing(BaseRetriever):
    def _get_relevant_documents(self, *_: object, **__: object) -> list[Document]:
        return []


def _offered(reply: ServiceReply) -> Sequence[str]:
    return reply.open_question.intents if reply.open_question else ()
