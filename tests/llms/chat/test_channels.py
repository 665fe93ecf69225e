"""Answers in channels, from the model's tokens to the message: reasoning is no content, with tools and without."""

import shutil
from dataclasses import replace

import pytest

from llms import LocalChatModel
from llms.engines.engine import Engine, Ticket
from llms.engines.requests import TokenEvent
from tests.llms.chat.test_answers import TOOLS

HARMONY = (
    "{% for message in messages %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endfor %}"
    "{% for tool in tools or [] %}{{ tool }}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    "{# <|channel|>analysis #}"
)
CHANNEL = (
    "{% for message in messages %}<|turn>{{ message.role }}\n{{ message.content }}<turn|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn>model\n{% endif %}{# <|channel>thought #}"
)
ANSWERS = {
    "harmony": (
        HARMONY,
        ["<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>", "<|constrain|>"],
        "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.",
    ),
    "channel": (
        CHANNEL,
        ["<|turn>", "<turn|>", "<|channel>", "<channel|>"],
        "<|channel>thought\nLet me see.<channel|>It is 4.",
    ),
}


class SayingEngine(Engine):
    """Answers each request with the same tokens, one by one."""

    name = "torch"

    def __init__(self, ids):
        super().__init__(context_tokens=512, end_ids=frozenset())
        self._ids = ids

    def submit(self, request, deliver):
        if request.wants_pieces:
            for token_id in self._ids:
                deliver(TokenEvent(ids=(token_id,)))
        deliver(TokenEvent(ids=() if request.wants_pieces else tuple(self._ids), finish_reason="stop"))
        return Ticket(lambda: None)

    def expect(self, num_requests):
        pass

    def score(self, prompt_ids, continuations, *, adapter=None):
        return [0.0 for _ in continuations]

    def close(self):
        pass

    num_active = 0


@pytest.fixture(params=ANSWERS)
def model(request, chat_folder, tmp_path):
    """A model of this kind that reasons, then answers; its marks are control tokens, as those of the real ones are."""
    template, marks, answer = ANSWERS[request.param]
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    model = LocalChatModel(model=str(folder), engine="torch")
    loaded = model._loaded
    loaded.tokenizer.add_special_tokens({"additional_special_tokens": marks})
    ids = loaded.tokenizer.encode(answer, add_special_tokens=False)
    model.__dict__["_loaded"] = replace(loaded, engine=SayingEngine(ids))
    return model


@pytest.mark.parametrize("tools", [[], TOOLS])
def test_reasoning_in_channels_is_told_apart(model, tools):
    asked = model.bind_tools(tools) if tools else model
    for answer in (asked.invoke("2 + 2?"), sum_up(asked.stream("2 + 2?"))):
        assert answer.content.strip() == "It is 4."
        assert answer.additional_kwargs["reasoning_content"].strip() == "Let me see."
        assert answer.tool_calls == []


def test_the_profile_tells_of_reasoning_in_channels(model):
    assert LocalChatModel(model=model.model).profile["reasoning_output"]


def sum_up(chunks):
    first, *others = chunks
    for chunk in others:
        first += chunk
    return first
