"""Calls of a chat model as requests to its engine: prompt, options, constraint, tools."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import BaseMessage

from llms.chat.generation import LoadedModel, StopWatch, TextStream
from llms.chat.structured_output import schema_of_response_format
from llms.chat.tool_formats import Tool, begun_calls, forced_call, schema_instructions
from llms.engines.adapters import Adapter
from llms.engines.constraints import Constraint, JsonSchema, Pattern, choices_constraint, closed_schema
from llms.engines.requests import GenerationRequest
from llms.errors import ConstraintError, OptionValueError, UnsupportedOptionError
from llms.options import GenerationOptions, merge_options

_OWN_OPTIONS = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "regex",
    "choices",
    "n",
    "logprobs",
    "top_logprobs",
    "template_options",
    "stream",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """What one answer needs from the question to the message.

    Attributes:
        tools: what the model may call; a forced call is one of these.
        answer_prefix: what the prompt already holds of the answer.
        is_forced: whether the answer is one tool call and nothing else.
        quoted: what users and tools said, which the answer may quote.
        started_at: of `time.perf_counter`, for the rate of tokens.
    """

    loaded: LoadedModel
    request: GenerationRequest
    model_name: str
    tools: Sequence[Tool] = ()
    answer_prefix: str = ""
    is_forced: bool = False
    quoted: Sequence[str] = ()
    started_at: float = field(default_factory=time.perf_counter)

    def new_text_stream(self) -> TextStream:
        """Return a stream that turns the answer's tokens into text."""
        return TextStream.of(self.loaded, self.request.options, shown_ids=self.loaded.marker_ids)


def prepare_call(
    loaded: LoadedModel,
    messages: Sequence[BaseMessage],
    *,
    base: GenerationOptions,
    kwargs: Mapping[str, Any],
    stop: Sequence[str] | None,
    adapter: Adapter | None,
    cache_salt: str,
    wants_pieces: bool,
    model_name: str,
) -> list[ChatCall]:
    """Return one call per answer wanted, all but the seed alike.

    Raises:
        UnknownOptionError: for a name that is no option.
        OptionValueError: for a value that cannot be honoured, or two constraints at once.
        UnsupportedOptionError: for parallel_tool_calls=False where the model chooses freely.
    """
    own = {name: kwargs[name] for name in _OWN_OPTIONS if kwargs.get(name) is not None}
    others = {name: value for name, value in kwargs.items() if name not in _OWN_OPTIONS}
    options = merge_options(base, {**others, "logprobs": _num_logprobs(own)}, stop=stop)
    tools, forced = _choose_tools(own.get("tools", ()), own.get("tool_choice"))
    if tools and not forced and own.get("parallel_tool_calls") is False:
        msg = "a freely chosen answer may hold several calls, parallel_tool_calls=False cannot be kept; force a tool"
        raise UnsupportedOptionError(msg)
    constraint, instructions = _constraint(own, has_forced_tool=bool(forced))
    prompt_ids = loaded.template.render(
        messages, tools=tools, instructions=instructions, template_options=own.get("template_options")
    )
    prefix = loaded.template.answer_prefix
    if (forced or constraint is not None) and (closing := loaded.template.reasoning_end):
        # what is constrained comes after the reasoning, which the template has begun
        prompt_ids, prefix = [*prompt_ids, *loaded.tokenizer.encode(closing, add_special_tokens=False)], ""
    if forced:
        constraint = forced_call(loaded.template.dialect, forced)
        opening = loaded.template.dialect.call_opening
        prompt_ids = [*prompt_ids, *loaded.tokenizer.encode(opening, add_special_tokens=False)]
        prefix = opening
    elif tools and constraint is None and (not loaded.marker_ids or loaded.template.dialect.name == "llama3"):
        # no grammar lets control tokens pass that mark calls; Llama's calls need none
        constraint = begun_calls(loaded.template.dialect, tools)
    request = GenerationRequest(
        prompt_ids=prompt_ids,
        options=options,
        constraint=constraint,
        adapter=adapter,
        cache_salt=cache_salt,
        wants_pieces=wants_pieces,
    )
    call = ChatCall(
        loaded=loaded,
        request=request,
        model_name=model_name,
        tools=forced or tools,
        answer_prefix=prefix,
        is_forced=bool(forced),
        quoted=[message.text for message in messages if message.type in ("human", "tool")] if tools else (),
    )
    return [_with_stop_watch(replace(call, request=one)) for one in _repeat(request, own.get("n", 1))]


def _num_logprobs(own: Mapping[str, Any]) -> int | None:
    wanted, num_alternatives = own.get("logprobs"), own.get("top_logprobs")
    if wanted is False or (wanted is None and num_alternatives is None):
        return None
    return num_alternatives if num_alternatives is not None else 0


def _repeat(request: GenerationRequest, n: Any) -> list[GenerationRequest]:
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        msg = f"n must be a whole number of at least 1, got {n!r}"
        raise OptionValueError(msg)
    seed = request.options.seed
    if n == 1 or seed is None:
        return [request] * n
    return [replace(request, options=replace(request.options, seed=seed + position)) for position in range(n)]


def _with_stop_watch(call: ChatCall) -> ChatCall:
    """Give a call with stop texts a watch of its own, since it remembers the tokens it saw."""
    if not call.request.options.stop:
        return call
    return replace(call, request=replace(call.request, is_stop=StopWatch(call.new_text_stream())))


def _choose_tools(tools: Sequence[Tool], choice: Any) -> tuple[list[Tool], list[Tool]]:
    """Return the tools to show, and those of which one has to be called."""
    tools = list(tools)
    names = [_name(tool) for tool in tools]
    if isinstance(choice, dict):
        choice = (choice.get("function") or {}).get("name", choice.get("name"))
    if choice in (None, "auto", False):
        return tools, []
    if choice == "none":
        return [], []
    if not tools:
        msg = f"tool_choice={choice!r} needs tools; pass them with bind_tools"
        raise OptionValueError(msg)
    if choice in ("any", "required", True):
        return tools, tools
    if choice not in names:
        msg = f"tool_choice must be auto, none, any or one of {', '.join(names)}, got {choice!r}"
        raise OptionValueError(msg)
    return tools, [tools[names.index(choice)]]


def _name(tool: Any) -> str:
    try:
        return str(tool["function"]["name"])
    except (KeyError, TypeError) as error:
        msg = f"a tool in OpenAI's JSON form is expected, got {tool!r}; use bind_tools, which converts others"
        raise ConstraintError(msg) from error


def _constraint(own: Mapping[str, Any], *, has_forced_tool: bool) -> tuple[Constraint | None, str]:
    """Return what the answer must match, and what the model is told about it."""
    given = [name for name in ("response_format", "regex", "choices") if name in own]
    if len(given) + has_forced_tool > 1:
        names = ", ".join([*given, *(["tool_choice"] if has_forced_tool else [])])
        msg = f"an answer can follow one of these at a time, got {names}; leave all but one out"
        raise OptionValueError(msg)
    if "regex" in own:
        return Pattern(str(own["regex"])), ""
    if "choices" in own:
        return choices_constraint(own["choices"]), ""
    if "response_format" in own and own["response_format"] != {"type": "text"}:
        schema, is_shown = schema_of_response_format(own["response_format"])
        return JsonSchema.of(closed_schema(schema)), schema_instructions(schema) if is_shown else ""
    return None, ""
