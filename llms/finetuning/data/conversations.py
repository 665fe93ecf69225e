"""Conversations with roles and tool calls, read and checked; bad ones are set aside with their line."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llms.errors import DataFileError, InputTextError, TrainingDataError
from llms.finetuning.data.chat_forms import is_message_list, to_openai_form
from llms.finetuning.data.chat_logs import is_log, plain_conversation, plain_message
from llms.finetuning.data.tables import RejectedRow, Row, read_table, refuse_bad_file
from llms.texts.checks import check_text

_EXAMPLE = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}'
_ROLES = ("system", "user", "assistant", "tool")
_MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "weight"})


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages that end with the assistant's, and the tools it could call, as chat templates take them.

    Attributes:
        messages: `{"role", "content"}`; an assistant's may hold `tool_calls`, each
            `{"type": "function", "id", "function": {"name", "arguments"}}` with a mapping of arguments. An
            assistant's message with `"weight": 0` is read, not learnt, as in OpenAI's files.
        tools: JSON schemas in OpenAI's form, or None.
        line: where it stands in its file, for error messages.

    Raises:
        TrainingDataError: at construction, if there is nothing to learn from it or a part has another form.

    Example:
        >>> Conversation([{"role": "user", "content": "hi"}])
        Traceback (most recent call last):
        llms.errors.TrainingDataError: the last message must be the assistant's, it is what is learnt; it is the user's
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no template can render, or nothing can be learnt from."""
        if problem := _problem(self.messages, self.tools):
            raise TrainingDataError(problem)


