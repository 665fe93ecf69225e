"""Training on public data."""

import random

import pytest

from llms import LocalClassifier
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledTexts
from llms.finetuning.data.labelled_files import read_labelled_texts
from llms.metrics import classification_metrics

pytestmark = [pytest.mark.slow, pytest.mark.data]

SHARE = 0.1


def test_a_head_on_a_tenth_of_banking77_beats_three_quarters(data_folder, tmp_path):
    train, test = (
        read_labelled_texts(data_folder / "banking77" / f"{name}.csv", label_column="category")
        for name in ("train", "test")
    )
    assert not train.rejected
    rows = _sample(train.rows)
    options = ClassifierOptions(method="head", show_progress=False, seed=0)
    result = finetune_classifier(LabelledTexts(rows), tmp_path / "model", options)
    classifier = LocalClassifier(result.folder)
    assert len(classifier.labels) == 77

    questions = random.Random(0).sample(test.rows, 600)
    replies = classifier.batch([row.text for row in questions])
    metrics = classification_metrics(
        [row.label for row in questions], [reply.label for reply in replies], [reply.probability for reply in replies]
    )
    assert metrics["accuracy"] > 0.75
    assert metrics["ece"] < 0.15
    outside = classifier.batch(["The cat sleeps on the sofa.", "What is the capital of France?"])
    assert not any(reply.accepted for reply in outside)


def _sample(rows):
    """Return a tenth of every label, two rows at least."""
    by_label = {}
    for row in rows:
        by_label.setdefault(row.label, []).append(row)
    draw = random.Random(0)
    return [row for group in by_label.values() for row in draw.sample(group, max(2, round(len(group) * SHARE)))]
