"""The applications of a workspace as one value: every chain and model that could be built from its settings."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from apps.event_recorder import EventRecorder
from apps.settings import Settings
from apps.text_filters import open_text_filter
from apps.wiring import build_customer_service, build_event_recorder, build_monitoring, build_recommendation, scenarios
from apps.workspace_models import open_chat_model, open_classifier, open_embeddings
from chains.customer_service import ServiceReply, ServiceRequest
from chains.monitoring import MonitoringChain
from chains.recommendation import Recommendation, RecommendationRequest
from chains.text_filter import TextFilter
from llms import Classification
from llms.errors import TuneChainError

_log = logging.getLogger(__name__)

ClassifierName = Literal["intent", "topic", "sentiment"]
SCENARIOS = ("customer_service", "monitoring", "recommendation")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applications:
    """What can be asked; None where a workspace does not have it.

    Attributes:
        customer_service: messages of customers -> replies.
        monitoring: posts -> alerts.
        recommendation: users -> items.
        events: takes what people did with items.
        classifiers: name -> classifier.
        chat: the workspace's chat model itself.
        embeddings: the workspace's encoder itself.
        text_filter: what the chat model may neither read nor write.
    """

    customer_service: Runnable[ServiceRequest, ServiceReply] | None = None
    monitoring: MonitoringChain | None = None
    recommendation: Runnable[RecommendationRequest, Recommendation] | None = None
    events: EventRecorder | None = None
    classifiers: Mapping[str, Runnable[str, Classification]] = field(default_factory=dict)
    chat: BaseChatModel | None = None
    embeddings: Embeddings | None = None
    text_filter: TextFilter | None = None

    @property
    def available(self) -> tuple[str, ...]:
        """Names of the scenarios that can be asked."""
        return tuple(name for name in SCENARIOS if getattr(self, name) is not None)


def build_applications(settings: Settings) -> Applications:
    """Return every chain and model of the workspace that can be built; all but the encoder have answered once.

    What cannot be built is left out and logged with the reason: one broken model must not take the others with it.
    """
    present = scenarios(settings)
    classifiers = _open_classifiers(settings)
    return Applications(
        customer_service=_build("customer_service", lambda: _warm_service(settings), present),
        monitoring=_build("monitoring", lambda: build_monitoring(settings), present),
        recommendation=_build("recommendation", lambda: build_recommendation(settings), present),
        events=_build("recommendation", lambda: _open_recorder(settings, classifiers), present),
        classifiers=classifiers,
        chat=_build("chat", lambda: _warm_chat(settings), ["chat"]),
        embeddings=_build("embeddings", lambda: open_embeddings(settings), ["embeddings"]),
        text_filter=_build("text_filter", lambda: open_text_filter(settings), ["text_filter"]),
    )


def _build(name: str, build: Callable[[], T], present: Sequence[str]) -> T | None:
    if name not in present:
        _log.info("%s: the workspace has no records for it", name)
        return None
    try:
        return build()
    except TuneChainError as error:
        _log.warning("%s is not available: %s", name, error)
    except Exception:
        _log.exception("%s is not available", name)
    return None


def _warm_service(settings: Settings) -> Runnable[ServiceRequest, ServiceReply]:
    """Return the chain after one answer, since models are loaded at the first call."""
    chain = build_customer_service(settings)
    chain.invoke(ServiceRequest(text="hello"))
    return chain


def _warm_chat(settings: Settings) -> BaseChatModel | None:
    open_text_filter(settings)  # a model whose filter is broken is not offered
    model = open_chat_model(settings)
    if model is not None:
        model.invoke("hello", max_tokens=1)
    return model


def _open_recorder(settings: Settings, classifiers: Mapping[str, Runnable[str, Classification]]) -> EventRecorder:
    return build_event_recorder(settings, sentiment=classifiers.get("sentiment"))


def _open_classifiers(settings: Settings) -> dict[str, Runnable[str, Classification]]:
    classifiers: dict[str, Runnable[str, Classification]] = {}
    for name in get_args(ClassifierName):
        if not (settings.models_folder / name).exists():
            continue
        classifier = _build(name, functools.partial(_warm_classifier, settings, name), get_args(ClassifierName))
        if classifier is not None:
            classifiers[name] = classifier
    return classifiers


def _warm_classifier(settings: Settings, name: str) -> Runnable[str, Classification]:
    classifier = open_classifier(settings, name)
    classifier.invoke("hello")
    return classifier
