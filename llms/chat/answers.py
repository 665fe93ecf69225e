"""Token ids to an answer: text, reasoning and tool calls, whole or as a stream."""

import ast
import contextlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.messages.tool import tool_call_chunk as new_call_chunk

from llms.chat.json_scanner import JsonScanner, MarkGuard
from llms.chat.tool_formats import Dialect, Tool, read_call
from llms.chat.untagged_calls import UntaggedCall, UntaggedCallReader

# the beginning of a call's JSON up to its arguments, which can be passed on as they come from there
_CALL_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')
_AFTER_CALLS = re.compile(r"[}\s]*`*\s*")  # a brace too many, the end of a code fence
_FENCE = re.compile(r"\A```[\w-]*\s+")
_NAMED = re.compile(  # Mistral's later forms
    r"(?:\[TOOL_CALLS\]\s*)?(?P<name>[\w.-]+)\s*(?:\[CALL_ID\]\s*[\w-]+\s*)?(?:\[ARGS\])?\s*(?=\{)"
)
_ARGUMENT_MARK = re.compile(r"<parameter=|<arg_key>")
_PYTHON_TYPES: dict[str, Any] = {
    "array": list,
    "object": dict,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
_DECODER = json.JSONDecoder(strict=False)


@dataclass(slots=True)
class AnswerPart:
    """What one piece of text added to an answer."""

    content: str = ""
    reasoning: str = ""
    call_chunks: list[ToolCallChunk] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """A complete answer."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    invalid_tool_calls: list[InvalidToolCall] = field(default_factory=list)


@dataclass(slots=True)
class _OpenCall:
    """A call that is being written."""

    index: int
    call_id: str
    body: str = ""
    name: str | None = None  # until it was passed on
    arguments_from: int | None = None  # where the arguments begin in `body`
    num_passed: int = 0  # characters of the arguments passed on
    arguments: JsonScanner = field(default_factory=JsonScanner)
    has_all_arguments: bool = False


class AnswerReader:
    """Splits an answer into content, reasoning and tool calls while it is written.

    Args:
        tools: what the model may call; without any, nothing is read as a call.
        prefix: what the prompt already wrote of the answer, such as an opening `<think>`.
        quoted: what users and tools said; a call in there that the answer repeats outside the tags is a quotation.
    """

    def __init__(
        self, dialect: Dialect, *, tools: Sequence[Tool] = (), prefix: str = "", quoted: Sequence[str] = ()
    ) -> None:
        self._dialect = dialect
        self._tools: list[Any] = list(tools)
        self._answer = Answer()
        self._untagged = UntaggedCallReader(tools, quoted=quoted) if tools else None
        self._call: _OpenCall | None = None
        self._num_calls = 0
        self._is_finishing = False
        self._tail = ""  # the last character so far, white space not counted
        marks = [mark for mark in (dialect.reasoning_marks[0], dialect.call_opening) if mark]
        opened_at = max(prefix.rfind(mark) for mark in marks)
        opening = dialect.call_opening if tools else ""
        self._guard = MarkGuard(opening, dialect.call_closing, dialect.reasoning_marks, prefix=prefix)
        self._parser = self._new_parser(prefix[opened_at:] if opened_at >= 0 else "")
        for event in self._parser.initial_events:  # a region that the prompt opened
            self._handle(event, AnswerPart())

    def feed(self, text: str) -> AnswerPart:
        """Return what `text` adds to the answer; a marker that may still be incomplete is held back."""
        part = AnswerPart()
        if text:
            self._tail = (self._tail + text).rstrip()[-1:]
            guarded = self._guard.feed(text)
            self._process(lambda: self._parser.feed(guarded), part)
        return part

    def finish(self) -> AnswerPart:
        """Return what was held back; nothing more comes."""
        part = AnswerPart()
        self._is_finishing = True
        self._process(lambda: self._parser.finalize()[1], part)
        if self._untagged is not None:
            for piece in self._untagged.finish():
                self._add_piece(piece, part)
        return part

    @property
    def answer(self) -> Answer:
        """Everything so far; calls are in it once they are complete."""
        return self._answer

    def _new_parser(self, prefix: str) -> Any:
        from transformers.utils.chat_parsing import ResponseParser

        template = self._dialect.response_template(with_tools=bool(self._tools))
        return ResponseParser({**template, "start_anchor_pattern": r"\A"}, prefix=prefix, tools=self._tools)

    def _process(self, run: Any, part: AnswerPart) -> None:
        try:
            events = run()
        except ValueError as error:  # a call that the dialect's own parser cannot read
            self._add_invalid(self._call.body if self._call else "", str(error))
            self._call = None
            self._parser = self._new_parser("")
            return
        for event in events:
            self._handle(event, part)

    def _handle(self, event: dict[str, Any], part: AnswerPart) -> None:
        kind, region, text = event["type"], event["field"], event.get("text", "")
        if region == "tool_calls":
            self._handle_call(kind, text, event.get("value"), part)
        elif kind == "region_chunk" and region == "reasoning_content":
            text = text if self._answer.reasoning else text.lstrip()
            part.reasoning += text
            self._answer.reasoning += text
        elif kind == "region_chunk":
            text = self._without_half_call(text)
            for piece in self._untagged.feed(text) if self._untagged else [text]:
                self._add_piece(piece, part)

    def _without_half_call(self, text: str) -> str:
        """Return text without the opening of a call in which the answer was cut off; that is an invalid call."""
        half = self._dialect.half_opening
        if not (self._is_finishing and half and self._tools and (begun := re.search(half, text))):
            return text
        self._add_invalid(text[begun.start() :], "it was cut off")
        return text[: begun.start()]

    def _add_content(self, text: str, part: AnswerPart) -> None:
        if not self._answer.content and (self._answer.reasoning or self._num_calls):
            text = text.lstrip()  # the empty lines between two regions belong to neither
        part.content += text
        self._answer.content += text

    def _add_piece(self, piece: str | UntaggedCall, part: AnswerPart) -> None:
        if isinstance(piece, str):
            self._add_content(piece, part)
        elif piece.error:
            self._add_invalid(piece.text, piece.error)
            part.call_chunks.append(
                new_call_chunk(name=piece.name, args=piece.text, id=_new_id(), index=self._num_calls)
            )
            self._num_calls += 1
        else:
            call_id = _new_id()
            self._answer.tool_calls.append(tool_call(name=piece.name, args=piece.arguments, id=call_id))
            text = json.dumps(piece.arguments, ensure_ascii=False)
            part.call_chunks.append(new_call_chunk(name=piece.name, args=text, id=call_id, index=self._num_calls))
            self._num_calls += 1

    def _handle_call(self, kind: str, text: str, value: Any, part: AnswerPart) -> None:
        if kind == "region_open" and self._untagged is not None:
            self._untagged.drop_fence()
        if kind == "region_open" or self._call is None:
            self._call = _OpenCall(self._num_calls, _new_id())
        self._call.body += text
        if kind == "region_chunk":
            self._pass_arguments_on(self._call, part)
        if kind == "region_close":
            self._close_call(self._call, value, part)
            self._call = None

    def _pass_arguments_on(self, call: _OpenCall, part: AnswerPart) -> None:
        if call.arguments_from is None:
            head = _CALL_HEAD.match(call.body)
            if head is None:
                return
            call.arguments_from = head.end()
            call.name = json.loads(head[1], strict=False)
            self._num_calls = call.index + 1
        new = ""
        for char in call.body[call.arguments_from + call.num_passed :]:
            if call.has_all_arguments:  # what closes the call, or another call
                break
            # strict readers of JSON take no line break within a string
            new += json.dumps(char)[1:-1] if call.arguments.in_string and char < " " else char
            call.has_all_arguments = call.arguments.step(char)
            call.num_passed += 1
        if call.name is not None or new:  # the name goes out once, with whatever is there of the arguments
            call_id = call.call_id if call.name is not None else None
            part.call_chunks.append(new_call_chunk(name=call.name, args=new, id=call_id, index=call.index))
            call.name = None

    def _close_call(self, call: _OpenCall, value: Any, part: AnswerPart) -> None:
        try:
            # JSON says by itself whether it is whole; what ends a call of gpt-oss is the end of its answer
            if self._is_finishing and self._has_bare_values and not self._tail.endswith(">"):
                msg = "it was cut off"
                raise ValueError(msg)
            calls = [(name, self._typed(name, arguments)) for name, arguments in _read_calls(value)]
            if self._has_bare_values and not any(arguments for _, arguments in calls):
                _refuse_unread_arguments(call.body)
        except ValueError as error:
            self._add_invalid(call.body, str(error))
            if call.arguments_from is None and call.body.strip():
                part.call_chunks.append(new_call_chunk(name=None, args=call.body, id=call.call_id, index=call.index))
                self._num_calls = call.index + 1
            return
        for offset, (name, arguments) in enumerate(calls):
            call_id = call.call_id if not offset else _new_id()
            self._answer.tool_calls.append(tool_call(name=name, args=arguments, id=call_id))
            if call.arguments_from is None or offset:
                text = json.dumps(arguments, ensure_ascii=False)
                part.call_chunks.append(new_call_chunk(name=name, args=text, id=call_id, index=call.index + offset))
        self._num_calls = call.index + len(calls)

    @property
    def _has_bare_values(self) -> bool:
        """Whether the dialect writes arguments as text between tags, not as JSON."""
        return self._dialect.name in ("xml", "glm")

    def _typed(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return arguments as their tool's schema types them, where the dialect writes values as bare text."""
        if not self._has_bare_values:
            return arguments
        tool: Any = next((tool["function"] for tool in self._tools if tool["function"]["name"] == name), {})
        properties = (tool.get("parameters") or {}).get("properties") or {}
        return {key: _as_schema_types(value, properties.get(key) or {}) for key, value in arguments.items()}

    def _add_invalid(self, body: str, reason: str) -> None:
        head = _CALL_HEAD.match(body)
        name = json.loads(head[1], strict=False) if head else None
        self._answer.invalid_tool_calls.append(
            invalid_tool_call(name=name, args=body.strip(), id=_new_id(), error=f"not a complete tool call: {reason}")
        )


def _read_calls(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, arguments) of each call in what a region held.

    Raises:
        ValueError: if it is no call.
    """
    contents = _load_values(value) if isinstance(value, str) else [value]
    calls = [call for content in contents for call in (content if isinstance(content, list) else [content])]
    return [read_call(call) for call in calls]


def _load_values(text: str) -> list[Any]:
    """Return the JSON values of a region: mostly one, though some models write call after call between two tags."""
    values: list[Any] = []
    rest = _FENCE.sub("", text.strip(), count=1)
    while not values or not _AFTER_CALLS.fullmatch(rest):
        named = _NAMED.match(rest)
        value, end = _DECODER.raw_decode(rest, named.end() if named else 0)
        values.append({"name": named["name"], "arguments": value} if named else value)
        rest = rest[end:].lstrip(",; \t\r\n")
    return values


def _refuse_unread_arguments(body: str) -> None:
    if _ARGUMENT_MARK.search(body):
        msg = "its arguments are not between whole tags"
        raise ValueError(msg)


def _as_schema_types(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a text as the list, object, number or truth value that a schema asks for, also in Python's notation."""
    wanted = _PYTHON_TYPES.get(str(schema.get("type")))
    if not isinstance(value, str) or wanted is None:
        return value
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            found = read(value.strip())
            if isinstance(found, wanted) and (wanted is bool or not isinstance(found, bool)):
                return found
    return value


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
