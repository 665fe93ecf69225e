"""Evaluation of chat models: loss on the assistant's turns of conversations that were not learnt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llms.device import choose_device
from llms.engines.adapters import Adapter
from llms.engines.torch_backend.adapters import AdaptedNetwork, load_adapter
from llms.engines.torch_backend.loading import load_network
from llms.engines.torch_backend.rows import forward, takes
from llms.finetuning.chat.data import IGNORED, ChatExample, build_examples
from llms.finetuning.data.conversations import Conversation
from llms.loading import open_tokenizer
from llms.manifest import check_chat_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLoss:
    """The negative log probability of the assistant's tokens.

    Attributes:
        total: summed over all tokens.
        num_too_long: conversations left out because the model's context does not hold them.
    """

    total: float
    num_tokens: int
    num_too_long: int = 0

    @property
    def per_token(self) -> float:
        """The mean over the tokens, which training makes smaller."""
        return self.total / max(1, self.num_tokens)


def measure_conversations(
    conversations: Sequence[Conversation], model: Path, *, adapter: Path | None = None, device: str = "auto"
) -> ChatLoss:
    """Return the loss on the assistant's turns and the tokens that end them: just what training makes smaller.

    Args:
        model: folder of a complete model.
        adapter: folder of an adapter for it, whose tokenizer and template are used then.

    Raises:
        ModelFolderError: if the folder is no causal language model with a chat template.
        TrainingDataError: if the template cannot render a conversation.
    """
    check_chat_folder(model)
    network = load_network(model, device=choose_device(device))
    adapted = load_adapter(network, Adapter.at(adapter)) if adapter else AdaptedNetwork(network)
    tokenizer = open_tokenizer(adapter or model)
    context_tokens = getattr(network.config, "max_position_embeddings", None) or math.inf
    total, num_tokens, num_too_long = 0.0, 0, 0
    for conversation in conversations:
        examples = build_examples(tokenizer, conversation)
        if any(len(example.input_ids) > context_tokens for example in examples):
            num_too_long += 1
            continue
        for example in examples:
            total += _loss_of(example, adapted)
            num_tokens += sum(label != IGNORED for label in example.labels[1:])
    return ChatLoss(total=total, num_tokens=num_tokens, num_too_long=num_too_long)


def _loss_of(example: ChatExample, adapted: AdaptedNetwork) -> float:
    """Return the sum over the learnt tokens.

    One pass over the whole conversation with an empty cache, not an engine's: what an engine has in its cache of
    prompts depends on what ran before, passes of other lengths round differently on some processors, and a recipe
    that is run again has to give the same figures.
    """
    import torch

    network = adapted.network
    ids = torch.tensor([example.input_ids], device=network.device)
    wanted = torch.tensor(example.labels[1:], device=network.device)
    inputs: dict[str, Any] = {}
    if first := adapted.num_virtual_tokens:
        inputs["attention_mask"] = torch.ones((1, first + ids.shape[1]), dtype=torch.long, device=network.device)
        if takes(network, "position_ids"):
            inputs["position_ids"] = torch.arange(first, first + ids.shape[1], device=network.device)[None]
    logits = forward(network, input_ids=ids, past_key_values=adapted.new_cache(), **inputs)[0, :-1]
    is_learnt = wanted != IGNORED
    return float(torch.nn.functional.cross_entropy(logits[is_learnt].float(), wanted[is_learnt], reduction="sum"))
