"""The composition root: settings -> models -> stores -> chains. Read it from top to bottom."""

import contextlib
import functools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore as ConversationStore
from langgraph.store.memory import InMemoryStore
from numpy.typing import NDArray

from apps.answer_router import open_answer_router
from apps.behaviour import EVENTS_NAME, LiveItems, read_behaviour_log, read_opinions
from apps.errors import NotBuiltError, SettingsError, WorkspaceError
from apps.event_log import EventLog
from apps.event_recorder import EventRecorder, LiveRecord, RecordedEvents, judge_comments
from apps.generations import Generations, adapt_generation
from apps.known_answers import known_questions_of, open_or_fit_questions, open_questions
from apps.learnt import file_digest, file_stamp, load_or_learn
from apps.live_recommendation import LiveRecommendation
from apps.lookups import read_lookups
from apps.readers import read_entities, read_events, read_templates
from apps.review_entries import ReviewedEntry, Reviews
from apps.settings import (
    STARTER_NAME,
    CustomerServiceSettings,
    MonitoringSettings,
    RecommendationSettings,
    Settings,
    load_settings,
)
from apps.text_filters import open_text_filter
from apps.workspace_models import (
    open_chat_model,
    open_classifier,
    open_embeddings,
    open_item_embeddings,
    open_store,
    say_not_built,
)
from chains.customer_service import (
    AnswerRouter,
    Conversations,
    KnownMatch,
    KnownQuestion,
    ServiceOptions,
    ServiceReply,
    ServiceRequest,
    Transcripts,
    build_customer_service_chain,
    build_language_router,
    build_service_conversation,
)
from chains.monitoring import (
    MonitoringChain,
    MonitoringOptions,
    build_monitoring_chain,
    find_sentiment,
)
from chains.recommendation import (
    PHRASES,
    ExplorationOptions,
    FeatureOptions,
    InterestModel,
    ItemModels,
    RankingOptions,
    RecommendationChain,
    RecommendationOptions,
    build_recommendation_chain,
    follow_catalogue,
    learn_item_models,
)
from llms import Classification, LocalClassifier
from llms.finetuning.data import RejectedRow
from retrievers import DatedEvent, HybridRetriever, Interactions, ItemCatalogue, utc_now

if TYPE_CHECKING:
    from apps.conversation_storage import ConversationStorage

INTEREST_NAME = "interest.json"
ITEM_MODELS_NAME = "item_models.safetensors"
_ITEM_MODELS_VERSION = 4  # raised when the models of items are learnt in another way


def build_customer_service(settings: Settings) -> Runnable[ServiceRequest, ServiceReply]:
    """Return the customer-service chain of a workspace, with those of its other languages behind it.

    Raises:
        NotBuiltError: if the intent model or the knowledge index was not built yet.
        SettingsError: if two workspaces have one language.
    """
    others = settings.customer_service.language_workspaces
    if not others:
        return _build_one_language(settings)
    chains: dict[str, Runnable[ServiceRequest, ServiceReply]] = {settings.language: _build_one_language(settings)}
    for folder in others:
        other = load_settings(settings.workspace / folder)
        if settings.models.chat_process == "own":
            other = other.as_served()
        if other.language in chains:
            msg = f"language_workspaces names {folder}, whose language {other.language!r} has a workspace already"
            raise SettingsError(msg)
        chains[other.language] = _build_one_language(other, tenant=settings.workspace)
    return build_language_router(chains, default=settings.language)


def build_reviewed_service(
    settings: Settings, *, classifier: LocalClassifier, entries: Sequence[ReviewedEntry], router_path: Path
) -> Runnable[ServiceRequest, ServiceReply]:
    """Return the chain of a workspace with another intent model and router, and with these reviewed entries in use."""
    return _build_one_language(settings, classifier=classifier, entries=entries, router_path=router_path)


