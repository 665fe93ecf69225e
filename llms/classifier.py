"""Texts to labels with calibrated probabilities, as a LangChain runnable."""

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from langchain_core.runnables import Runnable, RunnableConfig
from typing_extensions import override

from llms.classification import Classification
from llms.device import Precision, autocast_for, choose_device
from llms.encoder import SentenceEncoder, load_encoder, quiet_loading
from llms.errors import ModelFolderError, UnknownOptionError
from llms.lexical import LexicalModel
from llms.loading import resolve_model
from llms.manifest import MANIFEST_NAME, ClassifierManifest, load_manifest
from llms.texts import check_text

__all__ = ["CLASSIFIER_WEIGHTS_NAME", "NUM_NEIGHBOURS", "ClassifierHead", "LocalClassifier"]

CLASSIFIER_WEIGHTS_NAME = "classifier.safetensors"
NUM_NEIGHBOURS = 5
FloatArray = npt.NDArray[np.float32]


class LocalClassifier(Runnable[str, Classification]):
    """A fine-tuned text classifier: one text or many in, a label with its probability out.

    Two kinds of folders work: those written by `finetune_classifier` (calibrated, and they know what lies
    outside their training texts) and any transformers sequence classification model (softmax as it is).

    `batch` runs the texts through the model together, grouped by length; `max_concurrency` has no meaning
    here. The model is loaded at the first call.

    Args:
        model: folder or hub id.
        min_probability: below it a reply comes with `accepted=False`; default: what training found.
        device: "auto", "cpu", "cuda", ...
        precision: "auto" uses bfloat16 products where the hardware has them.
        batch_size: texts per forward pass.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ModelFolderError: if the folder changed since training (at construction) or holds no classifier (at
            construction or at the first call).
    """

    def __init__(
        self,
        model: str | Path,
        *,
        min_probability: float | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        batch_size: int = 64,
        allow_download: bool = False,
    ) -> None:
        self.folder = resolve_model(model, allow_download=allow_download)
        self.manifest = load_manifest(self.folder) if (self.folder / MANIFEST_NAME).exists() else None
        trained_minimum = self.manifest.min_probability if self.manifest else 0.0
        self.min_probability = trained_minimum if min_probability is None else min_probability
        self.device = device
        self.precision = precision
        self.batch_size = batch_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label the model can answer with."""
        return self._head.labels

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Classification:
        _refuse_options(kwargs)
        return self._call_with_config(lambda text: self._classify([text])[0], input, config)

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Classification:
        return await asyncio.to_thread(self.invoke, input, config, **kwargs)

    @override
    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Classification]:
        _refuse_options(kwargs)
        if return_exceptions:  # one refused text must not take the others with it
            return super().batch(inputs, config, return_exceptions=True)
        return self._classify(inputs)

    @override
    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Classification]:
        return await asyncio.to_thread(self.batch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _classify(self, texts: Sequence[str]) -> list[Classification]:
        checked = [check_text(text) for text in texts]
        if not checked:
            return []
        probabilities, in_scope = self._head.predict(checked, batch_size=self.batch_size)
        return [self._reply(row, float(scope)) for row, scope in zip(probabilities, in_scope, strict=True)]

    def _reply(self, row: FloatArray, in_scope: float) -> Classification:
        order = np.argsort(-row, kind="stable")
        best = int(order[0])
        probability = float(row[best])
        min_in_scope = self.manifest.min_in_scope if self.manifest else 0.0
        return Classification(
            label=self.labels[best],
            probability=probability,
            probabilities={self.labels[int(i)]: float(row[i]) for i in order},
            in_scope=in_scope,
            accepted=probability >= self.min_probability and in_scope >= min_in_scope,
        )

    @functools.cached_property
    def _head(self) -> "_Head":
        device = choose_device(self.device)
        if self.manifest is None:
            return _SequenceClassificationHead(self.folder, device=device, precision=self.precision)
        encoder = load_encoder(self.folder, device=device, precision=self.precision)
        return ClassifierHead.load(self.folder, manifest=self.manifest, encoder=encoder)


class _Head(Protocol):
    """What turns texts into probabilities; one implementation per kind of model folder."""

    labels: tuple[str, ...]

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels), rows sum to 1, and how alike the training texts each is."""


class ClassifierHead:
    """Sentence encoder and character n-grams, fused into one calibrated probability per label.

    logits = encoder_scale * (weight @ vector + bias) + lexical_scale * lexical scores

    The two scales are fitted on held-out rows by maximum likelihood: temperature scaling (Guo et al., "On
    calibration of modern neural networks", ICML 2017) with one temperature per part.
    """

    def __init__(
        self,
        *,
        encoder: SentenceEncoder,
        weight: FloatArray,  # (labels, dimension)
        bias: FloatArray,  # (labels,)
        lexical: LexicalModel,
        neighbours: FloatArray,  # (rows, dimension), unit length
        labels: tuple[str, ...],
        scales: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        self.encoder = encoder
        self.weight = weight
        self.bias = bias
        self.lexical = lexical
        self.neighbours = neighbours
        self.labels = labels
        self.scales = scales

    @classmethod
    def load(cls, folder: Path, *, manifest: ClassifierManifest, encoder: SentenceEncoder) -> "ClassifierHead":
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
        """Return probabilities (texts, labels), rows sum to 1, and in-scope scores (texts,) in [0, 1]."""
        vectors = self.encoder.encode(texts, batch_size=batch_size)
        logits = self.scales[0] * (vectors @ self.weight.T + self.bias)
        if self.scales[1]:
            logits = logits + self.scales[1] * self.lexical.scores(texts)
        return softmax(logits), self.in_scope(vectors)

    def in_scope(self, vectors: FloatArray) -> FloatArray:
        """Return the mean cosine to the nearest training texts, (texts,), cut to [0, 1]."""
        cosines = vectors @ self.neighbours.T  # (texts, rows)
        k = min(NUM_NEIGHBOURS, cosines.shape[1])
        nearest = np.partition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]
        mean: FloatArray = nearest.mean(axis=1)
        return np.clip(mean, 0.0, 1.0)


class _SequenceClassificationHead:
    """Any transformers model with a classification head; it knows nothing of what lies out of scope."""

    def __init__(self, folder: Path, *, device: str, precision: Precision) -> None:
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            with quiet_loading():
                self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
                model, info = AutoModelForSequenceClassification.from_pretrained(
                    folder, local_files_only=True, use_safetensors=True, output_loading_info=True
                )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            msg = f"{folder} cannot be loaded as a classifier: {error}"
            raise ModelFolderError(msg) from error
        if missing := sorted(info["missing_keys"]):
            msg = (
                f"{folder} lacks the weights of a classifier ({missing[0]}, ...), they would be random; "
                "fine-tune the model first with: tunechain finetune classifier"
            )
            raise ModelFolderError(msg)
        self.model = model.eval().to(device)
        self.device = device
        self.precision = precision
        names = model.config.id2label
        self.labels = tuple(names[i] for i in range(len(names)))
        # many tokenizers name no limit of their own; the model's is the one that counts
        self.max_tokens = min(self.tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))

    def predict(self, texts: Sequence[str], *, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (texts, labels), rows sum to 1, and 1 as every in-scope score."""
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
            probabilities[rows] = softmax(logits.float().cpu().numpy())
        return probabilities, np.ones(len(texts), dtype=np.float32)


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def _refuse_options(options: dict[str, Any]) -> None:
    if options:
        msg = f"a classifier takes no call options, got {sorted(options)}; set them at construction"
        raise UnknownOptionError(msg)
