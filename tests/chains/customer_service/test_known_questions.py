"""Curated answers: when one is sent, and how its threshold is fitted."""

import pytest

from chains.customer_service import KnownQuestion, KnownQuestions, fit_known_questions
from chains.errors import ChainInputError
from llms.fakes import HashedEmbeddings
from tests.chains.customer_service.shops import make_chain

QUESTIONS = [
    KnownQuestion(id="gift", question="Do gift cards expire?", answer="After five years."),
    KnownQuestion(id="hours", question="When are you open?", answer="9-5.", wordings=("opening hours please",)),
    KnownQuestion(id="shoes", question="How do I wash shoes?", answer="By hand.", about=("Soap harms leather.",)),
]


def _book(**options):
    return KnownQuestions(QUESTIONS, embeddings=HashedEmbeddings(), **options)


def test_a_message_finds_the_question_it_resembles():
    match = _book().match("do gift cards ever expire")
    assert match.question.id == "gift"
    assert 0 < match.margin <= match.relevance <= 1


def test_other_wordings_and_further_texts_find_a_question_too():
    book = _book()
    assert [match.question.id for match in book.batch_match(["opening hours please", "does soap harm leather"])] == [
        "hours",
        "shoes",
    ]


def test_a_match_is_accepted_from_its_score_on():
    match = _book().match("do gift cards expire today")
    assert match.score > match.relevance
    assert _book(min_score=match.score).match("do gift cards expire today").accepted
    assert not _book(min_score=match.score + 1e-6).match("do gift cards expire today").accepted


def test_a_question_taken_out_is_not_matched():
    book = _book()
    assert {match.question.id for match in book.match_without(["do gift cards expire"], "gift")} <= {"hours", "shoes"}
    alone = KnownQuestions(QUESTIONS[:1], embeddings=HashedEmbeddings())
    assert alone.match_without(["do gift cards expire"], "gift") == []


def _many(count):
    """Questions of which neighbours share a word, so that each has a false hit when it is taken out."""
    return [KnownQuestion(id=str(i), question=f"what about w{i} and w{i + 1}", answer=f"A{i}.") for i in range(count)]


def test_the_threshold_keeps_false_hits_under_the_budget_on_what_it_was_fitted_on():
    fitted = fit_known_questions(_many(120), embeddings=HashedEmbeddings(), budget=0.05)
    assert fitted.num_messages == 120
    assert 0 < fitted.false_hit_rate < fitted.false_hit_bound <= 0.05
    assert fitted.hit_rate > 0.9


def test_a_smaller_budget_never_lowers_the_threshold():
    scores = [
        fit_known_questions(_many(60), embeddings=HashedEmbeddings(), budget=budget).book.min_score
        for budget in (0.3, 0.15, 0.05)
    ]
    assert scores == sorted(scores)


def test_too_few_messages_to_prove_the_budget_give_no_false_hit_and_say_so():
    fitted = fit_known_questions(_many(20), embeddings=HashedEmbeddings(), budget=0.02)
    assert fitted.false_hit_rate == 0
    assert fitted.false_hit_bound > 0.02


def test_strangers_raise_the_threshold_until_they_match_nothing():
    questions = _many(20)
    others = [f"what about w{i}" for i in range(20)] * 10
    alone = fit_known_questions(questions, embeddings=HashedEmbeddings())
    beside = fit_known_questions(questions, embeddings=HashedEmbeddings(), out_of_scope=others)
    assert beside.book.min_score > alone.book.min_score
    assert sum(match.accepted for match in beside.book.batch_match(others)) <= 0.02 * len(others)
    assert beside.false_hit_bound < alone.false_hit_bound


def test_messages_of_customers_show_the_hit_rate():
    asked = [("please, what about w3 and w4", "3"), ("what about w3 and w4", "5")]
    fitted = fit_known_questions(_many(20), embeddings=HashedEmbeddings(), asked=asked)
    assert fitted.num_messages == 2
    assert fitted.hit_rate <= 0.5


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: KnownQuestions([], embeddings=HashedEmbeddings()), "no known question"),
        (lambda: KnownQuestions(QUESTIONS[:1] * 2, embeddings=HashedEmbeddings()), "have one id"),
        (lambda: fit_known_questions(QUESTIONS, embeddings=HashedEmbeddings(), asked=[("a", "b")]), "question 'b'"),
        (lambda: fit_known_questions(QUESTIONS, embeddings=HashedEmbeddings(), budget=0), "budget must lie"),
        (lambda: KnownQuestion(id="a", question=" ", answer="b"), "is empty"),
    ],
)
def test_what_cannot_be_a_book_is_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call()


def test_a_known_question_is_answered_before_the_articles_and_after_a_sure_intent(articles):
    chain = make_chain(articles, known_questions=_book(min_score=0.6).as_runnable())
    known = chain.invoke("do gift cards expire")
    assert (known.route, known.text, known.citations) == ("curated", "After five years.", ())
    assert "known question gift" in known.reason
    assert chain.invoke("when are you open on Monday").route == "template"
    assert chain.invoke("Which memory card fits the Halden One camera?").route == "answer"


def test_a_match_that_is_not_accepted_changes_nothing(articles):
    chain = make_chain(articles, known_questions=_book(min_score=2.5).as_runnable())
    assert chain.invoke("do gift cards expire").route == "handover"


def test_wrong_input_is_a_chain_error():
    with pytest.raises(ChainInputError):
        KnownQuestions([], embeddings=HashedEmbeddings())
