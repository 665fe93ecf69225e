"""The front door: each message once, in order, of its owner only; nothing bad is ever stored."""

import json
import logging
import threading
import time
from types import SimpleNamespace

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from chains.customer_service import Conversations, ServiceReply
from chains.errors import (
    ChainInputError,
    ConversationBusyError,
    MessageIdError,
    NoPersonAwaitedError,
    ReplyAbandonedError,
    UnknownConversationError,
)
from llms.errors import EngineBusyError, InputTextError
from tests.chains.customer_service.talks import ShopChain, Talk, open_conversations

PHONES = "How long is the warranty of phones?"
TABLETS = "How long is the warranty of tablets?"


def place(**changes):
    return {"owner": "shop", "conversation": "c1", "message_id": "m1", "text": PHONES} | changes


# --- each message once


def test_the_same_id_again_gets_the_same_reply_and_adds_nothing():
    chain = ShopChain()
    conversations = open_conversations(chain)
    assert conversations.send(**place()) == conversations.send(**place())
    assert len(conversations.turns("shop", "c1")) == 2
    assert len(chain.requests) == 1


def test_an_old_id_is_known_long_after():
    talk = Talk(open_conversations())
    first = talk.say(PHONES)
    for _ in range(20):
        talk.say(TABLETS)
    assert talk.conversations.send(**talk.place, message_id="m0", text=PHONES) == first
    assert len(talk.turns) == 42


def test_an_id_for_two_texts_is_refused():
    conversations = open_conversations()
    conversations.send(**place())
    with pytest.raises(MessageIdError, match="'m1' belongs to another message"):
        conversations.send(**place(text=TABLETS))


def test_customers_and_staff_may_use_the_same_ids():
    conversations = open_conversations()
    conversations.send(**place(text="Do you like poems?"))
    conversations.answer_as_staff(**place(text="I do."))
    assert [turn.text for turn in conversations.turns("shop", "c1")][-1] == "I do."


def test_an_answer_of_staff_sent_twice_is_there_once_even_after_it_closed():
    conversations = open_conversations()
    conversations.send(**place(text="Do you like poems?"))
    for _ in range(2):
        conversations.answer_as_staff(**place(message_id="s1", text="I do."), close=True)
    assert [turn.speaker for turn in conversations.turns("shop", "c1")] == ["customer", "assistant", "staff"]


def test_a_message_the_chain_failed_at_is_finished_when_it_is_sent_again():
    chain = ShopChain(fails_at="phones")
    conversations = open_conversations(chain)
    with pytest.raises(ValueError, match="does not like phones"):
        conversations.send(**place())
    chain.fails_at = "\0"
    assert conversations.send(**place()).route == "answer"
    assert [turn.text for turn in conversations.turns("shop", "c1")] == [PHONES, "Phones have two years of warranty."]


def test_a_message_that_was_left_is_finished_before_the_next():
    chain = ShopChain(fails_at="phones")
    talk = Talk(open_conversations(chain))
    with pytest.raises(ValueError, match="phones"):
        talk.say(PHONES)
    chain.fails_at = "\0"
    assert talk.say(TABLETS).text == "Tablets have one year of warranty."
    assert [text for _, text in talk.turns[::2]] == [PHONES, TABLETS]


def test_the_events_of_a_message_that_was_left_are_not_told_with_the_next():
    chain = ShopChain(fails_at="phones")
    talk = Talk(open_conversations(chain))
    with pytest.raises(ValueError, match="phones"):
        talk.say(PHONES)
    chain.fails_at = "\0"
    *events, reply = talk.conversations.stream(**talk.place, message_id="next", text=TABLETS)
    assert "".join(event.get("text", "") for event in events) == reply.text
    assert len(talk.turns) == 4


def test_a_message_that_fails_again_goes_to_a_person_and_stops_nobody(caplog):
    talk = Talk(open_conversations(ShopChain(fails_at="phones")))
    with pytest.raises(ValueError, match="phones"):
        talk.say(PHONES)
    assert talk.say(TABLETS).route == "handover"
    assert talk.turns == [("customer", PHONES), ("customer", TABLETS)]
    (waiting,) = talk.conversations.waiting("shop")
    assert (waiting.summary, waiting.reason) == (PHONES, "the assistant failed with ValueError")
    assert "message m0 failed again" in caplog.text
    talk.answer("Two years.", close=True)
    assert talk.say(TABLETS).route == "answer"


def test_follow_ups_that_cannot_be_read_go_to_a_person_too(caplog):
    def fail(follow_up):
        raise ValueError(follow_up.text)

    talk = Talk(open_conversations(follow_ups=RunnableLambda(fail)))
    with pytest.raises(ValueError, match="phones"):
        talk.say(PHONES)
    assert talk.say(TABLETS).route == "handover"
    assert talk.turns == [("customer", PHONES), ("customer", TABLETS)]
    assert "failed again" in caplog.text


