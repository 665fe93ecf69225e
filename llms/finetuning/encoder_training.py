"""The training loop of a classifier's encoder, on transformers' Trainer."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from typing_extensions import override

from llms.device import wants_bfloat16
from llms.encoder import SentenceEncoder
from llms.finetuning.progress import ProgressBar
from llms.finetuning.records import LabelledText

if TYPE_CHECKING:
    from llms.finetuning.classifier import ClassifierOptions

__all__ = ["TrainedEncoder", "train_encoder"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """An encoder and the linear layer that was trained with it."""

    encoder: SentenceEncoder
    weight: FloatArray  # (labels, dimension)
    bias: FloatArray  # (labels,)
    history: list[dict[str, float]]


def train_encoder(
    encoder: SentenceEncoder,
    kept: Sequence[LabelledText],
    held_out: Sequence[LabelledText],
    labels: Sequence[str],
    options: "ClassifierOptions",
) -> TrainedEncoder:
    """Return the encoder with a linear layer, both trained on `kept`, stopped by `held_out`."""
    set_seed(options.seed)
    label_ids = {label: i for i, label in enumerate(labels)}
    weight, bias = _fit_linear_head(encoder, kept, label_ids, options)
    if options.method == "head":
        return TrainedEncoder(encoder, weight, bias, history=[])
    network = _Network(encoder.model, weight, bias)
    history = _run_trainer(network, kept, held_out, label_ids, options)
    encoder.model.eval()
    linear = network.linear.cpu()
    return TrainedEncoder(encoder, linear.weight.detach().numpy(), linear.bias.detach().numpy(), history)


class _Network(nn.Module):
    """Sentence encoder, unit length, linear layer; the forward pass that Trainer expects."""

    def __init__(self, encoder: SentenceTransformer, weight: FloatArray, bias: FloatArray) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy(bias))

    @override
    def forward(self, labels: torch.Tensor, **tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        vectors = self.encoder(tokens)["sentence_embedding"]  # (batch, dimension)
        logits = self.linear(nn.functional.normalize(vectors, dim=-1)).float()  # (batch, labels)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def _fit_linear_head(
    encoder: SentenceEncoder, rows: Sequence[LabelledText], label_ids: Mapping[str, int], options: "ClassifierOptions"
) -> tuple[FloatArray, FloatArray]:
    from sklearn.linear_model import LogisticRegression

    vectors = encoder.encode([row.text for row in rows], show_progress=options.show_progress)
    model = LogisticRegression(C=20.0, max_iter=300).fit(vectors, [label_ids[row.label] for row in rows])
    weight, bias = model.coef_, model.intercept_
    if weight.shape[0] == 1:  # scikit-learn keeps one row for two labels
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight.astype(np.float32), bias.astype(np.float32)


def _run_trainer(
    network: _Network,
    kept: Sequence[LabelledText],
    held_out: Sequence[LabelledText],
    label_ids: Mapping[str, int],
    options: "ClassifierOptions",
) -> list[dict[str, float]]:
    tokenizer = network.encoder.tokenizer

    def tokenize(rows: Sequence[LabelledText]) -> list[dict[str, Any]]:
        encoded = tokenizer([row.text for row in rows], truncation=True, max_length=network.encoder.max_seq_length)
        return [
            {name: encoded[name][i] for name in encoded} | {"labels": label_ids[row.label]}
            for i, row in enumerate(rows)
        ]

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        padded: dict[str, Any] = tokenizer.pad(examples, padding=True, return_tensors="pt")
        return padded

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=network,
            args=_training_arguments(folder, options, device=network.encoder.device.type),
            data_collator=collate,
            train_dataset=tokenize(kept),
            eval_dataset=tokenize(held_out),
            compute_metrics=_accuracy,
            callbacks=[
                EarlyStoppingCallback(early_stopping_patience=options.patience),
                ProgressBar(enabled=options.show_progress),
            ],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to standard output, which is for results
        trainer.train()
        history = trainer.state.log_history
    return [{k: float(v) for k, v in entry.items()} for entry in history if "eval_accuracy" in entry]


def _training_arguments(folder: str, options: "ClassifierOptions", *, device: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=4 * options.batch_size,
        learning_rate=options.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0.06,
        weight_decay=0.01,
        bf16=wants_bfloat16(device, options.precision),
        train_sampling_strategy="group_by_length",  # short texts are not padded to long ones
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,  # its bar prints every evaluation to standard output; ours does not
        dataloader_pin_memory=False,
        use_cpu=device == "cpu",
        seed=options.seed,
        label_names=["labels"],
        remove_unused_columns=False,
    )


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    logits, expected = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    return {"accuracy": float((logits.argmax(axis=-1) == expected).mean())}
