"""The applications as tools: LangChain's standard suites, an agent, short results and errors that help."""

import json
from dataclasses import replace

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from apps.applications import Applications
from apps.event_log import EventLog
from apps.event_recorder import EventRecorder
from apps.recorded_stream import RecordedStream
from apps.tools import build_tools
from chains.customer_service import Citation, OpenQuestion, ServiceReply
from chains.errors import ChainInputError
from chains.monitoring import build_monitoring_chain
from llms.errors import ModelFolderError
from llms.fakes import ScriptedChatModel
from tests.apps.conftest import SENTIMENT, TOPIC, make_post
from tests.apps.workspaces import load_built
from tests.chains.recommendation.worlds import NOW

EXAMPLES = {
    "answer_customer_question": {"question": "Where is my refund?"},
    "read_posts": {"posts": [make_post(1, "the app is down")]},
    "list_alerts": {"state": "all"},
    "recommend_items": {"user": "u1", "k": 3},
    "find_similar_items": {"item": "music1", "k": 3},
    "classify_texts": {"model": "topic", "texts": ["a fee"]},
}
CONTEXT_CHARS = 20_000  # about 5,000 tokens


@pytest.fixture(scope="session")
def tools(chains, settings):
    return {tool.name: tool for tool in build_tools(chains, stream=RecordedStream.of(settings))}


class _EveryTool:
    """Runs each check of a standard suite with every tool."""

    @pytest.fixture(autouse=True, params=EXAMPLES)
    def _choose(self, request, tools):
        self._tool, self._example = tools[request.param], EXAMPLES[request.param]

    @property
    def tool_constructor(self):
        return self._tool

    @property
    def tool_invoke_params_example(self):
        return self._example


class TestToolsInTheUnitSuite(_EveryTool, ToolsUnitTests):
    pass


class TestToolsInTheIntegrationSuite(_EveryTool, ToolsIntegrationTests):
    pass


def call(tool, **arguments):
    """The message that an agent gets for one call."""
    return tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})


def test_every_example_has_a_tool_and_every_result_is_json(tools):
    assert set(tools) == set(EXAMPLES)
    for name, tool in tools.items():
        result = tool.invoke(EXAMPLES[name])
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        assert json.loads(call(tool, **EXAMPLES[name]).content) == result


def test_results_say_what_the_chains_said(tools):
    results = {name: tool.invoke(EXAMPLES[name]) for name, tool in tools.items()}
    assert results["answer_customer_question"]["answer"] == "Refunds take five days."
    assert results["read_posts"]["posts"] == [
        {"id": "p1", "outcome": "counted", "topic": "app", "sentiment": "negative"}
    ]
    assert [alert["topic"] for alert in results["list_alerts"]["alerts"]] == ["app"]
    assert len(results["recommend_items"]["items"]) == 3
    assert results["classify_texts"]["labels"][0]["label"] == "fees"


def scripted_agent(tools):
    names = ("answer_customer_question", "list_alerts", "recommend_items")
    calls = [{"name": name, "args": EXAMPLES[name], "id": f"c{place}"} for place, name in enumerate(names)]
    model = ScriptedChatModel(answers=[AIMessage("I will look.", tool_calls=calls), "Refunds take five days."])
    return create_agent(model, [tools[name] for name in names]), model


async def test_an_agent_uses_the_three_applications(tools):
    for is_async in (False, True):
        agent, model = scripted_agent(tools)
        question = {"messages": [HumanMessage("What is going on?")]}
        state = await agent.ainvoke(question) if is_async else agent.invoke(question)
        results = [message for message in state["messages"] if isinstance(message, ToolMessage)]
        assert [message.status for message in results] == ["success"] * 3
        assert json.loads(results[0].content)["answer"] == "Refunds take five days."
        assert state["messages"][-1].text == "Refunds take five days."
        assert [tool["function"]["name"] for tool in model.options[0]["tools"]] == [m.name for m in results]
        assert model.prompts[1][-3:] == results


def test_an_excluded_item_that_does_not_exist_is_named(tools):
    found = json.loads(call(tools["recommend_items"], user="u1", exclude=["nope"]).content)
    assert found["unknown_items"] == ["nope"]
    assert len(found["items"]) == 5


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("answer_customer_question", {}, "question: is missing; add it"),
        ("answer_customer_question", {"question": "a", "mood": "bad"}, "mood: is not known here"),
        ("answer_customer_question", {"question": "  "}, "the message is empty"),
        ("answer_customer_question", {"question": "a\x00"}, "NUL character at position 1"),
        ("read_posts", {"posts": []}, "at least 1"),
        ("read_posts", {"posts": [make_post(1, "app", time="2026-03-02T09:30:00")]}, "posts.0.time"),
        ("list_alerts", {"state": "closed"}, "state: must be 'open' or 'all'"),
        ("recommend_items", {"user": "u1", "k": 21}, "at most 20"),
        ("recommend_items", {"user": "u\x00"}, "NUL character"),
        ("recommend_items", {"user": "u1", "query": ""}, "query"),
        ("find_similar_items", {"item": "gone"}, "no item 'gone'"),
        ("find_similar_items", {"item": "music1", "k": 0}, "at least 1"),
        ("recommend_items", {"user": "\ud800"}, "user: holds half a character"),
        ("classify_texts", {"model": "mood", "texts": ["a"]}, "model: must be 'intent'"),
        ("classify_texts", {"model": "topic", "texts": ["a"] * 33}, "at most 32"),
    ],
)
def test_a_call_that_does_not_fit_is_an_error_that_says_what_to_do(tools, name, arguments, said):
    message = call(tools[name], **arguments)
    assert message.status == "error"
    assert said in message.content
    assert "canary" not in call(tools[name], canary4711={"canary": "canary"}).content.replace("canary4711", "")


