"""What turns texts into probabilities in a classifier; one implementation per kind of model folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llms.lexical import LexicalModel
from llms.manifest import ClassifierManifest
from llms.text_encoder import TextEncoder

__all__ = [
    "CLASSIFIER_WEIGHTS_NAME",
    "NUM_NEIGHBOURS",
    "ClassifierHead",
    "ProbabilityModel",
    "sigmoid",
    "softmax",
]

CLASSIFIER_WEIGHTS_NAME = "classifier.safetensors"
NUM_NEIGHBOURS = 5
FloatArray = npt.NDArray[np.float32]


class ProbabilityModel(Protocol):
    """What turns texts into probabilities; one implementation per kind of model folder."""

    labels: tuple[str, ...]
    is_multi_label: bool

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels), and how alike the training texts each text is."""


class ClassifierHead:
    """Sentence encoder and character n-grams, fused into one calibrated probability per label.

    logits = encoder_scale * (weight @ vector + bias) + lexical_scale * lexical scores

    Where several labels may apply to a text, each has a probability of its own.

    The two scales are fitted on held-out rows by maximum likelihood: temperature scaling (Guo et al., "On
    calibration of modern neural networks", ICML 2017) with one temperature per part.
    """

    def __init__(
        self,
        *,
        encoder: TextEncoder,
        weight: FloatArray,  # (labels, dimension)
        bias: FloatArray,  # (labels,)
        lexical: LexicalModel,
        neighbours: FloatArray,  # (rows, dimension), unit length
        labels: tuple[str, ...],
        scales: tuple[float, float] = (1.0, 0.0),
        is_multi_label: bool = False,
    ) -> None:
        self.encoder = encoder
        self.weight = weight
        self.bias = bias
        self.lexical = lexical
        self.neighbours = neighbours
        self.labels = labels
        self.scales = scales
        self.is_multi_label = is_multi_label

    @classmethod
    def load(cls, folder: Path, *, manifest: ClassifierManifest, encoder: TextEncoder) -> "ClassifierHead":
        """Return the head saved beside the encoder in `folder`."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / CLASSIFIER_WEIGHTS_NAME)
        return cls(
            encoder=encoder,
            weight=arrays["weight"],
            bias=arrays["bias"],
            lexical=LexicalModel(
                idf=arrays["lexical_idf"], weights=arrays["lexical_weights"], bias=arrays["lexical_bias"]
            ),
            neighbours=arrays["neighbours"].astype(np.float32),
            labels=manifest.labels,
            scales=(manifest.encoder_scale, manifest.lexical_scale),
            is_multi_label=manifest.multi_label,
        )

    def save(self, folder: Path) -> None:
        """Write the head's arrays into `folder`; the labels and scales belong into the manifest."""
        from safetensors.numpy import save_file

        arrays = {
            "weight": self.weight,
            "bias": self.bias,
            "lexical_idf": self.lexical.idf,
            "lexical_weights": self.lexical.weights,
            "lexical_bias": self.lexical.bias,
            "neighbours": self.neighbours.astype(np.float16),
        }
        # safetensors writes an array's memory as it lies, so a column-major one would come back scrambled
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, folder / CLASSIFIER_WEIGHTS_NAME)

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels) and in-scope scores (texts,) in [0, 1]."""
        return self.predict_from_vectors(texts, self.encoder.encode(texts, batch_size=batch_size))

    def predict_from_vectors(self, texts: Sequence[str], vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what `predict` does, from vectors (texts, dimension) that the encoder made of the texts before."""
        logits = self.scales[0] * (vectors @ self.weight.T + self.bias)
        if self.scales[1]:
            logits = logits + self.scales[1] * self.lexical.scores(texts)
        return self.link(logits), self.in_scope(vectors)

    def link(self, logits: FloatArray) -> FloatArray:
        """Return probabilities of the same shape: rows sum to 1 unless several labels may apply."""
        return sigmoid(logits) if self.is_multi_label else softmax(logits)

    def in_scope(self, vectors: FloatArray) -> FloatArray:
        """Return the mean cosine to the nearest training texts, (texts,), cut to [0, 1]."""
        cosines = vectors @ self.neighbours.T  # (texts, rows)
        k = min(NUM_NEIGHBOURS, cosines.shape[1])
        nearest = np.partition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]
        mean: FloatArray = nearest.mean(axis=1)
        return np.clip(mean, 0.0, 1.0)


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return each logit as a probability of its own."""
    # tanh takes any size without overflow
    probabilities: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return probabilities
