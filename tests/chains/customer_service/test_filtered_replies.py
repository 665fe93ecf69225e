"""Customer service with a text filter: what is held back goes to a person, with the rule as the reason."""

from langchain_core.documents import Document

from chains.customer_service import ServiceOptions
from chains.text_filter import TextFilter
from llms.fakes import ScriptedChatModel
from tests.chains.customer_service.shops import FixedRetriever, make_chain

PAGES = [Document("Blue kettles boil. Write to kettle@example.com.", metadata={"source": "a.md", "body_start": 0})]


def test_a_message_of_a_list_goes_to_a_person_without_being_answered(articles):
    chain = make_chain(articles, text_filter=TextFilter(incoming={"harm": ["hurt myself"]}))
    reply = chain.invoke("I will hurt myself, where is my parcel VT-204918?")
    assert reply.route == "handover"
    assert reply.reason == "the message is left to a person (list: harm)"
    assert "hurt myself" in reply.summary
    assert chain.invoke("Where is my parcel VT-204918?").route == "template"


def test_an_approved_answer_of_a_list_is_held_back(articles):
    chain = make_chain(articles, text_filter=TextFilter(outgoing={"promises": ["on its way"]}))
    reply = chain.invoke("Where is my parcel VT-204918?")
    assert (reply.route, reply.reason) == ("handover", "the answer was held back (list: promises)")
    assert "on its way" not in reply.text


def test_reasons_are_in_the_language_of_staff(articles):
    options = ServiceOptions(staff_language="zh")
    chain = make_chain(articles, text_filter=TextFilter(incoming={"辱骂": ["笨蛋"]}), options=options)
    assert chain.invoke("笨蛋").reason == "该消息交由人工处理（list: 辱骂）"


def test_a_sentence_of_a_model_with_private_data_of_others_is_cut(articles):
    model = ScriptedChatModel(answers=["Blue kettles boil [1]. Blue kettles boil, says anna@example.org [1]."])
    text_filter = TextFilter(private_kinds=["email"])
    chain = make_chain(articles, retriever=FixedRetriever(documents=PAGES), chat_model=model, text_filter=text_filter)
    reply = chain.invoke("Do blue kettles boil?")
    assert reply.route == "answer"
    assert "anna" not in reply.text


def test_quotes_of_a_list_are_not_quoted(articles):
    text_filter = TextFilter(outgoing={"boiling": ["boil"]})
    chain = make_chain(articles, retriever=FixedRetriever(documents=PAGES), text_filter=text_filter)
    assert "boil" not in chain.invoke("Do blue kettles boil?").text
