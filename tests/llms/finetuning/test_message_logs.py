"""Logged LangChain messages: every written form gives the same conversation, and nothing else is guessed at."""

import json

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
    messages_to_dict,
)
from langchain_core.prompt_values import ChatPromptValue

from llms.errors import DataFileError, TrainingDataError
from llms.finetuning.data.chat_logs import plain_message
from llms.finetuning.data.conversations import read_conversations, read_message_log

TALK = [
    SystemMessage("Be brief."),
    HumanMessage("Where is it?"),
    AIMessage("", tool_calls=[{"name": "look", "args": {"place": "屋"}, "id": "1"}]),
    ToolMessage("here", tool_call_id="1", name="look"),
    AIMessage([{"type": "text", "text": "It is "}, {"type": "text", "text": "here."}]),
]
PLAIN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is it?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "id": "1", "function": {"name": "look", "arguments": {"place": "屋"}}}],
    },
    {"role": "tool", "content": "here", "name": "look", "tool_call_id": "1"},
    {"role": "assistant", "content": "It is here."},
]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
DUMPED = [dumpd(message) for message in TALK]
ANSWER = {"generations": [[{"text": "It is here.", "message": dumpd(AIMessage("It is here."))}]], "llm_output": None}


@pytest.fixture
def write(tmp_path):
    """A function rows -> path of a JSONL file with them."""

    def write_file(*rows):
        path = tmp_path / "log.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return path

    return write_file


@pytest.mark.parametrize("read", [read_conversations, read_message_log])
@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"messages": messages_to_dict(TALK)}, id="messages_to_dict"),
        pytest.param(messages_to_dict(TALK), id="list"),
        pytest.param({"messages": DUMPED}, id="dumpd"),
        pytest.param(dumpd(ChatPromptValue(messages=TALK)), id="prompt value"),
        pytest.param({"messages": [message.model_dump() for message in TALK]}, id="model_dump"),
        pytest.param({"messages": convert_to_openai_messages(TALK, text_format="block")}, id="openai"),
        pytest.param({"inputs": {"messages": [DUMPED[:-1]]}, "outputs": ANSWER}, id="traced model"),
        pytest.param({"inputs": {"messages": DUMPED[:2]}, "outputs": {"messages": DUMPED}}, id="traced agent"),
        pytest.param({"inputs": {"input": DUMPED[:-1]}, "outputs": {"output": DUMPED[-1]}}, id="traced chain"),
        pytest.param({"messages": [*DUMPED, dumpd(HumanMessage("Thanks!"))]}, id="trailing human turn"),
    ],
)
def test_every_form_gives_the_same_conversation(write, read, row):
    (conversation,) = read(write(row)).rows
    assert conversation.messages == PLAIN
    assert conversation.line == 1


def test_the_tools_of_a_traced_model_come_with_it(write):
    run = {"inputs": {"messages": [DUMPED[:-1]]}, "outputs": ANSWER, "extra": {"invocation_params": {"tools": TOOLS}}}
    assert read_message_log(write(run)).rows[0].tools == TOOLS
    assert read_message_log(write({"messages": DUMPED, "tools": TOOLS})).rows[0].tools == TOOLS


def test_an_openai_row_is_cut_only_where_it_is_called_a_log(write):
    path = write({"messages": [*PLAIN, {"role": "user", "content": "Thanks!"}]}, {"messages": PLAIN})
    assert [len(row.messages) for row in read_message_log(path).rows] == [5, 5]
    (rejected,) = read_conversations(path).rejected
    assert (rejected.line, "the last message must be the assistant's" in rejected.reason) == (1, True)


def test_chunks_roles_and_reasoning_are_read_as_what_they_are():
    assert plain_message(AIMessageChunk("a").model_dump()) == {"role": "assistant", "content": "a"}
    assert plain_message(ChatMessage("a", role="user").model_dump()) == {"role": "user", "content": "a"}
    thought = AIMessage([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}])
    assert plain_message(dumpd(thought)) == {"role": "assistant", "content": "a", "reasoning_content": "Hm."}
    old = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "a"}}
    assert plain_message(old) == {"role": "user", "content": "a"}


def test_calls_that_content_repeats_stand_there_once():
    calls = [{"name": "f", "args": {}, "id": "1"}]
    blocks = [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "1", "name": "f", "input": {}}]
    plain = plain_message(AIMessage(blocks, tool_calls=calls).model_dump())
    assert plain["content"] == "a"
    assert len(plain["tool_calls"]) == 1


BROKEN_CALL = {"name": "f", "args": "{", "id": "1", "error": "no JSON"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": messages_to_dict([HumanMessage("hi")])}, "no message of the assistant"),
        ({"messages": messages_to_dict([AIMessage("")])}, "neither content nor tool calls"),
        ({"messages": messages_to_dict([AIMessage("", invalid_tool_calls=[BROKEN_CALL])])}, "could not be parsed"),
        (
            {"messages": messages_to_dict([HumanMessage([{"type": "image_url", "image_url": "x"}]), AIMessage("a")])},
            "message 1: a block of content of type 'image_url'",
        ),
        ({"messages": [{"type": "remove", "id": "1"}]}, "message 1: a message of type 'remove'"),
        ({"messages": [{"type": "human", "data": 1}]}, "without its fields"),
        ({"messages": [{"lc": 1, "type": "not_implemented", "id": ["a", "HumanMessage"]}]}, "without its fields"),
        ({"messages": [DUMPED, DUMPED]}, "2 conversations in one row"),
        ({"messages": [*DUMPED, "bye"]}, "message 6: expected a mapping"),
        ({"inputs": {"input": "hi"}, "outputs": {"output": "hello"}}, "no messages"),
        ({"inputs": None, "outputs": {"generations": []}}, "no messages"),
        ({"question": "hi"}, "no 'messages'"),
        ([], "at least one message"),
    ],
)
def test_anything_else_is_set_aside_with_line_and_reason(write, row, reason):
    read = read_conversations(write({"messages": DUMPED}, row))
    assert len(read.rows) == 1
    assert [rejected.line for rejected in read.rejected] == [2]
    assert reason in read.rejected[0].reason


def test_nothing_that_a_log_names_is_built(write):
    row = {"messages": [{"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "false"}}]}
    with pytest.raises(DataFileError, match="no message of the assistant"):
        read_conversations(write(row))


def test_a_log_in_openai_form_without_roles_is_refused(write):
    with pytest.raises(DataFileError, match="no message of the assistant"):
        read_message_log(write({"messages": [{"content": "hi"}]}))
    with pytest.raises(TrainingDataError, match="expected a mapping"):
        plain_message("hi")
