"""Conversations in the forms of neighbouring programs: each gives the messages of OpenAI's form."""

import json

import pytest

from llms.errors import DataFileError
from llms.finetuning.data.conversations import read_conversations

HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
CALLED = {"name": "look", "arguments": {"at": "屋"}}


@pytest.fixture
def write(tmp_path):
    """A function (rows, name) -> path of a file with them, as lines or, for .json, as an array."""

    def write_file(rows, name="talks.jsonl"):
        path = tmp_path / name
        text = json.dumps(rows, indent=1) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.mark.parametrize("name", ["talks.jsonl", "talks.json"])
@pytest.mark.parametrize(
    "row",
    [
        {"messages": HI},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversations": [{"from": "User", "value": "Hi"}, {"from": "assistant", "value": "Hello"}], "id": "1"},
        {"conversations": HI},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"instruction": "Hi", "output": "Hello", "input": None},
        {"prompt": "Hi", "completion": "Hello"},
        {"messages": [HI[0] | {"name": None}, HI[1] | {"refusal": None, "annotations": [], "tool_calls": None}]},
        {"messages": [HI[0] | {"id": "m1", "timestamp": 3}, HI[1] | {"audio": None, "function_call": None}]},
        {"messages": HI, "tools": None, "functions": []},
    ],
)
def test_every_form_gives_the_same_messages(write, row, name):
    read = read_conversations(write([row, row], name))
    assert [conversation.messages for conversation in read.rows] == [HI, HI], read.rejected
    assert read.rows[0].tools is None


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        ({"system": "Be brief.", "instruction": "Hi", "output": "Hello"}, ["system", "user", "assistant"]),
        (
            {"instruction": "Hi", "output": "Hello", "history": [["a", "b"], ["c", "d"]]},
            ["user", "assistant"] * 3,
        ),
        ({"messages": [{"role": "developer", "content": "Be brief."}, *HI]}, ["system", "user", "assistant"]),
        (
            {"system": "x", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            ["system", "user", "assistant"],
        ),
    ],
)
def test_what_stands_before_comes_first(write, row, roles):
    (read,) = read_conversations(write([row])).rows
    assert [message["role"] for message in read.messages] == roles


def test_instruction_and_input_are_one_message(write):
    (read,) = read_conversations(write([{"instruction": "译成英文", "input": "退货", "output": "Return"}])).rows
    assert read.messages[0] == {"role": "user", "content": "译成英文\n\n退货"}


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                HI[0],
                {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"at": "屋"}'}},
                {"role": "function", "name": "look", "content": "here"},
                HI[1],
            ],
            "functions": [TOOL["function"]],
        },
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": json.dumps(CALLED)},
                {"from": "observation", "value": "here"},
                {"from": "gpt", "value": "Hello"},
            ],
            "tools": json.dumps([TOOL]),
        },
    ],
)
def test_calls_of_older_forms_become_tool_calls(write, row):
    (read,) = read_conversations(write([row])).rows
    assert [message["role"] for message in read.messages] == ["user", "assistant", "tool", "assistant"]
    assert read.messages[1]["tool_calls"][0]["function"] == CALLED
    assert read.messages[2]["content"] == "here"
    assert read.messages[2].get("tool_call_id") == read.messages[1]["tool_calls"][0].get("id")
    assert read.tools == [TOOL]


def test_one_conversation_alone_in_a_file_is_a_row(write):
    assert read_conversations(write([HI])).rows[0].messages == HI
    assert [row.messages for row in read_conversations(write([HI, HI], "talks.json")).rows] == [HI, HI]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "Hi"}, r"no 'messages', 'conversations' .* \(ShareGPT\), instruction and output \(Alpaca\)"),
        ({"instruction": "Hi"}, "no 'messages'"),
        ({"instruction": 5, "output": "x"}, "instruction and input must be texts, got int"),
        ({"instruction": "Hi", "output": None}, "content must be a text, got NoneType"),
        ({"conversations": [{"from": "robot", "value": "x"}]}, "'from' must be one of .* got 'robot'"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "the last message must be the assistant's"),
        ({"conversations": [{"from": "function_call", "value": "{"}]}, "a function_call is a text that is no JSON"),
        ({"messages": HI, "tools": "[{"}, "tools is a text that is no JSON"),
        ({"messages": [HI[0], HI[1] | {"tool_call": 1}]}, "unknown key 'tool_call'"),
    ],
)
def test_a_refusal_says_what_was_expected_and_shows_a_row(write, row, reason):
    with pytest.raises(DataFileError, match=reason) as caught:
        read_conversations(write([row]))
    assert str(caught.value).endswith(
        'like {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}'
    )
    assert "UTF-8" not in str(caught.value)
