"""Answers quoted from a knowledge base: whether they hold the answer, and whether nothing is quoted without it."""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from benchmarks.service_lies import nobody
from benchmarks.service_questions import KnowledgeQuestion, read_questions
from chains.customer_service import ServiceOptions, ServiceReply, TemplateBook, build_customer_service_chain
from llms import LocalEmbeddings
from retrievers import FaissStore, HybridRetriever

__all__ = ["quotes_section"]

REFUSED = 0.85  # of the questions that fit the threshold, without their paragraph
NUM_ASKED = 600
SETS = {  # file and weight of words; the encoder reads no Chinese, so that words alone decide there
    "XQuAD en": ("xquad/xquad.en.json", 0.25),
    "CMRC2018 dev": ("cmrc2018/cmrc2018_dev.json.gz", 25.0),
}


def quotes_section(data: Path, _: Path) -> list[str]:
    """Return the table of both sets."""
    rows = []
    for name, (file, word_weight) in SETS.items():
        print(name, file=sys.stderr)
        rows.append(_measure(name, read_questions(data / file), word_weight))
    return [
        "## Quoted answers and refusals",
        "",
        "Every paragraph of a set is an article. The least relevance is fitted on questions of the even paragraphs, "
        f"so that {REFUSED:.0%} of them are refused when their paragraph is taken out; up to {NUM_ASKED} questions of "
        "the odd ones are asked, with their paragraph and without it. The other paragraphs of its text stay. *holds "
        "the answer*: of the quoted answers, those with the marked words in them.",
        "",
        "| set | asked | recall@1 | recall@5 | answered | holds the answer | refused without the paragraph |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def _measure(name: str, questions: list[KnowledgeQuestion], word_weight: float) -> str:
    shop = _Shop.open(questions, word_weight)
    generator = random.Random(0)
    fitting = [question for question in questions if int(question.document) % 2 == 0]
    asked = [question for question in questions if int(question.document) % 2 == 1]
    fitting, asked = (generator.sample(part, min(NUM_ASKED, len(part))) for part in (fitting, asked))
    strange = [shop.relevance_without(question) for question in fitting]
    min_relevance = float(np.quantile(strange, REFUSED))
    found = shop.retriever().batch([question.text for question in asked])
    first = np.mean([right.document == documents[0].id for right, documents in zip(asked, found, strict=True)])
    five = np.mean(
        [right.document in [row.id for row in documents] for right, documents in zip(asked, found, strict=True)]
    )
    answered = [
        (question, reply)
        for question in asked
        if (reply := shop.ask(question, min_relevance=min_relevance)).route == "answer"
    ]
    holds = np.mean([any(text in reply.text for text in question.answers) for question, reply in answered])
    refused = np.mean(
        [shop.ask(question, min_relevance=min_relevance, without=True).route == "handover" for question in asked]
    )
    return (
        f"| {name} | {len(asked)} | {first:.4f} | {five:.4f} | {len(answered) / len(asked):.4f} | {holds:.4f} | "
        f"{refused:.4f} |"
    )


@dataclass(frozen=True, slots=True)
class _Shop:
    """The paragraphs of a set as a knowledge base."""

    store: FaissStore
    embeddings: Embeddings
    word_weight: float

    @classmethod
    def open(cls, questions: list[KnowledgeQuestion], word_weight: float) -> "_Shop":
        embeddings = LocalEmbeddings()
        store = FaissStore(embedding=embeddings)
        contexts = {question.document: question.context for question in questions}
        store.add_documents([Document(text, id=id_, metadata={"source": id_}) for id_, text in contexts.items()])
        return cls(store, embeddings, word_weight)

    def retriever(self, without: str | None = None) -> HybridRetriever:
        condition = None if without is None else {"source": {"$ne": without}}
        return HybridRetriever(store=self.store, word_weight=self.word_weight, filter=condition)

    def relevance_without(self, question: KnowledgeQuestion) -> float:
        found = self.retriever(question.document).invoke(question.text)
        return float(found[0].metadata["relevance"])

    def ask(self, question: KnowledgeQuestion, *, min_relevance: float, without: bool = False) -> ServiceReply:
        chain = build_customer_service_chain(
            classifier=nobody(),
            templates=TemplateBook(answers={}),
            retriever=self.retriever(question.document if without else None),
            embeddings=self.embeddings,
            options=ServiceOptions(min_relevance=min_relevance, intent_margin=0.0),
        )
        return chain.invoke(question.text)
