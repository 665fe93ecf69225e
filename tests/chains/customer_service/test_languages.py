"""Each message goes to the chain of its language."""

import asyncio

import pytest
from langchain_core.runnables import RunnableLambda

from chains.customer_service import ServiceReply, ServiceRequest, build_language_router
from chains.errors import ChainInputError
from tests.chains.customer_service.shops import make_chain


def _answer(text):
    return RunnableLambda(lambda _: ServiceReply(text=text, route="template", reason=""))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Where is my parcel?", "English"),
        ("我的包裹在哪？", "中文"),
        ("我的 Voltaro Corvo 13 充不进电", "中文"),
        ("VT-204918", "English"),
        ("Is 退货 possible after two weeks?", "English"),
        ("¿Dónde está mi paquete?", "English"),
    ],
)
def test_a_message_goes_to_the_chain_of_its_language(text, answer):
    chain = build_language_router({"en": _answer("English"), "zh": _answer("中文")}, default="en")
    forms = (text, {"text": text}, ServiceRequest(text=text))
    assert [chain.invoke(form).text for form in forms] == [answer] * 3
    assert asyncio.run(chain.ainvoke(text)).text == answer


def test_without_a_chain_for_chinese_the_default_answers():
    assert build_language_router({"en": _answer("English")}, default="en").invoke("你好").text == "English"


def test_what_is_no_message_is_refused_by_the_chain(articles):
    chain = build_language_router({"en": make_chain(articles)}, default="en")
    with pytest.raises(ChainInputError, match="got int"):
        chain.invoke(7)


def test_a_default_without_a_chain_is_refused():
    with pytest.raises(ChainInputError, match="no chain for the default language 'en', only for zh"):
        build_language_router({"zh": _answer("中文")}, default="en")