def _build_one_language(
    settings: Settings,
    *,
    classifier: LocalClassifier | None = None,
    entries: Sequence[ReviewedEntry] | None = None,
    router_path: Path | None = None,
    tenant: Path | None = None,
) -> Runnable[ServiceRequest, ServiceReply]:
    section = settings.customer_service
    folder = settings.records_folder(section)
    store = open_store(settings, "knowledge")
    embeddings = store.embeddings  # so that search and quotes share the vector of a question
    classifier = classifier or open_classifier(settings, "intent")
    entries = Reviews(folder).in_use() if entries is None else entries
    questions = known_questions_of(settings, entries)
    router = open_answer_router(
        settings, classifier=classifier, questions=questions, entries=entries, embeddings=embeddings, path=router_path
    )
    return build_customer_service_chain(
        classifier=classifier,
        templates=read_templates(folder / "templates.yaml"),
        known_questions=_open_known_questions(settings, questions, embeddings, router),
        retriever=HybridRetriever(store=store, word_weight=section.word_weight),
        embeddings=embeddings,
        chat_model=open_chat_model(settings, tenant=tenant),
        lookups=read_lookups(folder / "lookups"),
        text_filter=open_text_filter(settings),
        router=router,
        options=ServiceOptions(
            min_relevance=section.min_relevance,
            clarify_probability=section.clarify_probability,
            link_hosts=section.link_hosts,
            clarify_text=section.clarify_text,
            handover_text=section.handover_text,
            staff_language=settings.language,
        ),
    )


def _open_known_questions(
    settings: Settings, questions: Sequence[KnownQuestion], embeddings: Embeddings, router: AnswerRouter | None
) -> Runnable[str, KnownMatch] | None:
    if not questions:
        return None
    fitted = router.model.known_questions if router else None
    if fitted is None:
        return open_or_fit_questions(settings, questions, embeddings).as_runnable()
    return open_questions(settings, questions, embeddings, min_score=fitted.min_score).as_runnable()


@contextlib.contextmanager
def open_conversations(
    settings: Settings, *, chain: Runnable[ServiceRequest, ServiceReply] | None = None, is_kept: bool = True
) -> Iterator[Conversations]:
    """Open the conversations of a workspace; `chain` answers in them, or the one of `build_customer_service`.

    With `is_kept` false they are new ones, which live in memory and are gone in the end.

    Raises:
        NotBuiltError: if the chain was not built yet.
        ConversationBusyError: if another process has the workspace's file of conversations open.
        SettingsError: if the database that is set cannot be used.
    """
    if not is_kept:
        yield _conversations(settings, chain, InMemorySaver(), InMemoryStore())
        return
    with open_conversation_storage(settings) as storage:
        yield _conversations(
            settings,
            chain,
            storage.checkpointer,
            storage.store,
            shared_lock=storage.shared_lock,
            lists=storage.lists,
            storage_errors=storage.errors,
        )


def _conversations(
    settings: Settings,
    chain: Runnable[ServiceRequest, ServiceReply] | None,
    checkpointer: BaseCheckpointSaver[Any],
    store: ConversationStore,
    **options: Any,
) -> Conversations:
    graph = build_service_conversation(
        chain or build_customer_service(settings),
        checkpointer=checkpointer,
        store=store,
        # the starter model answers from passages and can do nothing else
        chat_model=None if settings.models.chat == STARTER_NAME else open_chat_model(settings),
    )
    return Conversations(graph, decisions_with_text=settings.customer_service.decisions_with_text, **options)


@contextlib.contextmanager
def read_conversations(settings: Settings) -> Iterator[Transcripts]:
    """Open what was said in the workspace's conversations, to be read by the operator; no model is loaded.

    Raises:
        ConversationBusyError: if another process has the workspace's file of conversations open.
    """
    with open_conversation_storage(settings) as storage:
        yield storage.transcripts


def open_conversation_storage(settings: Settings) -> "AbstractContextManager[ConversationStorage]":
    """Open where the conversations of a workspace are kept.

    Raises:
        ConversationBusyError: if another process has the workspace's file of conversations open.
        SettingsError: if the database that is set cannot be used.
    """
    from apps.conversation_storage import open_postgres, open_sqlite  # a question in the terminal needs neither

    url = settings.customer_service.conversations
    return open_postgres(url) if url else open_sqlite(settings.conversations_file)


