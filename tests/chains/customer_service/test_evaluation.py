"""Scores of customer service, worked out by hand."""

from langchain_core.runnables import RunnableLambda

from chains.customer_service import Citation, OpenQuestion, ServiceReply
from chains.customer_service.evaluation import ServiceQuestion, evaluate_service


def _reply(request):
    """A chain whose answer stands in the message: route, intent and article."""
    route, intent, article = request.text.split()[:3]
    citations = (Citation(source=article, start=0, end=1, quote="x"),) if article != "-" else ()
    question = OpenQuestion(intents=article.split("+")) if "+" in article else None
    citations = citations if question is None else ()
    return ServiceReply(
        text="",
        route=route,
        intent=None if intent == "-" else intent,
        citations=citations,
        open_question=question,
        reason="",
    )


def _scores(*questions):
    return evaluate_service(RunnableLambda(_reply), [ServiceQuestion(**question) for question in questions])


def test_shares_are_those_worked_out_by_hand():
    scores = _scores(
        {"text": "template track -", "intent": "track"},
        {"text": "clarify track -", "intent": "track"},  # the right way; it only asks back
        {"text": "template refund -", "intent": "track"},
        {"text": "handover - -", "intent": "track"},
        {"text": "answer - a.md", "intent": "track"},  # an article where an approved answer was due
        {"text": "clarify - track+refund", "intent": "track"},
        {"text": "clarify - cancel+refund", "intent": "track"},  # neither answered nor wrong
        {"text": "answer - a.md", "article": "a.md"},
        {"text": "answer - b.md", "article": "a.md"},
        {"text": "template track -", "article": "a.md"},
        {"text": "handover - -", "article": "a.md"},
        {"text": "clarify - cancel+refund", "article": "a.md"},
        {"text": "handover - -"},
        {"text": "answer - a.md"},
        {"text": "clarify track -"},
        {"text": "clarify - cancel+refund"},
    )
    assert scores.num_messages == 16
    assert (scores.intents_answered, scores.intents_offered, scores.intents_wrong) == (2 / 7, 1 / 7, 2 / 7)
    assert (scores.questions_answered, scores.questions_wrong) == (1 / 5, 2 / 5)
    assert scores.unanswerable_handed_over == 2 / 4


def test_a_known_question_is_right_by_its_id():
    reply = ServiceReply(text="", route="curated", known_question="dogs", reason="")
    chain = RunnableLambda(lambda _: reply)
    scores = [evaluate_service(chain, [ServiceQuestion(text="?", known=known)]) for known in ("dogs", "parking")]
    assert [(score.questions_answered, score.questions_wrong) for score in scores] == [(1.0, 0.0), (0.0, 1.0)]


def test_a_kind_without_messages_has_no_share():
    scores = _scores({"text": "handover - -"})
    assert (scores.intents_answered, scores.intents_offered, scores.intents_wrong) == (None, None, None)
    assert (scores.questions_answered, scores.questions_wrong) == (None, None)
    assert scores.unanswerable_handed_over == 1.0


def test_no_messages_give_no_scores():
    scores = _scores()
    assert scores.num_messages == 0
    assert set(scores.model_dump(exclude={"num_messages"}).values()) == {None}
