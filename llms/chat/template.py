"""Chat templates: messages to token ids; nothing else knows a model's template."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from llms.chat.profile import has_reasoning
from llms.chat.rendering import TemplateProcess, Turn, render_turns
from llms.chat.tool_formats import Dialect, Tool, dialect_of, tool_instructions
from llms.errors import InputTextError, ModelFolderError, OptionValueError
from llms.texts.checks import check_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_MISTRAL_ID_CHARS = 9
_RESULT_OPENING = "<tool_response>"
MAX_PROMPT_CHARS = 2_000_000  # checked before tokenising, which takes about a second per million


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template saved with a model, and how the model writes tool calls.

    Attributes:
        process: where it is rendered, if not here.

    Raises:
        ModelFolderError: if the model brings no chat template.
    """

    tokenizer: "PreTrainedTokenizerBase"
    process: TemplateProcess | None = None

    def __post_init__(self) -> None:
        """Refuse a model that was not made for chats."""
        if not self.tokenizer.chat_template:
            msg = "the model's folder has no chat template; use LocalLLM, or add chat_template.jinja to the folder"
            raise ModelFolderError(msg)

    @functools.cached_property
    def dialect(self) -> Dialect:
        """How the model writes reasoning and tool calls."""
        return dialect_of(self.tokenizer)

    @functools.cached_property
    def shows_reasoning(self) -> bool:
        """Whether answers of this model may hold reasoning apart from what is said."""
        return has_reasoning(str(self.tokenizer.chat_template))

    @functools.cached_property
    def answer_prefix(self) -> str:
        """What the template itself writes of each answer, such as an opening `<think>`."""
        turns = [{"role": "user", "content": "x"}]
        without = self._render(turns, None, {}, add_generation_prompt=False)
        return str(self.tokenizer.decode(self._render(turns, None, {})[len(without) :]))

    @property
    def reasoning_end(self) -> str:
        """What ends the reasoning that the template itself begins in each answer; nothing if it begins none."""
        opening, closing = self.dialect.reasoning_marks
        return f"\n{closing}\n\n" if self.answer_prefix.rstrip().endswith(opening) else ""

    def render(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Tool] = (),
        instructions: str = "",
        template_options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Return the prompt's token ids, ready for the model to answer.

        Control tokens that stand in a text, a tool's result or a tool's description are encoded as plain text, so
        that none of them can forge a turn.

        Args:
            instructions: added to the system turn.
            template_options: variables of the model's own template, such as `enable_thinking`.

        Raises:
            InputTextError: if there is no message, or one holds something that is no text.
            OptionValueError: if a template option would replace what is rendered here.
            ModelFolderError: if the template refuses these messages.
        """
        if not messages:
            msg = "there is no message to answer; pass at least one"
            raise InputTextError(msg)
        turns = [_as_turn(message) for message in messages]
        if sum(len(turn["content"]) for turn in turns) > MAX_PROMPT_CHARS:
            msg = f"the messages have more than {MAX_PROMPT_CHARS:,} characters together; shorten them"
            raise InputTextError(msg)
        if self.dialect.takes_one_call:
            turns = _one_call_a_turn(turns)
        if self.dialect.name == "mistral":
            turns = [_with_short_ids(turn) for turn in turns]
        if not self.dialect.reads_tools:
            turns = _joined_results([_as_plain_turn(turn) for turn in turns])
            instructions = "\n\n".join(
                text for text in (tool_instructions(tools) if tools else "", instructions) if text
            )
        if instructions:
            turns = _with_instructions(turns, instructions)
        shown = list(tools) if tools and self.dialect.reads_tools else None
        return self._render(turns, shown, _checked(template_options or {}))

    @property
    def _render(self) -> Callable[..., list[int]]:
        if self.process is not None:
            return self.process.render
        return functools.partial(render_turns, self.tokenizer)


def _checked(template_options: Mapping[str, Any]) -> Mapping[str, Any]:
    taken = {"conversation", "messages", "tools", "tokenize", "return_dict", "sanitize_control_tokens", "chat_template"}
    if clash := sorted(taken & set(template_options)):
        msg = f"template_options are variables of the model's own template; {clash[0]!r} is set by the chat model"
        raise OptionValueError(msg)
    return template_options


def _as_turn(message: BaseMessage) -> Turn:
    turn: Turn = {"role": _role(message), "content": check_text(_text(message), max_chars=MAX_PROMPT_CHARS)}
    if isinstance(message, AIMessage):
        if message.tool_calls:
            turn["tool_calls"] = [
                {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": call["args"]}}
                for call in message.tool_calls
            ]
        if reasoning := message.additional_kwargs.get("reasoning_content"):
            turn["reasoning_content"] = check_text(str(reasoning), max_chars=MAX_PROMPT_CHARS)
    if isinstance(message, ToolMessage):
        turn["tool_call_id"] = message.tool_call_id
        if message.name:
            turn["name"] = message.name
    return turn


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    for kind, role in (
        (SystemMessage, "system"),
        (HumanMessage, "user"),
        (AIMessage, "assistant"),
        (ToolMessage, "tool"),
    ):
        if isinstance(message, kind):
            return role
    msg = f"a {type(message).__name__} has no place in a chat; use system, human, AI or tool messages"
    raise InputTextError(msg)


def _text(message: BaseMessage) -> str:
    """Return the text of a message; calls and reasoning in its content stand elsewhere in the turn."""
    if isinstance(message.content, str):
        return message.content
    parts: list[str] = []
    for block in message.content:
        kind = "text" if isinstance(block, str) else block.get("type")
        if kind == "text":
            parts.append(block if isinstance(block, str) else str(block.get("text", "")))
        elif kind == "json":
            parts.append(json.dumps(block.get("json"), ensure_ascii=False) if isinstance(block, dict) else "")
        elif not (isinstance(message, AIMessage) and kind in ("tool_use", "tool_call", "reasoning", "thinking")):
            msg = f"this model reads text only, got a part of type {str(kind)!r}; remove it"
            raise InputTextError(msg)
    return "".join(parts)


def _with_instructions(turns: Sequence[Turn], instructions: str) -> list[Turn]:
    if turns[0]["role"] == "system":
        return [{**turns[0], "content": f"{turns[0]['content']}\n\n{instructions}"}, *turns[1:]]
    return [{"role": "system", "content": instructions}, *turns]


def _one_call_a_turn(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns in which each call has one of its own, with its result behind it."""
    separated: list[Turn] = []
    for turn, results in _with_results(turns):
        calls = turn.get("tool_calls", ())
        for position, call in enumerate(calls if len(calls) > 1 else ()):
            separated.append({**turn, "content": turn["content"] if not position else "", "tool_calls": [call]})
            own = [result for result in results if result.get("tool_call_id") == call["id"]]
            separated += own
            results = [result for result in results if result not in own]
        separated += results if len(calls) > 1 else [turn, *results]
    return separated


