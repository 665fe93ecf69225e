"""Answer router of a workspace: fitted when it is trained, kept as readable JSON, and read when it is opened."""

import hashlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable
from numpy.typing import NDArray

from apps.known_answers import known_questions_of
from apps.learnt import file_digest, load_or_learn
from apps.review_entries import ReviewedEntry, Reviews, training_rows
from apps.settings import Settings
from apps.workspace_models import open_classifier, open_embeddings
from chains.customer_service import (
    AnswerBudget,
    AnswerRouter,
    IntentExamples,
    KnownQuestion,
    RouteModel,
)
from llms import Classification, LocalClassifier
from llms.errors import ModelFolderError
from llms.finetuning import read_labelled_texts
from llms.finetuning.data import LabelledText

ROUTER_NAME = "router.json"
EXAMPLES_NAME = "router_examples.safetensors"
_EXAMPLES_VERSION = 1  # raised when the texts are put together in another way
_log = logging.getLogger(__name__)


def open_answer_router(
    settings: Settings,
    *,
    classifier: Runnable[str, Classification],
    questions: Sequence[KnownQuestion],
    entries: Sequence[ReviewedEntry],
    embeddings: Embeddings,
    path: Path | None = None,
) -> AnswerRouter | None:
    """Return the router of a workspace with the threshold of its budget; None, with a note, where it has none.

    A router fitted with another encoder or intent model is none. One whose known questions or approved answers have
    changed since is used, with a note: its bound was shown on what was there before.
    """
    model = _open_model(settings, classifier, questions, path or settings.models_folder / ROUTER_NAME)
    if model is None:
        return None
    budget = model.budget(settings.customer_service.wrong_answer_budget)
    return AnswerRouter(model, budget, open_examples(settings, intent_rows(settings, entries), embeddings))


def _open_model(
    settings: Settings, classifier: Runnable[str, Classification], questions: Sequence[KnownQuestion], path: Path
) -> RouteModel | None:
    fit_it = f"fit it with: tunechain service fit -w {shlex.quote(str(settings.workspace))}"
    if not path.exists():
        _log.warning("there is no %s, so each kind of answer is tried by its own threshold; %s", path.name, fit_it)
        return None
    try:
        model = RouteModel.load(path)
    except ModelFolderError as error:
        _log.warning("%s; each kind of answer is tried by its own threshold; %s", error, fit_it)
        return None
    origin = model.origin
    found = (open_embeddings(settings).fingerprint, trained_on(classifier))
    if (origin.encoder, origin.intent_model) != found:
        _log.warning(
            "%s was fitted with another encoder or intent model, so each kind of answer is tried by its own "
            "threshold; %s",
            path.name,
            fit_it,
        )
        return None
    if origin.records != records_digest(settings, questions):
        _log.warning("known questions or approved answers have changed since %s was fitted; %s", path.name, fit_it)
    return model


def read_budget(settings: Settings) -> tuple[RouteModel, AnswerBudget] | None:
    """Return what the workspace's router was fitted to and the threshold of its budget; no model is loaded for it."""
    path = settings.models_folder / ROUTER_NAME
    if not path.exists():
        return None  # then there may be no models either
    questions = known_questions_of(settings, Reviews(settings.records_folder(settings.customer_service)).in_use())
    model = _open_model(settings, open_classifier(settings, "intent"), questions, path)
    return None if model is None else (model, model.budget(settings.customer_service.wrong_answer_budget))


def intent_rows(settings: Settings, entries: Sequence[ReviewedEntry]) -> list[LabelledText]:
    """Return the rows that the intent model learns, with those of reviewed entries."""
    path = settings.records_folder(settings.customer_service) / "intents.csv"
    return [*read_labelled_texts(path, label_column="intent").rows, *training_rows(entries)]


def records_digest(settings: Settings, questions: Sequence[KnownQuestion]) -> str:
    """Return what changes with the approved answers and known questions that a router decides among."""
    templates = settings.records_folder(settings.customer_service) / "templates.yaml"
    content = [file_digest(templates), *(question.model_dump_json() for question in questions)]
    return hashlib.sha256("\0".join(content).encode()).hexdigest()


def open_examples(settings: Settings, rows: Sequence[LabelledText], embeddings: Embeddings) -> IntentExamples:
    """Return the training texts of the intents with the vectors kept for them; at most they are embedded."""
    texts, intents = [row.text for row in rows], [row.label for row in rows]

    def embed() -> Mapping[str, NDArray[Any]]:
        return {"vectors": IntentExamples(texts, intents, embeddings=embeddings).vectors}

    origin = {
        "version": _EXAMPLES_VERSION,
        "texts": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "encoder": open_embeddings(settings).fingerprint,
    }
    learnt = load_or_learn(settings.models_folder / EXAMPLES_NAME, origin, embed)
    return IntentExamples(texts, intents, embeddings=embeddings, vectors=learnt["vectors"])


def trained_on(classifier: Runnable[str, Classification]) -> str:
    """Return what tells trained intent models apart: the rows and options that were learnt."""
    manifest = classifier.manifest if isinstance(classifier, LocalClassifier) else None
    return manifest.data_sha256 if manifest else ""
