"""Approved answers: what a book of them may hold, and how slots are filled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chains.customer_service import Slot, TemplateBook
from chains.customer_service.templates import FilledTemplate, MissingSlot
from llms.texts import fold_text

ORDER = Slot(pattern=r"VT-\d+", ask="Which order?")


def _book(answer, **slots):
    return TemplateBook(slots={"order": ORDER} | slots, answers={"track": answer})


@pytest.mark.parametrize(
    "answer",
    [
        "{",
        "}",
        "{}",
        "{0",
        "{order",
        "order}",
        "{{order}}",
        "{order!r}",
        "{order.pattern}",
        "{order[0]}",
        "{order:>10}",
        "{order:{order}}",
        "{ order }",
        "100 % {",
        "{order-number}",
        "{order}}",
    ],
)
def test_a_brace_that_is_no_slot_is_refused_with_the_intent(answer):
    with pytest.raises(ValidationError, match=r"the answer for 'track' has a '[{}]' that is not part of a slot"):
        _book(answer)


@pytest.mark.parametrize("answer", ["{0}", "{number}", "{order} {number}"])
def test_a_slot_that_is_not_defined_is_refused_with_its_name(answer):
    with pytest.raises(ValidationError, match=r"uses \{(0|number)\}, which is not under 'slots'"):
        _book(answer)


@pytest.mark.parametrize("pattern", ["(", "[a-", "a{2,1}", "(?P<x>a)(?P<x>b)", "*"])
def test_a_pattern_that_is_no_regular_expression_is_refused(pattern):
    with pytest.raises(ValidationError, match="is no regular expression"):
        Slot(pattern=pattern, ask="?")


@pytest.mark.parametrize("pattern", ["", r"\d*", "(VT)?", "^"])
def test_a_pattern_that_finds_nothing_everywhere_is_refused(pattern):
    with pytest.raises(ValidationError, match="matches an empty text"):
        Slot(pattern=pattern, ask="?")


def test_unknown_names_are_refused():
    with pytest.raises(ValidationError, match="pattrn"):
        Slot(pattrn="a", ask="?")
    with pytest.raises(ValidationError, match="answer"):
        TemplateBook(answer={"track": "On its way."})
    with pytest.raises(ValidationError, match="valid string"):
        TemplateBook(answers={"track": 5})


def test_the_first_find_fills_every_place_of_its_slot():
    book = _book("{order}, yes {order}.")
    assert book.fill("track", "VT-1 or VT-2?") == FilledTemplate("VT-1, yes VT-1.", {"order": "VT-1"})


def test_slots_may_have_names_in_any_script():
    book = TemplateBook(slots={"订单号": ORDER}, answers={"track": "订单{订单号}已发货。"})
    assert book.fill("track", "VT-7在哪").text == "订单VT-7已发货。"


def test_a_book_knows_its_intents():
    book = _book("See you.")
    assert "track" in book
    assert "refund" not in book
    with pytest.raises(KeyError):
        book.fill("refund", "where")


def test_an_answer_without_slots_needs_nothing_of_the_message():
    assert _book("5 % off \\1 \\g<0>.").fill("track", "") == FilledTemplate("5 % off \\1 \\g<0>.")


@given(st.text(min_size=1).map(fold_text).filter(bool))
def test_whatever_a_slot_finds_is_inserted_as_it_is(value):
    book = _book("<{all}|{order}>", all=Slot(pattern=r"(?s).+(?=VT-9$)", ask="?"))
    assert book.fill("track", value + "VT-9").text == f"<{value}|{_first_order(value + 'VT-9')}>"


@pytest.mark.parametrize(
    "written",
    [
        "VT‑9",
        "VT–9",
        "VT−9",
        "ＶＴ－９",
        "VT-９",
        "V\u200bT-9",
        "VT-\u00ad9",
        "\u202eVT-9",
        "VT-٩",
        "我的订单VT﹣9在哪里",
    ],
)
def test_a_slot_is_found_in_whatever_characters_it_is_written(written):
    assert _book("Order {order}.").fill("track", written).text == "Order VT-9."


def test_a_pattern_may_hold_what_folding_changes():
    book = _book("单号 {number}", number=Slot(pattern="(?<=单号：)[A-Z0-9]+", ask="?"))
    assert book.fill("track", "单号：AB7").text == "单号 AB7"


def _first_order(text):
    import re

    return re.search(ORDER.pattern, text).group()


@given(st.text(alphabet="{}abc! .:0[]", max_size=12))
def test_any_answer_is_taken_or_refused_and_never_sent_with_a_brace(answer):
    try:
        book = _book(answer, a=Slot(pattern="A", ask="a?"), abc=Slot(pattern="A", ask="abc?"))
    except ValidationError:
        return
    filled = book.fill("track", "A VT-1")
    assert isinstance(filled, FilledTemplate)
    assert not set("{}") & set(filled.text)
    assert isinstance(book.fill("track", ""), MissingSlot if "{" in answer else FilledTemplate)
