"""Self-training: a classifier that also learns from unlabelled texts it is sure of, if that does no harm."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from llms.classifier.local_classifier import LocalClassifier
from llms.errors import OptionValueError, TrainingDataError
from llms.finetuning.classifier.finetune import TrainedClassifier, finetune_classifier
from llms.finetuning.classifier.head import refuse_unlearnable_split
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.data.labelled_files import check_training_rows
from llms.finetuning.data.splits import split_rows
from llms.finetuning.trainer.saving import refuse_foreign_folder, replace_folder
from llms.texts.checks import check_text
from llms.texts.folding import text_key

_LEARNT = datetime(2000, 1, 1, tzinfo=UTC)  # any two times do: they only say which side of the split a row is on
_HELD_OUT = _LEARNT + timedelta(days=1)
_FEWEST_LEARNT = 2  # of a label, so that the model that labels can learn and judge it
_FEWEST_PER_LABEL = 10
_CAP_FACTOR = 2  # times the median number of labelled rows: more of an easy label would shift all others


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTrainedClassifier:
    """What self-training came to.

    Attributes:
        trained: the model in the folder, which is the better of the two.
        num_pseudo_labels: texts without a label that the model in the folder learnt; 0 if they did not help.
        num_sure: texts that the labelling model was sure of, after the cap on each label.
        min_probability: from which on it was sure.
        score_before: accuracy of the first model on the held-out rows.
        score_after: accuracy of the second one on the same rows; None if there was nothing to learn.
    """

    trained: TrainedClassifier
    num_pseudo_labels: int
    num_sure: int
    min_probability: float
    score_before: float
    score_after: float | None

    @property
    def score(self) -> float:
        """Accuracy of the model in the folder on the held-out rows; never below `score_before`."""
        return self.score_before if self.score_after is None else max(self.score_before, self.score_after)


def self_train(
    labelled: LabelledTexts,
    unlabelled: Sequence[str],
    folder: Path,
    options: ClassifierOptions | None = None,
    *,
    min_probability: float = 0.9,
) -> SelfTrainedClassifier:
    """Train, label the texts a model is sure of, train again on both, and keep the second model if it is no worse.

    A text is taken if its probability reaches both `min_probability` and the threshold that was fitted on rows held
    out, and it resembles the training texts; of each label the surest ones, at most twice as many as labels have rows
    in the median. Both models are stopped, calibrated and judged by the same held-out rows, all of which people have
    labelled; the model that labels the texts has never seen these, so that nothing of them is in its labels.

    That makes three trainings. The first model lies in the folder while the others are trained beside it.

    Raises:
        OptionValueError: if `min_probability` does not lie between 0 and 1.
        InputTextError: before any training, if one of the texts is none that a tokenizer takes.
        ModelFolderError: as `finetune_classifier`.
        TrainingDataError: as `finetune_classifier`; also if a label has fewer than two examples that are not held
            out, before any training.

    References:
        Lee, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks",
        workshop at ICML 2013; Zhang et al., "FlexMatch", NeurIPS 2021, on labels of unequal difficulty.
    """
    options = options or ClassifierOptions()
    if not 0 < min_probability < 1:
        msg = f"min_probability must lie between 0 and 1, got {min_probability}"
        raise OptionValueError(msg)
    texts = _new_texts(labelled.rows, unlabelled)
    labelling, second_folder = (folder.with_name(f".{folder.name}-{what}") for what in ("labelling", "self-trained"))
    for index in (folder, labelling, second_folder):
        refuse_foreign_folder(index)
    learnt, held_out = _split(labelled.rows, options)
    by_time = replace(options, split_by="time")
    first = finetune_classifier(LabelledTexts([*learnt, *held_out]), folder, by_time)
    score = first.metrics["held_out_accuracy"]
    # the first model learns the held-out rows in the end; its labels would carry them into the second one's rows
    finetune_classifier(LabelledTexts(learnt), labelling, replace(options, split_by="label"))
    sure, threshold = _label(texts, learnt, labelling, options, min_probability=min_probability)
    shutil.rmtree(labelling)
    outcome = SelfTrainedClassifier(
        trained=first,
        num_pseudo_labels=0,
        num_sure=len(sure),
        min_probability=threshold,
        score_before=score,
        score_after=None,
    )
    if not sure:
        return outcome
    second = finetune_classifier(LabelledTexts([*learnt, *sure, *held_out]), second_folder, by_time)
    outcome = replace(outcome, score_after=second.metrics["held_out_accuracy"])
    if second.metrics["held_out_accuracy"] >= score:
        with replace_folder(folder) as new:
            shutil.copytree(second_folder, new, dirs_exist_ok=True)
        outcome = replace(outcome, trained=replace(second, folder=folder), num_pseudo_labels=len(sure))
    shutil.rmtree(second_folder)
    return outcome


def _new_texts(labelled: Sequence[LabelledText], unlabelled: Sequence[str]) -> list[str]:
    """Return the texts that are neither labelled, so that no held-out row is learnt, nor equal to an earlier one."""
    seen = {text_key(row.text) for row in labelled}
    texts = []
    for text in unlabelled:
        key = text_key(check_text(text))
        if key not in seen:
            seen.add(key)
            texts.append(text)
    return texts


def _split(rows: Sequence[LabelledText], options: ClassifierOptions) -> tuple[list[LabelledText], list[LabelledText]]:
    """Return the rows to learn from and those held out, with times that keep them so in both trainings."""
    check_training_rows(rows)
    kept, held_out = split_rows(rows, held_out_share=options.held_out_share, seed=options.seed, by=options.split_by)
    rare = {label for label, count in Counter(row.label for row in kept).items() if count < _FEWEST_LEARNT}
    if options.split_by == "label":  # of the rarest labels every row is needed to learn from
        kept += [row for row in held_out if row.label in rare]
        held_out = [row for row in held_out if row.label not in rare]
        rare = {label for label, count in Counter(row.label for row in kept).items() if count < _FEWEST_LEARNT}
    refuse_unlearnable_split(kept, held_out)
    if rare:
        msg = (
            f"self-training needs {_FEWEST_LEARNT} examples of each label beside the held-out ones, {min(rare)!r} has "
            "fewer; add examples of it, or split by label"
        )
        raise TrainingDataError(msg)
    return (
        [replace(row, time=_LEARNT) for row in kept],
        [replace(row, time=_HELD_OUT) for row in held_out],
    )


def _label(
    texts: Sequence[str],
    labelled: Sequence[LabelledText],
    folder: Path,
    options: ClassifierOptions,
    *,
    min_probability: float,
) -> tuple[list[LabelledText], float]:
    """Return the texts the model in `folder` is sure of, with its labels, and from which probability on that is."""
    classifier = LocalClassifier(folder, device=options.device, precision=options.precision, engine="torch")
    threshold = max(classifier.min_probability, min_probability)
    replies = classifier.batch(list(texts))
    sure = [index for index, reply in enumerate(replies) if reply.accepted and reply.probability >= threshold]
    sure.sort(key=lambda index: -replies[index].probability)  # equals stay in their order
    median = float(np.median(list(Counter(row.label for row in labelled).values())))
    cap = max(_FEWEST_PER_LABEL, round(_CAP_FACTOR * median))
    taken: Counter[str] = Counter()
    rows = []
    for index in sure:
        label = replies[index].label
        taken[label] += 1
        if taken[label] <= cap:
            rows.append(LabelledText(texts[index], label, time=_LEARNT))
    return rows, threshold
