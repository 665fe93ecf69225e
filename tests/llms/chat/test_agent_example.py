"""The agent of the example calls its tools and answers from their results: at once, asynchronously and streamed."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "shop_agent.py"
ANSWERS = {
    "Where is my order A1001?": "Order A1001 has been shipped and arrives on Friday.",
    "Can I return opened headphones?": "Yes. Opened headphones can be returned within 14 days.",
    "Where is my order A1001, and can I return opened headphones?": (
        "Order A1001 has been shipped and arrives on Friday. Yes. Opened headphones can be returned within 14 days."
    ),
    "我的订单A1002到哪里了？": "您的订单A1002正在运输中，预计明天送达。",
    "我的订单A1002到哪里了？拆封的耳机可以退货吗？": (
        "您的订单A1002正在运输中，预计明天送达。可以。拆封的耳机可在14天内退货。"
    ),
    "Hello": "Hello! How can I help you today?",
}


def load_example():
    """Return the module of the example."""
    spec = importlib.util.spec_from_file_location("shop_agent", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example():
    return load_example()


@pytest.fixture(scope="module", params=["torch", "openvino"])
def agent(request, example, trained_chat_folder):
    if request.param == "openvino":
        pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
    # the tiny model was trained on conversations without a system turn
    return example.build_agent(str(trained_chat_folder), middleware=(), engine=request.param, device="cpu")


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answer_comes_from_the_tools(example, agent, question):
    assert example.ask(agent, question) == ANSWERS[question]


@pytest.mark.parametrize("question", ANSWERS)
async def test_the_answer_is_the_same_without_blocking(example, agent, question):
    assert await example.aask(agent, question) == ANSWERS[question]


@pytest.mark.parametrize("question", ANSWERS)
def test_calls_and_words_are_streamed(example, agent, question):
    pieces = [piece for piece in example.stream(agent, question) if piece]
    assert "".join(pieces).endswith(ANSWERS[question])
    assert len(pieces) > 3
    assert ("[get_order_status]" in pieces) is ("A100" in question)


async def test_many_conversations_at_once_keep_apart(example, agent):
    import asyncio

    questions = list(ANSWERS) * 3
    answers = await asyncio.gather(*(example.aask(agent, question) for question in questions))
    assert answers == [ANSWERS[question] for question in questions]


def test_a_call_has_an_id_and_the_result_belongs_to_it(agent):
    messages = agent.invoke({"messages": [("user", "Where is my order A1001?")]})["messages"]
    call, result = messages[1].tool_calls[0], messages[2]
    assert (call["name"], call["args"]) == ("get_order_status", {"order_id": "A1001"})
    assert result.tool_call_id == call["id"]
    assert messages[1].response_metadata["finish_reason"] == "tool_calls"
