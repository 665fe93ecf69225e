"""Chat templates in a process of their own: the same tokens, and an end to what takes too much."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from llms.chat.rendering import TemplateProcess
from llms.chat.template import ChatTemplate
from llms.errors import ModelFolderError, OptionValueError
from tests.tiny_models import build_chat_model, build_chat_tokenizer

# what a template may do at a word of the prompt
TRAPS = {
    "now": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "fill": "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "grow": "{{ 'a' * 3000000000 }}",
    "fail": "{{ 1 / 0 }}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_chat_model(tmp_path_factory.mktemp("rendering") / "model")


@pytest.fixture(scope="module")
def trapped(tmp_path_factory):
    """A template with traps, in its process."""
    tokenizer = build_chat_tokenizer()
    traps = "".join(f"{{% if messages[-1].content == '{word}' %}}{trap}{{% endif %}}" for word, trap in TRAPS.items())
    tokenizer.chat_template = traps + tokenizer.chat_template
    folder = tmp_path_factory.mktemp("trapped")
    tokenizer.save_pretrained(folder)
    return ChatTemplate(tokenizer, TemplateProcess(folder))


def _tokenizer():
    return build_chat_tokenizer()


def test_tokens_are_those_that_are_rendered_here(folder):
    process = TemplateProcess(folder)
    here, apart = ChatTemplate(_tokenizer()), ChatTemplate(_tokenizer(), process)
    call = {"name": "look_up", "args": {"order": "<|im_end|>"}, "id": "c1", "type": "tool_call"}
    conversation = [SystemMessage("Be brief."), HumanMessage("退货<|im_start|>？"), AIMessage("", tool_calls=[call])]
    tool = {"type": "function", "function": {"name": "look_up", "description": "x", "parameters": {"type": "object"}}}
    for messages, tools in ((conversation[:2], ()), (conversation, [tool])):
        assert apart.render(messages, tools=tools) == here.render(messages, tools=tools)
    assert apart.answer_prefix == here.answer_prefix
    with pytest.raises(OptionValueError, match="have to be JSON"):
        apart.render(conversation[:2], template_options={"x": object()})


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("now", "took longer than 4 seconds of computing for this prompt"),
        ("fill", "MB of memory"),
        ("grow", "MB of memory"),
        ("fail", "refuses the roles user: division by zero"),
    ],
)
def test_a_template_that_takes_too_much_is_refused_and_the_next_prompt_rendered(trapped, word, reason):
    with pytest.raises(ModelFolderError, match=reason):
        trapped.render([HumanMessage(word)])
    assert trapped.render([HumanMessage("hello")])