def _with_results(turns: Sequence[Turn]) -> list[tuple[Turn, list[Turn]]]:
    """Return each turn with the results right behind it; later calls may have the same ids again."""
    grouped: list[tuple[Turn, list[Turn]]] = []
    for turn in turns:
        if turn["role"] == "tool" and grouped:
            grouped[-1][1].append(turn)
        else:
            grouped.append((turn, []))
    return grouped


def _with_short_ids(turn: Turn) -> Turn:
    """Return a turn whose ids of calls are nine letters or digits, since Mistral's templates refuse others."""
    short = dict(turn)
    if "tool_call_id" in turn:
        short["tool_call_id"] = _short_id(turn["tool_call_id"])
    if "tool_calls" in turn:
        short["tool_calls"] = [{**call, "id": _short_id(str(call["id"]))} for call in turn["tool_calls"]]
    return short


def _short_id(call_id: str) -> str:
    is_short = len(call_id) == _MISTRAL_ID_CHARS and call_id.isalnum()
    return call_id if is_short else hashlib.sha256(call_id.encode()).hexdigest()[:_MISTRAL_ID_CHARS]


def _joined_results(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns with results, and what is said to them, as one turn: many templates want roles to alternate."""
    joined: list[Turn] = []
    for turn in turns:
        is_after_result = bool(joined) and joined[-1]["content"].startswith(_RESULT_OPENING)
        if is_after_result and turn["role"] == joined[-1]["role"] == "user":
            joined[-1] = {**joined[-1], "content": f"{joined[-1]['content']}\n{turn['content']}"}
        else:
            joined.append(turn)
    return joined


def _as_plain_turn(turn: Turn) -> Turn:
    """Return a turn that holds calls and results as text, for templates that know neither."""
    if turn["role"] == "tool":
        result = json.dumps({"name": turn.get("name"), "result": turn["content"]}, ensure_ascii=False)
        result = result.replace("<", r"\u003c")  # no result can close the block it stands in
        return {"role": "user", "content": f"{_RESULT_OPENING}\n{result}\n</tool_response>"}
    calls = [
        f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
        for call in turn.get("tool_calls", ())
    ]
    return {"role": turn["role"], "content": "\n".join([text for text in (turn["content"], *calls) if text])}
