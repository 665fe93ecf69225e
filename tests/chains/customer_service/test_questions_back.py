"""Questions the chain asks back, and how their answers are understood."""

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool, ToolException

from chains.customer_service import Lookup, OpenQuestion, ServiceOptions, ServiceRequest, Slot, TemplateBook
from chains.errors import ChainInputError
from llms.classifier.results import Classification
from tests.chains.customer_service.shops import FixedRetriever, make_chain

NOTHING = FixedRetriever(documents=[])
BOOK = TemplateBook(
    slots={"order": Slot(pattern=r"VT-\d+", ask="Which order?")},
    lookups={"state": Lookup(tool="find_order", slots=("order",), not_found="I find no order {order}.")},
    titles={"cancel": "cancelling an order", "return": "sending something back"},
    answers={"cancel": "Press cancel.", "return": "Post it.", "track": "Order {order} {state}."},
)


def _classifier(in_scope=1.0, *, accepted=False, **probabilities):
    ranked = dict(sorted(probabilities.items(), key=lambda pair: -pair[1]))
    label = next(iter(ranked))
    reply = Classification(
        label=label, probability=ranked[label], probabilities=ranked, in_scope=in_scope, accepted=accepted
    )
    return RunnableLambda(lambda _: reply)


def _chain(articles, classifier, **changes):
    return make_chain(articles, classifier=classifier, templates=BOOK, retriever=NOTHING, lookups=[TOOL], **changes)


def _find_order(order: str) -> str:
    """Return the state of an order."""
    if order == "VT-500":
        raise ToolException("the database sleeps")
    return {"VT-1": "is packed\u202e", "VT-2": "{order} \\1"}.get(order, "")


TOOL = StructuredTool.from_function(_find_order, name="find_order")
TWO = {"cancel": 0.5, "return": 0.42, "track": 0.08}
OPEN = OpenQuestion(intents=("cancel", "return"))


def test_two_likely_intents_are_offered_by_their_titles(articles):
    reply = _chain(articles, _classifier(**TWO)).invoke("I do not want it any more")
    assert reply.route == "clarify"
    assert reply.text == "What is it about: 1. cancelling an order, or 2. sending something back?"
    assert reply.open_question == OPEN
    assert reply.intent is None


@pytest.mark.parametrize(
    "classifier",
    [
        _classifier(cancel=0.4, **{"return": 0.35}, track=0.25),  # both together are not likely enough
        _classifier(in_scope=0.5, **TWO),  # the message is like nothing that was learnt
        _classifier(cancel=0.5, poems=0.5),  # which has no answer
        _classifier(cancel=0.95),
    ],
)
def test_nothing_is_offered_that_is_probably_not_meant(articles, classifier):
    assert _chain(articles, classifier).invoke("I do not want it any more").route == "handover"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("1", "Press cancel."),
        ("the first one, please", "Press cancel."),
        ("第二个", "Post it."),
        ("the latter", "Post it."),
        ("cancelling", "Press cancel."),
        ("I want to send it back", "Post it."),
    ],
)
def test_the_answer_chooses_by_place_or_by_the_words_of_a_title(articles, answer, text):
    reply = _chain(articles, _classifier(**TWO)).invoke(ServiceRequest(text=answer, open_question=OPEN))
    assert (reply.route, reply.text) == ("template", text)
    assert reply.open_question is None


@pytest.mark.parametrize("answer", ["10 days ago", "firstly, where are you?", "neither", "cancelling or sending"])
def test_an_answer_that_chooses_nothing_is_a_message_like_any_other(articles, answer):
    reply = _chain(articles, _classifier(track=0.4, cancel=0.3)).invoke(ServiceRequest(text=answer, open_question=OPEN))
    assert reply.route == "handover"


def test_a_new_wish_that_is_sure_comes_before_the_open_question(articles):
    classifier = _classifier(accepted=True, track=0.97, cancel=0.03)
    request = ServiceRequest(text="Where is VT-1?", open_question=OpenQuestion(intents=("cancel",), slot="order"))
    assert _chain(articles, classifier).invoke(request).text == "Order VT-1 is packed."


def test_a_slot_that_was_asked_for_fills_the_answer_that_lacked_it(articles):
    first = _chain(articles, _classifier(accepted=True, track=0.97)).invoke("Where is it?")
    assert (first.route, first.open_question) == ("clarify", OpenQuestion(intents=("track",), slot="order"))
    second = _chain(articles, _classifier(track=0.2, cancel=0.1)).invoke(
        ServiceRequest(text="VT-1", open_question=first.open_question)
    )
    assert (second.route, second.intent, second.text) == ("template", "track", "Order VT-1 is packed.")


def test_slots_of_earlier_messages_are_used_and_newer_ones_replace_them(articles):
    chain = _chain(articles, _classifier(accepted=True, track=0.97))
    known = chain.invoke(ServiceRequest(text="Where is it?", slots={"order": "VT-1"}))
    assert (known.text, known.slots) == ("Order VT-1 is packed.", {"order": "VT-1"})
    newer = chain.invoke(ServiceRequest(text="And VT-2?", slots={"order": "VT-1"}))
    assert newer.slots == {"order": "VT-2"}


def test_a_slot_is_remembered_whatever_the_message_is_about(articles):
    reply = _chain(articles, _classifier(cancel=0.4, track=0.3)).invoke("VT-7 makes me sad")
    assert (reply.route, reply.slots) == ("handover", {"order": "VT-7"})
    assert "order VT-7" in reply.summary
    assert "VT-7 makes me sad" in reply.summary


def test_what_a_lookup_returns_stays_text(articles):
    chain = _chain(articles, _classifier(accepted=True, track=0.97))
    assert chain.invoke("VT-2").text == "Order VT-2 {order} \\1."


@pytest.mark.parametrize("order", ["VT-404", "VT-500"])
def test_what_a_lookup_does_not_know_is_said(articles, order):
    reply = _chain(articles, _classifier(accepted=True, track=0.97)).invoke(f"Where is {order}?")
    assert (reply.route, reply.text) == ("clarify", f"I find no order {order}.")
    assert "find_order knows nothing of this order" in reply.reason
    assert order not in reply.reason  # which stands in logs


def test_without_words_for_it_a_failed_lookup_goes_to_a_person(articles):
    book = BOOK.model_copy(update={"lookups": {"state": Lookup(tool="find_order", slots=("order",))}})
    chain = make_chain(
        articles,
        classifier=_classifier(accepted=True, track=0.97),
        templates=book,
        retriever=NOTHING,
        lookups=[TOOL],
    )
    reply = chain.invoke("Where is VT-404?")
    assert (reply.route, reply.reason) == ("handover", "find_order knows nothing of this order")
    assert reply.reason in reply.summary


def test_a_lookup_without_its_tool_is_refused(articles):
    with pytest.raises(ChainInputError, match="asks the tool 'find_order', the tools are: none"):
        make_chain(articles, templates=BOOK)


def test_a_question_without_a_place_for_an_intent_is_refused():
    with pytest.raises(ValueError, match=r"must hold \{first\} and \{second\}"):
        ServiceOptions(clarify_text="Which?")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lookups": {**BOOK.lookups, "order": Lookup(tool="t", slots=("order",))}}, "must have a name of its own"),
        ({"lookups": {"state": Lookup(tool="t", slots=("name",))}}, "ask with slots that are under"),
        ({"titles": {"fly": "flying"}}, "a title for 'fly', which has no answer"),
    ],
)
def test_a_book_whose_names_do_not_fit_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        TemplateBook(**{**BOOK.model_dump(), **changes})
