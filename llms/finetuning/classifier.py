"""Labelled texts in, a folder for `LocalClassifier` out."""

import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from llms.classifier_head import ClassifierHead
from llms.device import choose_device
from llms.encoder import SentenceEncoder, open_sentence_transformer
from llms.errors import OptionValueError
from llms.finetuning.bodies import keeps_adapter, merge_body, save_body
from llms.finetuning.calibration import Calibration, Promise, fit_calibration
from llms.finetuning.checkpoints import discard_checkpoints
from llms.finetuning.heads import LabelledRows, build_head, cross_fitted_parts, refuse_unlearnable_split, to_rows
from llms.finetuning.records import check_training_rows, split_rows
from llms.finetuning.rows import ClassifierRow, LabelledTexts, MultiLabelTexts, labels_of
from llms.finetuning.saving import refuse_foreign_folder, replace_folder
from llms.finetuning.training_options import TrainingOptions
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import ClassifierManifest, LabelCanary, save_manifest

if TYPE_CHECKING:
    from llms.finetuning.encoder_training import TrainedEncoder

__all__ = ["ClassifierOptions", "TrainedClassifier", "finetune_classifier"]

_NUM_CANARIES = 3
_CROSS_FITTED_ROWS = 3_000  # above that, a tenth held out says enough and five fits take too long
_FEW_EXAMPLES = 20  # of a label; with fewer, its name is worth an example


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierOptions(TrainingOptions):
    """How a classifier is trained; what is common to all tasks stands in `TrainingOptions`.

    Attributes:
        accepted_accuracy: share of the accepted answers that shall be right.
        accepted_confidence: how sure that shall be, 0.5 to 1; 0 takes the share on the held-out rows as it is.
        label_set_confidence: share of texts whose right label shall be among `Classification.labels`.
        split_by: how rows are held out: the same share of every label, whole groups, or the latest.
        learn_names: whether a label's name is learnt as one more example of it, as "card_lost" says much; None is
            yes for labels of words where most have fewer than 20 examples.
        keep_examples: whether up to 50 training texts of each label are kept in the folder, so that the nearest can
            be shown beside an answer; their vectors are kept in any case.
    """

    accepted_accuracy: float = 0.95
    accepted_confidence: float = 0.0
    label_set_confidence: float = 0.95
    split_by: Literal["label", "group", "time"] = "label"
    learn_names: bool | None = None
    keep_examples: bool = True

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        TrainingOptions.__post_init__(self)
        for name in ("accepted_accuracy", "label_set_confidence"):
            if not 0 < getattr(self, name) < 1:
                msg = f"{name} must lie between 0 and 1, got {getattr(self, name)}"
                raise OptionValueError(msg)
        if self.accepted_confidence != 0 and not 0.5 < self.accepted_confidence < 1:
            msg = f"accepted_confidence must be 0 or lie between 0.5 and 1, got {self.accepted_confidence}"
            raise OptionValueError(msg)

    def learns_names(self, rows: Sequence[ClassifierRow]) -> bool:
        """Return whether the names of the labels are learnt beside these rows.

        Example:
            >>> rows = [LabelledText("Where is it?", "card_arrival"), LabelledText("It is gone", "lost_card")]
            >>> ClassifierOptions().learns_names(rows), ClassifierOptions().learns_names(rows * 50)
            (True, False)
        """
        counts = Counter(label for row in rows for label in labels_of(row))
        if self.learn_names is not None:
            return self.learn_names
        is_words = all(any(character.isalpha() for character in label) and len(label) > 2 for label in counts)
        return is_words and float(np.median(list(counts.values()))) < _FEW_EXAMPLES

    @property
    def promise(self) -> Promise:
        """What the thresholds are fitted for."""
        return Promise(
            accepted_accuracy=self.accepted_accuracy,
            confidence=self.accepted_confidence,
            label_set_confidence=self.label_set_confidence,
        )


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """Where the model lies and how it did on its held-out rows, epoch by epoch."""

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


