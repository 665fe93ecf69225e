"""Routes of a message through customer service, and refused input."""

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableLambda

from chains.customer_service import ServiceOptions, ServiceReply, ServiceRequest
from chains.errors import ChainInputError
from llms import Classification
from llms.errors import InputTextError, TuneChainError
from llms.fakes import FixedClassifier, HashedEmbeddings
from tests.chains.customer_service.shops import FixedRetriever, make_chain


def test_a_sure_intent_with_a_template_gets_its_approved_answer(chain):
    reply = chain.invoke("When are you open on Monday?")
    assert (reply.route, reply.text, reply.intent) == ("template", "9-5.", "hours")
    assert reply.probability == 0.9
    assert reply.citations == ()


def test_a_slot_is_filled_from_the_message(chain):
    assert chain.invoke("Where is parcel VT-204918?").text == "Order VT-204918 is on its way."


def test_a_missing_slot_is_asked_for(chain):
    reply = chain.invoke("Where is my parcel?")
    assert (reply.route, reply.text, reply.intent) == ("clarify", "Which order?", "track")
    assert "order" in reply.reason


def test_a_value_that_looks_like_a_template_stays_text(chain):
    assert chain.invoke("parcel {order} please").text == "Order {order} is on its way."
    reply = chain.invoke(r"hello, I am {order}{0}\1 with VT-000001")
    assert reply.text == r"{order}{0}\1, we found {order} and {order}."


def test_an_intent_that_is_not_accepted_is_answered_from_the_articles(chain):
    reply = chain.invoke("Which memory card fits the Halden One camera?")
    assert reply.route == "answer"
    assert reply.intent is None
    assert {citation.source for citation in reply.citations} == {"cards.md"}
    assert "cards.md" in reply.reason


def test_a_sure_intent_without_a_template_is_answered_from_the_articles(articles):
    chain = make_chain(articles, classifier=FixedClassifier({"battery": "unwritten"}))
    reply = chain.invoke("Keep the battery between which percent?")
    assert (reply.route, reply.intent) == ("answer", None)
    assert reply.citations[0].source == "battery.md"


def test_what_nothing_is_relevant_to_goes_to_a_person_with_the_reason(articles):
    chain = make_chain(articles, options=ServiceOptions(handover_text="A colleague answers."))
    reply = chain.invoke("Do you like the weather?")
    assert (reply.route, reply.text, reply.intent, reply.citations) == ("handover", "A colleague answers.", None, ())
    assert "not sure enough" in reply.reason
    assert "nothing in the knowledge base is relevant" in reply.reason


def test_an_empty_knowledge_base_hands_over(articles, tmp_path):
    assert make_chain(tmp_path).invoke("Which memory card fits?").route == "handover"


@pytest.mark.parametrize(("relevance", "route"), [(0.35, "answer"), (0.349, "handover")])
def test_passages_below_the_relevance_asked_for_are_not_answered_from(articles, relevance, route):
    page = Document("Blue is a colour.", metadata={"source": "a.md", "relevance": relevance})
    chain = make_chain(articles, retriever=FixedRetriever(documents=[page]))
    assert chain.invoke("colour").route == route


def test_passages_of_a_retriever_without_relevance_are_trusted(articles):
    # also where no word is shared and the cosine is negative
    question = next(text for text in map(str, range(99)) if _cosine(text, ": Blue.") < -0.1)
    retriever = FixedRetriever(documents=[Document("Blue.", id="p1")])
    reply = make_chain(articles, retriever=retriever).invoke(question)
    assert (reply.route, reply.text, reply.citations[0].source) == ("answer", "Blue.", "p1")


def _cosine(first, second):
    embeddings = HashedEmbeddings()
    return sum(a * b for a, b in zip(embeddings.embed_query(first), embeddings.embed_query(second), strict=True))


def test_passages_without_a_sentence_hand_over(articles):
    retriever = FixedRetriever(documents=[Document("# Only a heading\n\n```\n")])
    assert make_chain(articles, retriever=retriever).invoke("heading").route == "handover"


