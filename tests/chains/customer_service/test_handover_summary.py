"""Summaries for staff in every language: the same sentences with the same placeholders."""

import dataclasses
import string

import pytest

from chains.customer_service import ServiceOptions
from chains.customer_service.handover_summary import STAFF_WORDS
from tests.chains.customer_service.shops import make_chain


def _places(sentence):
    return sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name)


@pytest.mark.parametrize("language", STAFF_WORDS)
def test_every_language_tells_the_same(language):
    theirs, english = dataclasses.asdict(STAFF_WORDS[language]), dataclasses.asdict(STAFF_WORDS["en"])
    assert {name: _places(text) for name, text in theirs.items()} == {
        name: _places(text) for name, text in english.items()
    }


def test_staff_read_reason_and_summary_in_their_language(articles):
    chain = make_chain(articles, options=ServiceOptions(staff_language="zh", handover_text="A colleague helps."))
    reply = chain.invoke("do you like {poems}")
    assert reply.text == "A colleague helps."  # customers read what was set for them
    assert "不够确定" in reply.reason
    assert reply.summary.startswith("消息：do you like {poems}\n最可能的意图：")
    assert reply.summary.endswith(f"原因：{reply.reason}")


def test_another_language_is_refused():
    with pytest.raises(ValueError, match="staff_language must be one of en, zh, got 'fr'"):
        ServiceOptions(staff_language="fr")
