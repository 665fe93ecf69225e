"""Sequence classification models of transformers that were not trained here, as they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax

from llms.arrays import FloatArray
from llms.device import Precision, autocast_for
from llms.errors import ModelFolderError
from llms.loading import FROM_FOLDER, loading_from


class SequenceClassifier:
    """Any transformers model with a classification head; it knows nothing of what lies out of scope."""

    def __init__(self, folder: Path, *, device: str, precision: Precision) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        with loading_from(folder, "a classifier"):
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **FROM_FOLDER
            )
        if missing := sorted(info["missing_keys"]):
            msg = (
                f"{folder} lacks the weights of a classifier ({missing[0]}, ...), they would be random; "
                "fine-tune the model first with: tunechain finetune classifier"
            )
            raise ModelFolderError(msg)
        self.model = model.eval().to(device)
        self.device = device
        self.precision = precision
        self.is_multi_label = model.config.problem_type == "multi_label_classification"
        names = model.config.id2label
        self.labels = tuple(names[i] for i in range(len(names)))
        # many tokenizers name no limit of their own; the model's is the one that counts
        self.max_tokens = min(self.tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels), and 1 as every in-scope score."""
        import torch

        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        probabilities = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        for start in range(0, len(texts), batch_size):
            rows = by_length[start : start + batch_size]
            tokens = self.tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            ).to(self.device)
            with torch.inference_mode(), autocast_for(self.device, self.precision):
                logits = self.model(**tokens).logits  # (batch, labels)
            scores = logits.float().cpu().numpy()
            probabilities[rows] = expit(scores) if self.is_multi_label else softmax(scores, axis=-1)
        return probabilities, np.ones(len(texts), dtype=np.float32)
