"""Customer service: approved answers first, grounded answers next, a person when unsure.

Here belongs what a reply is and when it is good enough, and how a conversation goes on from it. Models, stores and
texts are passed in.
"""

from chains.customer_service.chain import build_customer_service_chain
from chains.customer_service.clarifying import MAX_CHOICE_CHARS
from chains.customer_service.conversation import build_service_conversation
from chains.customer_service.conversations import Conversations
from chains.customer_service.evaluation import ServiceQuestion, ServiceScores, evaluate_service
from chains.customer_service.held_out_messages import HeldOutIntent, ServiceSources, collect_messages
from chains.customer_service.intent_examples import IntentExamples
from chains.customer_service.known_questions import (
    FittedQuestions,
    KnownMatch,
    KnownQuestion,
    KnownQuestions,
    KnownQuestionsFit,
    fit_known_questions,
)
from chains.customer_service.languages import build_language_router
from chains.customer_service.listing import (
    LATEST,
    LONGEST_WAITING,
    ConversationLists,
    ListedEntry,
    ListedKey,
    ListOrder,
    Page,
    PageRequest,
    entries_namespace,
)
from chains.customer_service.messages import ConversationKey, ConversationOverview, HandOver, Turn, WaitingConversation
from chains.customer_service.options import ServiceOptions
from chains.customer_service.quoting import SentenceVectors
from chains.customer_service.router_fitting import JudgedMessage, fit_route_model
from chains.customer_service.routing import AnswerBudget, AnswerRouter, RouteModel, RouterOrigin
from chains.customer_service.schema import (
    Citation,
    OpenQuestion,
    Route,
    ServiceEvent,
    ServiceReply,
    ServiceRequest,
    StepTime,
)
from chains.customer_service.steps import EVENT_NAME
from chains.customer_service.templates import Lookup, Slot, TemplateBook
from chains.customer_service.transcript import Transcripts

__all__ = [
    "EVENT_NAME",
    "LATEST",
    "LONGEST_WAITING",
    "MAX_CHOICE_CHARS",
    "AnswerBudget",
    "AnswerRouter",
    "Citation",
    "ConversationKey",
    "ConversationLists",
    "ConversationOverview",
    "Conversations",
    "FittedQuestions",
    "HandOver",
    "HeldOutIntent",
    "IntentExamples",
    "JudgedMessage",
    "KnownMatch",
    "KnownQuestion",
    "KnownQuestions",
    "KnownQuestionsFit",
    "ListOrder",
    "ListedEntry",
    "ListedKey",
    "Lookup",
    "OpenQuestion",
    "Page",
    "PageRequest",
    "Route",
    "RouteModel",
    "RouterOrigin",
    "SentenceVectors",
    "ServiceEvent",
    "ServiceOptions",
    "ServiceQuestion",
    "ServiceReply",
    "ServiceRequest",
    "ServiceScores",
    "ServiceSources",
    "Slot",
    "StepTime",
    "TemplateBook",
    "Transcripts",
    "Turn",
    "WaitingConversation",
    "build_customer_service_chain",
    "build_language_router",
    "build_service_conversation",
    "collect_messages",
    "entries_namespace",
    "evaluate_service",
    "fit_known_questions",
    "fit_route_model",
]
