"""Evaluation of customer service: right route, right article cited, silence where nothing is known."""

from collections.abc import Sequence
from importlib import resources

from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field

from chains.customer_service.schema import ServiceReply, ServiceRequest


class ServiceQuestion(BaseModel):
    """A message and what a good reply to it rests on.

    Attributes:
        intent: the intent whose approved answer fits, or None.
        known: id of the known question that is asked, or None.
        article: the knowledge article that answers, or None; with none of these, no answer is right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    intent: str | None = None
    known: str | None = None
    article: str | None = None


class ServiceScores(BaseModel):
    """Shares of messages, each in [0, 1]; None where there were no messages of that kind."""

    model_config = ConfigDict(frozen=True)

    num_messages: int
    intents_answered: float | None = Field(description="Messages with an intent that got its approved answer.")
    intents_offered: float | None = Field(description="Messages with an intent that a question back names.")
    intents_wrong: float | None = Field(description="Messages with an intent that got another answer.")
    questions_answered: float | None = Field(
        description="Questions answered from the right article, or with the known answer."
    )
    questions_wrong: float | None = Field(description="Questions answered from another one.")
    unanswerable_handed_over: float | None = Field(description="Questions nobody can answer that got no answer.")
    answered_wrong: float | None = Field(
        default=None, description="Messages of any kind that got a wrong answer, which the budget is about."
    )


def golden_questions() -> list[ServiceQuestion]:
    """Return the questions that customer service over the English sample shop must always handle well.

    Example:
        >>> golden_questions()[0]
        ServiceQuestion(text='Where is my order VT-204918?', intent='track_order', known=None, article=None)
    """
    text = (resources.files(__package__ or "") / "golden.jsonl").read_text("utf-8")
    return [ServiceQuestion.model_validate_json(line) for line in text.splitlines()]


def evaluate_service(
    chain: Runnable[ServiceRequest, ServiceReply], questions: Sequence[ServiceQuestion]
) -> ServiceScores:
    """Return the scores of a customer-service chain; a hand-over or a question back is neither answered nor wrong."""
    return score_replies(questions, [chain.invoke(ServiceRequest(text=question.text)) for question in questions])


def score_replies(questions: Sequence[ServiceQuestion], replies: Sequence[ServiceReply]) -> ServiceScores:
    """Return the scores of replies, one for each question; see `evaluate_service`."""
    pairs = list(zip(questions, replies, strict=True))
    intents = [(question, reply) for question, reply in pairs if question.intent]
    asked = [(question, reply) for question, reply in pairs if question.article or question.known]
    neither = [reply for question, reply in pairs if not (question.intent or question.article or question.known)]
    wrong = [_is_answer(reply) and not is_right(reply, question) for question, reply in pairs]
    return ServiceScores(
        num_messages=len(pairs),
        intents_answered=_share([is_right(reply, question) for question, reply in intents]),
        intents_offered=_share([question.intent in _offered(reply) for question, reply in intents]),
        intents_wrong=_share([_is_answer(reply) and not is_right(reply, question) for question, reply in intents]),
        questions_answered=_share([is_right(reply, question) for question, reply in asked]),
        questions_wrong=_share([_is_answer(reply) and not is_right(reply, question) for question, reply in asked]),
        unanswerable_handed_over=_share([not _is_answer(reply) for reply in neither]),
        answered_wrong=_share(wrong),
    )


def is_right(reply: ServiceReply, question: ServiceQuestion) -> bool:
    """Return whether a reply rests on what a good one does: intent, known question or article."""
    if question.intent is not None:
        return reply.intent == question.intent
    if question.known is not None:
        return reply.known_question == question.known
    return question.article is not None and any(citation.source == question.article for citation in reply.citations)


def _is_answer(reply: ServiceReply) -> bool:
    """Return whether the customer was told something; a slot that is asked for claims to know the intent."""
    return reply.route in ("template", "curated", "answer") or (reply.route == "clarify" and reply.intent is not None)


def _offered(reply: ServiceReply) -> tuple[str, ...]:
    return reply.open_question.intents if reply.open_question and reply.intent is None else ()


def _share(outcomes: Sequence[bool]) -> float | None:
    return sum(outcomes) / len(outcomes) if outcomes else None