def test_a_model_that_is_busy_sends_nobody_to_a_person():
    class Busy(ShopChain):
        def reply(self, request, config):
            if self.fails_at == "busy":
                raise EngineBusyError("too many")
            return super().reply(request, config)

    chain = Busy(fails_at="busy")
    talk = Talk(open_conversations(chain))
    for text in (PHONES, TABLETS):
        with pytest.raises(EngineBusyError):
            talk.say(text)
    chain.fails_at = "\0"
    assert talk.say(TABLETS).route == "answer"
    assert [text for _, text in talk.turns[::2]] == [PHONES, TABLETS]


def test_a_stream_that_is_left_early_frees_the_conversation():
    talk = Talk(open_conversations())
    stream = talk.conversations.stream(**talk.place, message_id="left", text=PHONES)
    next(stream)
    stream.close()
    talk.say(TABLETS)
    assert [text for _, text in talk.turns[::2]] == [PHONES, TABLETS]


# --- owners


def test_owners_do_not_see_each_other():
    conversations = open_conversations()
    conversations.send(**place(owner="a", text="Do you like poems?"))
    conversations.send(**place(owner="b"))
    assert [turn.text for turn in conversations.turns("b", "c1")] == [PHONES, "Phones have two years of warranty."]
    assert [overview.conversation for overview in conversations.list("a")] == ["c1"]
    assert conversations.waiting("b") == conversations.list("c") == []
    conversations.delete("b", "c1")
    assert len(conversations.turns("a", "c1")) == 2


@pytest.mark.parametrize("owner", ["shop.", "Shop", "sho", "shop*", "shop%", "shop_", "s'; DROP TABLE store; --", "店"])
def test_a_strange_name_finds_nothing_of_another_owner(owner):
    conversations = open_conversations()
    conversations.send(**place(text="Do you like poems?"))
    assert conversations.list(owner) == conversations.waiting(owner) == []
    conversations.send(**place(owner=owner))
    assert len(conversations.turns(owner, "c1")) == 2
    assert len(conversations.turns("shop", "c1")) == 2


def test_another_owners_conversation_and_none_at_all_are_the_same_error():
    conversations = open_conversations()
    conversations.send(**place(owner="a", text="Do you like poems?"))
    calls = [
        lambda owner: conversations.turns(owner, "c1"),
        lambda owner: conversations.delete(owner, "c1"),
        lambda owner: conversations.close(owner=owner, conversation="c1", message_id="s"),
        lambda owner: conversations.answer_as_staff(**place(owner=owner, message_id="s")),
    ]
    for call in calls:
        errors = []
        for owner in ("b", "nobody"):
            with pytest.raises(UnknownConversationError) as caught:
                call(owner)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
    assert len(conversations.turns("a", "c1")) == 2


def test_the_inbox_shows_the_longest_waiting_first():
    conversations = open_conversations()
    for name in ("c2", "c1", "c3"):
        conversations.send(**place(conversation=name, text="Do you like poems?"))
    conversations.close(owner="shop", conversation="c1", message_id="s")
    waiting = conversations.waiting("shop")
    assert [line.conversation for line in waiting] == ["c2", "c3"]
    assert waiting[0].summary == "asks: do you like poems?"


def test_the_list_shows_the_latest_first():
    conversations = open_conversations()
    for name in ("c2", "c1", "c2"):
        conversations.send(**place(conversation=name, message_id=str(time.time_ns())))
    assert [(line.conversation, line.num_messages) for line in conversations.list("shop")] == [("c2", 2), ("c1", 1)]


def test_a_deleted_conversation_begins_anew():
    talk = Talk(open_conversations())
    talk.say("Where is parcel 77 now?")
    talk.conversations.delete(**talk.place)
    with pytest.raises(UnknownConversationError):
        _ = talk.turns
    assert talk.say("Where is my parcel?").text == "Which order?"


def test_staff_is_refused_where_no_person_is_awaited():
    talk = Talk(open_conversations())
    talk.say(PHONES)
    with pytest.raises(NoPersonAwaitedError, match="'c1'"):
        talk.answer("Hello!")
    assert len(talk.turns) == 2


# --- bad input


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"text": " \n"}, ChainInputError),
        ({"text": "x" * 4_001}, InputTextError),
        ({"text": "a\x00b"}, InputTextError),
        ({"text": "a\ud800b"}, InputTextError),
        ({"text": 7}, InputTextError),
        ({"owner": ""}, ChainInputError),
        ({"owner": "\ud800"}, InputTextError),
        ({"conversation": " "}, ChainInputError),
        ({"conversation": "x" * 201}, InputTextError),
        ({"message_id": ""}, ChainInputError),
        ({"message_id": "a\x00"}, InputTextError),
    ],
)
def test_bad_input_is_refused_before_anything_is_stored(changes, error):
    conversations = open_conversations()
    with pytest.raises(error):
        conversations.send(**place(**changes))
    with pytest.raises(error):
        conversations.stream(**place(**changes))  # at once, not at its first event
    assert conversations.list("shop") == []


