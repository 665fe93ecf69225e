"""Task `classifier`: labelled texts to a classifier and its figures."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from apps.evaluate import evaluate_classifier
from apps.tasks.explained_errors import explain_errors
from apps.tasks.multi_label import measure_multi_label
from apps.tasks.task import REPORT_SHARE, DataOptions, Figures, FinetuningTask, most_frequent
from llms import Classification, LocalClassifier
from llms.errors import TrainingDataError
from llms.finetuning import ClassifierOptions, finetune_classifier, read_labelled_texts, read_multi_label_texts
from llms.finetuning.data import (
    ClassifierRow,
    DataReport,
    LabelledText,
    LabelledTexts,
    MultiLabelText,
    MultiLabelTexts,
    check_labelled_texts,
    check_training_rows,
    labels_of,
    spell_labels_like,
    split_rows,
)
from llms.finetuning.report import ErrorExample, pick_errors
from llms.finetuning.trainer import TrainedModel
from llms.manifest import ClassifierManifest, ModelManifest
from llms.metrics import reliability_bins

_Texts = LabelledTexts | MultiLabelTexts
_MAX_ERRORS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierData(DataOptions):
    """Where the labelled texts lie.

    Attributes:
        multi_label: a cell of labels holds any number of them.
        label_separator: what divides them.
        group_column: rows of one group stay on one side of every split; for `split_by = "group"`.
        time_column: for `split_by = "time"`.
    """

    text_column: str = "text"
    label_column: str = "label"
    multi_label: bool = False
    label_separator: str = "|"
    group_column: str | None = None
    time_column: str | None = None


class ClassifierTask(FinetuningTask[ClassifierData, _Texts, ClassifierOptions]):
    """One label or several for each text."""

    name = "classifier"
    data_kind = ClassifierData
    options_kind = ClassifierOptions
    manifest_kind = ClassifierManifest

    @override
    def read(self, path: Path, data: ClassifierData) -> _Texts:
        if data.multi_label:
            return read_multi_label_texts(
                path,
                text_column=data.text_column,
                label_column=data.label_column,
                separator=data.label_separator,
                group_column=data.group_column,
                time_column=data.time_column,
            )
        return read_labelled_texts(
            path,
            text_column=data.text_column,
            label_column=data.label_column,
            group_column=data.group_column,
            time_column=data.time_column,
        )

    @override
    def match(self, test: _Texts, train: _Texts) -> _Texts:
        return spell_labels_like(test, train.rows)

    @override
    def check(self, train: _Texts, test: _Texts | None) -> DataReport:
        return check_labelled_texts(train, test)

    @override
    def keep_apart(self, rows: _Texts, options: ClassifierOptions) -> tuple[_Texts, _Texts]:
        check_training_rows(rows.rows)
        split = split_rows(rows.rows, held_out_share=REPORT_SHARE, seed=options.seed, by=options.split_by)
        train, test = (_texts_like(rows, part) for part in split)
        counts = Counter(label for row in train.rows for label in labels_of(row))
        if rare := sorted(label for label, count in counts.items() if count < 2):
            msg = (
                f"too few examples of {rare[0]!r} to train and test with; give test rows, or three examples of "
                "each label"
            )
            raise TrainingDataError(msg)
        return train, test

    @override
    def finetune(self, train: _Texts, folder: Path, options: ClassifierOptions) -> TrainedModel:
        return finetune_classifier(train, folder, options)

    @override
    def count_held_out(self, train: _Texts, options: ClassifierOptions, trained: TrainedModel) -> int:
        _, held_out = split_rows(
            train.rows, held_out_share=options.held_out_share, seed=options.seed, by=options.split_by
        )
        return len(held_out)

    @override
    def measure(self, folder: Path, train: _Texts, test: _Texts, options: ClassifierOptions) -> Figures:
        classifier = LocalClassifier(folder, device=options.device, precision=options.precision)
        if isinstance(train, LabelledTexts) and isinstance(test, LabelledTexts):
            figures = _measure_labels(classifier, train, test)
        else:
            figures = measure_multi_label(classifier, train.rows, test.rows)
        errors = pick_errors(figures.errors, limit=_MAX_ERRORS)
        return dataclasses.replace(figures, errors=explain_errors(errors, classifier))

    @override
    def thresholds(self, manifest: ModelManifest) -> dict[str, float]:
        known = manifest.calibration
        return known | {"min_in_scope": manifest.min_in_scope} if isinstance(manifest, ClassifierManifest) else known

    @override
    def count_labels(self, train: _Texts) -> dict[str, int]:
        return most_frequent(Counter(label for row in train.rows for label in labels_of(row)))


def _texts_like(texts: _Texts, rows: Sequence[ClassifierRow]) -> _Texts:
    """Return rows of the kind of `texts`."""
    if isinstance(texts, MultiLabelTexts):
        return MultiLabelTexts([row for row in rows if isinstance(row, MultiLabelText)])
    return LabelledTexts([row for row in rows if isinstance(row, LabelledText)])


def _measure_labels(classifier: LocalClassifier, train: LabelledTexts, test: LabelledTexts) -> Figures:
    evaluation = evaluate_classifier(classifier, train=train.rows, test=test.rows)
    right = [row.label == reply.label for row, reply in zip(test.rows, evaluation.replies, strict=True)]
    return Figures(
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        per_class=evaluation.report,
        reliability=reliability_bins([reply.probability for reply in evaluation.replies], right),
        errors=_errors(test.rows, evaluation.replies, known=classifier.labels),
    )


def _errors(
    rows: Sequence[LabelledText], replies: Sequence[Classification], *, known: Sequence[str]
) -> list[ErrorExample]:
    return [
        ErrorExample(
            text=row.text,
            expected=row.label,
            predicted=reply.label,
            probability=reply.probability,
            reason="" if row.label in known else f"no training row has the label {row.label!r}",
        )
        for row, reply in zip(rows, replies, strict=True)
    ]
