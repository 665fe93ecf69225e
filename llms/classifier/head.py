"""Heads of classifiers: sentence vectors, n-grams and near examples to probabilities."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from llms.arrays import FloatArray, IntArray
from llms.classifier.lexical import LexicalModel
from llms.classifier.out_of_scope import ScopeModel, scope_signals
from llms.encoder.text_encoder import TextEncoder
from llms.manifest import ClassifierManifest

CLASSIFIER_WEIGHTS_NAME = "classifier.safetensors"
EXAMPLES_NAME = "examples.json"


class ProbabilityModel(Protocol):
    """What turns texts into probabilities; one implementation per kind of model folder."""

    labels: tuple[str, ...]
    is_multi_label: bool

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels), and how alike the training texts each text is."""


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """What each part of a classifier says of some texts, before any scaling; each (texts, labels) float32."""

    encoder: FloatArray
    lexical: FloatArray
    neighbours: FloatArray
    signs: FloatArray  # (texts, signs); see `llms.classifier.out_of_scope`

    def combine(self, scales: "Sequence[float] | npt.NDArray[np.float64]") -> FloatArray:
        """Return the sum of the parts, each times its scale."""
        combined: FloatArray = scales[0] * self.encoder + scales[1] * self.lexical + scales[2] * self.neighbours
        return combined


@dataclass(slots=True, kw_only=True)
class ClassifierHead:
    """Linear layer on a sentence encoder, character n-grams and nearest examples, fused into one probability per label.

    logits = encoder_scale * (weight @ vector + bias) + lexical_scale * n-gram scores
             + neighbour_scale * cosines to the nearest example of each label

    The scales are fitted on held-out rows by maximum likelihood: temperature scaling (Guo et al., "On calibration of
    modern neural networks", ICML 2017) with one temperature per part. Where several labels may apply to a text, each
    has a probability of its own.

    Attributes:
        weight: (labels, dimension).
        bias: (labels,).
        examples: (rows, dimension), unit length: vectors of training texts.
        example_labels: (rows,) label ids, in ascending order; -1 where a text may have several.
        closeness: (rows,), how close each example is to its own neighbours.
        example_texts: (rows,), to show beside an answer; empty where they were not to be kept.
        scales: of encoder, n-grams and nearest examples.
        has_outside: whether the last label stands for texts that belong to none of the others.
    """

    encoder: TextEncoder
    weight: FloatArray
    bias: FloatArray
    lexical: LexicalModel
    examples: FloatArray
    example_labels: IntArray
    closeness: FloatArray
    labels: tuple[str, ...]
    example_texts: tuple[str, ...] = ()
    scales: tuple[float, float, float] = (1.0, 0.0, 0.0)
    scope: ScopeModel | None = None
    is_multi_label: bool = False
    has_outside: bool = False

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
            examples=arrays["examples"].astype(np.float32),
            example_labels=arrays["example_labels"],
            closeness=arrays["closeness"],
            labels=manifest.labels,
            example_texts=_load_texts(folder),
            scales=(manifest.encoder_scale, manifest.lexical_scale, manifest.neighbour_scale),
            scope=ScopeModel(manifest.scope_centers, manifest.scope_spreads, manifest.scope_spread),
            is_multi_label=manifest.multi_label,
            has_outside=manifest.outside_label is not None,
        )

    def save(self, folder: Path) -> None:
        """Write the head's arrays into `folder`; labels, scales and scope belong into the manifest."""
        from safetensors.numpy import save_file

        arrays = {
            "weight": self.weight,
            "bias": self.bias,
            "lexical_idf": self.lexical.idf,
            "lexical_weights": self.lexical.weights,
            "lexical_bias": self.lexical.bias,
            "examples": self.examples.astype(np.float16),
            "example_labels": self.example_labels,
            "closeness": self.closeness,
        }
        # safetensors writes an array's memory as it lies, so a column-major one would come back scrambled
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, folder / CLASSIFIER_WEIGHTS_NAME)
        if self.example_texts:
            text = json.dumps(self.example_texts, ensure_ascii=False, indent=0)
            (folder / EXAMPLES_NAME).write_text(text + "\n", encoding="utf-8")

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels) and in-scope scores (texts,) in [0, 1]."""
        return self.predict_from_vectors(texts, self.encoder.encode(texts, batch_size=batch_size))

    def predict_from_vectors(self, texts: Sequence[str], vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what `predict` does, from vectors (texts, dimension) that the encoder made of the texts before."""
        return self.predict_from_parts(self.score_parts(texts, vectors))

    def predict_from_parts(self, parts: ScoreParts) -> tuple[FloatArray, FloatArray]:
        """Return what `predict` does of the texts that these scores are of, with the scales and scope of this head."""
        probabilities = self.link(parts.combine(self.scales))
        if self.scope is None:
            return probabilities, np.ones(len(probabilities), dtype=np.float32)
        return probabilities, self.scope.score(parts.signs, outside=probabilities[:, -1] if self.has_outside else None)

    def score_parts(self, texts: Sequence[str], vectors: FloatArray) -> ScoreParts:
        """Return what each part says of the texts."""
        encoder_logits = vectors @ self.weight.T + self.bias
        lexical = self.lexical.scores(texts)
        cosines = vectors @ self.examples.T  # (texts, rows)
        inside = slice(-1 if self.has_outside else None)  # of the labels; the outside one is the last
        inside_rows = slice(int((self.example_labels < len(self.labels[inside])).sum()))
        signs = scope_signals(
            cosines[:, inside_rows], self.closeness[inside_rows], encoder_logits[:, inside], lexical[:, inside]
        )
        return ScoreParts(encoder_logits, lexical, self._nearest_of_each(cosines), signs)

    def link(self, logits: FloatArray) -> FloatArray:
        """Return probabilities of the same shape: rows sum to 1 unless several labels may apply."""
        probabilities: FloatArray = expit(logits) if self.is_multi_label else softmax(logits, axis=-1)
        return probabilities

    def _nearest_of_each(self, cosines: FloatArray) -> FloatArray:
        """Return the cosine to the nearest example of each label, (texts, labels); 0 where there are no examples."""
        nearest = np.zeros((len(cosines), len(self.labels)), dtype=np.float32)
        known, starts = np.unique(self.example_labels, return_index=True)
        if len(known) and known[0] >= 0:
            nearest[:, known] = np.maximum.reduceat(cosines, starts, axis=1)
        return nearest


def _load_texts(folder: Path) -> tuple[str, ...]:
    path = folder / EXAMPLES_NAME
    return tuple(json.loads(path.read_text("utf-8"))) if path.is_file() else ()