def test_a_graph_that_keeps_nothing_is_refused():
    graph = StateGraph(dict)
    graph.add_node("answer", lambda state: state)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    for options, lacking in (
        ({"checkpointer": InMemorySaver()}, "store"),
        ({"store": InMemoryStore()}, "checkpointer"),
    ):
        with pytest.raises(ChainInputError, match=f"needs a {lacking}"):
            Conversations(graph.compile(**options))


# --- order


class SlowChain(ShopChain):
    """Takes a moment, and notes when two messages of a conversation are answered at the same time."""

    def __init__(self):
        super().__init__()
        self.inside, self.most_inside = 0, 0

    def reply(self, request, config):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        time.sleep(0.002)
        self.inside -= 1
        return super().reply(request, config)


class HeldChain(ShopChain):
    """Answers nothing before it may go on."""

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()

    def reply(self, request, config):
        assert self.go_on.wait(30)
        return super().reply(request, config)


def test_messages_of_many_threads_never_mix():
    chain = SlowChain()
    talk = Talk(open_conversations(chain))
    threads = [threading.Thread(target=talk.say, args=(f"warranty phones {number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [speaker for speaker, _ in talk.turns] == ["customer", "assistant"] * 10
    assert chain.most_inside == 1


def test_a_conversation_with_too_much_waiting_refuses_more():
    chain, outcomes = HeldChain(), []
    talk = Talk(open_conversations(chain))

    def send(number):
        try:
            outcomes.append(talk.say(f"warranty phones {number}").route)
        except ConversationBusyError:
            outcomes.append("busy")
            chain.go_on.set()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(33)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["answer"] * 32 + ["busy"]
    assert len(talk.turns) == 64


# --- decisions


def test_each_message_leaves_one_record_without_a_word_of_it():
    decisions = []
    talk = Talk(open_conversations(record_decision=decisions.append))
    talk.say("Where is parcel 4711 now?")
    talk.conversations.send(**talk.place, message_id="m0", text="Where is parcel 4711 now?")
    assert len(decisions) == 1
    assert decisions[0] | {"time": ""} == {
        "owner": "shop",
        "conversation": "c1",
        "message_id": "m0",
        "sender": "customer",
        "time": "",
        "closes": False,
        "route": "template",
        "intent": "track",
        "probability": None,
        "reason": "",
        "citations": [],
        "steps": [],
    }
    assert "4711" not in json.dumps(decisions)


def test_records_hold_the_words_where_the_operator_asks_for_them():
    decisions = []
    talk = Talk(open_conversations(record_decision=decisions.append, decisions_with_text=True))
    talk.say(PHONES)
    talk.say("and for tablets?")
    assert decisions[-1]["text"] == "and for tablets?"
    assert decisions[-1]["question"] == f"{PHONES} and for tablets?"
    assert decisions[-1]["reply"] == "Tablets have one year of warranty."


def test_records_go_to_the_log_as_json(caplog):
    caplog.set_level(logging.INFO, logger="chains.customer_service.decisions")
    open_conversations().send(**place())
    (line,) = [record.getMessage() for record in caplog.records if record.name == "chains.customer_service.decisions"]
    assert json.loads(line)["route"] == "answer"


def test_a_record_that_cannot_be_passed_on_does_not_cost_the_reply(caplog):
    def fail(decision):
        raise OSError("the disk of the log is full")

    assert open_conversations(record_decision=fail).send(**place()).route == "answer"
    assert "could not be passed on" in caplog.text


def test_a_reply_that_nobody_wants_is_broken_off_and_finished_when_it_is_sent_again():
    said = []

    def answer(request, config):
        for word in ("one ", "two"):
            said.append(word)
            dispatch_custom_event("customer_service", {"text": word}, config=config)
        return ServiceReply(text="one two", route="template", reason="")

    conversations = open_conversations(SimpleNamespace(reply=answer))
    message = {"owner": "shop", "conversation": "c1", "message_id": "m1", "text": "hello"}
    with pytest.raises(ReplyAbandonedError):
        list(conversations.stream(**message, is_wanted=lambda: len(said) < 2))
    assert said == ["one ", "two"]
    assert conversations.list("shop") == []
    # another message first finishes the one that was broken off, and hands nobody over
    conversations.send(**message | {"message_id": "m2", "text": "again"})
    assert [turn.text for turn in conversations.turns("shop", "c1")] == ["hello", "one two", "again", "one two"]
    assert conversations.waiting("shop") == []


def test_staff_finds_the_conversations_of_all_owners():
    conversations = open_conversations()
    for owner in ("a", "b"):
        conversations.send(owner=owner, conversation="c1", message_id="m1", text="poems?")
    assert [waiting.owner for waiting in conversations.waiting(None)] == ["a", "b"]
    assert {overview.owner for overview in conversations.list(None)} == {"a", "b"}
    assert conversations.hand_over("a", "c1").owner == "a"
    assert conversations.hand_over("a", "c2") is None
