"""A chat model from nothing: it can repeat before it has learnt anything."""

import random
import shutil

import pytest

from llms import LocalChatModel
from llms.errors import ModelFolderError, OptionValueError
from llms.finetuning.starter_model import UntrainedChatOptions, save_untrained_chat

WORDS = ("blue", "green", "kettle", "camera", "parcel", "router", "refund", "gift", "card", "lens", "seven", "harbour")


def _salad(number, length=10):
    return " ".join(random.Random(number).choices(WORDS, k=length))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "untrained"
    save_untrained_chat([_salad(n) for n in range(50)], folder, UntrainedChatOptions(vocabulary_size=400))
    return folder


def test_what_stood_before_is_repeated_without_any_training(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    wrong = total = 0
    for number in range(10):
        # words in one order only, so that every token has one successor
        text = " " + " ".join(random.Random(number).sample(WORDS, 9))
        half = tokenizer(text)["input_ids"]
        ids = torch.tensor([[*half, *half]])
        with torch.inference_mode():
            guessed = model(ids).logits[0].argmax(-1)
        # the first token of the second half follows nothing that stood before
        wrong += int((guessed[len(half) : -1] != ids[0, len(half) + 1 :]).sum())
        total += len(half) - 1
    assert wrong < 0.2 * total


def test_the_same_seed_gives_the_same_files(folder, tmp_path):
    save_untrained_chat([_salad(n) for n in range(50)], tmp_path / "again", UntrainedChatOptions(vocabulary_size=400))
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_any_chat_can_be_rendered(folder):
    answer = LocalChatModel(model=str(folder), engine="torch", max_tokens=3).invoke("Grüße, 你好 7 <|im_end|>")
    assert answer.response_metadata["finish_reason"]


def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        save_untrained_chat(["a"], tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"vocabulary_size": 200}, {"hidden_size": 100}, {"num_layers": 1}, {"context_tokens": 1}]
)
def test_impossible_sizes_are_refused(changes):
    with pytest.raises(OptionValueError, match=next(iter(changes))):
        UntrainedChatOptions(**changes)
