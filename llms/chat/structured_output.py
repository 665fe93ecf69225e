"""Structured output: call options and output parser for an answer in the form of a schema."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import BaseLLMOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from llms.errors import ConstraintError, OptionValueError

Method = Literal["function_calling", "json_schema", "json_mode"]
_SCHEMA_WORDS = frozenset({"type", "properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"})
Schema = dict[str, Any] | type


def plan_structured_output(
    schema: Schema, method: Method, *, strict: bool | None = None
) -> tuple[dict[str, Any], Runnable[Any, Any]]:
    """Return the options to bind and what turns the answer into the object.

    The form of the answer is guaranteed by each method: "function_calling" forces a call of one tool that is named
    after the schema, "json_schema" shows the model the schema and forces matching JSON, "json_mode" forces matching
    JSON where the prompt already says what is wanted.

    Raises:
        ConstraintError: if `schema` is neither a class nor a schema.
        OptionValueError: for another method.
    """
    model_class: Any = schema
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    try:
        tool = convert_to_openai_tool(schema, strict=strict)
        json_schema = convert_to_json_schema(schema)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        msg = f"a Pydantic class, a TypedDict or a JSON schema with a title is needed, got {schema!r}: {error}"
        raise ConstraintError(msg) from error
    shown = {"kwargs": {"method": method, "strict": strict}, "schema": tool}
    parser: BaseLLMOutputParser[Any]
    if method == "function_calling":
        name = tool["function"]["name"]
        options = {"tools": [schema], "tool_choice": name, "strict": strict}
        parser = (
            PydanticToolsParser(tools=[schema], first_tool_only=True)  # type: ignore[list-item]
            if is_class
            else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        )
    elif method in ("json_schema", "json_mode"):
        kind = "json_schema" if method == "json_schema" else "json_object"
        options = {"response_format": {"type": kind, "json_schema": {"schema": json_schema}}}
        parser = PydanticOutputParser(pydantic_object=model_class) if is_class else JsonOutputParser()
    else:
        msg = f"method must be function_calling, json_schema or json_mode, got {method!r}"
        raise OptionValueError(msg)
    whole: Runnable[Any, Any] = RunnableGenerator(_refuse_cut_answer, _arefuse_cut_answer)
    return {**options, "ls_structured_output_format": shown}, whole | parser


def _refuse_cut_answer(messages: Iterator[BaseMessage]) -> Iterator[BaseMessage]:
    """Pass an answer on, and refuse it at its end if it was cut off: half an object is none.

    Raises:
        OptionValueError: if `max_tokens` was reached before the object was complete.
    """
    for message in messages:
        yield message
        _check_is_whole(message)


async def _arefuse_cut_answer(messages: AsyncIterator[BaseMessage]) -> AsyncIterator[BaseMessage]:
    async for message in messages:
        yield message
        _check_is_whole(message)


def _check_is_whole(message: BaseMessage) -> None:
    if message.response_metadata.get("finish_reason") == "length":
        msg = "the answer reached max_tokens before its object was complete; raise max_tokens"
        raise OptionValueError(msg)


def schema_of_response_format(response_format: Any) -> tuple[dict[str, Any], bool]:
    """Return the JSON schema that a `response_format` asks for, and whether the model is to be shown it.

    Understood are a schema itself, a class, and OpenAI's `{"type": "json_object"}` and `{"type": "json_schema",
    "json_schema": {"schema": ...}}`.

    Raises:
        ConstraintError: if it is none of these.
    """
    if isinstance(response_format, dict) and response_format.get("type") in ("json_object", "json_schema"):
        inner = response_format.get("json_schema") or {}
        schema = inner.get("schema", {"type": "object"})
        if not isinstance(schema, dict):
            msg = f"response_format holds no JSON schema, got {json.dumps(response_format, default=str)[:200]}"
            raise ConstraintError(msg)
        return schema, response_format["type"] == "json_schema"
    if isinstance(response_format, dict) and _SCHEMA_WORDS & set(response_format):
        return response_format, True
    try:
        return convert_to_json_schema(response_format), True
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        msg = f"response_format must be a class, a JSON schema or OpenAI's form of one, got {response_format!r}"
        raise ConstraintError(msg) from error
