"""Known questions of a workspace: read, fitted to their budget, and opened with a threshold that is known already."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from apps.learnt import file_digest, load_or_learn
from apps.readers import read_known_questions
from apps.review_entries import ReviewedEntry, with_reviewed
from apps.settings import Settings
from apps.workspace_models import open_embeddings
from chains.customer_service import FittedQuestions, KnownQuestion, KnownQuestions, fit_known_questions
from llms.finetuning import read_labelled_texts

_THRESHOLD_NAME = "known_questions.safetensors"
_VECTORS_NAME = "known_question_vectors.safetensors"
LEARNT_NAMES = (_THRESHOLD_NAME, _VECTORS_NAME)  # both hold vectors of questions, reviewed ones among them
_NUM_OUT_OF_SCOPE = 400  # enough to prove a budget of 1 %, read in a second
_THRESHOLD_VERSION = 2  # raised when the threshold is found or the texts are put together in another way
_VECTORS_VERSION = 1  # raised when the texts are put together in another way


def known_questions_of(settings: Settings, entries: Sequence[ReviewedEntry]) -> list[KnownQuestion]:
    """Return the known questions of a workspace, with what reviews added."""
    written = read_known_questions(settings.records_folder(settings.customer_service) / "known_questions.yaml")
    return with_reviewed(written, entries)


def fit_questions(settings: Settings, questions: Sequence[KnownQuestion], embeddings: Embeddings) -> FittedQuestions:
    """Return the book of known questions with the threshold of `false_hit_budget`."""
    return fit_known_questions(
        questions,
        embeddings=embeddings,
        out_of_scope=_sample_messages(_labelled(settings)),
        budget=settings.customer_service.false_hit_budget,
    )


def open_questions(
    settings: Settings, questions: Sequence[KnownQuestion], embeddings: Embeddings, *, min_score: float
) -> KnownQuestions:
    """Return the book with a threshold that was fitted before; at most the texts are embedded."""

    def embed() -> Mapping[str, NDArray[Any]]:
        return {"vectors": KnownQuestions(questions, embeddings=embeddings).vectors}

    origin = {"version": _VECTORS_VERSION, **_origin(settings, questions)}
    learnt = load_or_learn(settings.models_folder / _VECTORS_NAME, origin, embed)
    return KnownQuestions(questions, embeddings=embeddings, vectors=learnt["vectors"], min_score=min_score)


def open_or_fit_questions(
    settings: Settings, questions: Sequence[KnownQuestion], embeddings: Embeddings
) -> KnownQuestions:
    """Return the book with the threshold kept for these records, which is fitted now where there is none.

    For workspaces without a fitted router, whose thresholds were always found when they were opened.
    """

    def learn() -> Mapping[str, NDArray[Any]]:
        fitted = fit_questions(settings, questions, embeddings)
        return {"vectors": fitted.book.vectors, "min_score": np.array([fitted.book.min_score])}

    origin = {
        "version": _THRESHOLD_VERSION,
        "intents": file_digest(_labelled(settings)),
        "budget": settings.customer_service.false_hit_budget,
        **_origin(settings, questions),
    }
    learnt = load_or_learn(settings.models_folder / _THRESHOLD_NAME, origin, learn)
    return KnownQuestions(
        questions, embeddings=embeddings, vectors=learnt["vectors"], min_score=float(learnt["min_score"][0])
    )


def _origin(settings: Settings, questions: Sequence[KnownQuestion]) -> dict[str, Any]:
    return {
        "questions": [question.model_dump(mode="json") for question in questions],
        "encoder": open_embeddings(settings).fingerprint,
    }


def _labelled(settings: Settings) -> Path:
    return settings.records_folder(settings.customer_service) / "intents.csv"


def _sample_messages(labelled: Path) -> list[str]:
    """Return messages about intents, which ask no known question."""
    rows = read_labelled_texts(labelled, label_column="intent").rows if labelled.exists() else []
    chosen = random.Random(0).sample(rows, min(_NUM_OUT_OF_SCOPE, len(rows)))  # noqa: S311  # no secret
    return [row.text for row in chosen]
