"""Conversations in the forms of other programs, as rows in OpenAI's form: ShareGPT, Alpaca, prompts with completions.

Also what OpenAI's own form has been and what its exports hold: nulls, the role `developer`, calls of functions.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llms.errors import TrainingDataError

_ROLE_OF = {  # the names of ShareGPT's files
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_call": "function_call",
}
_ANSWER_OF = {"instruction": "output", "prompt": "completion"}  # what is asked -> what is answered
_KNOWN_FORMS = (
    "'messages', 'conversations' with from and value (ShareGPT), instruction and output (Alpaca), "
    "or prompt and completion"
)
_SAID_BESIDE = frozenset({"id", "timestamp", "created_at", "metadata", "annotations"})  # of a message, not learnt


def is_message_list(values: Sequence[Any]) -> bool:
    """Return whether a list holds the messages of one conversation, not several rows.

    Example:
        >>> is_message_list([{"role": "user", "content": "Hi"}]), is_message_list([{"messages": []}])
        (True, False)
    """
    return all(
        isinstance(value, Mapping) and not value.keys().isdisjoint(("role", "type", "lc", "from")) for value in values
    )


def to_openai_form(row: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return a row with `messages` and, where it has any, `tools`, whatever of the known forms it has.

    Raises:
        TrainingDataError: if it has none of them.

    Example:
        >>> to_openai_form({"instruction": "Greet", "input": "Ann", "output": "Hello, Ann!"})["messages"]
        [{'role': 'user', 'content': 'Greet\n\nAnn'}, {'role': 'assistant', 'content': 'Hello, Ann!'}]
    """
    if "messages" in row:
        messages = row["messages"]
    elif isinstance(row.get("conversations"), list):
        messages = _with_system(row, [_from_sharegpt(message) for message in row["conversations"]])
    elif question := next((name for name, answer in _ANSWER_OF.items() if name in row and answer in row), None):
        messages = _with_system(row, _from_instruction(row, question))
    else:
        msg = f"no {_KNOWN_FORMS}"
        raise TrainingDataError(msg)
    tools = _parsed(row.get("tools"), "tools") or [
        {"type": "function", "function": function} for function in row.get("functions") or ()
    ]
    return {"messages": _modern(messages) if isinstance(messages, list) else messages, "tools": tools or None}


def _from_sharegpt(message: Any) -> Any:
    if not isinstance(message, Mapping) or "from" not in message:
        return message
    role, value = _ROLE_OF.get(str(message["from"]).lower()), message.get("value")
    if role is None:
        msg = f"'from' must be one of {', '.join(sorted(_ROLE_OF))}, got {message['from']!r:.40}"
        raise TrainingDataError(msg)
    if role != "function_call":
        return {"role": role, "content": value}
    calls = _parsed(value, "a function_call")
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": call} for call in (calls if isinstance(calls, list) else [calls])
        ],
    }


def _from_instruction(row: Mapping[str, Any], question: str) -> list[dict[str, Any]]:
    turns = [(pair[0], pair[1]) for pair in row.get("history") or () if isinstance(pair, list) and len(pair) == 2]
    asked = [row[question], *([row["input"]] if row.get("input") else [])]
    if not all(isinstance(part, str) for part in asked):
        msg = f"{question} and input must be texts, got {', '.join(type(part).__name__ for part in asked)}"
        raise TrainingDataError(msg)
    turns.append(("\n\n".join(asked), row[_ANSWER_OF[question]]))
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for turn in turns for role, text in zip(roles, turn, strict=True)]


def _with_system(row: Mapping[str, Any], messages: list[Any]) -> list[Any]:
    return [{"role": "system", "content": row["system"]}, *messages] if row.get("system") else messages


def _modern(messages: list[Any]) -> list[Any]:
    """Return messages as OpenAI's files have them today; whatever is no message stays as it is."""
    modern: list[Any] = []
    open_call = None  # that the next message of a function answers
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            modern.append(message)
            continue
        values = {
            key: value
            for key, value in message.items()
            if key == "content" or (value not in (None, [], {}) and key not in _SAID_BESIDE)
        }
        if values.get("role") == "developer":
            values["role"] = "system"
        if "function_call" in values:
            open_call = f"call_{index}"
            call = {"type": "function", "id": open_call, "function": values.pop("function_call")}
            values["tool_calls"] = [call]
        if values.get("role") == "function":
            values["role"] = "tool"
            if open_call:
                values["tool_call_id"] = open_call
        modern.append(values)
    return modern


def _parsed(value: Any, name: str) -> Any:
    """Return what a JSON text holds; what is no text as it is."""
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        msg = f"{name} is a text that is no JSON: {error}"
        raise TrainingDataError(msg) from error
