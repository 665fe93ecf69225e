"""Drafts written by a chat model: taken where they have the form that is asked for, else the texts stay."""

import pytest

from chains.customer_service.learning import GroupDraft, RankedAnswer, write_draft
from llms.fakes import ScriptedChatModel

DRAFT = GroupDraft(
    name="where_parcel",
    wordings=("where is my parcel",),
    answers=(RankedAnswer(text="Order {order_number} comes on Monday, says {name}.", count=3),),
    template="Order {order_number} comes on Monday.",
    confidence=0.9,
    num_requests=3,
    num_customers=3,
)


def written(text, draft=DRAFT):
    found = write_draft(draft, ScriptedChatModel(answers=[text]), slots=["order_number"])
    return found.name, found.template


def test_what_a_model_writes_in_the_right_form_is_taken():
    assert written("name: Parcel on its way\nanswer: Your order {order_number} is coming.") == (
        "parcel_on_its_way",
        "Your order {order_number} is coming.",
    )
    assert written("名称：快递进度\n回答：订单{order_number}周一送达。")[0] == "快递进度"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure! Here you go.",
        "answer: Dear {name}, it comes.",
        "answer: It { comes.",
        f"answer: {'very long ' * 50}",
        f"name: {'many words ' * 20}",
    ],
)
def test_anything_else_leaves_what_was_taken_from_the_texts(text):
    assert written(text) == (DRAFT.name, DRAFT.template)


def test_a_group_that_fits_an_intent_or_has_no_answers_asks_no_model():
    for changes in ({"intent": "track"}, {"answers": ()}):
        draft = DRAFT.model_copy(update=changes)
        assert write_draft(draft, ScriptedChatModel(answers=[])) == draft
