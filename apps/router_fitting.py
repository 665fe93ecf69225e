"""Fitting of a workspace's answer router, which belongs to its training."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from apps.answer_router import ROUTER_NAME, intent_rows, open_examples, records_digest, trained_on
from apps.intent_replies import unseen_intents
from apps.known_answers import fit_questions, known_questions_of
from apps.readers import read_templates
from apps.review_entries import ReviewedEntry, Reviews
from apps.settings import Settings
from apps.workspace_models import open_classifier, open_embeddings, open_store
from chains.customer_service import (
    RouteModel,
    RouterOrigin,
    SentenceVectors,
    ServiceSources,
    collect_messages,
    fit_route_model,
)
from llms import LocalClassifier
from llms.errors import TrainingDataError
from retrievers import HybridRetriever


def fit_answer_router(
    settings: Settings,
    path: Path | None = None,
    *,
    classifier: LocalClassifier | None = None,
    entries: Sequence[ReviewedEntry] | None = None,
) -> RouteModel:
    """Fit the answer router on held-out messages of the workspace, write it to `path`, and return it.

    Args:
        settings: of a workspace whose intent model is trained and whose knowledge is indexed.
        path: default: beside the models, where `open_answer_router` finds it.
        classifier: another intent model than the one in use.
        entries: other reviewed entries than those in use.

    Raises:
        NotBuiltError: if there is no intent model or no index.
        TrainingDataError: if no held-out message has a right answer.
    """
    section = settings.customer_service
    folder = settings.records_folder(section)
    classifier = classifier or open_classifier(settings, "intent")
    entries = Reviews(folder).in_use() if entries is None else entries
    store = open_store(settings, "knowledge")
    intents = unseen_intents(settings, intent_rows(settings, entries), classifier)
    questions = known_questions_of(settings, entries)
    fitted = fit_questions(settings, questions, store.embeddings) if questions else None
    sources = ServiceSources(
        classifier=classifier,
        templates=read_templates(folder / "templates.yaml"),
        known_questions=fitted.book if fitted else None,
        retriever=HybridRetriever(store=store, word_weight=section.word_weight),
        examples=open_examples(settings, intent_rows(settings, entries), store.embeddings),
        vectors=SentenceVectors(store.embeddings),
    )
    passages = store.all_documents()
    messages = collect_messages(sources, intents, passages, seed=settings.finetuning.seed)
    contents = hashlib.sha256("\0".join(sorted(passage.page_content for passage in passages)).encode()).hexdigest()
    origin = RouterOrigin(
        encoder=open_embeddings(settings).fingerprint,
        intent_model=trained_on(classifier),
        records=records_digest(settings, questions),
        knowledge=contents,
    )
    model = fit_route_model(
        messages,
        origin=origin,
        known_questions=fitted.report(section.false_hit_budget) if fitted else None,
        seed=settings.finetuning.seed,
    )
    model.save(path or settings.models_folder / ROUTER_NAME)
    return model


def refit_answer_router(settings: Settings, report: Callable[[str], None]) -> None:
    """Fit the answer router after a training; where its records do not suffice, say so and have none.

    Args:
        report: called with why there is none, and what follows.
    """
    try:
        fit_answer_router(settings)
    except TrainingDataError as error:
        (settings.models_folder / ROUTER_NAME).unlink(missing_ok=True)
        report(f"no answer router: {error}; each kind of answer is tried by its own threshold")
