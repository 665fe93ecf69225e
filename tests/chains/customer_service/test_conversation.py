"""The graph of a conversation: memory, hand-over to a person, and the chain's events."""

from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from chains.customer_service import ServiceReply
from chains.customer_service.conversation import build_service_conversation
from chains.customer_service.messages import ConversationKey, now
from tests.chains.customer_service.talks import ShopChain, Talk, open_conversations

KEY = ConversationKey(owner="shop", conversation="c1")
CONFIG = {"configurable": {"thread_id": KEY.thread_id}}


def build_graph(chain=None):
    return build_service_conversation(
        RunnableLambda((chain or ShopChain()).reply), checkpointer=InMemorySaver(), store=InMemoryStore()
    )


def message(text, sender="customer", *, id_="m1", closes=False):
    return {"id": id_, "sender": sender, "text": text, "time": now().isoformat(), "closes": closes}


def test_slots_and_the_open_question_go_into_the_next_request():
    chain = ShopChain()
    talk = Talk(open_conversations(chain))
    assert talk.say("Where is my parcel?").text == "Which order?"
    assert talk.say("1048").text == "See order 1048."
    assert chain.requests[-1].open_question is not None
    assert talk.say("Where is that parcel today?").text == "See order 1048."
    assert chain.requests[-1].slots == {"order": "1048"}
    assert chain.requests[-1].open_question is None


def test_slots_outlast_replies_that_do_not_name_them():
    chain = ShopChain()
    talk = Talk(open_conversations(chain))
    talk.say("Where is parcel 77 now?")
    talk.say("How long is the warranty of phones?")
    talk.say("And where is the parcel now?")
    assert chain.requests[-1].slots == {"order": "77"}


def test_a_hand_over_interrupts_the_graph_with_its_summary():
    graph = build_graph()
    graph.invoke({"message": message("Do you like poems?")}, CONFIG, context=KEY, durability="sync")
    (interrupt,) = graph.get_state(CONFIG).interrupts
    assert interrupt.value["summary"] == "asks: do you like poems?"
    assert interrupt.value["reason"] == "unknown"


def test_the_answer_of_a_person_resumes_the_graph():
    graph = build_graph()
    graph.invoke({"message": message("Do you like poems?")}, CONFIG, context=KEY, durability="sync")
    answer = message("I do.", "staff", id_="s1", closes=True)
    state = graph.invoke(Command(resume=answer), CONFIG, context=KEY, durability="sync")
    assert [turn["text"] for turn in state["turns"]] == ["Do you like poems?", "A colleague helps.", "I do."]
    assert graph.get_state(CONFIG).next == ()


def test_while_a_person_is_awaited_messages_wait_in_order_without_an_answer():
    chain = ShopChain()
    talk = Talk(open_conversations(chain))
    talk.say("Do you like poems?")
    replies = [talk.say(text) for text in ("Hello?", "How long is the warranty of phones?")]
    assert [(reply.route, reply.text) for reply in replies] == [("handover", "")] * 2
    assert talk.turns[2:] == [("customer", "Hello?"), ("customer", "How long is the warranty of phones?")]
    assert len(chain.requests) == 1


def test_staff_may_answer_several_times_and_the_assistant_answers_after_the_close():
    talk = Talk(open_conversations())
    talk.say("Do you like poems?")
    talk.answer("Let me look.")
    talk.answer("I do.")
    assert talk.say("Thank you!").text == ""
    talk.close()
    assert talk.say("How long is the warranty of phones?").route == "answer"
    assert talk.turns[2:5] == [("staff", "Let me look."), ("staff", "I do."), ("customer", "Thank you!")]


def test_the_last_answer_of_staff_may_close():
    talk = Talk(open_conversations())
    talk.say("Do you like poems?")
    talk.answer("I do.", close=True)
    assert talk.say("How long is the warranty of phones?").route == "answer"


def test_a_hand_over_without_summary_shows_the_message_itself():
    class Silent(ShopChain):
        def _choose(self, request):
            return ServiceReply(text="Wait.", route="handover", reason="unknown")

    talk = Talk(open_conversations(Silent()))
    talk.say("Do you like poems?")
    assert [waiting.summary for waiting in talk.conversations.waiting("shop")] == ["Do you like poems?"]


def test_the_state_keeps_the_latest_turns_only():
    graph = build_graph()
    for number in range(20):
        text = f"How long is the warranty of phones, {number}?"
        state = graph.invoke({"message": message(text, id_=f"m{number}")}, CONFIG, context=KEY, durability="sync")
    assert len(state["turns"]) == 12
    assert state["num_messages"] == 20


def test_events_of_the_chain_come_before_the_reply():
    *events, reply = open_conversations().stream(
        owner="shop", conversation="c1", message_id="m1", text="How long is the warranty of phones?"
    )
    text = "Phones have two years of warranty."
    assert events == [{"step": "intent", "milliseconds": 1.5}, {"route": "answer"}, {"text": text}]
    assert reply.text == text


def test_only_the_events_of_the_reading_that_counts_are_told():
    talk = Talk(open_conversations())
    talk.say("How long is the warranty of phones?")
    *events, reply = talk.conversations.stream(**talk.place, message_id="x", text="tablets please")
    assert reply.text == "Tablets have one year of warranty."
    assert "".join(event.get("text", "") for event in events) == reply.text
    assert [event["route"] for event in events if "route" in event] == ["answer"]


def test_a_hand_over_that_no_reading_averts_is_told_once():
    talk = Talk(open_conversations())
    talk.say("How long is the warranty of phones?")
    *events, reply = talk.conversations.stream(**talk.place, message_id="x", text="Do you like poems?")
    assert "".join(event.get("text", "") for event in events) == reply.text == "A colleague helps."
    assert [event["route"] for event in events if "route" in event] == ["handover"]
