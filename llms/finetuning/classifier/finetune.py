"""`finetune_classifier`: labelled texts in, a folder for `LocalClassifier` out."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llms.arrays import FloatArray
from llms.classifier.head import ClassifierHead, ScoreParts
from llms.classifier.held_out import HeldOutReplies, collect_replies, save_held_out
from llms.classifier.results import Classification
from llms.device import choose_device
from llms.encoder.sentence_encoder import SentenceEncoder, open_sentence_transformer
from llms.errors import OptionValueError, TrainingDataError
from llms.finetuning.classifier.data import LabelledRows, to_rows
from llms.finetuning.classifier.evaluation import Calibration, fit_calibration
from llms.finetuning.classifier.head import build_head, cross_fitted_parts, refuse_unlearnable_split
from llms.finetuning.classifier.method_choice import choose_method, discard_trials
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.augmentation import augment_texts
from llms.finetuning.data.examples import (
    ClassifierRow,
    LabelledText,
    LabelledTexts,
    MultiLabelText,
    MultiLabelTexts,
    labels_of,
)
from llms.finetuning.data.labelled_files import check_training_rows
from llms.finetuning.data.splits import split_rows
from llms.finetuning.trainer.adapted_models import keeps_adapter, manifest_fields, merge_body, save_body
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import TrainedModel, alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import ClassifierManifest, LabelReference, save_manifest

if TYPE_CHECKING:
    from llms.finetuning.classifier.data import TrainedEncoder


_log = logging.getLogger(__name__)
_NUM_REFERENCES = 3
_CROSS_FITTED_ROWS = 3_000  # above that, a tenth held out says enough and five fits take too long


TrainedClassifier = TrainedModel
"""The outcome of `finetune_classifier`."""


@alone_in_folder
def finetune_classifier(
    train: LabelledTexts | MultiLabelTexts, folder: Path, options: ClassifierOptions | None = None
) -> TrainedClassifier:
    """Train on labelled texts and write a model folder that `LocalClassifier` loads.

    First a linear head is fitted on the frozen encoder, then encoder and head are trained together from there by
    the method of `options` (not "head"), which distorts the encoder less than a random head would. A linear model
    over character n-grams is fitted beside it, and held-out rows decide how much each of them counts, when to stop,
    and from which probability on an answer is accepted. With the method "auto" both are compared on held-out rows
    first, and only the head is trained where more does not pay.

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
    check_training_rows(train.rows)
    options, reason = _with_method(train, folder, options)
    labels = _labels(train, options)
    kept, held_out = split_rows(
        train.rows, held_out_share=options.held_out_share, seed=options.seed, by=options.split_by
    )
    refuse_unlearnable_split(kept, held_out)
    base = resolve_model(options.base)
    named = [label for label in labels if label != options.outside_label] if options.learns_names(train.rows) else []
    learnt = to_rows(_augment(kept, options), labels, named=named)
    start = _tune_contrastively(kept, folder, options) if options.contrastive_epochs else base
    trained = _train_encoder(
        start, learnt, to_rows(held_out, labels), labels, options, folder=folder, data=train.sha256
    )
    everything = to_rows(_augment(train.rows, options), labels, named=named)
    asked, parts = _score_unseen(trained, learnt, to_rows(held_out, labels), everything, labels, options)
    calibration = fit_calibration(
        parts, asked.targets, options.accuracy_target, labels, has_outside=options.outside_label is not None
    )
    # what was held out has done its work; now head, n-grams and examples may know it, too
    head = build_head(trained, everything, labels, options)
    head.scales, head.scope = calibration.scales, calibration.scope
    described = manifest_fields(
        options,
        base_fingerprint=folder_fingerprint(base),
        data_sha256=train.sha256,
        max_tokens=int(trained.encoder.model.max_seq_length or 0),
        parameters=trained.parameters,
        libraries=("torch", "transformers", "sentence-transformers", "scikit-learn", "peft"),
        metrics=calibration.metrics,
    )
    outputs = _reference_outputs(head, [row.text for row in held_out])
    manifest = _describe(head, calibration, options.outside_label, described, outputs)
    _write(folder, trained.encoder, head, manifest, options, _held_out_replies(head, asked, parts))
    return TrainedClassifier(folder, calibration.metrics, trained.history, reason)


def _with_method(
    train: LabelledTexts | MultiLabelTexts, folder: Path, options: ClassifierOptions
) -> tuple[ClassifierOptions, str]:
    """Return the options with a method that can be trained, and why it was taken where it had to be chosen."""
    if options.method != "auto":
        return options, ""
    choice = choose_method(train.rows, folder, options, train=finetune_classifier)
    _log.info("method %s", choice.reason)
    return replace(options, method=choice.method), choice.reason


def _labels(train: LabelledTexts | MultiLabelTexts, options: ClassifierOptions) -> tuple[str, ...]:
    """Return the labels of the rows in alphabetical order; the outside one comes last."""
    found = {label for row in train.rows for label in labels_of(row)}
    outside = options.outside_label
    if outside is None:
        return tuple(sorted(found))
    if isinstance(train, MultiLabelTexts):
        msg = f"outside_label={outside!r} is for rows with one label; where texts have several, give such rows none"
        raise OptionValueError(msg)
    if outside not in found or len(found) < 3:
        msg = (
            f"outside_label={outside!r} needs rows with that label and with two others, the rows have "
            f"{', '.join(map(repr, sorted(found)[:5]))}; add such rows or leave it out"
        )
        raise TrainingDataError(msg)
    return (*sorted(found - {outside}), outside)


