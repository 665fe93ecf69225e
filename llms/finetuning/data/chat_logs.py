"""Logged LangChain messages, in any of their written forms, as messages for chat templates.

The forms are `messages_to_dict`, `dumpd` (read as data; nothing named in it is ever built), `model_dump`, OpenAI's
roles, and runs of a tracer with messages among their inputs and outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from llms.errors import TrainingDataError

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "user": "user",
    "assistant": "assistant",
}
_CALL_BLOCKS = ("tool_use", "tool_call", "function_call")  # they repeat what stands in the message's tool_calls
_REASONING_BLOCKS = {"reasoning": "reasoning", "thinking": "thinking"}  # type of block -> key of its text


def is_log(record: Mapping[str, Any]) -> bool:
    """Return whether a row holds LangChain's messages or a traced run, not a conversation in OpenAI's form.

    Example:
        >>> is_log({"messages": [{"type": "human", "content": "hi"}]})
        True
        >>> is_log({"messages": [{"role": "user", "content": "hi"}]})
        False
    """
    messages = record.get("messages")
    if not isinstance(messages, list):
        return "kwargs" in record or "outputs" in record
    return any(isinstance(message, list) or _is_langchain(message) for message in messages)


def plain_conversation(record: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """Return the messages of a logged row, up to the last one of the assistant, and its tools or None.

    What follows the assistant's last message has no answer that could be learnt, so it is cut off. Of a run the
    outputs count alone where they repeat the inputs, as an agent's do; else they follow them.

    Raises:
        TrainingDataError: if there are no messages, none of the assistant, or one that is more than text and calls.

    Example:
        >>> log = [{"type": "human", "data": {"content": "hi"}}, {"type": "ai", "data": {"content": "Hello."}}]
        >>> plain_conversation({"messages": log})[0]
        [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'Hello.'}]
    """
    if not isinstance(record.get("messages"), list) and ("inputs" in record or "outputs" in record):
        before, after = (_plain_messages(record.get(side)) for side in ("inputs", "outputs"))
        messages = after if after[: len(before)] == before else before + after
    else:
        messages = _plain_messages(record)
    if not messages:
        msg = "no messages; a row needs 'messages', or a run with messages in its inputs and outputs"
        raise TrainingDataError(msg)
    indices = [index for index, message in enumerate(messages, start=1) if message.get("role") == "assistant"]
    if not indices:
        msg = "no message of the assistant, which is what is learnt"
        raise TrainingDataError(msg)
    return messages[: indices[-1]], _tools(record)


def plain_message(message: Any) -> dict[str, Any]:
    """Return one message as `{"role", "content"}`, with tool calls as `{"function": {"name", "arguments"}}`.

    Raises:
        TrainingDataError: if its form or its kind is unknown, or it holds more than text and well-formed calls.

    Example:
        >>> plain_message({"type": "ai", "content": "", "tool_calls": [{"name": "look", "args": {"at": 1}, "id": "7"}]})
        ... # doctest: +NORMALIZE_WHITESPACE
        {'role': 'assistant', 'content': '',
         'tool_calls': [{'type': 'function', 'id': '7', 'function': {'name': 'look', 'arguments': {'at': 1}}}]}
    """
    if not isinstance(message, Mapping):
        msg = f"expected a mapping with type or role, got {type(message).__name__}"
        raise TrainingDataError(msg)
    if not _is_langchain(message):  # OpenAI's form; what is wrong with it is said where conversations are checked
        content = message.get("content")
        return dict(message) | ({"content": _join(content)[0]} if isinstance(content, list) else {})
    kind, values = _kind_and_values(message)
    role = values.get("role") if kind == "chat" else _ROLES.get(kind)
    if not isinstance(role, str):
        msg = f"a message of type {kind!r}; known are human, ai, system, tool and chat"
        raise TrainingDataError(msg)
    content, reasoning = _join(values.get("content"))
    extra = values.get("additional_kwargs") or {}
    plain = {
        "role": _ROLES.get(role, role),
        "content": content,
        "name": values.get("name"),
        "tool_calls": _calls(values, extra),
        "tool_call_id": values.get("tool_call_id"),
        "reasoning_content": reasoning or extra.get("reasoning_content"),
    }
    return {key: value for key, value in plain.items() if value or key == "content"}


def _is_langchain(message: Any) -> bool:
    return isinstance(message, Mapping) and ("type" in message or "lc" in message) and "role" not in _bare(message)


def _bare(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message without the keys of a ChatMessage, which has a type as well as a role."""
    return {} if message.get("type") == "chat" else message