def finetune_classifier(
    train: LabelledTexts | MultiLabelTexts, folder: Path, options: ClassifierOptions | None = None
) -> TrainedClassifier:
    """Train on labelled texts and write a model folder that `LocalClassifier` loads.

    First a linear head is fitted on the frozen encoder, then encoder and head are trained together from there by
    the method of `options` (not "head"), which distorts the encoder less than a random head would. A linear model
    over character n-grams is fitted beside it, and held-out rows decide how much each of them counts, when to stop,
    and from which probability on an answer is accepted.

    The folder appears complete or not at all; an existing model in its place is replaced at the end. Repeated after
    a kill, the call goes on from the newest checkpoint.

    Raises:
        ModelFolderError: before any work, if something that is no model lies in the folder's place, or the base is
            no sentence encoder.
        TrainingDataError: if the rows have fewer than two labels, one with a single example, or one that only the
            held-out rows have.
        TrainingError: if training breaks off; its checkpoints stay.

    References:
        Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution",
        ICLR 2022, for the order of the two steps.
    """
    options = options or ClassifierOptions()
    refuse_foreign_folder(folder)
    check_training_rows(train.rows)
    labels = tuple(sorted({label for row in train.rows for label in labels_of(row)}))
    kept, held_out = split_rows(
        train.rows, held_out_share=options.held_out_share, seed=options.seed, by=options.split_by
    )
    refuse_unlearnable_split(kept, held_out)
    base = resolve_model(options.base)
    learnt = to_rows(kept, labels, with_names=options.learns_names(train.rows))
    trained = _train_encoder(base, learnt, to_rows(held_out, labels), labels, options, folder=folder, data=train.sha256)
    everything = to_rows(train.rows, labels, with_names=options.learns_names(train.rows))
    calibration = _calibrate(trained, learnt, to_rows(held_out, labels), everything, labels, options)
    # what was held out has done its work; now head, n-grams and examples may know it, too
    head = build_head(trained, everything, labels, options)
    head.scales, head.scope = calibration.scales, calibration.scope
    manifest = _describe(train, head, trained, calibration, options).model_copy(
        update={
            "base_fingerprint": folder_fingerprint(base),
            "canaries": _canaries(head, [row.text for row in held_out]),
        }
    )
    _write(folder, trained.encoder, head, manifest, options)
    return TrainedClassifier(folder, calibration.metrics, trained.history)


def _calibrate(
    trained: "TrainedEncoder",
    learnt: LabelledRows,
    held_out: LabelledRows,
    everything: LabelledRows,
    labels: tuple[str, ...],
    options: ClassifierOptions,
) -> Calibration:
    """Return the calibration by rows that the head had not seen.

    Where the encoder was not trained, every row can be such a row once: few rows then tell as much as many.
    """
    if options.method == "head" and options.split_by == "label" and len(everything) <= _CROSS_FITTED_ROWS:
        parts, targets = cross_fitted_parts(trained, everything, labels, options)
    else:
        vectors = trained.encoder.encode(held_out.texts)
        parts = build_head(trained, learnt, labels, options, refit=False).score_parts(held_out.texts, vectors)
        targets = held_out.targets
    return fit_calibration(parts, targets, options.promise, labels)


def _train_encoder(
    base: Path,
    learnt: LabelledRows,
    held_out: LabelledRows,
    labels: Sequence[str],
    options: ClassifierOptions,
    *,
    folder: Path,
    data: str,
) -> "TrainedEncoder":
    from llms.finetuning.encoder_training import train_encoder

    device = choose_device(options.device)
    model = open_sentence_transformer(base, device=device)
    if not (options.method == "head" and options.keep_adapter):  # that is used with the base just as it is
        model.max_seq_length = min(options.max_tokens, model.max_seq_length or options.max_tokens)
    trained = train_encoder(
        SentenceEncoder(model, device=device, precision=options.precision),
        learnt,
        held_out,
        num_labels=len(labels),
        options=options,
        folder=folder,
        fingerprint=f"{folder_fingerprint(base)} {data}",
    )
    if not keeps_adapter(options):
        merge_body(trained.encoder.model)
    return trained


def _canaries(head: ClassifierHead, texts: Sequence[str]) -> tuple[LabelCanary, ...]:
    """Return the surest answers on some texts: what loading must find again."""
    asked = list(texts[:64])
    probabilities, _ = head.predict(asked, batch_size=64)
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")[:_NUM_CANARIES]
    return tuple(
        LabelCanary(
            text=asked[place],
            label=head.labels[int(probabilities[place].argmax())],
            probability=round(float(probabilities[place].max()), 6),
        )
        for place in surest
    )


def _describe(
    train: LabelledTexts | MultiLabelTexts,
    head: ClassifierHead,
    trained: "TrainedEncoder",
    calibration: Calibration,
    options: ClassifierOptions,
) -> ClassifierManifest:
    libraries = ("torch", "transformers", "sentence-transformers", "scikit-learn", "peft")
    num_trained, num_total = trained.parameters
    return ClassifierManifest(
        labels=head.labels,
        multi_label=head.is_multi_label,
        encoder_scale=calibration.scales[0],
        lexical_scale=calibration.scales[1],
        neighbour_scale=calibration.scales[2],
        scope_centers=calibration.scope.centers,
        scope_spreads=calibration.scope.spreads,
        scope_spread=calibration.scope.spread,
        min_probability=calibration.min_probability,
        min_in_scope=calibration.min_in_scope,
        base_model=options.base,
        adapter=keeps_adapter(options),
        method=options.method,
        seed=options.seed,
        max_tokens=int(trained.encoder.model.max_seq_length or 0),
        data_sha256=train.sha256,
        trained_parameters=num_trained,
        total_parameters=num_total,
        versions={name: importlib.metadata.version(name) for name in libraries},
        metrics=calibration.metrics,
        calibration=calibration.facts,
    )


def _write(
    folder: Path,
    encoder: SentenceEncoder,
    head: ClassifierHead,
    manifest: ClassifierManifest,
    options: ClassifierOptions,
) -> None:
    with replace_folder(folder) as new:
        save_body(encoder.model, new, options)
        head.save(new)
        save_manifest(manifest, new)
    discard_checkpoints(folder)