def test_every_way_to_call_and_every_form_of_input_agree(chain):
    text = "Which memory card fits the Halden One camera?"
    expected = _untimed(chain.invoke(text))
    forms = [text, {"text": text}, ServiceRequest(text=text)]
    assert isinstance(expected, ServiceReply)
    assert [_untimed(chain.invoke(form)) for form in forms] == [expected] * 3
    assert list(map(_untimed, chain.batch(forms))) == [expected] * 3
    assert [list(map(_untimed, chain.stream(form))) for form in forms] == [[expected]] * 3
    assert _untimed(asyncio.run(chain.ainvoke(text))) == expected
    assert list(map(_untimed, asyncio.run(chain.abatch(forms)))) == [expected] * 3


def _untimed(reply):
    return reply.model_copy(update={"steps": ()})


def test_the_chain_names_its_types_and_itself(chain):
    assert chain.get_input_jsonschema()["properties"].keys() == {"text", "slots", "open_question"}
    assert ServiceReply.model_validate_json(chain.invoke("parcel").model_dump_json()).route == "clarify"
    assert chain.get_name() == "customer_service"


@pytest.mark.parametrize("message", ["", "  \n\t ", {"text": "　"}])
def test_an_empty_message_is_refused(chain, message):
    with pytest.raises(ChainInputError, match="the message is empty"):
        chain.invoke(message)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (7, "got int"),
        (None, "got NoneType"),
        (b"parcel", "got bytes"),
        ({"text": 7}, r"got keys \['text'\]"),
        ({}, r"got keys \[\]"),
        ({"text": "parcel", "history": []}, r"keys \['history', 'text'\]: history: is not known here"),
    ],
)
def test_what_is_no_message_is_refused_with_what_came(chain, message, shown):
    with pytest.raises(ChainInputError, match=shown):
        chain.invoke(message)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("parcel\x00", "NUL character at position 6"),
        ("lone \ud800 surrogate", "lone surrogate at position 5"),
        ({"text": "parcel \udcff"}, "lone surrogate at position 7"),
        ("parcel " * 1000, "7,000 characters, at most 4,000"),
    ],
)
def test_a_message_no_model_should_see_is_refused(chain, message, reason):
    with pytest.raises(InputTextError, match=reason):
        chain.invoke(message)


def test_one_bad_message_of_a_batch_can_be_returned_as_its_error(chain):
    replies = chain.batch(["parcel", "", "parcel"], return_exceptions=True)
    assert [isinstance(reply, TuneChainError) for reply in replies] == [False, True, False]


def test_callbacks_see_the_retriever_under_the_chain(chain):
    from langchain_core.callbacks import BaseCallbackHandler

    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.queries = []

        def on_retriever_start(self, serialized, query, **kwargs):
            self.queries.append(query)

    recorder = Recorder()
    chain.invoke("Which card?", RunnableConfig(callbacks=[recorder]))
    assert recorder.queries == ["Which card?"]


@pytest.mark.parametrize(
    ("options", "reason"), [({"min_relevance": 1.1}, "min_relevance"), ({"max_sentences": 0}, "max_sentences")]
)
def test_options_that_cannot_be_meant_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        ServiceOptions(**options)


@pytest.mark.parametrize(("probability", "route"), [(0.7, "clarify"), (0.2, "answer")])
def test_an_intent_that_is_likelier_than_the_passages_are_relevant_keeps_them_back(articles, probability, route):
    """An unsure guess may be right all the same; a passage has to be more relevant than it is likely."""
    page = Document("Blue is a colour.", metadata={"source": "a.md", "relevance": 0.5})
    shares = {"hours": probability, "track": 1 - probability}
    unsure = Classification(label="hours", probability=probability, probabilities=shares, accepted=False)
    options = ServiceOptions(clarify_probability=1.0)
    chain = make_chain(
        articles,
        classifier=RunnableLambda(lambda _: unsure),
        retriever=FixedRetriever(documents=[page]),
        options=options,
    )
    assert chain.invoke("colour").route == route
