"""Labelled texts in, a folder for `LocalClassifier` out."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from llms.classifier import ClassifierHead
from llms.device import Precision, choose_device
from llms.encoder import SentenceEncoder, open_sentence_transformer, quiet_loading
from llms.errors import TrainingDataError, UnknownOptionError
from llms.finetuning.calibration import Calibration, fit_calibration
from llms.finetuning.records import LabelledText, LabelledTexts, check_training_rows, split_rows
from llms.finetuning.saving import refuse_foreign_folder, replace_folder
from llms.lexical import LexicalModel
from llms.loading import DEFAULT_ENCODER, resolve_model
from llms.manifest import ClassifierManifest, save_manifest

if TYPE_CHECKING:
    from llms.finetuning.encoder_training import TrainedEncoder

__all__ = ["ClassifierOptions", "TrainedClassifier", "finetune_classifier"]

FloatArray = npt.NDArray[np.float32]
Method = Literal["full", "head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierOptions:
    """How a classifier is trained.

    Attributes:
        base: the encoder to start from; folder, hub id or the built-in encoder.
        method: "full" trains every weight, "head" only the last layer (seconds instead of minutes).
        epochs: passes over the rows at most; training stops earlier when the held-out rows stop improving.
        learning_rate: peak rate; a linear warm-up and decay lie around it.
        patience: epochs without improvement on the held-out rows before training stops.
        held_out_share: share of the training rows kept apart for stopping and calibration.
        max_tokens: longer texts are cut.
        seed: the same seed and data give the same model on the same machine.
    """

    base: str = DEFAULT_ENCODER
    method: Method = "full"
    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 1e-4
    patience: int = 2
    held_out_share: float = 0.1
    max_tokens: int = 128
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    show_progress: bool = True

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        if self.method not in ("full", "head"):
            msg = f"method must be 'full' or 'head', got {self.method!r}"
            raise UnknownOptionError(msg)
        if not 0 < self.held_out_share < 0.5:
            msg = f"held_out_share must lie between 0 and 0.5, got {self.held_out_share}"
            raise TrainingDataError(msg)
        smallest = {"epochs": self.epochs, "batch_size": self.batch_size, "max_tokens": self.max_tokens - 1}
        for name, value in smallest.items():
            if value < 1:
                msg = f"{name} is too small: {value}"
                raise TrainingDataError(msg)


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """Where the model lies and how it did on its held-out rows, epoch by epoch."""

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


def finetune_classifier(
    train: LabelledTexts, folder: Path, options: ClassifierOptions | None = None
) -> TrainedClassifier:
    """Train on labelled texts and write a model folder that `LocalClassifier` loads.

    First a linear head is fitted on the frozen encoder, then (method "full") encoder and head are trained
    together from there, which distorts the encoder less than a random head would. A linear model over
    character n-grams is fitted beside it, and held-out rows decide how much each of them counts, when to stop,
    and from which probability on an answer is accepted.

    The folder appears complete or not at all; an existing model in its place is replaced at the end.

    Raises:
        ModelFolderError: before any work, if something that is no model lies in the folder's place.
        TrainingDataError: if the rows have fewer than two labels, or one with a single example.

    References:
        Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution",
        ICLR 2022, for the order of the two steps.
    """
    options = options or ClassifierOptions()
    refuse_foreign_folder(folder)
    check_training_rows(train.rows)
    labels = tuple(sorted({row.label for row in train.rows}))
    kept, held_out = split_rows(train.rows, held_out_share=options.held_out_share, seed=options.seed)
    if not held_out:
        msg = "no rows are left to stop and calibrate by; add examples"
        raise TrainingDataError(msg)

    trained = _train_encoder(kept, held_out, labels, options)
    head = _build_head(trained, kept, labels, options)
    calibration = fit_calibration(head, held_out)
    # what was held out has done its work; now the n-gram model and the neighbours may know it, too
    head = _build_head(trained, train.rows, labels, options)
    head.scales = (calibration.encoder_scale, calibration.lexical_scale)
    manifest = _describe(train, labels, calibration, options)
    _write(folder, trained.encoder, head, manifest)
    return TrainedClassifier(folder, calibration.metrics, trained.history)


def _train_encoder(
    kept: Sequence[LabelledText],
    held_out: Sequence[LabelledText],
    labels: Sequence[str],
    options: ClassifierOptions,
) -> "TrainedEncoder":
    from llms.finetuning.encoder_training import train_encoder

    device = choose_device(options.device)
    model = open_sentence_transformer(resolve_model(options.base), device=device)
    model.max_seq_length = min(options.max_tokens, model.max_seq_length or options.max_tokens)
    encoder = SentenceEncoder(model, device=device, precision=options.precision)
    return train_encoder(encoder, kept, held_out, labels, options)


def _build_head(
    trained: "TrainedEncoder", rows: Sequence[LabelledText], labels: tuple[str, ...], options: ClassifierOptions
) -> ClassifierHead:
    texts = [row.text for row in rows]
    label_ids = [labels.index(row.label) for row in rows]
    vectors = trained.encoder.encode(texts)
    return ClassifierHead(
        encoder=trained.encoder,
        weight=trained.weight,
        bias=trained.bias,
        lexical=LexicalModel.fit(texts, label_ids, seed=options.seed),
        neighbours=_spread(vectors, label_ids, seed=options.seed),
        labels=labels,
    )


def _spread(vectors: FloatArray, label_ids: Sequence[int], *, seed: int, num_per_label: int = 50) -> FloatArray:
    """Return at most `num_per_label` vectors of each label, so that the folder stays small."""
    order = np.random.default_rng(seed).permutation(len(label_ids))
    seen: dict[int, int] = {}
    rows = []
    for row in order:
        label = label_ids[row]
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= num_per_label:
            rows.append(int(row))
    return vectors[sorted(rows)]


def _describe(
    train: LabelledTexts, labels: tuple[str, ...], calibration: Calibration, options: ClassifierOptions
) -> ClassifierManifest:
    libraries = ("torch", "transformers", "sentence-transformers", "scikit-learn")
    return ClassifierManifest(
        labels=labels,
        encoder_scale=calibration.encoder_scale,
        lexical_scale=calibration.lexical_scale,
        min_probability=calibration.min_probability,
        min_in_scope=calibration.min_in_scope,
        base_model=options.base,
        method=options.method,
        seed=options.seed,
        data_sha256=train.sha256,
        versions={name: importlib.metadata.version(name) for name in libraries},
        metrics=calibration.metrics,
    )


def _write(folder: Path, encoder: SentenceEncoder, head: ClassifierHead, manifest: ClassifierManifest) -> None:
    with replace_folder(folder) as new:
        with quiet_loading():
            encoder.model.save(str(new), create_model_card=False)
        head.save(new)
        save_manifest(manifest, new)
