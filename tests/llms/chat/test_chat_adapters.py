"""An adapter trained here is chosen per call, with the tokenizer and template it was trained with."""

import shutil

import pytest

from llms import LocalChatModel
from llms.errors import ModelFolderError
from llms.finetuning.chat.finetune import finetune_chat
from llms.finetuning.chat.options import ChatTrainingOptions
from llms.finetuning.data.conversations import Conversation, Conversations

QUESTION, ANSWER = "Hello", "Hello! How can I help you today?"
OWN_ANSWER = "Welcome to the refund desk."


@pytest.fixture(scope="module")
def adapter_folder(trained_chat_folder, tmp_path_factory):
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": OWN_ANSWER}]
    options = ChatTrainingOptions(
        base=str(trained_chat_folder),
        method="lora",
        keep_adapter=True,
        epochs=40,
        batch_size=1,
        learning_rate=5e-3,
        device="cpu",
        precision="float32",
        resume=False,
        track="none",
        show_progress=False,
    )
    folder = tmp_path_factory.mktemp("adapter") / "refunds"
    return finetune_chat(Conversations([Conversation(turns)]), folder, options).folder


@pytest.fixture(scope="module")
def chat(trained_chat_folder, adapter_folder):
    return LocalChatModel(model=str(trained_chat_folder), adapters={"refunds": str(adapter_folder)}, max_tokens=40)


def test_the_adapter_answers_its_own_calls_only(chat):
    refunds = chat.bind(adapter="refunds")
    assert [chat.invoke(QUESTION).text, refunds.invoke(QUESTION).text] == [ANSWER, OWN_ANSWER]
    assert [message.text for message in refunds.batch([QUESTION] * 3)] == [OWN_ANSWER] * 3
    assert "".join(chunk.text for chunk in chat.stream(QUESTION)) == ANSWER
    assert "".join(chunk.text for chunk in refunds.stream(QUESTION)) == OWN_ANSWER


def test_a_model_may_have_an_adapter_of_its_own(trained_chat_folder, adapter_folder):
    adapters = {"refunds": str(adapter_folder)}
    own = LocalChatModel(model=str(trained_chat_folder), adapters=adapters, adapter="refunds", max_tokens=40)
    assert own.invoke(QUESTION).text == OWN_ANSWER
    assert own.bind(adapter=None).invoke(QUESTION).text == ANSWER


def test_scores_follow_the_adapter(chat):
    choices = [ANSWER, OWN_ANSWER]
    assert max(chat.score_choices(QUESTION, choices).items(), key=lambda item: item[1])[0] == ANSWER
    adapted = chat.score_choices(QUESTION, choices, adapter="refunds")
    assert max(adapted.items(), key=lambda item: item[1])[0] == OWN_ANSWER


def test_an_adapter_whose_template_was_changed_is_refused(adapter_folder, trained_chat_folder, tmp_path):
    folder = shutil.copytree(adapter_folder, tmp_path / "adapter")
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="has changed since training"):
        LocalChatModel(model=str(trained_chat_folder), adapters={"refunds": str(folder)})
