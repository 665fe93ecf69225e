"""Training examples for chat models: conversations as token ids, with the part of them that is learnt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llms.errors import TrainingDataError
from llms.finetuning.data.conversations import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


IGNORED = -100  # the label that torch's cross entropy leaves out


@dataclass(frozen=True, slots=True)
class ChatExample:
    """The ids a model sees, and for each the id it shall give there, or `IGNORED`."""

    input_ids: list[int]
    labels: list[int]

    @property
    def end_ids(self) -> set[int]:
        """The tokens that end the assistant's turns."""
        nexts = [*self.labels[1:], IGNORED]
        return {label for label, after in zip(self.labels, nexts, strict=True) if label != IGNORED == after}


def build_examples(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> list[ChatExample]:
    """Return what there is to learn from a conversation: each assistant turn with its end token, nothing else.

    Every turn is rendered as it will be when the model has to write it, with the messages before it and the
    generation prompt. As a rule that gives one example; where the template renders earlier turns in another way
    than the last (as templates that drop old reasoning do), a new example begins.

    Raises:
        TrainingDataError: if the template refuses the conversation, renders a turn in another way than its
            prompt announced, or writes no end token.
    """
    controls = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
    examples: list[ChatExample] = []
    for index, message in enumerate(conversation.messages):
        if message["role"] != "assistant" or message.get("weight", 1) == 0:
            continue
        prompt = render_conversation(tokenizer, conversation, num_messages=index, add_generation_prompt=True)
        ids = render_conversation(tokenizer, conversation, num_messages=index + 1)
        if ids[: len(prompt)] != prompt:
            msg = (
                f"{_where(conversation, index)}: the chat template renders the turn in another way than its "
                "generation prompt begins it, so the model could not learn to continue from there; use a template "
                "whose prompt is the beginning of the rendered turn"
            )
            raise TrainingDataError(msg)
        end = max((i for i in range(len(prompt), len(ids)) if ids[i] in controls), default=None)
        if end is None:
            msg = (
                f"{_where(conversation, index)}: the chat template writes no special token at the end of the turn, "
                "so the model could not learn to end; add one, such as eos_token, to the template"
            )
            raise TrainingDataError(msg)
        labels = [IGNORED] * len(prompt) + ids[len(prompt) : end + 1] + [IGNORED] * (len(ids) - end - 1)
        _append(examples, ChatExample(ids, labels))
    return examples


def render_conversation(
    tokenizer: "PreTrainedTokenizerBase",
    conversation: Conversation,
    *,
    num_messages: int,
    add_generation_prompt: bool = False,
) -> list[int]:
    """Return the ids of the first messages; control tokens in texts are plain text, as when the model is used.

    Raises:
        TrainingDataError: if the template refuses the messages.
    """
    from jinja2 import TemplateError

    tools: Any = conversation.tools or None
    messages = [
        {key: value for key, value in message.items() if key != "weight"}  # what a chat never has, no template sees
        for message in conversation.messages[:num_messages]
    ]
    try:
        encoded: Any = tokenizer.apply_chat_template(
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
        )
    except (TemplateError, ValueError, TypeError) as error:
        msg = f"{_where(conversation, num_messages - 1)}: the chat template refuses the conversation: {error}"
        raise TrainingDataError(msg) from error
    ids: list[int] = list(encoded["input_ids"])
    return ids


def _append(examples: list[ChatExample], example: ChatExample) -> None:
    """Add `example`, or let it take the last one's place if that is its beginning."""
    if examples:
        last = examples[-1]
        length = len(last.input_ids)
        if example.input_ids[:length] == last.input_ids:
            examples[-1] = ChatExample(example.input_ids, last.labels + example.labels[length:])
            return
    examples.append(example)


def _where(conversation: Conversation, index: int) -> str:
    line = "" if conversation.line is None else f"line {conversation.line}, "
    return f"{line}message {index + 1} ({_roles(conversation.messages[: index + 1])})"


def _roles(messages: Sequence[dict[str, Any]]) -> str:
    roles = [message["role"] for message in messages]
    return " > ".join(roles if len(roles) <= 4 else ["...", *roles[-4:]])