@pytest.mark.parametrize("error", [ModelFolderError("/secret/models"), ZeroDivisionError("/secret")])
def test_what_concerns_the_operator_is_logged_and_not_told(error, caplog):
    def fail(_):
        raise error

    [tool] = build_tools(Applications(customer_service=RunnableLambda(fail)))
    message = call(tool, question="hello")
    assert (message.status, "go on without it" in message.content) == ("error", True)
    assert "secret" not in message.content
    assert "/secret" in caplog.text


def test_an_error_of_the_input_is_told():
    def refuse(_):
        msg = "name one order"
        raise ChainInputError(msg)

    [tool] = build_tools(Applications(customer_service=RunnableLambda(refuse)))
    assert call(tool, question="hello").content == "name one order"


def test_a_classifier_that_is_not_there_is_named_with_those_that_are():
    [tool] = build_tools(Applications(classifiers={"topic": TOPIC}))
    assert "use one of: topic" in call(tool, model="intent", texts=["a"]).content


def test_what_a_workspace_does_not_have_gets_no_tool(chains):
    assert build_tools(Applications()) == []
    assert "list_alerts" not in [tool.name for tool in build_tools(chains)]  # without a recorded stream


def test_known_slots_reach_the_chain_and_a_question_back_names_its_slot():
    def reply(request):
        text = f"Order {request.slots.get('order')}"
        return ServiceReply(
            text=text, route="clarify", reason="", open_question=OpenQuestion(intents=("track",), slot="order")
        )

    [tool] = build_tools(Applications(customer_service=RunnableLambda(reply)))
    result = tool.invoke({"question": "where?", "slots": {"order": "VT-1"}})
    assert result["answer"] == "Order VT-1"
    assert result["asks_for"] == {"intents": ["track"], "slot": "order"}


def test_long_results_fit_a_context_window(tools):
    quote = Citation(source="a.md", start=0, end=9_000, quote="q" * 9_000)
    reply = ServiceReply(text="t" * 90_000, route="answer", citations=(quote,) * 50, reason="")
    [answer] = build_tools(Applications(customer_service=RunnableLambda(lambda _: reply)))
    posts = [make_post(number, "x" * 10_000) for number in range(50)]
    messages = [
        call(answer, question="q"),
        call(tools["read_posts"], posts=posts),
        call(tools["list_alerts"], state="all"),
        call(tools["recommend_items"], user="u1", k=20),
        call(tools["classify_texts"], model="topic", texts=["x" * 4_000] * 32),
    ]
    assert [message.status for message in messages] == ["success"] * 5
    assert max(len(message.content) for message in messages) <= CONTEXT_CHARS


def test_alerts_follow_the_file_and_an_unchanged_file_is_read_once(tmp_path):
    texts = []

    def count(text):
        texts.append(text)
        return TOPIC.invoke(text)

    stream = RecordedStream(tmp_path / "stream.jsonl")
    chain = build_monitoring_chain(topic=RunnableLambda(count), sentiment=SENTIMENT)
    tools = {tool.name: tool for tool in build_tools(Applications(monitoring=chain), stream=stream)}
    show = tools["list_alerts"]
    assert show.invoke({})["num_posts"] == 0
    stream.path.write_text(json.dumps(make_post(1, "app")), encoding="utf-8")
    assert [show.invoke({})["num_posts"] for _ in range(2)] == [1, 1]
    assert len(texts) == 1


def test_the_settings_of_a_workspace_are_enough(tmp_path_factory, encoder_folder):
    tools = {tool.name: tool for tool in build_tools(load_built(tmp_path_factory, encoder_folder))}
    assert set(tools) == {*EXAMPLES, "record_event"}
    assert tools["answer_customer_question"].invoke({"question": "where is my parcel 3"})["answer"] == "Which order?"
    assert tools["list_alerts"].invoke({"state": "all"})["num_posts"] == 80


def test_a_search_of_an_agent_holds_its_price(tools):
    found = tools["recommend_items"].invoke({"user": "u1", "query": "music thing under 30", "k": 20})
    assert {item["id"] for item in found["items"]} == {"music0", "music1", "music2", "music3", "music4", "music5"} | {
        f"music{number}" for number in range(6, 10)
    }
    assert not tools["recommend_items"].invoke({"user": "u1", "query": "music thing under 3"})["items"]


def test_an_agent_records_what_a_user_did_and_only_that_tool_writes(tmp_path, chains):
    recorder = EventRecorder(log=EventLog(tmp_path / "events.sqlite"), items={"music1"}, clock=lambda: NOW)
    applications = replace(chains, events=recorder)
    tools = {tool.name: tool for tool in build_tools(applications)}
    assert [name for name, tool in tools.items() if tool.metadata["writes"]] == ["record_event"]
    event = {"user": "anna", "item": "music1", "event": "dislike"}
    assert tools["record_event"].invoke(event) == {"recorded": True}
    assert tools["record_event"].invoke(event) == {"recorded": False}
    assert [(e.item, e.event) for e in recorder.log.history("anna")] == [("music1", "dislike")]
    message = call(tools["record_event"], **event | {"item": "gone"})
    assert (message.status, "no item 'gone'" in message.content) == ("error", True)
    assert "must be" in call(tools["record_event"], **event | {"event": "stare"}).content
    recorder.log.close()
