"""Figures of a classifier whose texts may have several labels or none."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from apps.tasks.task import Figures
from llms import LocalClassifier
from llms.classifier import LexicalModel
from llms.finetuning.data import ClassifierRow, labels_of
from llms.finetuning.report import ErrorExample
from llms.metrics import multi_label_report

_NONE = "(none)"


def measure_multi_label(
    classifier: LocalClassifier, train: Sequence[ClassifierRow], test: Sequence[ClassifierRow]
) -> Figures:
    """Return the figures on `test`, beside a linear model over character n-grams and the most frequent labels."""
    texts, expected = [row.text for row in test], [labels_of(row) for row in test]
    replies = classifier.batch(texts)
    predicted = [reply.labels for reply in replies]
    by_words, most_frequent = _predict_by_words(train, texts), _most_frequent_labels(train)
    return Figures(
        metrics=_figures(expected, predicted),
        baselines={
            "character TF-IDF + linear SVM": _figures(expected, by_words),
            "most frequent labels": _figures(expected, [most_frequent] * len(texts)),
        },
        per_class=multi_label_report(expected, predicted),
        errors=[
            ErrorExample(
                text=text,
                expected=_as_text(wanted),
                predicted=_as_text(found),
                probability=min((reply.probabilities[label] for label in found), default=None),
            )
            for text, wanted, found, reply in zip(texts, expected, predicted, replies, strict=True)
        ],
    )


def _figures(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    report = multi_label_report(expected, predicted)
    averages = {f"{name}_f1": report["averages"][name]["f1"] for name in ("micro", "macro")}
    return averages | {name: report[name] for name in ("subset_accuracy", "hamming_loss")}


def _predict_by_words(train: Sequence[ClassifierRow], texts: Sequence[str]) -> list[tuple[str, ...]]:
    labels = sorted({label for row in train for label in labels_of(row)})
    targets = np.array([[float(label in labels_of(row)) for label in labels] for row in train], dtype=np.float32)
    scores = LexicalModel.fit([row.text for row in train], targets).scores(texts)
    return [tuple(label for label, score in zip(labels, row, strict=True) if score >= 0) for row in scores]


def _most_frequent_labels(train: Sequence[ClassifierRow]) -> tuple[str, ...]:
    return Counter(labels_of(row) for row in train).most_common(1)[0][0]


def _as_text(labels: Sequence[str]) -> str:
    return ", ".join(sorted(labels)) or _NONE
