"""The training loop of a causal chat model, on transformers' Trainer and, for adapters, PEFT."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from llms.device import choose_device, wants_bfloat16
from llms.encoder import quiet_loading
from llms.engines.torch_loading import open_causal_model
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning.chat_examples import IGNORED, ChatExample, build_examples
from llms.finetuning.conversations import Conversation
from llms.finetuning.progress import ProgressBar

if TYPE_CHECKING:
    from llms.finetuning.chat import ChatTrainingOptions

__all__ = ["TrainedModel", "train_chat"]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model, or adapter, with the tokenizer it was trained with."""

    model: Any  # a PreTrainedModel, or a PeftModel around one; both save themselves
    tokenizer: PreTrainedTokenizerBase
    history: list[dict[str, float]]

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer, chat template and generation settings into `folder`."""
        with quiet_loading():
            self.model.save_pretrained(folder)
            self.model.generation_config.save_pretrained(folder)  # PEFT does not write it
            self.tokenizer.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's form of a model card, with nothing filled in


def train_chat(base: Path, conversations: Sequence[Conversation], options: "ChatTrainingOptions") -> TrainedModel:
    """Return the model in `base` after training on the assistant's turns of all conversations.

    Raises:
        ModelFolderError: if `base` is no causal language model with a chat template.
        TrainingDataError: before any training, if a conversation is too long or the template cannot render it.
    """
    set_seed(options.seed)
    tokenizer, model = _load(base)
    groups = [build_examples(tokenizer, row) for row in conversations]
    _refuse_long(conversations, groups, model, options)
    examples = [example for group in groups for example in group]
    _set_end_tokens(model, tokenizer, examples)
    saved_dtype = model.dtype
    trained: Any = model
    trained.to(torch.float32)  # small steps are lost on bfloat16 weights
    if options.method == "lora":
        trained = _add_adapter(model, options)
    history = _run_trainer(trained, tokenizer, examples, options)
    trained.to("cpu").eval()
    if options.method == "full":
        trained.to(saved_dtype)
    return TrainedModel(trained, tokenizer, history)


def _load(base: Path) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    model = open_causal_model(base)
    try:
        with quiet_loading():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        msg = f"the tokenizer in {base} cannot be loaded: {error}"
        raise ModelFolderError(msg) from error
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


def _add_adapter(model: PreTrainedModel, options: "ChatTrainingOptions") -> Any:
    from peft import LoraConfig, get_peft_model

    rank = options.lora_rank
    return get_peft_model(
        model,
        LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def _run_trainer(
    model: Any, tokenizer: PreTrainedTokenizerBase, examples: Sequence[ChatExample], options: "ChatTrainingOptions"
) -> list[dict[str, float]]:
    pad_id = _pad_id(tokenizer)

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        # not tokenizer.pad(): its settings would be written into the saved tokenizer
        columns = {name: [torch.tensor(row[name]) for row in batch] for name in ("input_ids", "labels")}
        ones = [torch.ones_like(ids) for ids in columns["input_ids"]]
        return {
            "input_ids": pad_sequence(columns["input_ids"], batch_first=True, padding_value=pad_id),
            "labels": pad_sequence(columns["labels"], batch_first=True, padding_value=IGNORED),
            "attention_mask": pad_sequence(ones, batch_first=True),
        }

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=_training_arguments(folder, options, num_examples=len(examples)),
            data_collator=collate,
            train_dataset=[{"input_ids": row.input_ids, "labels": row.labels} for row in examples],
            callbacks=[ProgressBar(enabled=options.show_progress)],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to standard output, which is for results
        trainer.train()
        history = trainer.state.log_history
    return [{name: float(entry[name]) for name in ("epoch", "loss")} for entry in history if "loss" in entry]


def _training_arguments(folder: str, options: "ChatTrainingOptions", *, num_examples: int) -> TrainingArguments:
    device = choose_device(options.device)
    num_steps = options.epochs * math.ceil(num_examples / options.batch_size)
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.peak_learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=int(0.06 * num_steps),  # the first step of a warm-up has rate 0, so a short run has none
        weight_decay=0.0,
        adam_beta2=0.95,  # runs are short; over the default's 1,000 steps the first, large gradients would rule
        bf16=wants_bfloat16(device, options.precision),
        train_sampling_strategy="group_by_length",  # short conversations are not padded to long ones
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,  # its bar prints every log entry to standard output; ours does not
        dataloader_pin_memory=False,
        use_cpu=device == "cpu",
        seed=options.seed,
        label_names=["labels"],
        remove_unused_columns=False,
    )


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return any id: padded places are neither attended to nor learnt."""
    for id_ in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(id_, int):
            return id_
    return 0
