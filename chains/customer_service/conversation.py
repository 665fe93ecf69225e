"""The conversation graph: understand, answer, record, wait for a person; see `build_service_conversation`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import StreamWriter, interrupt

from chains.customer_service.events import EventRelay
from chains.customer_service.followups import FollowUp, build_follow_up_reader
from chains.customer_service.messages import ConversationKey, HandOver, Message, Turn, now
from chains.customer_service.schema import OpenQuestion, ServiceReply, ServiceRequest
from chains.customer_service.transcript import Entry, Transcripts

_REMEMBERED_TURNS = 12  # for follow-ups; everything that was said is in the store
_ACKNOWLEDGED = "a person is awaited, who will read this message"


class ConversationState(TypedDict, total=False):
    """Where a conversation stands, in plain JSON values: only such are ever rebuilt from a checkpoint."""

    message: dict[str, Any]  # the `Message` that came last
    readings: list[str]  # what it may mean, the likeliest first
    question: str  # the reading that was answered
    reply: dict[str, Any] | None  # the `ServiceReply` to it; None to staff
    replied_at: str  # noted when the reply was made, so that recording it twice writes the same
    turns: list[dict[str, Any]]  # the latest, each a `Turn`, oldest first
    num_messages: int
    slots: dict[str, str]  # what the customer told so far, such as the number of an order
    open_question: dict[str, Any] | None  # what the last reply asked back
    hand_over: dict[str, Any] | None  # a `HandOver`, while a person is awaited


ConversationGraph = CompiledStateGraph[ConversationState, ConversationKey, ConversationState, ConversationState]


def build_service_conversation(
    chain: Runnable[ServiceRequest, ServiceReply],
    *,
    checkpointer: BaseCheckpointSaver[Any],
    store: BaseStore,
    chat_model: BaseChatModel | None = None,
    follow_ups: Runnable[FollowUp, list[str]] | None = None,
) -> ConversationGraph:
    """Return the graph of a conversation; `Conversations` runs it with one message after the other.

    Args:
        chain: answers one message, as `build_customer_service_chain` makes it.
        checkpointer: keeps where each conversation stands; the graph runs with a `ConversationKey` as context.
        store: keeps everything that was said.
        chat_model: rewrites follow-ups; see `build_follow_up_reader`.
        follow_ups: replaces that step.
    """
    steps = _Steps(chain=chain, follow_ups=follow_ups or build_follow_up_reader(chat_model))
    graph = StateGraph(ConversationState, context_schema=ConversationKey)
    graph.add_node("understand", steps.understand)
    graph.add_node("answer", steps.answer)
    graph.add_node("record", steps.record)
    graph.add_node("wait_for_person", steps.wait_for_person)
    graph.add_edge(START, "understand")
    graph.add_edge("understand", "answer")
    graph.add_edge("answer", "record")
    graph.add_conditional_edges("record", _after_record, ["wait_for_person", END])
    graph.add_edge("wait_for_person", "record")
    return graph.compile(checkpointer=checkpointer, store=store, name="service_conversation")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """The steps of the graph; each returns what it changes in the state."""

    chain: Runnable[ServiceRequest, ServiceReply]
    follow_ups: Runnable[FollowUp, list[str]]

    def understand(self, state: ConversationState, config: RunnableConfig) -> ConversationState:
        """Find out what the customer's message means after what was said before."""
        text = state["message"]["text"]
        if state.get("open_question"):  # the chain knows best what an answer to its own question means
            return {"readings": [text]}
        turns = [Turn.model_validate(turn) for turn in state.get("turns", [])]
        return {"readings": self.follow_ups.invoke(FollowUp(text, turns), config)}

    def answer(self, state: ConversationState, config: RunnableConfig, *, writer: StreamWriter) -> ConversationState:
        """Ask the chain; the first reading that it can answer counts, and where there is none, a person is asked."""
        first, *others = state["readings"]
        relay = EventRelay(writer, holds_hand_over=bool(others))
        question, reply = first, self._ask(first, state, relay.listen(config))
        for other in others:
            if reply.route != "handover":
                break
            second_relay = EventRelay(writer, holds_all=True)
            second = self._ask(other, state, second_relay.listen(config))
            if second.route != "handover" and not _says_the_same(second, state):
                question, reply, relay = other, second, second_relay
        relay.release()
        return _after_reply(reply, state, question=question)

    def record(self, state: ConversationState, runtime: Runtime[ConversationKey]) -> ConversationState:
        """Write down the message and what was said to it; done twice, it is there once."""
        if runtime.store is None:
            msg = "the graph has no store"
            raise RuntimeError(msg)
        message = Message.model_validate(state["message"])
        turns, number = _new_turns(message, state), state.get("num_messages", 0) + 1
        entry = Entry(number=number, turns=turns, reply=_reply(state))
        hand_over = state.get("hand_over")
        Transcripts(runtime.store).write(
            runtime.context, message, entry, hand_over=HandOver.model_validate(hand_over) if hand_over else None
        )
        remembered = [*state.get("turns", []), *(turn.model_dump(mode="json") for turn in turns)]
        return {"turns": remembered[-_REMEMBERED_TURNS:], "num_messages": number}

    def wait_for_person(self, state: ConversationState) -> ConversationState:
        """Stop until somebody writes: the customer once more, or staff, who may also close."""
        message = Message.model_validate(interrupt(state["hand_over"]))
        changes: ConversationState = {"message": message.model_dump(mode="json"), "reply": None}
        if message.sender == "customer":
            # no text: whatever is said now, a person says
            changes["reply"] = ServiceReply(text="", route="handover", reason=_ACKNOWLEDGED).model_dump(mode="json")
        if message.closes:
            changes["hand_over"] = None
        return changes

    def _ask(self, reading: str, state: ConversationState, config: RunnableConfig) -> ServiceReply:
        question = state.get("open_question")
        request = ServiceRequest(
            text=reading,
            slots=state.get("slots", {}),
            open_question=None if question is None else OpenQuestion.model_validate(question),
        )
        return self.chain.invoke(request, config)


