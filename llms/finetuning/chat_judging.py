"""How well a chat model foresees what the assistant says in conversations it did not learn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llms.encoder import quiet_loading
from llms.engines.adapters import Adapter
from llms.engines.choosing import EngineOptions
from llms.finetuning.chat_examples import IGNORED, ChatExample, build_examples
from llms.finetuning.conversations import Conversation
from llms.generation import load_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatLoss", "measure_conversations"]


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
    loaded = load_language_model(model, EngineOptions(engine="torch", device=device, has_adapters=adapter is not None))
    chosen = Adapter.at(adapter) if adapter else None
    tokenizer = _load_tokenizer(adapter) if adapter else loaded.tokenizer
    total, num_tokens, num_too_long = 0.0, 0, 0
    for conversation in conversations:
        examples = build_examples(tokenizer, conversation)
        if any(len(example.input_ids) > loaded.engine.context_tokens for example in examples):
            num_too_long += 1
            continue
        parts = [(example.input_ids, *part) for example in examples for part in _learnt_parts(example)]
        for ids, start, end in parts:
            (log_probability,) = loaded.engine.score(ids[:start], [ids[start:end]], adapter=chosen)
            total -= log_probability
            num_tokens += end - start
    return ChatLoss(total=total, num_tokens=num_tokens, num_too_long=num_too_long)


def _load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    with quiet_loading():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer


def _learnt_parts(example: ChatExample) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of learnt tokens."""
    labels = [*example.labels, IGNORED]
    start: int | None = None
    for place, label in enumerate(labels):
        if label != IGNORED and start is None:
            start = place
        elif label == IGNORED and start is not None:
            yield start, place
            start = None