def _kind_and_values(message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the type of a LangChain message, such as "human", and its fields."""
    if "lc" in message:
        values = message.get("kwargs")
        path = message.get("id")
        name = str(path[-1]) if isinstance(path, list) and path else ""
        kind = values.get("type") or name.removesuffix("Chunk") if isinstance(values, Mapping) else name
    else:
        kind = message["type"]
        values = message.get("data", message)
    if not isinstance(values, Mapping):
        msg = f"a message of type {kind!r} without its fields; log it with messages_to_dict, dumpd or model_dump"
        raise TrainingDataError(msg)
    return str(kind).removesuffix("Chunk").removesuffix("Message").lower(), values


def _plain_messages(value: Any) -> list[dict[str, Any]]:
    plain = []
    for index, message in enumerate(_find_messages(value), start=1):
        try:
            plain.append(plain_message(message))
        except TrainingDataError as error:
            msg = f"message {index}: {error}"
            raise TrainingDataError(msg) from error
    return plain


def _find_messages(value: Any) -> Sequence[Any]:
    """Return the messages below one side of a run, or none: a list, a prompt, a state, or a model's generations."""
    if isinstance(value, list):
        if not any(isinstance(part, list) for part in value):
            return value
        if len(value) == 1:
            return _find_messages(value[0])
        msg = f"{len(value)} conversations in one row; write one row for each"
        raise TrainingDataError(msg)
    if not isinstance(value, Mapping):
        return []
    if isinstance(generations := value.get("generations"), list):
        first = generations[0] if generations else None
        first = first[0] if isinstance(first, list) and first else first  # the others are further drafts
        return _find_messages(first.get("message")) if isinstance(first, Mapping) else []
    for key in ("messages", "kwargs", "output", "input"):
        if found := _find_messages(value.get(key)):
            return found
    return [value] if _is_langchain(value) or "role" in value else []


def _join(content: Any) -> tuple[Any, str]:
    """Return a message's text and its reasoning; content that is no list is returned as it is."""
    if not isinstance(content, list):
        return content, ""
    texts, reasoning = [], []
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if isinstance(block, str):
            texts.append(block)
        elif kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind in _REASONING_BLOCKS:
            reasoning.append(str(block.get(_REASONING_BLOCKS[kind]) or ""))
        elif kind not in _CALL_BLOCKS:
            msg = f"a block of content of type {kind!r}; only text can be learnt"
            raise TrainingDataError(msg)
    return "".join(texts), "".join(reasoning)


def _calls(values: Mapping[str, Any], extra: Mapping[str, Any]) -> list[Any]:
    if values.get("invalid_tool_calls"):
        msg = f"a tool call that could not be parsed: {values['invalid_tool_calls'][0]!r:.60}"
        raise TrainingDataError(msg)
    calls = values.get("tool_calls") or extra.get("tool_calls") or []
    if not isinstance(calls, list):
        msg = f"tool_calls must be a list, got {type(calls).__name__}"
        raise TrainingDataError(msg)
    return [_plain_call(call) for call in calls]


def _plain_call(call: Any) -> Any:
    """Return a call with `args` in the form with `function`; others as they are."""
    if not isinstance(call, Mapping) or "args" not in call:
        return call
    plain = {"type": "function", "id": call.get("id")}
    function = {"name": call.get("name"), "arguments": call["args"]}
    return {key: value for key, value in plain.items() if value} | {"function": function}


def _tools(record: Mapping[str, Any]) -> Any:
    """Return the tools of a row, or those a traced model was called with."""
    if record.get("tools"):
        return record["tools"]
    for index in ("extra", "invocation_params"):
        record = record.get(index) or {}
        if not isinstance(record, Mapping):
            return None
    return record.get("tools") or None
