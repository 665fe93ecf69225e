"""Conversations for tests: a chain that knows three answers, and what keeps conversations in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from chains.customer_service import Conversations, OpenQuestion, ServiceReply, ServiceRequest
from chains.customer_service.conversation import build_service_conversation

KNOWN = {
    "warranty phones": "Phones have two years of warranty.",
    "warranty tablets": "Tablets have one year of warranty.",
    "手机 保修": "手机保修两年。",
    "平板 保修": "平板保修一年。",
}


@dataclass
class ShopChain:
    """Answers what holds all words of a known question, asks for an order's number, and hands the rest over.

    The last matching question wins, as a later word of a customer counts more than an earlier one.
    """

    known: Mapping[str, str] = field(default_factory=lambda: dict(KNOWN))
    requests: list[ServiceRequest] = field(default_factory=list)
    fails_at: str = "\0"

    def reply(self, request: ServiceRequest, config: RunnableConfig) -> ServiceReply:
        self.requests.append(request)
        if self.fails_at in request.text:
            msg = f"the model does not like {self.fails_at}"
            raise ValueError(msg)
        reply = self._choose(request)
        events = [{"step": "intent", "milliseconds": 1.5}, {"route": reply.route}, {"text": reply.text}]
        for event in events:
            dispatch_custom_event("customer_service", event, config=config)
        dispatch_custom_event("another", {"text": "not for customers"}, config=config)
        return reply

    def _choose(self, request: ServiceRequest) -> ServiceReply:
        text = request.text.lower()
        if "parcel" in text or request.open_question is not None:
            order = next((word for word in text.split() if word.isdigit()), request.slots.get("order"))
            if order is None:
                open_question = OpenQuestion(intents=("track",), slot="order")
                return ServiceReply(
                    text="Which order?", route="clarify", reason="no order", open_question=open_question
                )
            slots = {"order": order}
            return ServiceReply(text=f"See order {order}.", route="template", intent="track", reason="", slots=slots)
        for words, answer in reversed(self.known.items()):
            if all(word in text for word in words.split()):
                return ServiceReply(text=answer, route="answer", reason="known", probability=0.5)
        return ServiceReply(text="A colleague helps.", route="handover", reason="unknown", summary=f"asks: {text}")


def open_conversations(chain=None, *, chat_model=None, follow_ups=None, **options):
    """Return conversations in memory, answered by a `ShopChain`, and the records of its decisions."""
    graph = build_service_conversation(
        RunnableLambda((chain or ShopChain()).reply),
        checkpointer=InMemorySaver(),
        store=InMemoryStore(),
        chat_model=chat_model,
        follow_ups=follow_ups,
    )
    return Conversations(graph, **options)


class Talk:
    """One conversation of one owner, with an id for each message."""

    def __init__(self, conversations, *, owner="shop", conversation="c1"):
        self.conversations = conversations
        self.place = {"owner": owner, "conversation": conversation}
        self._ids = iter(range(10**6))

    def say(self, text):
        return self.conversations.send(**self.place, message_id=f"m{next(self._ids)}", text=text)

    def answer(self, text, *, close=False):
        message_id = f"s{next(self._ids)}"
        self.conversations.answer_as_staff(**self.place, message_id=message_id, text=text, close=close)

    def close(self):
        self.conversations.close(**self.place, message_id=f"s{next(self._ids)}")

    @property
    def turns(self):
        return [(turn.speaker, turn.text) for turn in self.conversations.turns(**self.place)]
