"""The loss that reports show: the same for the same texts, whatever ran before, and that of the engines."""

import pytest

from llms.chat.generation import load_language_model
from llms.engines.adapters import Adapter
from llms.engines.choosing import EngineOptions
from llms.engines.torch_backend.loading import load_network
from llms.finetuning.chat.data import IGNORED, build_examples
from llms.finetuning.chat.evaluation import measure_conversations
from llms.finetuning.chat.finetune import finetune_chat
from llms.finetuning.chat.options import ChatTrainingOptions
from llms.finetuning.data.conversations import Conversation, Conversations

ROWS = [
    Conversation([{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": f"order {n}"}])
    for n in range(4)
]


def test_what_was_measured_before_changes_no_pass(chat_folder):
    """Passes of other shapes round differently on some processors, and a recipe has to give its figures again."""
    network = load_network(chat_folder, device="cpu")
    shapes = []
    hook = network.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    try:
        losses = [measure_conversations(ROWS, chat_folder, device="cpu").total for _ in range(2)]
    finally:
        hook.remove()
    half = len(shapes) // 2
    assert shapes[:half] == shapes[half:]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("method", [None, "lora", "prefix"])
def test_it_is_what_the_engine_says_of_the_same_tokens(tmp_path, chat_folder, method):
    adapter = None
    if method:
        options = ChatTrainingOptions(base=str(chat_folder), method=method, keep_adapter=True, epochs=1, rank=4)
        adapter = finetune_chat(Conversations(ROWS), tmp_path / "adapter", options).folder
    model = load_language_model(chat_folder, EngineOptions(engine="torch", device="cpu", has_adapters=bool(adapter)))
    total = 0.0
    for row in ROWS:
        (example,) = build_examples(model.tokenizer, row)
        learnt = [index for index, label in enumerate(example.labels) if label != IGNORED]
        ids, start, end = example.input_ids, learnt[0], learnt[-1] + 1
        chosen = Adapter.at(adapter) if adapter else None
        total -= model.engine.score(ids[:start], [ids[start:end]], adapter=chosen)[0]
    found = measure_conversations(ROWS, chat_folder, adapter=adapter, device="cpu")
    assert found.total == pytest.approx(total, rel=1e-5)
