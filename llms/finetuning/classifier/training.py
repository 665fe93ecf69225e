"""Training of sentence encoder and linear layer together."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import EvalPrediction, set_seed
from typing_extensions import override

from llms.arrays import FloatArray
from llms.encoder.adapters import body_of
from llms.encoder.sentence_encoder import SentenceEncoder
from llms.finetuning.classifier.data import LabelledRows, TrainedEncoder
from llms.finetuning.classifier.head import fit_linear_layer
from llms.finetuning.trainer.adapted_models import apply_to_body
from llms.finetuning.trainer.methods import count_parameters, orthogonality_loss
from llms.finetuning.trainer.trainer import TrainingRun, num_training_steps, run_training, training_fingerprint
from llms.metrics import micro_f1

if TYPE_CHECKING:
    from llms.finetuning.classifier.options import ClassifierOptions


def train_encoder(
    encoder: SentenceEncoder,
    kept: LabelledRows,
    held_out: LabelledRows,
    *,
    num_labels: int,
    options: "ClassifierOptions",
    folder: Path,
    fingerprint: str,
) -> TrainedEncoder:
    """Return the encoder with a linear layer, both trained on `kept`, stopped by `held_out`.

    Args:
        folder: where the model will be saved; checkpoints and logs lie beside it.
        fingerprint: of base and data; an interrupted training of the same goes on where it was.
    """
    set_seed(options.seed)
    vectors = encoder.encode(kept.texts, show_progress=options.show_progress)
    weight, bias = fit_linear_layer(vectors, kept.targets, num_labels)
    network = _Network(encoder.model, weight, bias)
    apply_to_body(encoder.model, options, num_steps=num_training_steps(options, len(kept)))
    if options.method == "head":
        known = dict(zip(kept.texts, vectors, strict=True))
        return TrainedEncoder(encoder, weight, bias, [], count_parameters(network), known)
    train = _tokenize(network, kept)
    run = TrainingRun(
        network=network,
        train=train,
        held_out=_tokenize(network, held_out),
        collate=_collator(network),
        lengths=[len(row["input_ids"]) for row in train],
        measure=_micro_f1 if kept.is_multi_label else _accuracy,
        metric="micro_f1" if kept.is_multi_label else "accuracy",
        fingerprint=training_fingerprint(options, fingerprint),
    )
    parameters = count_parameters(network)
    history = run_training(run, options, folder)
    encoder.model.eval()
    linear = network.linear.cpu()
    return TrainedEncoder(encoder, linear.weight.detach().numpy(), linear.bias.detach().numpy(), history, parameters)


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
        if labels.ndim == 2:
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum") / len(labels)
        else:
            loss = nn.functional.cross_entropy(logits, labels)
        if self.training:
            loss = loss + orthogonality_loss(body_of(self.encoder))
        return {"loss": loss, "logits": logits}


def _tokenize(network: _Network, rows: LabelledRows) -> list[dict[str, Any]]:
    tokenizer = network.encoder.tokenizer
    if not rows.texts:
        return []
    encoded = tokenizer(rows.texts, truncation=True, max_length=network.encoder.max_seq_length)
    return [{name: encoded[name][i] for name in encoded} | {"labels": target} for i, target in enumerate(rows.targets)]


def _collator(network: _Network) -> Any:
    tokenizer = network.encoder.tokenizer

    def collate(examples: list[dict[str, Any]]) -> Mapping[str, Any]:
        tokens = [{name: value for name, value in row.items() if name != "labels"} for row in examples]
        padded: dict[str, Any] = tokenizer.pad(tokens, padding=True, return_tensors="pt")
        return {**padded, "labels": torch.as_tensor(np.stack([row["labels"] for row in examples]))}

    return collate


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    logits, expected = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    return {"accuracy": float((logits.argmax(axis=-1) == expected).mean())}


def _micro_f1(prediction: EvalPrediction) -> dict[str, float]:
    predicted, expected = np.asarray(prediction.predictions) > 0, np.asarray(prediction.label_ids) > 0
    return {"micro_f1": micro_f1(predicted, expected)}
