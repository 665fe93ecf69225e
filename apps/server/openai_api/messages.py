"""Conversion of OpenAI's messages and parameters to LangChain's."""

import json
from typing import Any

from langchain_core import messages as langchain
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding

from apps.server.openai_api.schemas import (
    AssistantMessage,
    ChatRequest,
    Content,
    ContextMessage,
    Message,
    NamedTool,
    ToolMessage,
    UserMessage,
)
from apps.server.problems import ProblemError
from llms.texts import check_text

_SAME_NAME = ("temperature", "top_p", "seed", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty")


def to_text(content: Content) -> str:
    """Return the text of a message whose content may come in parts."""
    return content if isinstance(content, str) else "".join(part.text for part in content)


def to_langchain(message: Message) -> langchain.BaseMessage:
    """Return the same message as LangChain's.

    Raises:
        ProblemError: with status 400, if the arguments of a tool call are no JSON object.

    Example:
        >>> to_langchain(UserMessage(role="user", content="hello")).text
        'hello'
    """
    text = to_text(message.content)
    if isinstance(message, ContextMessage):
        return langchain.SystemMessage(text, name=message.name)
    if isinstance(message, UserMessage):
        return langchain.HumanMessage(text, name=message.name)
    if isinstance(message, ToolMessage):
        return langchain.ToolMessage(text, tool_call_id=message.tool_call_id)
    return _assistant(message, text)


def _assistant(message: AssistantMessage, text: str) -> langchain.AIMessage:
    calls = [
        langchain.ToolCall(name=call.function.name, args=_read_arguments(call.function.arguments), id=call.id)
        for call in message.tool_calls
    ]
    reasoning = {"reasoning_content": message.reasoning_content} if message.reasoning_content else {}
    return langchain.AIMessage(text, name=message.name, tool_calls=calls, additional_kwargs=reasoning)


def _read_arguments(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
        check_text(json.dumps(value, ensure_ascii=False), max_chars=10 * len(arguments) + 100)
    except (ValueError, RecursionError):  # half a character is a ValueError, too
        value = None
    if not isinstance(value, dict):
        raise ProblemError(
            400, "The arguments of a tool call must be a JSON object, written as text.", param="messages"
        )
    return value


def call_options(request: ChatRequest, model: BaseChatModel) -> dict[str, Any]:
    """Return the options of a call of `model`; only what the client sent is among them.

    Raises:
        ProblemError: with status 400, if the model cannot use tools.
    """
    options = {name: value for name in _SAME_NAME if (value := getattr(request, name)) is not None}
    if length := request.max_completion_tokens or request.max_tokens:
        options["max_tokens"] = length
    if request.n > 1:
        options["n"] = request.n
    if request.stop is not None:
        options["stop"] = [request.stop] if isinstance(request.stop, str) else list(request.stop)
    if request.response_format is not None:
        options["response_format"] = request.response_format.model_dump(by_alias=True, exclude_none=True)
    if request.chat_template_kwargs is not None:
        own = getattr(model, "template_options", {})  # of the workspace
        options["template_options"] = {**own, **request.chat_template_kwargs.model_dump()}
    if request.tools:
        options |= _tool_options(request, model)
    return options


def _tool_options(request: ChatRequest, model: BaseChatModel) -> dict[str, Any]:
    choice = request.tool_choice
    name = choice.function.name if isinstance(choice, NamedTool) else choice
    others = {} if request.parallel_tool_calls is None else {"parallel_tool_calls": request.parallel_tool_calls}
    tools = [tool.model_dump(exclude_none=True) for tool in request.tools]
    try:
        bound = model.bind_tools(tools, tool_choice=name, **others)
    except NotImplementedError as error:
        raise ProblemError(400, "The chat model of this workspace cannot use tools.", param="tools") from error
    # each model has its own form for tools, and the binding holds it
    return dict(bound.kwargs) if isinstance(bound, RunnableBinding) else {}
