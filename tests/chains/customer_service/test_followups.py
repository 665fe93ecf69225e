"""Messages that need what was said before: how they are read, with a chat model and without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.customer_service.followups import FollowUp, build_follow_up_reader, is_fragment
from chains.customer_service.messages import Turn, now
from llms.fakes import ScriptedChatModel
from tests.chains.customer_service.talks import ShopChain, Talk, open_conversations


def turn(text, speaker="customer"):
    return Turn(id="t", speaker=speaker, text=text, time=now())


@pytest.mark.parametrize(
    "text",
    [
        "and for tablets?",
        "What about tablets",
        "Why?",
        "that one",
        "not those",
        "那平板呢？",
        "平板呢？",
        "为什么？",
        "这个可以吗",
        "还有耳机",
    ],
)
def test_what_goes_on_or_only_points_is_a_fragment(text):
    assert is_fragment(text)


@pytest.mark.parametrize(
    "text",
    [
        "Where is my parcel?",
        "1048213",
        "hello",
        "?!",
        "我的包裹在哪里？",
        "andover branch",
        "and then I waited for two weeks but nobody ever came to bring me the parcel",
    ],
)
def test_what_says_something_by_itself_is_no_fragment(text):
    assert not is_fragment(text)


def test_a_message_without_history_is_read_as_it_stands():
    assert build_follow_up_reader().invoke(FollowUp("and for tablets?")) == ["and for tablets?"]
    model = ScriptedChatModel(answers=["never asked"])
    assert build_follow_up_reader(model).invoke(FollowUp("and for tablets?")) == ["and for tablets?"]
    assert model.prompts == []


def test_a_fragment_is_joined_to_the_last_message_that_was_none():
    turns = [turn("How long is the warranty of phones?"), turn("Two years.", "assistant"), turn("and for tablets?")]
    readings = build_follow_up_reader().invoke(FollowUp("and laptops?", turns))
    assert readings == ["How long is the warranty of phones? and laptops?", "and laptops?"]


def test_a_short_message_is_tried_as_it_stands_before_it_is_joined():
    readings = build_follow_up_reader().invoke(FollowUp("tablets please", [turn("The warranty of phones?")]))
    assert readings == ["tablets please", "The warranty of phones? tablets please"]


def test_a_long_message_is_never_joined():
    long = "I would like to know whether you also sell things that my cat could enjoy on a rainy day"
    assert build_follow_up_reader().invoke(FollowUp(long, [turn("The warranty of phones?")])) == [long]


def test_what_would_become_too_long_is_not_joined():
    turns = [turn("The warranty of phones? " * 50)]
    assert build_follow_up_reader().invoke(FollowUp("and for tablets?", turns)) == ["and for tablets?"]


def test_a_chat_model_rewrites_with_the_history_as_a_quotation():
    model = ScriptedChatModel(answers=["How long is the\n warranty of tablets?"])
    turns = [turn("The warranty of phones?"), turn("Two years.", "assistant")]
    readings = build_follow_up_reader(model).invoke(FollowUp("and for tablets?", turns))
    assert readings == ["How long is the warranty of tablets?", "and for tablets?"]
    system, question = (message.text for message in model.prompts[0])
    assert "customer: The warranty of phones?\nassistant: Two years." in system
    assert question == "and for tablets?"


@pytest.mark.parametrize("answer", ["", "   ", "x" * 1_001, "a\x00b"])
def test_a_rewriting_that_cannot_be_used_leaves_the_message_as_it_stands(answer):
    reader = build_follow_up_reader(ScriptedChatModel(answers=[answer]))
    assert reader.invoke(FollowUp("and for tablets?", [turn("phones?")])) == ["and for tablets?"]


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_the_message_itself_is_always_among_the_readings(text, earlier):
    readings = build_follow_up_reader().invoke(FollowUp(text, [turn(words) for words in earlier]))
    assert text in readings
    assert len(readings) <= 2


@pytest.mark.parametrize(
    ("first", "fragment", "answer"),
    [
        ("How long is the warranty of phones?", "and for tablets?", "Tablets have one year of warranty."),
        ("手机保修多久？", "那平板呢？", "平板保修一年。"),
    ],
)
def test_a_fragment_is_answered_from_the_message_before(first, fragment, answer):
    chain = ShopChain()
    talk = Talk(open_conversations(chain))
    talk.say(first)
    assert talk.say(fragment).text == answer
    assert [request.text for request in chain.requests] == [first, f"{first} {fragment}"]


@pytest.mark.parametrize(
    ("first", "second", "rewritten", "answer"),
    [
        (
            "How long is the warranty of phones?",
            "Oh, and the same for tablets?",
            "How long is the warranty of tablets?",
            "Tablets have one year of warranty.",
        ),
        ("手机保修多久？", "我买的是平板。", "平板保修多久？", "平板保修一年。"),
    ],
)
def test_with_a_chat_model_the_rewritten_message_is_answered(first, second, rewritten, answer):
    chain = ShopChain()
    talk = Talk(open_conversations(chain, chat_model=ScriptedChatModel(answers=[rewritten])))
    talk.say(first)
    assert talk.say(second).text == answer
    assert chain.requests[-1].text == rewritten
    assert talk.turns[-2:] == [("customer", second), ("assistant", answer)]


def test_a_rewriting_that_nobody_can_answer_gives_way_to_the_message_itself():
    talk = Talk(open_conversations(chat_model=ScriptedChatModel(answers=["Do you sell poems?"])))
    talk.say("How long is the warranty of phones?")
    assert talk.say("How long is the warranty of tablets?").route == "answer"


def test_a_new_question_is_not_answered_with_the_old_answer():
    talk = Talk(open_conversations())
    talk.say("How long is the warranty of phones?")
    assert talk.say("Do you like poems?").route == "handover"


def test_an_answer_to_an_open_question_is_left_to_the_chain():
    chain = ShopChain()
    model = ScriptedChatModel(answers=["never asked"])
    talk = Talk(open_conversations(chain, chat_model=model))
    talk.say("Where is my parcel?")
    assert talk.say("and it is 1048").text == "See order 1048."
    assert chain.requests[-1].text == "and it is 1048"
    assert model.prompts == []
