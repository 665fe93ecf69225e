"""Training of causal chat models through the shared loop: examples, method, training, reference output."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from typing_extensions import override

from llms.engines.torch_backend.loading import open_causal_model
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning.chat.data import IGNORED, ChatExample, build_examples
from llms.finetuning.chat.packing import Row, check_packing, collator, pack_examples, rows_of
from llms.finetuning.data.conversations import Conversation
from llms.finetuning.trainer.adapted_models import keeps_adapter
from llms.finetuning.trainer.methods import (
    apply_method,
    count_parameters,
    merge_method,
    orthogonality_loss,
    save_adapter,
)
from llms.finetuning.trainer.trainer import TrainingRun, num_training_steps, run_training, training_fingerprint
from llms.loading import open_tokenizer, quiet_loading
from llms.manifest import TokenReference

if TYPE_CHECKING:
    from llms.finetuning.chat.options import ChatTrainingOptions


_FEWEST_TO_HOLD_OUT = 20  # of fewer, the loss on a tenth says nothing, and each conversation is needed
_REFERENCE_EXAMPLES = 8
_REFERENCE_PROMPT_TOKENS, _REFERENCE_NEXT_TOKENS = 64, 8
_CLEAR_MARGIN = 1.0  # between the logits of the first and the second choice; rounding moves them by hundredths


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A trained model, or adapter, with the tokenizer it was trained with."""

    model: Any  # a PreTrainedModel, or a PeftModel around one where the adapter is kept
    tokenizer: PreTrainedTokenizerBase
    history: list[dict[str, float]]
    parameters: tuple[int, int]  # trained, total
    num_held_out: int
    reference_output: TokenReference | None

    @property
    def best_held_out_loss(self) -> float | None:
        """The loss on the held-out conversations of the weights that were kept; None where none were held out."""
        losses = [row["held_out_loss"] for row in self.history if "held_out_loss" in row]
        return min(losses) if losses else None

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer, chat template and generation settings into `folder`."""
        with quiet_loading():
            if isinstance(self.model, PreTrainedModel):
                self.model.save_pretrained(folder)
            else:
                save_adapter(self.model, folder)
            self.model.generation_config.save_pretrained(folder)  # PEFT does not write it
            self.tokenizer.save_pretrained(folder)


def train_chat(
    base: Path,
    conversations: Sequence[Conversation],
    options: "ChatTrainingOptions",
    *,
    folder: Path,
    fingerprint: str,
) -> TrainedNetwork:
    """Return the model in `base` after training on the assistant's turns of all conversations but the held-out ones.

    Args:
        folder: where the model will be saved; checkpoints and logs lie beside it.
        fingerprint: of base and data; an interrupted training of the same goes on where it was.

    Raises:
        ModelFolderError: if `base` is no causal language model with a chat template.
        TrainingDataError: before any training, if a conversation is too long or the template cannot render it.
        UnsupportedOptionError: if the model cannot keep packed conversations apart, or the method does not know it.
    """
    set_seed(options.seed)
    tokenizer, model = _load(base)
    groups = [build_examples(tokenizer, row) for row in conversations]
    _refuse_long(conversations, groups, model, options)
    examples = [example for group in groups for example in group]
    _set_end_tokens(model, tokenizer, examples)
    saved_dtype = model.dtype
    model.to(torch.float32)  # type: ignore[arg-type]  # small steps are lost on bfloat16 weights
    if options.packing:
        check_packing(model, examples)
    held_out = _held_out_indices(len(groups), options)
    train = _rows([row for index, row in enumerate(groups) if index not in held_out], options)
    num_steps = num_training_steps(options, len(train))
    trained: Any = apply_method(model, options.method, rank=options.rank, num_steps=num_steps)
    network = _Network(trained, num_passes=options.gradient_accumulation)
    run = TrainingRun(
        network=network,
        train=train,
        held_out=_rows([groups[index] for index in sorted(held_out)], options),
        collate=collator(_pad_id(tokenizer)),
        lengths=[len(row["input_ids"]) for row in train],
        fingerprint=training_fingerprint(options, fingerprint),
        # runs are short; over the default's 1,000 steps the first, large gradients would rule the second moment
        trainer_arguments={"weight_decay": 0.0, "adam_beta2": 0.95},
    )
    parameters = count_parameters(trained)
    history = run_training(run, options, folder)
    trained.to("cpu").eval()
    if not keeps_adapter(options):
        trained = merge_method(trained)
        trained.to(saved_dtype)
    return TrainedNetwork(
        trained, tokenizer, history, parameters, len(held_out), _find_reference_output(trained, examples)
    )


class _Network(nn.Module):
    """A chat model whose loss is the mean over all learnt tokens of a batch, into however many passes it is cut."""

    def __init__(self, model: Any, *, num_passes: int) -> None:
        super().__init__()
        self.model = model
        self.num_passes = num_passes

    @override
    def forward(self, labels: torch.Tensor, num_items_in_batch: Any = None, **tokens: Any) -> dict[str, torch.Tensor]:
        # no cache: transformers tells packed conversations apart only without one
        logits = self.model(**tokens, use_cache=False).logits  # (rows, tokens, vocabulary)
        wanted = labels[:, 1:]
        is_learnt = wanted != IGNORED
        total = nn.functional.cross_entropy(logits[:, :-1][is_learnt].float(), wanted[is_learnt], reduction="sum")
        loss = total / (is_learnt.sum() if num_items_in_batch is None else num_items_in_batch)
        if self.training:
            loss = loss + orthogonality_loss(self.model) / self.num_passes  # the passes' losses are summed
        return {"loss": loss, "logits": logits}


def _load(base: Path) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    model = open_causal_model(base)
    tokenizer = open_tokenizer(base)
    if not tokenizer.chat_template:
        msg = f"{base} has no chat template; add the chat_template.jinja of the model's instruct version"
        raise ModelFolderError(msg)
    return tokenizer, model


def _refuse_long(
    conversations: Sequence[Conversation],
    groups: Sequence[Sequence[ChatExample]],
    model: PreTrainedModel,
    options: "ChatTrainingOptions",
) -> None:
    context_tokens = getattr(model.config, "max_position_embeddings", None) or options.max_tokens
    limit = min(options.max_tokens, context_tokens)
    lengths = [max(len(example.input_ids) for example in group) for group in groups]
    names = [f"line {row.line}" if row.line else f"number {i}" for i, row in enumerate(conversations, start=1)]
    long = [f"{name} ({n:,} tokens)" for name, n in zip(names, lengths, strict=True) if n > limit]
    if long:
        msg = (
            f"{len(long)} of {len(conversations)} conversations have more than {limit:,} tokens: "
            f"{', '.join(long[:5])}; shorten or remove them, or raise max_tokens (the model's context has "
            f"{context_tokens:,})"
        )
        raise TrainingDataError(msg)


def _set_end_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[ChatExample]
) -> None:
    """Let generation stop at every token that ends a turn here, and at those the base stopped at."""
    settings: Any = model.generation_config
    before = settings.eos_token_id if settings.eos_token_id is not None else []
    ends = {before} if isinstance(before, int) else set(before)
    ends = ends.union(*(example.end_ids for example in examples))
    settings._from_model_config = False  # else transformers may derive the settings from config.json again
    settings.eos_token_id = sorted(ends) if len(ends) > 1 else ends.pop()
    if settings.pad_token_id is None:
        settings.pad_token_id = _pad_id(tokenizer)


def _held_out_indices(num_conversations: int, options: "ChatTrainingOptions") -> set[int]:
    """Return which conversations are kept apart; the seed decides."""
    if num_conversations < _FEWEST_TO_HOLD_OUT:
        return set()
    num = int(options.held_out_share * num_conversations)
    return {int(index) for index in np.random.default_rng(options.seed).permutation(num_conversations)[:num]}


def _rows(groups: Sequence[Sequence[ChatExample]], options: "ChatTrainingOptions") -> list[Row]:
    examples = [example for group in groups for example in group]
    return pack_examples(examples, max_tokens=options.max_tokens) if options.packing else rows_of(examples)


def _find_reference_output(model: Any, examples: Sequence[ChatExample]) -> TokenReference | None:
    """Return the longest run of clear choices after the beginning of an example; None where no choice is clear."""
    best: TokenReference | None = None
    for example in examples[:_REFERENCE_EXAMPLES]:
        start = next(index for index, label in enumerate(example.labels) if label >= 0)
        prompt = example.input_ids[max(0, start - _REFERENCE_PROMPT_TOKENS) : start] or example.input_ids[:1]
        chosen = _clear_choices(model, prompt)
        if chosen and (best is None or len(chosen) > len(best.next_ids)):
            best = TokenReference(prompt_ids=tuple(prompt), next_ids=chosen)
    return best


def _clear_choices(model: Any, prompt: Sequence[int]) -> tuple[int, ...]:
    ids = list(prompt)
    ends = np.atleast_1d(model.generation_config.eos_token_id).tolist()
    with torch.inference_mode():
        while len(ids) < len(prompt) + _REFERENCE_NEXT_TOKENS:
            (first, second), (choice, _) = model(input_ids=torch.tensor([ids])).logits[0, -1].float().topk(2)
            if choice in ends or not first - second >= _CLEAR_MARGIN:
                break
            ids.append(int(choice))
    return tuple(ids[len(prompt) :])


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return any id: padded positions are neither attended to nor learnt."""
    for id_ in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(id_, int):
            return id_
    return 0
