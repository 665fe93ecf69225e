"""A program for the tests: the tools over fakes on standard input and output, with chains that print."""

import os

from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.mcp_server import serve_tools
from apps.tools import build_tools
from chains.customer_service import ServiceReply
from llms.fakes import FixedClassifier


def answer(request):
    print("printed by Python")  # noqa: T201
    os.write(1, b"printed below Python\n")
    if "fail" in request.text:
        raise ZeroDivisionError
    return ServiceReply(text=f"You asked: {request.text}", route="template", reason="sure")


def load():
    print("printed while loading")  # noqa: T201
    topic = FixedClassifier({"fee": "fees"})
    return build_tools(Applications(customer_service=RunnableLambda(answer), classifiers={"topic": topic}))


if __name__ == "__main__":
    serve_tools(load)
