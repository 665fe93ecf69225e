"""An agent of a shop on a local model: it looks orders up and searches the refund policy.

Run: python docs/examples/shop_agent.py qwen2.5-coder-1.5b-instruct ["Where is my order A1001?"]
"""

import asyncio
import sys

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, dynamic_prompt
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from llms import LocalChatModel

ORDERS = {"A1001": "shipped, arrives on Friday", "A1002": "运输中，预计明天送达"}
POLICY = {
    "headphones": "Opened headphones can be returned within 14 days.",
    "耳机": "拆封的耳机可在14天内退货。",
}


@tool
def get_order_status(order_id: str) -> str:
    """Look up where an order is."""
    return ORDERS.get(order_id, "there is no such order")


@tool
def search_refund_policy(question: str) -> str:
    """Search the shop's refund policy."""
    return next((text for word, text in POLICY.items() if word in question), "the policy says nothing about that")


# small models look up nothing, or the same thing again and again, unless each turn says what comes next
LOOK_UP = (
    "You are the assistant of a shop. For an order call get_order_status, for returns and refunds call "
    "search_refund_policy, each only if its result is not there yet. Once a tool response is there, do not call it "
    "again: tell the customer what it says, in the customer's language."
)
TELL = (
    LOOK_UP.replace(
        "again: tell the customer",
        "again and do not apologise: it answers the question, so tell the customer",
    )
    + " 工具返回结果后，请用客户的语言转述结果。"
)


@dynamic_prompt
def instructions(request: ModelRequest) -> str:
    """Return what the model is told: to look up first, and to answer once a result is there."""
    return TELL if request.messages[-1].type == "tool" else LOOK_UP


def build_agent(model_folder: str, *, middleware=(instructions,), **options):
    """Return the agent; `options` are those of `LocalChatModel`."""
    model = LocalChatModel(model=model_folder, max_tokens=200, **options)
    return create_agent(model, tools=[get_order_status, search_refund_policy], middleware=middleware)


def ask(agent, question: str) -> str:
    """Return the agent's answer."""
    return agent.invoke({"messages": [HumanMessage(question)]})["messages"][-1].text


async def aask(agent, question: str) -> str:
    """Return the agent's answer without blocking the event loop."""
    return (await agent.ainvoke({"messages": [HumanMessage(question)]}))["messages"][-1].text


def stream(agent, question: str):
    """Yield the agent's words as they come, its tool calls in brackets."""
    for chunk, _ in agent.stream({"messages": [HumanMessage(question)]}, stream_mode="messages"):
        if chunk.type == "AIMessageChunk":
            yield "".join(f"[{call['name']}]" for call in chunk.tool_call_chunks if call["name"]) + chunk.text


def main() -> None:
    """Answer a question in three ways."""
    agent = build_agent(sys.argv[1])
    question = sys.argv[2] if len(sys.argv) > 2 else "Where is my order A1001?"
    print(ask(agent, question))
    print(asyncio.run(aask(agent, question)))
    print("".join(stream(agent, question)))


if __name__ == "__main__":
    main()