@dataclass(frozen=True, slots=True)
class Conversations:
    """Training conversations, and the rows of their file that were set aside."""

    rows: list[Conversation]
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """A hash of all messages and tools, for the manifest."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(json.dumps([row.messages, row.tools], ensure_ascii=False).encode() + b"\x1e")
        return digest.hexdigest()


def read_conversations(path: Path) -> Conversations:
    """Return the conversations of a JSON or Parquet file with rows `{"messages": [...], "tools": [...]}`.

    Arguments of tool calls may be a mapping or, as in OpenAI's files, JSON text. Rows of ShareGPT (`conversations`),
    Alpaca (`instruction`, `input`, `output`) and of prompts with completions are read, too; rows with LangChain's
    messages, and runs of a tracer, are read as by `read_message_log`. A row of another form is set aside with its line
    number; other keys of a row are left alone.

    Raises:
        DataFileError: as `read_table`; also for CSV files, which cannot hold conversations.
    """
    return _read(path, are_logs=False)


def read_message_log(path: Path) -> Conversations:
    """Return the conversations logged in a JSON or Parquet file, each up to the assistant's last message.

    A row is a list of messages, `{"messages": [...]}` or a traced run with inputs and outputs; its messages are
    written by `messages_to_dict`, `dumpd`, `model_dump` or in OpenAI's form. A row without the assistant's words, or
    with more than text and tool calls, is set aside with its line number.

    Raises:
        DataFileError: as `read_conversations`.
    """
    return _read(path, are_logs=True)


def _read(path: Path, *, are_logs: bool) -> Conversations:
    if path.suffix.lower() == ".csv":
        msg = f"{path} is CSV, which cannot hold conversations; give .jsonl with rows like {_EXAMPLE}"
        raise DataFileError(msg)
    table = read_table(path, [], list_column="messages", is_list_row=is_message_list, example=_EXAMPLE)
    is_parquet = path.suffix.lower() == ".parquet"
    rows: list[Conversation] = []
    rejected = list(table.rejected)
    for row in table.rows:
        try:
            # a Parquet mapping has every key of its column; those that a message lacks are null
            values = {key: _drop_nulls(value) for key, value in row.values.items()} if is_parquet else row.values
            rows.append(_conversation(Row(row.line, values), is_logged=are_logs or is_log(values)))
        except (TrainingDataError, RecursionError) as error:
            rejected.append(RejectedRow(row.line, str(error)))
    refuse_bad_file(path, rows, rejected, example=_EXAMPLE)
    return Conversations(rows, sorted(rejected, key=lambda row: row.line))


def _conversation(row: Row, *, is_logged: bool) -> Conversation:
    if is_logged:
        messages, tools = plain_conversation(row.values)
    else:
        values = to_openai_form(row.values)
        messages, tools = _join_blocks(values["messages"]), values["tools"]
    return Conversation(_parse_arguments(messages), tools, line=row.line)


def _join_blocks(messages: Any) -> Any:
    """Return messages with text blocks joined; whatever is no message stays, to be refused with its position."""
    if not isinstance(messages, list):
        return messages
    return [plain_message(message) if isinstance(message, dict) else message for message in messages]


def _drop_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_drop_nulls(part) for part in value]
    if isinstance(value, dict):
        return {key: _drop_nulls(part) for key, part in value.items() if part is not None}
    return value


def _parse_arguments(value: Any) -> Any:
    """Return `value` with the JSON text below every "arguments" key parsed; what is no such text stays as it is."""
    if isinstance(value, list):
        return [_parse_arguments(part) for part in value]
    if not isinstance(value, dict):
        return value
    parsed = {key: _parse_arguments(part) if key != "arguments" else part for key, part in value.items()}
    if isinstance(text := parsed.get("arguments"), str):
        try:
            parsed["arguments"] = json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"the arguments of a tool call are not valid JSON: {error}"
            raise TrainingDataError(msg) from error
    return parsed


def _problem(messages: Any, tools: Any) -> str | None:
    """Return the first thing that is wrong with a conversation, or None."""
    if not isinstance(messages, list) or not messages:
        return f"messages must be a list with at least one message, got {messages!r:.60}"
    for index, message in enumerate(messages, start=1):
        if problem := _message_problem(message):
            return f"message {index}: {problem}"
    if messages[-1]["role"] != "assistant":
        return f"the last message must be the assistant's, it is what is learnt; it is the {messages[-1]['role']}'s"
    if messages[-1].get("weight", 1) == 0:
        return "the last message has weight 0, so that nothing is learnt from it; remove it"
    if problem := _tools_problem(tools):
        return problem
    try:
        for text in _texts([messages, tools]):
            check_text(text)
    except InputTextError as error:
        return str(error)
    return None


def _message_problem(message: Any) -> str | None:
    if not isinstance(message, dict):
        return f"expected a mapping with role and content, got {type(message).__name__}"
    if message.get("role") not in _ROLES:
        return f"role must be one of {', '.join(_ROLES)}, got {message.get('role')!r}"
    if unknown := sorted(set(message) - _MESSAGE_KEYS):
        return f"unknown key {unknown[0]!r}; known are {', '.join(sorted(_MESSAGE_KEYS))}"
    is_assistant = message["role"] == "assistant"
    if "weight" in message and not (is_assistant and message["weight"] in (0, 1)):
        return f"weight must be 0 or 1, and only the assistant's messages have one; got {message['weight']!r}"
    calls = message.get("tool_calls")
    if calls and not is_assistant:
        return f"only the assistant calls tools, this is the {message['role']}'s message"
    content = message.get("content")
    if not isinstance(content, str) and not (content is None and calls):
        return f"content must be a text, got {type(content).__name__}"
    if is_assistant and not content and not calls:
        return "neither content nor tool calls; there is nothing to learn"
    return _calls_problem(calls)


def _calls_problem(calls: Any) -> str | None:
    if not isinstance(calls, list | None):
        return f"tool_calls must be a list, got {type(calls).__name__}"
    for call in calls or ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return f'a tool call needs {{"function": {{"name", "arguments"}}}}, got {call!r:.60}'
        if not isinstance(function.get("arguments"), dict):
            return f"arguments of {function['name']} must be a mapping, got {function.get('arguments')!r:.60}"
    return None


def _tools_problem(tools: Any) -> str | None:
    if not isinstance(tools, list | None):
        return f"tools must be a list, got {type(tools).__name__}"
    for tool in tools or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return f'a tool needs {{"type": "function", "function": {{"name", ...}}}}, got {tool!r:.60}'
    return None


def _texts(value: Sequence[Any] | Mapping[str, Any]) -> Iterator[str]:
    """Yield every text in nested lists and mappings, keys included."""
    parts = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, list | dict):
            yield from _texts(part)