def build_monitoring(settings: Settings) -> MonitoringChain:
    """Return the opinion-monitoring chain of a workspace.

    Raises:
        NotBuiltError: if the topic or sentiment model was not built yet.
    """
    section = settings.monitoring
    sentiment = open_classifier(settings, "sentiment")
    options = MonitoringOptions(
        warm_up=timedelta(days=section.warm_up_days),
        false_alarms_per_topic_month=section.false_alarms_per_topic_month,
        time_zone=section.time_zone,
        language=settings.language,
        negative_label=_sentiment_label("negative", section.negative_label, sentiment.labels),
        positive_label=_sentiment_label("positive", section.positive_label, sentiment.labels),
    )
    return build_monitoring_chain(
        topic=open_classifier(settings, "topic"),
        sentiment=sentiment,
        options=options,
        entities=read_entities(settings.records_folder(section) / "entities.yaml"),
    )


def _sentiment_label(meaning: Literal["negative", "positive"], name: str, labels: Sequence[str]) -> str:
    """Return what the sentiment model calls this; a model may do without a positive label.

    Raises:
        WorkspaceError: if it has no such label.
    """
    found = name or find_sentiment(meaning, labels)
    if found in labels or (meaning == "positive" and not name):
        return found or meaning
    known = ", ".join(repr(label) for label in labels)
    what = f"no label {name!r}" if name else f"no label that is read as {meaning}"
    msg = f"the sentiment model has {what}; set monitoring.{meaning}_label in tunechain.toml to one of {known}"
    raise WorkspaceError(msg)