def _augment(rows: Sequence[ClassifierRow], options: ClassifierOptions) -> list[ClassifierRow]:
    return [*rows, *augment_texts(rows, copies=options.augment, seed=options.seed)]


def _score_unseen(
    trained: "TrainedEncoder",
    learnt: LabelledRows,
    held_out: LabelledRows,
    everything: LabelledRows,
    labels: tuple[str, ...],
    options: ClassifierOptions,
) -> tuple[LabelledRows, ScoreParts]:
    """Return rows and what heads that had not seen them say of them.

    Where the encoder was not trained, every row can be such a row once: few rows then tell as much as many.
    """
    is_trained = options.method != "head" or options.contrastive_epochs > 0
    is_cross_fitted = not is_trained and options.split_by == "label" and not options.augment
    if is_cross_fitted and len(everything) <= _CROSS_FITTED_ROWS:
        parts, asked = cross_fitted_parts(trained, everything, labels, options)
        return asked, parts
    vectors = trained.vectors(held_out.texts)
    head = build_head(trained, learnt, labels, options, refit=False)
    return held_out, head.score_parts(held_out.texts, vectors)


def _held_out_replies(head: ClassifierHead, asked: LabelledRows, parts: ScoreParts) -> HeldOutReplies:
    """Return what is kept of the scores of unseen rows; nothing where a text may have several labels."""
    if asked.is_multi_label:
        return HeldOutReplies()
    probabilities, in_scope = head.predict_from_parts(parts)
    replies = [_as_reply(row, scope, head.labels) for row, scope in zip(probabilities, in_scope.tolist(), strict=True)]
    return collect_replies(asked.texts, [head.labels[target] for target in asked.targets], replies)


def _as_reply(probabilities: FloatArray, in_scope: float, labels: Sequence[str]) -> Classification:
    order = np.argsort(-probabilities, kind="stable").tolist()
    shares = {labels[index]: float(probabilities[index]) for index in order}
    label = labels[order[0]]
    return Classification(label=label, probability=shares[label], probabilities=shares, in_scope=in_scope)


def _tune_contrastively(rows: Sequence[ClassifierRow], folder: Path, options: ClassifierOptions) -> Path:
    """Return the folder of an encoder that learnt which texts have the same label; made once, kept until the end.

    References:
        Tunstall et al., "Efficient few-shot learning without prompts", 2022, for the order of the two steps.
    """
    from llms.finetuning.embeddings.finetune import finetune_embeddings
    from llms.finetuning.embeddings.options import EmbeddingsOptions

    if any(isinstance(row, MultiLabelText) for row in rows):
        msg = "contrastive_epochs needs rows with one label each; leave it out where texts have several"
        raise OptionValueError(msg)
    # what belongs to no label has nothing in common
    single = LabelledTexts(
        [row for row in rows if isinstance(row, LabelledText) and row.label != options.outside_label]
    )
    tuned = _contrastive_folder(folder)
    shared = {
        name: getattr(options, name)
        for name in ("base", "batch_size", "max_tokens", "seed", "device", "precision", "show_progress", "resume")
    }
    tuning = EmbeddingsOptions(epochs=options.contrastive_epochs, track="none", **shared)
    finetune_embeddings(single, tuned, tuning)
    return tuned


def _contrastive_folder(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-contrastive")


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
    from transformers import set_seed

    from llms.finetuning.classifier.training import train_encoder

    set_seed(options.seed)  # what a base lacks, such as a pooler that nobody uses, is drawn when it is opened
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


def _reference_outputs(head: ClassifierHead, texts: Sequence[str]) -> tuple[LabelReference, ...]:
    """Return the surest answers on some texts: what loading must find again."""
    asked = list(texts[:64])
    probabilities, _ = head.predict(asked, batch_size=64)
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")[:_NUM_REFERENCES]
    return tuple(
        LabelReference(
            text=asked[row],
            label=head.labels[int(probabilities[row].argmax())],
            probability=round(float(probabilities[row].max()), 6),
        )
        for row in surest
    )


def _describe(
    head: ClassifierHead,
    calibration: Calibration,
    outside_label: str | None,
    described: Mapping[str, Any],
    outputs: tuple[LabelReference, ...],
) -> ClassifierManifest:
    return ClassifierManifest(
        labels=head.labels,
        multi_label=head.is_multi_label,
        outside_label=outside_label,
        encoder_scale=calibration.scales[0],
        lexical_scale=calibration.scales[1],
        neighbour_scale=calibration.scales[2],
        scope_centers=calibration.scope.centers,
        scope_spreads=calibration.scope.spreads,
        scope_spread=calibration.scope.spread,
        min_probability=calibration.min_probability,
        min_in_scope=calibration.min_in_scope,
        calibration=calibration.facts,
        reference_outputs=outputs,
        **described,
    )


def _write(
    folder: Path,
    encoder: SentenceEncoder,
    head: ClassifierHead,
    manifest: ClassifierManifest,
    options: ClassifierOptions,
    held_out: HeldOutReplies,
) -> None:
    with replace_folder(folder) as new:
        save_body(encoder.model, new, options)
        head.save(new)
        save_held_out(held_out, new)
        save_manifest(manifest, new)
    discard_checkpoints(folder)
    discard_trials(folder)
    shutil.rmtree(_contrastive_folder(folder), ignore_errors=True)
