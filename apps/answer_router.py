"""Answer router of a workspace: fitted when it is trained, kept as readable JSON, and read when it is opened."""

import hashlib
import logging
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_core.runnables import Runnable

from apps.errors import WorkspaceError
from apps.known_answers import fit_questions, known_questions_of
from apps.learnt import file_digest
from apps.readers import read_templates
from apps.review_entries import ReviewedEntry, Reviews, training_rows
from apps.settings import Settings
from apps.workspace_models import open_classifier, open_embeddings, open_store
from chains.customer_service import (
    AnswerRouter,
    HeldOutIntent,
    KnownQuestion,
    RouteModel,
    RouterOrigin,
    ServiceSources,
    collect_messages,
    fit_route_model,
)
from llms import Classification, LocalClassifier
from llms.classifier import load_held_out, text_digest
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning import read_labelled_texts
from retrievers import HybridRetriever

ROUTER_NAME = "router.json"
_log = logging.getLogger(__name__)


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
        WorkspaceError: if the intent model was trained by a version that kept no replies to held-out rows.
        TrainingDataError: if no held-out message has a right answer.
    """
    section = settings.customer_service
    folder = settings.records_folder(section)
    classifier = classifier or open_classifier(settings, "intent")
    entries = Reviews(folder).in_use() if entries is None else entries
    store = open_store(settings, "knowledge")
    intents = _held_out_intents(settings, classifier, entries)
    questions = known_questions_of(settings, entries)
    fitted = fit_questions(settings, questions, store.embeddings) if questions else None
    sources = ServiceSources(
        classifier=classifier,
        templates=read_templates(folder / "templates.yaml"),
        known_questions=fitted.book if fitted else None,
        retriever=HybridRetriever(store=store, word_weight=section.word_weight),
    )
    passages = store.all_documents()
    messages = collect_messages(sources, intents, passages, seed=settings.finetuning.seed)
    contents = hashlib.sha256("\0".join(sorted(passage.page_content for passage in passages)).encode()).hexdigest()
    origin = RouterOrigin(
        encoder=open_embeddings(settings).fingerprint,
        intent_model=_trained_on(classifier),
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


def open_answer_router(
    settings: Settings,
    *,
    classifier: Runnable[str, Classification],
    questions: Sequence[KnownQuestion],
    path: Path | None = None,
) -> AnswerRouter | None:
    """Return the router of a workspace with the threshold of its budget; None, with a note, where it has none.

    A router fitted with another encoder or intent model is none. One whose known questions or approved answers have
    changed since is used, with a note: its bound was shown on what was there before.
    """
    path = path or settings.models_folder / ROUTER_NAME
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
    found = (open_embeddings(settings).fingerprint, _trained_on(classifier))
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
    return AnswerRouter(model, model.budget(settings.customer_service.wrong_answer_budget))


def read_answer_router(settings: Settings) -> AnswerRouter | None:
    """Return the router that the workspace answers with; no model is loaded for it."""
    entries = Reviews(settings.records_folder(settings.customer_service)).in_use()
    classifier = open_classifier(settings, "intent")
    return open_answer_router(settings, classifier=classifier, questions=known_questions_of(settings, entries))


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


def records_digest(settings: Settings, questions: Sequence[KnownQuestion]) -> str:
    """Return what changes with the approved answers and known questions that a router decides among."""
    templates = settings.records_folder(settings.customer_service) / "templates.yaml"
    content = [file_digest(templates), *(question.model_dump_json() for question in questions)]
    return hashlib.sha256("\0".join(content).encode()).hexdigest()


def _held_out_intents(
    settings: Settings, classifier: LocalClassifier, entries: Sequence[ReviewedEntry]
) -> list[HeldOutIntent]:
    """Return the rows that the intent model had not seen when it was asked what they are about.

    Raises:
        WorkspaceError: if none of its replies is kept, or its rows are others than those there are now.
    """
    path = settings.records_folder(settings.customer_service) / "intents.csv"
    rows = [*read_labelled_texts(path, label_column="intent").rows, *training_rows(entries)]
    texts = {text_digest(row.text): row.text for row in rows}
    held_out = [
        HeldOutIntent(texts[reply.text_sha256], reply.label, reply.as_classification())
        for reply in load_held_out(classifier.folder).rows
        if reply.text_sha256 in texts
    ]
    if not held_out:
        msg = (
            f"{classifier.folder} keeps no replies to held-out rows of {path.name}: it was trained by an earlier "
            f"version, or on other rows; train it again with: tunechain quickstart {settings.workspace}"
        )
        raise WorkspaceError(msg)
    return held_out


def _trained_on(classifier: Runnable[str, Classification]) -> str:
    """Return what tells trained intent models apart: the rows and options that were learnt."""
    manifest = classifier.manifest if isinstance(classifier, LocalClassifier) else None
    return manifest.data_sha256 if manifest else ""