def handed_over(reason: str, state: ConversationState) -> ConversationState:
    """Return what changes in the state where the chain cannot answer at all: a person takes over, without a word."""
    reply = ServiceReply(text="", route="handover", reason=reason)
    return _after_reply(reply, state, question=state["message"]["text"])


def _after_reply(reply: ServiceReply, state: ConversationState, *, question: str) -> ConversationState:
    changes: ConversationState = {
        "question": question,
        "reply": reply.model_dump(mode="json"),
        "replied_at": now().isoformat(),
        "slots": {**state.get("slots", {}), **reply.slots},
        "open_question": None if reply.open_question is None else reply.open_question.model_dump(mode="json"),
    }
    if reply.route == "handover":
        message = Message.model_validate(state["message"])
        hand_over = HandOver(since=message.time, summary=reply.summary or message.text, reason=reply.reason)
        changes["hand_over"] = hand_over.model_dump(mode="json")
    return changes


def _after_record(state: ConversationState) -> str:
    return "wait_for_person" if state.get("hand_over") else END


def _new_turns(message: Message, state: ConversationState) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    if message.text:
        turns.append(Turn(id=message.id, speaker=message.sender, text=message.text, time=message.time))
    reply = _reply(state)
    if reply is not None and reply.text:
        turns.append(
            Turn(
                id=f"{message.id}/reply",
                speaker="assistant",
                text=reply.text,
                time=datetime.fromisoformat(state["replied_at"]),
                reply=reply,
                question=state["question"],
            )
        )
    return tuple(turns)


def _reply(state: ConversationState) -> ServiceReply | None:
    reply = state.get("reply")
    return None if reply is None else ServiceReply.model_validate(reply)


def _says_the_same(reply: ServiceReply, state: ConversationState) -> bool:
    """Return whether a second reading only brought the last answer again: then it read the old question, not this."""
    said = [turn["text"] for turn in state.get("turns", []) if turn["speaker"] == "assistant"]
    return said[-1:] == [reply.text]
