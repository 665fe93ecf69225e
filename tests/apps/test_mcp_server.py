"""The tools over MCP: a real client in front of a real process, and nothing but the protocol between them."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.shared.memory import create_connected_server_and_client_session

from apps.errors import MissingExtraError
from apps.mcp_server import build_mcp_server, serve_tools
from tests.apps import mcp_program
from tests.apps.workspaces import build_workspace
from tests.conftest import REPOSITORY

ENVIRONMENT = {"PATH": os.defpath, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
FAKES = ["-m", "tests.apps.mcp_program"]
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@contextlib.asynccontextmanager
async def open_session(*args):
    program = StdioServerParameters(command=sys.executable, args=list(args), env=ENVIRONMENT, cwd=REPOSITORY)
    with open(os.devnull, "w") as silence:  # noqa: ASYNC230, PTH123
        async with stdio_client(program, errlog=silence) as streams, ClientSession(*streams) as session:
            await session.initialize()
            yield session


@contextlib.asynccontextmanager
async def open_connection(tools):
    """A session with a server in this process, in which no library can spoil standard output."""
    loaded = asyncio.get_running_loop().create_future()
    loaded.set_result(tools)
    async with create_connected_server_and_client_session(build_mcp_server(loaded)) as session:
        yield session


async def test_a_client_lists_and_calls_the_tools():
    async with open_session(*FAKES) as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert sorted(tools) == ["answer_customer_question", "classify_texts"]
        assert all(tool.annotations.readOnlyHint and not tool.annotations.destructiveHint for tool in tools.values())
        assert tools["answer_customer_question"].inputSchema["required"] == ["question"]
        result = await session.call_tool("answer_customer_question", {"question": "退货要多久？"})
        assert not result.isError
        assert result.structuredContent["answer"] == "You asked: 退货要多久？"
        assert json.loads(result.content[0].text) == result.structuredContent


async def test_a_tool_that_does_not_exist_is_an_error_of_the_protocol():
    async with open_connection(mcp_program.load()) as session:
        with pytest.raises(McpError, match="answer_customer_question, classify_texts") as caught:
            await session.call_tool("drop_tables", {})
        assert caught.value.error.code == types.INVALID_PARAMS


async def test_arguments_that_do_not_fit_and_failures_are_results_that_say_so():
    cases = [
        ({}, "question: is missing; add it"),
        ({"question": ""}, "question: is empty"),
        ({"question": "a", "colour": "red"}, "colour: is not known here"),
        ({"question": ["a"]}, "question: must be a text, got a list"),
        ({"question": "fail"}, "go on without it"),
    ]
    async with open_connection(mcp_program.load()) as session:
        results = [await session.call_tool("answer_customer_question", arguments) for arguments, _ in cases]
    assert [result.isError for result in results] == [True] * len(cases)
    for (_, said), result in zip(cases, results, strict=True):
        assert said in result.content[0].text
        assert "ZeroDivision" not in result.content[0].text


async def test_a_client_is_greeted_while_the_models_are_loading():
    loading = asyncio.get_running_loop().create_future()
    async with create_connected_server_and_client_session(build_mcp_server(loading)) as session:
        listing = asyncio.ensure_future(session.list_tools())
        await session.send_ping()
        assert not listing.done()
        loading.set_result([])
        assert (await listing).tools == []
        with pytest.raises(McpError, match="nothing built"):
            await session.call_tool("answer_customer_question", {})


async def test_langchain_agents_get_the_same_tools():
    server = {
        "transport": "stdio",
        "command": sys.executable,
        "args": FAKES,
        "env": ENVIRONMENT,
        "cwd": str(REPOSITORY),
    }
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"shop": server}).get_tools()}
    assert sorted(tools) == ["answer_customer_question", "classify_texts"]
    call = {"type": "tool_call", "id": "1", "name": "classify_texts", "args": {"model": "topic", "texts": ["a fee"]}}
    message = await tools["classify_texts"].ainvoke(call)
    assert message.artifact["structured_content"]["labels"][0]["label"] == "fees"


def test_nothing_but_the_protocol_reaches_standard_output():
    call = {"name": "answer_customer_question", "arguments": {"question": "hello"}}
    request = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}
    program = [sys.executable, *FAKES]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, cwd=REPOSITORY, env=ENVIRONMENT, **pipes) as process:
        process.stdin.write("".join(f"{line}\n" for line in map(json.dumps, (HELLO, READY, "no message", request))))
        process.stdin.flush()
        replies = []
        while not replies or replies[-1].get("id") != 2:
            replies.append(json.loads(process.stdout.readline()))
        rest, said = process.communicate(timeout=120)  # the end of its input ends the program
    assert process.returncode == 0
    assert all(reply["jsonrpc"] == "2.0" for reply in [*replies, *map(json.loads, rest.splitlines())])
    for printed in ("printed while loading", "printed by Python", "printed below Python"):
        assert printed in said


async def test_the_command_serves_a_workspace(tmp_path_factory, tmp_path, encoder_folder):
    others = ("intent", "topic", "sentiment", "knowledge", "customer_service", "monitoring")  # a process without torch
    built = build_workspace(tmp_path_factory, encoder_folder)
    folder = shutil.copytree(built, tmp_path / "recommending", ignore=shutil.ignore_patterns(*others))
    async with open_session("-c", "from apps.cli import main; main()", "mcp", "-w", str(folder)) as session:
        tools = {tool.name: tool.annotations.readOnlyHint for tool in (await session.list_tools()).tools}
        assert tools == {"recommend_items": True, "find_similar_items": True, "record_event": False}
        result = await session.call_tool("recommend_items", {"user": "u1"})
        assert not result.isError, result.content
        assert result.structuredContent["items"]


def test_without_the_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match="pip install mcp"):
        serve_tools(list)
