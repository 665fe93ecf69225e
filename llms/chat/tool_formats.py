"""Formats of reasoning and tool calls by family of models, recognised by their chat template."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from llms.engines.constraints import Constraint, FreeText, InOrder, JsonSchema, OneOf, Pattern, Text, closed_schema

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Tool = dict[str, Any]  # in OpenAI's form: {"type": "function", "function": {"name", "description", "parameters"}}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where reasoning and tool calls stand in an answer.

    Attributes:
        fields: regions of an answer in the form of transformers' response templates; what is in none of them is
            content.
        arguments_key: what the JSON of a call names its arguments.
        call_opening: text before the JSON of a call.
        call_closing: text behind it.
        reads_tools: whether the chat template shows tools to the model; if not, we do, in a system turn.
        half_opening: pattern of what an answer holds that was cut off while a call was being opened.
        takes_one_call: whether the template has room for one call a turn only.
    """

    name: Literal["hermes", "llama3", "mistral", "xml", "glm", "harmony", "deepseek", "own"]
    fields: dict[str, dict[str, Any]] = field(hash=False)
    arguments_key: str = "arguments"
    call_opening: str = ""
    call_closing: str = ""
    reads_tools: bool = True
    half_opening: str = ""
    takes_one_call: bool = False

    @property
    def markers(self) -> str:
        """All texts that open or close a region, as one."""
        values = [str(value) for region in self.fields.values() for value in region.values()]
        return " ".join(values).replace("\\", "")

    @property
    def reasoning_marks(self) -> tuple[str, str]:
        """What opens reasoning and what closes it."""
        reasoning = self.fields["reasoning_content"]
        return reasoning["open"], reasoning["close"]

    def response_template(self, *, with_tools: bool) -> dict[str, Any]:
        """Return the template for transformers' `ResponseParser`; without tools nothing is read as a call."""
        fields = {name: value for name, value in self.fields.items() if with_tools or name != "tool_calls"}
        # the implicit region: whatever stands outside the others
        return {"defaults": {"role": "assistant"}, "fields": {**fields, "content": {"content": "text"}}}


THOUGHT_CHANNEL, ANALYSIS_CHANNEL = "<|channel>thought", "<|channel|>analysis"  # of templates as Gemma 4's, gpt-oss's
_CALL_KEYS = {"name", "arguments", "parameters", "id", "type", "index"}
_NO_JSON_CALLS = ("xml", "glm", "harmony")
_BEFORE_NAME = ("", "\n  ", "\n    ")  # models indent what they put into a code fence
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
_THINK = {"open": "<think>", "close": "</think>", "content": "text"}
_TAGGED_CALL = {  # an answer may also speak of the tag
    "open_pattern": r"\s*<tool_call>(?=\s*[\[{`<]|[^<]{0,200}</tool_call>)",
    "close": "</tool_call>",
    "repeats": True,
    "content": "text",
}

