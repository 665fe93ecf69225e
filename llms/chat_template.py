"""Messages to token ids; the only place that knows a model's chat template."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from llms.errors import InputTextError, ModelFolderError
from llms.texts import check_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["render_messages"]


def render_messages(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[BaseMessage]) -> list[int]:
    """Return the prompt's token ids, ready for the model to answer.

    Control tokens that stand in a message's text are encoded as plain text, so that no text can forge a turn.

    Raises:
        InputTextError: if there is no message, or one holds something that is no text.
        ModelFolderError: if the model brings no chat template, or it refuses these messages.
    """
    from jinja2 import TemplateError

    if not messages:
        msg = "there is no message to answer; pass at least one"
        raise InputTextError(msg)
    if not tokenizer.chat_template:
        msg = "the model's folder has no chat template; use LocalLLM, or add chat_template.jinja to the folder"
        raise ModelFolderError(msg)
    turns = [_as_turn(message) for message in messages]
    try:
        encoded: Any = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=True, return_dict=True, sanitize_control_tokens=True
        )
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        msg = f"the model's chat template refuses the roles {roles}: {error}"
        raise ModelFolderError(msg) from error
    ids: list[int] = list(encoded["input_ids"])
    return ids


def _as_turn(message: BaseMessage) -> dict[str, str]:
    return {"role": _role(message), "content": check_text(_text(message))}


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    for kind, role in ((SystemMessage, "system"), (HumanMessage, "user"), (AIMessage, "assistant")):
        if isinstance(message, kind):
            return role
    if isinstance(message, ToolMessage):
        return "tool"
    msg = f"a {type(message).__name__} has no place in a chat; use system, human, AI or tool messages"
    raise InputTextError(msg)


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, list):
        kinds = {block.get("type") for block in message.content if isinstance(block, dict)} - {"text"}
        if kinds:
            msg = f"this model reads text only, got a part of type {sorted(map(str, kinds))[0]!r}; remove it"
            raise InputTextError(msg)
    return str(message.text)
