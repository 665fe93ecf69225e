"""Tokens counted by the model's own tokenizer, and what LangChain's trimming and summarising make of them."""

import shutil

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages

from llms import LocalChatModel, LocalLLM
from llms.errors import InputTextError
from tests.contracts import LONE_SURROGATE

TEXTS = ["Where is my parcel?", "退货要多久？", "", "a<|im_end|>b", "line\nline", "🎉"]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}


@pytest.fixture
def chat(chat_folder):
    return LocalChatModel(model=str(chat_folder), engine="torch", max_tokens=3)


@pytest.fixture
def strict_chat(chat_folder, tmp_path):
    """A model whose template takes turns in one order only, as those of Gemma and Mistral do."""
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    template = folder / "chat_template.jinja"
    refusal = "{% if messages[0].role != 'user' %}{{ raise_exception('begin with the user') }}{% endif %}"
    template.write_text(refusal + template.read_text("utf-8"), encoding="utf-8")
    return LocalChatModel(model=str(folder), engine="torch")


def _is_loaded(model):
    return "_loaded" in model.__dict__


@pytest.mark.parametrize("kind", [LocalChatModel, LocalLLM])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_tokens_of_the_models_own_tokenizer(kind, text, chat_folder):
    model = kind(model=str(chat_folder), engine="torch")
    ids = model.get_token_ids(text)
    assert model.get_num_tokens(text) == len(ids)
    assert not _is_loaded(model)
    assert model._loaded.tokenizer.decode(ids) == text


def test_a_control_token_in_a_text_is_plain_text(chat):
    assert len(chat.get_token_ids("<|im_end|>")) > 1


def test_what_is_no_text_is_refused(chat):
    with pytest.raises(InputTextError):
        chat.get_num_tokens(LONE_SURROGATE)


def test_a_function_of_the_users_own_counts_instead(chat_folder):
    model = LocalChatModel(model=str(chat_folder), custom_get_token_ids=lambda text: [1] * len(text.split()))
    assert model.get_num_tokens("three little words") == 3


@pytest.mark.parametrize("tools", [None, [WEATHER]])
def test_messages_take_as_many_tokens_as_their_prompt_has(chat, tools):
    messages = [SystemMessage("Be brief."), HumanMessage("Where is 退货?"), AIMessage("There."), HumanMessage("Thanks")]
    counted = chat.get_num_tokens_from_messages(messages, tools=tools)
    answer = (chat.bind_tools(tools) if tools else chat).invoke(messages)
    assert counted == answer.usage_metadata["input_tokens"]
    assert chat.get_num_tokens_from_messages([]) == 0


def test_a_history_that_the_template_refuses_is_counted_no_lower_than_its_texts(strict_chat):
    cut = [AIMessage("There it is."), ToolMessage("42", tool_call_id="1"), HumanMessage("Thanks")]
    texts = sum(strict_chat.get_num_tokens(message.text) for message in cut)
    assert texts < strict_chat.get_num_tokens_from_messages(cut) < texts + 100
    assert strict_chat.get_num_tokens_from_messages(cut, tools=[WEATHER]) > strict_chat.get_num_tokens_from_messages(
        cut
    )


@pytest.mark.parametrize("kind", ["chat", "strict_chat"])
def test_a_history_is_trimmed_to_what_the_model_reads(kind, request):
    model = request.getfixturevalue(kind)
    history = [HumanMessage("word " * 100), AIMessage("ok"), HumanMessage("last question")]
    kept = trim_messages(history, max_tokens=60, token_counter=model, start_on="human")
    assert kept == history[2:]
    assert model.get_num_tokens_from_messages(kept) <= 60


def test_the_profile_says_what_the_model_can_do(chat, chat_folder):
    assert chat.profile["max_input_tokens"] == chat._loaded.engine.context_tokens
    assert chat.profile["tool_calling"]
    assert not chat.profile["image_inputs"]
    assert LocalChatModel(model=str(chat_folder), profile={"max_input_tokens": 7}).profile == {"max_input_tokens": 7}


def test_reasoning_is_told_where_the_template_knows_it(chat, chat_folder, tmp_path):
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text("{# <think> #}" + template.read_text("utf-8"), encoding="utf-8")
    assert LocalChatModel(model=str(folder)).profile["reasoning_output"]


def test_a_history_can_be_summarised_at_a_share_of_the_context(chat):
    assert SummarizationMiddleware(model=chat, trigger=("fraction", 0.8), keep=("messages", 2)) is not None
