"""Known questions: how many paraphrases find their answer, and how many get one although theirs is not there."""

import json
import sys
from pathlib import Path

import numpy as np

from chains.customer_service import KnownQuestion, KnownQuestions, fit_known_questions
from llms import LocalEmbeddings
from llms.finetuning.data.pairs import TextPair, TextPairs
from llms.finetuning.embeddings.finetune import finetune_embeddings
from llms.finetuning.embeddings.options import EmbeddingsOptions

__all__ = ["known_questions_section"]

BUDGET = 0.02
NUM_FOLDS = 3
EPOCHS = 3
Asked = list[tuple[str, str]]


def known_questions_section(data: Path, folder: Path) -> list[str]:
    """Return the table of StackFAQ."""
    questions, asked = _read(data)
    folds = [[row for row in asked if int(row[1]) % NUM_FOLDS == fold] for fold in range(NUM_FOLDS)]
    frozen = LocalEmbeddings()
    own, few, many = _train_on_answers(questions, folder), _Folds(), _Folds()
    for test in range(NUM_FOLDS):
        fitted_on, learnt = folds[(test + 1) % NUM_FOLDS], folds[(test + 2) % NUM_FOLDS]
        print(f"StackFAQ, asking third {test}", file=sys.stderr)
        few.add(questions, _train(questions, learnt, folder / f"few-{test}"), folds[test], fitted_on)
        many.add(questions, _train(questions, learnt + fitted_on, folder / f"many-{test}"), folds[test])
    untrained, answers = _Folds(), _Folds()
    for test in range(NUM_FOLDS):
        fitted_on = folds[(test + 1) % NUM_FOLDS]
        untrained.add(questions, frozen, folds[test], fitted_on)
        answers.add(questions, own, folds[test], fitted_on)
    cosine = _cosine_hits(questions, asked, frozen)
    return [
        "## Known questions: StackFAQ",
        "",
        f"{len(asked):,} paraphrases of {len(questions)} questions, each with its answers. Split by question into "
        "three: a third is asked, the threshold is fitted on another, the third one trains. *false hits*: of messages "
        f"whose own question was taken out of the book, at the threshold for a budget of {BUDGET:.0%} (bound at 95 %); "
        "*hits*: of messages that got the answer of their own question, at that threshold; *wrong*: that got another.",
        "",
        "| encoder | P@1 | false hits | hits | wrong |",
        "|---|---|---|---|---|",
        f"| frozen, cosine to the question alone | {cosine:.4f} | | | |",
        f"| frozen | {untrained.row()} |",
        f"| trained on the questions and their answers alone | {answers.row()} |",
        f"| trained on paraphrases of a third of the questions | {few.row()} |",
        f"| trained on paraphrases of two thirds | {many.row()} |",
        "",
        "P@1 is of the question with the best score, whatever the threshold. No paraphrase of a question that is asked "
        "was trained on, and none fitted a threshold.",
    ]


class _Folds:
    """What the thirds add up to."""

    def __init__(self) -> None:
        self._first: list[bool] = []
        self._false: list[bool] = []
        self._hits: list[bool] = []
        self._wrong: list[bool] = []

    def add(
        self, questions: list[KnownQuestion], embeddings: LocalEmbeddings, asked: Asked, fitted_on: Asked | None = None
    ) -> None:
        if fitted_on is None:
            book = KnownQuestions(questions, embeddings=embeddings)
        else:
            book = fit_known_questions(questions, embeddings=embeddings, asked=fitted_on, budget=BUDGET).book
        matches = list(zip(book.batch_match([text for text, _ in asked]), [id_ for _, id_ in asked], strict=True))
        self._first += [match.question.id == id_ for match, id_ in matches]
        if fitted_on is None:
            return
        self._hits += [match.accepted and match.question.id == id_ for match, id_ in matches]
        self._wrong += [match.accepted and match.question.id != id_ for match, id_ in matches]
        for id_ in {id_ for _, id_ in asked}:
            texts = [text for text, own in asked if own == id_]
            self._false += [match.accepted for match in book.match_without(texts, id_)]

    def row(self) -> str:
        return " | ".join(
            f"{np.mean(values):.4f}" if values else "" for values in (self._first, self._false, self._hits, self._wrong)
        )


def _read(data: Path) -> tuple[list[KnownQuestion], Asked]:
    rows = [json.loads(line) for line in (data / "stackfaq/stackfaq_flat.jsonl").read_text("utf-8").splitlines()]
    questions = [
        KnownQuestion(
            id=str(row["faq_id"]), question=row["question"], answer=row["answers"][0], about=tuple(row["answers"][1:])
        )
        for row in rows
    ]
    return questions, [(query, str(row["faq_id"])) for row in rows for query in row["queries"] if query]


def _train(questions: list[KnownQuestion], learnt: Asked, folder: Path) -> LocalEmbeddings:
    question = {entry.id: entry.question for entry in questions}
    pairs = TextPairs([TextPair(text, question[id_], group=id_) for text, id_ in learnt])
    options = EmbeddingsOptions(epochs=EPOCHS, seed=0, track="none", show_progress=False)
    return LocalEmbeddings(finetune_embeddings(pairs, folder, options).folder)


def _train_on_answers(questions: list[KnownQuestion], folder: Path) -> LocalEmbeddings:
    pairs = TextPairs(
        [TextPair(entry.question, text, group=entry.id) for entry in questions for text in (entry.answer, *entry.about)]
    )
    options = EmbeddingsOptions(epochs=1, batch_size=16, seed=0, track="none", show_progress=False)
    return LocalEmbeddings(finetune_embeddings(pairs, folder / "answers", options).folder)


def _cosine_hits(questions: list[KnownQuestion], asked: Asked, embeddings: LocalEmbeddings) -> float:
    known = embeddings.embed_array([entry.question for entry in questions])
    vectors = embeddings.embed_array([text for text, _ in asked], role="query")
    found = (vectors @ known.T).argmax(axis=1)
    return float(np.mean([questions[int(index)].id == id_ for index, (_, id_) in zip(found, asked, strict=True)]))
