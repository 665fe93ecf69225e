"""Customer service: approved answers first, grounded answers next, a person when unsure.

Here belongs what a reply is and when it is good enough, and how a conversation goes on from it. Models, stores and
texts are passed in.
"""

from chains.customer_service.chain import build_customer_service_chain
from chains.customer_service.conversation import build_service_conversation
from chains.customer_service.conversations import Conversations
from chains.customer_service.known_questions import KnownMatch, KnownQuestion, KnownQuestions, fit_known_questions
from chains.customer_service.languages import build_language_router
from chains.customer_service.messages import ConversationOverview, HandOver, Turn, WaitingConversation
from chains.customer_service.options import ServiceOptions
from chains.customer_service.schema import Citation, OpenQuestion, ServiceReply, ServiceRequest, StepTime
from chains.customer_service.templates import Lookup, Slot, TemplateBook

__all__ = [
    "Citation",
    "ConversationOverview",
    "Conversations",
    "HandOver",
    "KnownMatch",
    "KnownQuestion",
    "KnownQuestions",
    "Lookup",
    "OpenQuestion",
    "ServiceOptions",
    "ServiceReply",
    "ServiceRequest",
    "Slot",
    "StepTime",
    "TemplateBook",
    "Turn",
    "WaitingConversation",
    "build_customer_service_chain",
    "build_language_router",
    "build_service_conversation",
    "fit_known_questions",
]