def build_recommendation(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> LiveRecommendation:
    """Return the recommendation chain of a workspace; a replay passes its own clock.

    It follows items.csv and the generation in use: what is new there counts in the next lists.

    Raises:
        NotBuiltError: if the interest model was not trained yet.
    """
    log = EventLog(settings.events_file)
    items_file = settings.records_folder(settings.recommendation) / "items.csv"
    interest_file = settings.models_folder / INTEREST_NAME
    generations = open_generations(settings)

    def stamp() -> Hashable:
        return file_stamp(items_file), file_stamp(interest_file), generations.names()

    return LiveRecommendation(functools.partial(_build_lists, settings, log, generations, clock), stamp)


def open_generations(settings: Settings) -> Generations:
    """Return the generations of what recommendation learnt."""
    return Generations(settings.models_folder / "recommendation")


def _build_lists(
    settings: Settings,
    log: EventLog,
    generations: Generations,
    clock: Callable[[], datetime],
    before: RecommendationChain | None,
) -> RecommendationChain:
    """Return the chain as the files are now; what the one before knows is not learnt again."""
    catalogue, interactions, last = _read_log(settings, log)
    interest, item_models = _open_learnt(settings, generations, catalogue, interactions, before)
    section = settings.recommendation
    return build_recommendation_chain(
        catalogue=catalogue,
        embeddings=open_embeddings(settings),
        interactions=interactions,
        interest=interest,
        item_models=item_models,
        options=RecommendationOptions(
            ranking=RankingOptions(diversity=section.diversity),
            exploration=ExplorationOptions(share=section.exploration_share),
            filter_already_seen=section.filter_already_seen,
            look_again_days=section.look_again_days,
            phrases=PHRASES[settings.language],
        ),
        record=None if last is None else LiveRecord(log, interactions, last),
        clock=clock,
    )


def _open_learnt(
    settings: Settings,
    generations: Generations,
    catalogue: ItemCatalogue,
    interactions: Interactions,
    before: RecommendationChain | None,
) -> tuple[InterestModel, ItemModels]:
    """Return the models of the generation in use, or those of the quickstart, for the items there are now."""
    embeddings = open_item_embeddings(settings)
    # at a start the generation before is better than none; while one is served, a damaged one changes nothing
    generation = generations.open_usable() if before is None else generations.open_current()
    if generation is not None:
        return generation.interest, adapt_generation(generation, catalogue, embeddings)
    path = settings.models_folder / INTEREST_NAME
    if not path.exists():
        raise NotBuiltError(say_not_built(path, settings))
    interest = InterestModel.load(path)
    if before is not None and load_settings(settings.workspace).models.encoder != settings.models.encoder:
        msg = f"the encoder of {settings.workspace} was changed; start the server anew"
        raise WorkspaceError(msg)
    if before is not None and interest == before.interest:
        texts = {item.id: item.text for item in before.catalogue.values()}
        models = follow_catalogue(before.item_models, texts=texts, catalogue=catalogue, embeddings=embeddings)
    else:
        models = _open_item_models(settings, catalogue, interactions, interest.feature_options)
    return interest, models


def _open_item_models(
    settings: Settings, catalogue: ItemCatalogue, interactions: Interactions, options: FeatureOptions
) -> ItemModels:
    """Return what is known of the items, learnt anew only where items, texts or a tenth of the events changed."""
    embeddings = open_item_embeddings(settings)

    def learn() -> Mapping[str, NDArray[Any]]:
        models = learn_item_models(
            catalogue=catalogue, embeddings=embeddings, interactions=interactions, options=options
        )
        return models.arrays()

    folder = settings.records_folder(settings.recommendation)
    origin = {
        "version": _ITEM_MODELS_VERSION,
        "items": [(item.id, item.text) for item in catalogue.values()],  # a price or a stock changes no model
        "events": [file_digest(folder / EVENTS_NAME), _size_class(len(interactions))],
        "options": asdict(options),
        "encoder": embeddings.fingerprint,
    }
    return ItemModels(**load_or_learn(settings.models_folder / ITEM_MODELS_NAME, origin, learn))


def _size_class(num_events: int) -> int:
    """Return a number that changes when a record has grown by a tenth: then its models are learnt anew."""
    return int(math.log(max(num_events, 1)) / math.log(1.1))


def read_behaviour(settings: Settings) -> tuple[ItemCatalogue, Interactions]:
    """Return the items and events of a workspace; rows that cannot be used are left out."""
    with contextlib.closing(EventLog(settings.events_file)) as log:
        catalogue, interactions, _ = _read_log(settings, log)
    return catalogue, interactions


def _read_log(settings: Settings, log: EventLog) -> tuple[ItemCatalogue, Interactions, int | None]:
    return read_behaviour_log(settings, log, judge=functools.partial(_judge_comments, settings))


def import_event_file(settings: Settings, path: Path) -> tuple[RecordedEvents, list[RejectedRow]]:
    """Add the events of a file to the log of a workspace; return what became of them, and the rows set aside.

    Raises:
        DiskFullError: if there is no room; then none is added.
    """
    with contextlib.closing(EventLog(settings.events_file)) as log:
        catalogue, _, _ = _read_log(settings, log)
        events, rejected = read_events(path, catalogue)
        recorder = EventRecorder(log=log, items=catalogue)
        return recorder.record(_judge_comments(settings, events), source="import"), rejected


def _judge_comments(settings: Settings, events: Sequence[DatedEvent]) -> Sequence[DatedEvent]:
    """Return the events, comments with what their text says of the item, if the workspace can read that."""
    if not any(event.text for event in events) or not (settings.models_folder / "sentiment").exists():
        return events
    sentiment = open_classifier(settings, "sentiment")
    return judge_comments(events, functools.partial(read_opinions, settings.monitoring, sentiment))


def build_event_recorder(
    settings: Settings,
    *,
    sentiment: Runnable[str, Classification] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> EventRecorder:
    """Return what takes events into the log of a workspace.

    Args:
        settings: of the workspace.
        sentiment: reads opinions off comments; without it they count like other comments.
        clock: returns the present time.
    """
    return EventRecorder(
        log=EventLog(settings.events_file),
        items=LiveItems(settings.records_folder(settings.recommendation) / "items.csv"),
        judge_texts=None if sentiment is None else functools.partial(read_opinions, settings.monitoring, sentiment),
        clock=clock,
    )


def scenarios(settings: Settings) -> Sequence[str]:
    """Return the use cases that the workspace has records for."""
    sections: dict[str, CustomerServiceSettings | MonitoringSettings | RecommendationSettings] = {
        "customer_service": settings.customer_service,
        "monitoring": settings.monitoring,
        "recommendation": settings.recommendation,
    }
    return [name for name, section in sections.items() if settings.records_folder(section).is_dir()]