_HERMES = Dialect(
    "hermes",
    {"reasoning_content": _THINK, "tool_calls": _TAGGED_CALL},
    call_opening="<tool_call>",
    call_closing="</tool_call>",
)
_OWN = replace(_HERMES, name="own", reads_tools=False)
_OWN_AFTER_CHANNEL = replace(  # Gemma 4 and its kin, whose own way to write calls is not known here
    _OWN,
    fields={
        "reasoning_content": {"open": THOUGHT_CHANNEL, "close": "<channel|>", "content": "text"},
        "tool_calls": _TAGGED_CALL,
    },
)
_MISTRAL = Dialect(
    "mistral",
    {
        "reasoning_content": {"open": "[THINK]", "close": "[/THINK]", "content": "text"},
        "tool_calls": {"open_pattern": r"\s*\[TOOL_CALLS\]", "repeats": True, "content": "text"},
    },
    call_opening="[TOOL_CALLS]",
)
_LLAMA3 = Dialect(
    "llama3",
    {
        "reasoning_content": _THINK,
        "tool_calls": {
            "open_pattern": r'(?:<\|python_tag\|>\s*)?(?=\{\s*"(?:name|type)"\s*:)',
            "repeats": True,
            "content": "text",
        },
    },
    arguments_key="parameters",
    takes_one_call=True,
)
_XML = Dialect(
    "xml",
    {
        "reasoning_content": _THINK,
        "tool_calls": {
            # many answers lack the outer tag, or hold several functions within one
            "open_pattern": r"\s*(?:<tool_call>\s*)?<function=(?P<name>[^>\n]+)>",
            "close_pattern": r"</function>\s*</tool_call>|</function>(?=\s*<function=)",
            "repeats": True,
            "content": "xml-inline",
            "content_args": {
                "tag_pattern": r"<parameter=(?P<key>[^>\n]+)>\s*(?P<value>.*?)\s*"
                r"(?:</parameter>(?=\s*(?:<parameter=|</function>|\Z))|(?=\n<parameter=[\w.-]+>))"
            },
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
    },
)


_GLM = Dialect(
    "glm",
    {
        "reasoning_content": _THINK,
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>\s*(?P<name>[\w.-]+)",
            # a value may speak of the tag that closes a call
            "close_pattern": r"(?<=</arg_value>\s*|<tool_call>\s*[\w.-]+\s*)</tool_call>",
            "repeats": True,
            "content": "xml-inline",
            "content_args": {
                "tag_pattern": r"<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<value>.*?)"
                r"</arg_value>(?=\s*(?:<arg_key>|</tool_call>|\Z))"
            },
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
    },
)
_HARMONY = Dialect(  # gpt-oss
    "harmony",
    {
        "reasoning_content": {"open": f"{ANALYSIS_CHANNEL}<|message|>", "close": "<|end|>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"(?:<\|start\|>assistant)?(?:<\|channel\|>commentary)? to=functions\.(?P<name>[\w.-]+)"
            r"(?:<\|channel\|>commentary)?\s*(?:<\|constrain\|>)?(?:json)?<\|message\|>",
            "close": "<|call|>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
        "final": {
            "open_pattern": r"(?:<\|start\|>assistant)?<\|channel\|>(?:final|commentary)<\|message\|>",
            "close": "<|end|>",
            "repeats": True,
            "content": "text",
        },
    },
    half_opening=r"(?:<\|start\|>assistant)?(?:<\|channel\|>commentary)? to=functions\.",
    takes_one_call=True,
)
_DEEPSEEK_CALL = "<｜tool▁call▁begin｜>"
_DEEPSEEK = Dialect(
    "deepseek",
    {
        "reasoning_content": _THINK,
        "tool_calls": {
            "open_pattern": rf"\s*(?:<｜tool▁calls▁begin｜>\s*)?{_DEEPSEEK_CALL}(?:function<｜tool▁sep｜>)?"
            r"(?P<name>(?!function<)[\w.-]+)(?:<｜tool▁sep｜>|\s*```(?:json)?\s)",
            "close_pattern": r"\s*(?:```\s*)?<｜tool▁call▁end｜>(?:\s*<｜tool▁calls▁end｜>)?",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
    },
    half_opening="<｜tool▁calls?▁begin｜>",
)


def dialect_of(tokenizer: "PreTrainedTokenizerBase") -> Dialect:
    """Return the dialect of the model whose tokenizer this is.

    A template that never reads `tools`, or writes calls in a way that is not known here, gets our own: tools are
    described in a system turn and calls are written as `<tool_call>{...}</tool_call>`.
    """
    template = tokenizer.chat_template
    return _dialect_of(template if isinstance(template, str) else json.dumps(template))


@functools.lru_cache(maxsize=16)
def _dialect_of(template: str) -> Dialect:
    if THOUGHT_CHANNEL in template:
        return _OWN_AFTER_CHANNEL
    if ANALYSIS_CHANNEL in template:
        return _HARMONY
    if _DEEPSEEK_CALL in template:
        return replace(_DEEPSEEK, reads_tools=_reads(template, "tools"))
    if not _reads(template, "tools"):
        return _OWN
    marks = (
        ("<function=", _XML),
        ("<arg_key>", _GLM),
        ("<tool_call>", _HERMES),
        ("[TOOL_CALLS]", _MISTRAL),
        ("python_tag", _LLAMA3),
        ('"parameters": ', _LLAMA3),
    )
    return next((dialect for mark, dialect in marks if mark in template), _OWN)


def _reads(template: str, variable: str) -> bool:
    from jinja2 import Environment, TemplateSyntaxError, meta

    environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False)  # noqa: S701  # only parsed
    cleaned = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    try:
        return variable in meta.find_undeclared_variables(environment.parse(cleaned))
    except TemplateSyntaxError:  # a template with an extension of its own; what it prints says enough
        return variable in template


def tool_instructions(tools: Sequence[Tool]) -> str:
    """Return the text that tells a model of its tools where its own template does not."""
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    return (
        "You may call these functions, one JSON description per line:\n"
        f"{listed}\n"
        "To call one, answer with nothing but\n"
        '<tool_call>\n{"name": "function name", "arguments": {"argument": "value"}}\n</tool_call>\n'
        "Its result comes in the next message. If no function is needed, answer as usual."
    )


def schema_instructions(schema: dict[str, Any]) -> str:
    """Return the text that tells a model which JSON to answer with."""
    return (
        f"Answer with JSON that matches this schema, and with nothing else:\n{json.dumps(schema, ensure_ascii=False)}"
    )


def forced_call(dialect: Dialect, tools: Sequence[Tool]) -> Constraint:
    """Return the constraint for the JSON of one call to one of the tools."""
    calls = tuple(
        InOrder(
            (
                Text('{"name": ' + json.dumps(tool["function"]["name"], ensure_ascii=False)),
                Text(f', "{dialect.arguments_key}": '),
                JsonSchema.of(closed_schema(tool["function"].get("parameters") or _NO_PARAMETERS)),
                Text("}"),
            )
        )
        for tool in tools
    )
    call = calls[0] if len(calls) == 1 else OneOf(calls)
    match dialect.name:
        case "mistral":
            return InOrder((Text("["), call, Text("]")))
        case "hermes" | "own":
            return InOrder((Text("\n"), call, Text("\n")))
        case _:
            return call


def begun_calls(dialect: Dialect, tools: Sequence[Tool]) -> Constraint | None:
    """Return what makes each call whole that a freely chosen answer begins; None where calls are no JSON.

    A call begins with an object whose first entry is the name of a tool, whether it stands between the template's
    tags, in a code fence or alone.
    """
    if dialect.name in _NO_JSON_CALLS:
        return None
    parts: dict[str, Constraint] = {}
    for tool in tools:
        name = json.dumps(tool["function"]["name"], ensure_ascii=False)
        arguments = JsonSchema.of(closed_schema(tool["function"].get("parameters") or _NO_PARAMETERS))
        rest = InOrder((Pattern(r',[ \n]{0,8}"(arguments|parameters)": ?'), arguments, Pattern(r"[ \n]{0,4}\}")))
        parts |= {f'{{{space}"name": {name}': rest for space in _BEFORE_NAME}
    return FreeText(tuple(parts.items())) if parts else None


def read_call(call: Any) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of a call as JSON values; a call in OpenAI's form holds both in `function`.

    Raises:
        ValueError: if it is no call.

    Example:
        >>> read_call({"function": {"name": "look_up", "arguments": '{"id": 7}'}})
        ('look_up', {'id': 7})
    """
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call = call["function"]
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        msg = "expected a JSON object with a name"
        raise ValueError(msg)
    arguments = call.get("arguments", call.get("parameters"))
    if arguments is None and (others := call.keys() - _CALL_KEYS):
        msg = f"the arguments belong into 'arguments', got {sorted(others)}"
        raise ValueError(msg)
    if isinstance(arguments, str):
        arguments = json.loads(arguments, strict=False)
    if arguments is None:  # a function without parameters
        arguments = {}
    if not isinstance(arguments, dict):
        msg = "the arguments are no JSON object"
        raise ValueError(msg)
    return call["name"], arguments
