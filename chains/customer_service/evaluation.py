"""How good customer service is: the right way taken, the right article cited, silence where nothing is known."""

from collections.abc import Sequence

from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field

from chains.customer_service.schema import ServiceReply, ServiceRequest

__all__ = ["ServiceQuestion", "ServiceScores", "evaluate_service"]


class ServiceQuestion(BaseModel):
    """A message and what a good reply to it rests on.

    Attributes:
        intent: the intent whose approved answer fits, or None.
        article: the knowledge article that answers, or None; with neither, only a hand-over is right.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    intent: str | None = None
    article: str | None = None


class ServiceScores(BaseModel):
    """Shares of messages, each in [0, 1]; None where there were no messages of that kind."""

    model_config = ConfigDict(frozen=True)

    num_messages: int
    intents_answered: float | None = Field(description="Messages with an intent that got its approved answer.")
    intents_offered: float | None = Field(description="Messages with an intent that a question back names.")
    intents_wrong: float | None = Field(description="Messages with an intent that got another answer.")
    questions_answered: float | None = Field(description="Knowledge questions answered with the right article cited.")
    questions_wrong: float | None = Field(description="Knowledge questions answered without the right article.")
    unanswerable_handed_over: float | None = Field(description="Questions nobody can answer that got no answer.")


def evaluate_service(
    chain: Runnable[ServiceRequest, ServiceReply], questions: Sequence[ServiceQuestion]
) -> ServiceScores:
    """Return the scores of a customer-service chain; a hand-over or a question back is neither answered nor wrong."""
    replies = [chain.invoke(ServiceRequest(text=question.text)) for question in questions]
    pairs = list(zip(questions, replies, strict=True))
    intents = [(question, reply) for question, reply in pairs if question.intent]
    articles = [(question, reply) for question, reply in pairs if question.article]
    neither = [reply for question, reply in pairs if not question.intent and not question.article]
    return ServiceScores(
        num_messages=len(pairs),
        intents_answered=_share([reply.intent == question.intent for question, reply in intents]),
        intents_offered=_share([question.intent in _offered(reply) for question, reply in intents]),
        intents_wrong=_share([_is_answer(reply) and reply.intent != question.intent for question, reply in intents]),
        questions_answered=_share([_cites(reply, question) for question, reply in articles]),
        questions_wrong=_share([_is_answer(reply) and not _cites(reply, question) for question, reply in articles]),
        unanswerable_handed_over=_share([not _is_answer(reply) for reply in neither]),
    )


def _cites(reply: ServiceReply, question: ServiceQuestion) -> bool:
    return any(citation.source == question.article for citation in reply.citations)


def _is_answer(reply: ServiceReply) -> bool:
    """Return whether the customer was told something; a slot that is asked for claims to know the intent."""
    return reply.route in ("template", "curated", "answer") or (reply.route == "clarify" and reply.intent is not None)


def _offered(reply: ServiceReply) -> tuple[str, ...]:
    return reply.open_question.intents if reply.open_question and reply.intent is None else ()


def _share(outcomes: Sequence[bool]) -> float | None:
    return sum(outcomes) / len(outcomes) if outcomes else None
