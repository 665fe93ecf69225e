"""Published chat models call tools and answer from their results; what a small one begins is whole or an error."""

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from llms import LocalChatModel, resolve_model
from llms.errors import ModelNotFoundError
from tests.llms.chat.test_agent_example import load_example

pytestmark = pytest.mark.real
QWEN, SMOL = "qwen2.5-coder-1.5b-instruct", "smollm2-135m-instruct"
TASKS = {
    "Where is my order A1001?": ("get_order_status", {"order_id": "A1001"}, "Friday"),
    "我的订单A1002到哪里了？": ("get_order_status", {"order_id": "A1002"}, "明天"),
    "Can I return opened headphones?": ("search_refund_policy", None, "14"),
}


def published(name):
    try:
        return str(resolve_model(name))
    except ModelNotFoundError:
        pytest.skip(f"{name} is not on this machine: tunechain models add {name}")


@tool
def order_status(order_id: str, reason: str) -> str:
    """Look up where an order is."""
    return f"{order_id} is on its way"


@pytest.fixture(scope="module")
def example():
    return load_example()


@pytest.fixture(scope="module")
def agent(example):
    return example.build_agent(published(QWEN))


@pytest.mark.parametrize("question", TASKS)
def test_the_shops_agent_finishes_its_task(agent, question):
    name, arguments, told = TASKS[question]
    messages = agent.invoke({"messages": [HumanMessage(question)]})["messages"]
    calls = [call for message in messages if message.type == "ai" for call in message.tool_calls]
    assert name in [call["name"] for call in calls]
    if arguments is not None:
        assert arguments in [call["args"] for call in calls]
    assert told in messages[-1].text
    assert not any(message.invalid_tool_calls for message in messages if message.type == "ai")


def test_the_agents_words_are_streamed(example, agent):
    pieces = [piece for piece in example.stream(agent, "Where is my order A1001?") if piece]
    assert "[get_order_status]" in pieces
    assert "Friday" in "".join(pieces)


@pytest.mark.parametrize("max_tokens", [24, 200])
def test_a_forced_call_of_a_small_model_is_whole_or_an_error(max_tokens):
    model = LocalChatModel(model=published(SMOL), max_tokens=max_tokens)
    message = model.bind_tools([order_status], tool_choice="any").invoke("Where is my order VT-204918?")
    assert message.text == ""
    assert len(message.tool_calls) + len(message.invalid_tool_calls) == 1
    if message.response_metadata["finish_reason"] == "length":
        assert message.invalid_tool_calls[0]["name"] == "order_status"
    else:
        assert set(message.tool_calls[0]["args"]) == {"order_id", "reason"}


def test_the_time_of_the_first_token_is_told():
    message = LocalChatModel(model=published(SMOL), max_tokens=4).invoke("Hello")
    assert 0 < message.response_metadata["first_token_s"] < 600
