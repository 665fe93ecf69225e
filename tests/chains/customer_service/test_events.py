"""Events of a run: steps, the route, and parts of the answer that passed their check."""

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from chains.customer_service.events import BreakOff
from chains.errors import ReplyAbandonedError
from llms.fakes import ScriptedChatModel
from tests.chains.customer_service.shops import FixedRetriever, make_chain

PAGES = [Document("Blue kettles boil fast. Red kettles leak often.", metadata={"source": "a.md"})]


class _Listener(BaseCallbackHandler):
    def __init__(self):
        self.events = []

    def on_custom_event(self, name, data, **kwargs):
        self.events.append((name, data))


def _run(chain, message):
    listener = _Listener()
    reply = chain.invoke(message, {"callbacks": [listener]})
    assert {name for name, _ in listener.events} == {"customer_service"}
    return reply, [data for _, data in listener.events]


MESSAGES = [
    "Are you open on Monday?",
    "Where is my parcel?",
    "Which memory card fits the Halden One camera?",
    "A poem!",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_the_parts_joined_are_the_text_and_the_route_comes_once_before_them(articles, message):
    reply, events = _run(make_chain(articles), message)
    assert "".join(event["text"] for event in events if "text" in event) == reply.text
    assert [event["route"] for event in events if "route" in event] == [reply.route]
    kinds = [next(iter(event)) for event in events]
    assert kinds.index("route") < kinds.index("text")


@pytest.mark.parametrize("message", MESSAGES)
def test_each_step_is_told_and_kept_with_its_time(articles, message):
    reply, events = _run(make_chain(articles), message)
    told = [(event["step"], event["milliseconds"]) for event in events if "step" in event]
    assert told == [(step.name, step.milliseconds) for step in reply.steps]
    assert reply.steps[0].name == "intent"
    assert all(step.milliseconds > 0 for step in reply.steps)


def test_a_composed_answer_is_told_sentence_by_sentence_and_what_fails_never_is(articles):
    model = ScriptedChatModel(
        answers=["Blue kettles boil fast [1]. Pigs can fly today [1]. Red kettles leak often [1]."]
    )
    chain = make_chain(articles, retriever=FixedRetriever(documents=PAGES), chat_model=model)
    reply, events = _run(chain, "Do kettles boil?")
    said = [event["text"] for event in events if "text" in event]
    assert said == ["Blue kettles boil fast [1].", " Red kettles leak often [1]."]
    assert reply.text == "".join(said)
    assert [citation.quote for citation in reply.citations] == ["Blue kettles boil fast.", "Red kettles leak often."]


def test_astream_events_shows_the_same(articles):
    async def collect():
        chain = make_chain(articles)
        return [
            event["data"]
            async for event in chain.astream_events("Are you open on Monday?", version="v2")
            if event["event"] == "on_custom_event"
        ]

    assert [data for data in asyncio.run(collect()) if "text" in data] == [{"text": "9-5."}]


def test_a_chat_model_ends_at_its_next_token_once_nobody_wants_the_reply():
    asked = []

    def is_wanted():
        asked.append(True)
        return len(asked) < 3

    tokens = []
    answer = ScriptedChatModel(answers=["one two three four five"]).stream(
        "count", {"callbacks": [BreakOff(is_wanted)]}
    )
    with pytest.raises(ReplyAbandonedError):
        tokens.extend(chunk.text for chunk in answer)
    assert "".join(tokens) == "one two "
