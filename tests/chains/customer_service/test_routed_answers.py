"""Messages through customer service with an answer router: one decision for all kinds of answers."""

import pytest

from chains.customer_service import KnownQuestion, KnownQuestions, OpenQuestion, ServiceOptions, ServiceRequest
from llms.fakes import FixedClassifier, HashedEmbeddings
from tests.chains.customer_service.routers import make_router
from tests.chains.customer_service.shops import make_chain

TAKEN = {"template": {"in_scope": 9}, "answer": {"passage_relevance": 90}, "none": {}}
QUESTION = "Which memory card fits the Halden One camera?"


def test_a_sure_intent_does_not_take_a_question_that_an_article_answers(articles):
    sure = FixedClassifier({"camera": "hours"})
    assert make_chain(articles, classifier=sure).invoke(QUESTION).text == "9-5."
    reply = make_chain(articles, classifier=sure, router=make_router(TAKEN)).invoke(QUESTION)
    assert (reply.route, {citation.source for citation in reply.citations}) == ("answer", {"cards.md"})
    assert "right with a probability of 1.00, where 0.50 is enough" in reply.reason


def test_an_approved_answer_is_given_where_it_is_most_probably_right(articles):
    router = make_router({"template": {"in_scope": 90}, "answer": {"passage_relevance": 9}, "none": {}})
    reply = make_chain(articles, classifier=FixedClassifier({"camera": "hours"}), router=router).invoke(QUESTION)
    assert (reply.route, reply.text) == ("template", "9-5.")


def test_what_the_router_does_not_trust_goes_to_a_person_with_the_threshold(articles):
    chain = make_chain(articles, router=make_router(threshold=0.9999), options=ServiceOptions(clarify_probability=1))
    reply = chain.invoke("When are you open on Monday?")
    assert reply.route == "handover"
    assert "asks for 1.00" in reply.reason
    assert reply.reason in reply.summary


def test_the_reason_is_in_the_language_of_the_staff(articles):
    options = ServiceOptions(staff_language="zh", clarify_probability=1)
    reply = make_chain(articles, router=make_router(threshold=0.9999), options=options).invoke("open on Monday?")
    assert "答对的概率只有" in reply.reason


def test_an_answer_rests_on_the_article_that_was_judged(articles):
    reply = make_chain(articles, router=make_router(TAKEN)).invoke("battery between 20 and 80 percent card")
    assert len({citation.source for citation in reply.citations}) == 1


@pytest.mark.parametrize(("learns", "route"), [(True, "handover"), (False, "curated")])
def test_a_known_question_answers_by_its_own_threshold_where_the_router_has_not_learnt_any(articles, learns, route):
    question = KnownQuestion(id="gift", question="Do gift cards expire?", answer="After five years.")
    book = KnownQuestions([question], embeddings=HashedEmbeddings(), min_score=0.5)
    weights = {"template": {}, "none": {}} | ({"curated": {}} if learns else {})
    chain = make_chain(articles, known_questions=book.as_runnable(), router=make_router(weights, threshold=0.9))
    assert chain.invoke("Do gift cards expire?").route == route


def test_an_answer_to_our_own_question_is_not_up_for_decision(articles):
    chain = make_chain(articles, router=make_router(threshold=0.9999))
    request = ServiceRequest(text="VT-204918", open_question=OpenQuestion(intents=("track",), slot="order"))
    assert chain.invoke(request).text == "Order VT-204918 is on its way."


def test_without_passages_and_known_questions_only_templates_compete(tmp_path):
    chain = make_chain(tmp_path, router=make_router())
    assert chain.invoke("When are you open on Monday?").route == "template"
    assert chain.invoke("Do you like the weather?").route == "handover"
