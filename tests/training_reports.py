"""Reports of trainings that never took place, one per task, for tests of what is written about them."""

from datetime import UTC, datetime

from llms.finetuning.report.report import ErrorExample, TrainingReport
from llms.metrics import multi_label_report, per_class_report, reliability_bins
from llms.tagger.metrics import entity_report

STARTED = datetime(2026, 3, 2, 10, tzinfo=UTC)


def make_report(**changes):
    """A classifier's report; every part is there."""
    labels = ("refund", "delivery", "other")
    expected = [label for label in labels for _ in range(10)]
    predicted = [*expected[1:], expected[0]]
    right = [want == got for want, got in zip(expected, predicted, strict=True)]
    parts = {
        "task": "classifier",
        "method": "lora",
        "base_model": "org/small-encoder",
        "seed": 7,
        "seconds": 192.0,
        "started": STARTED,
        "rows": {"train": 900, "held_out": 100, "test": 30},
        "parameters": {"trainable": 300_000, "total": 22_700_000},
        "size_bytes": 91_200_000,
        "metrics": {"accuracy": 0.9, "macro_f1": 0.89, "ece": 0.04},
        "baselines": {
            "character TF-IDF + linear SVM": {"accuracy": 0.85, "macro_f1": 0.84},
            "most frequent label": {"accuracy": 0.33, "macro_f1": 0.17},
        },
        "per_class": per_class_report(expected, predicted),
        "learning_curve": (
            {"epoch": 1.0, "loss": 0.9},
            {"epoch": 1.0, "eval_loss": 0.8, "eval_accuracy": 0.7, "eval_runtime": 3.0},
            {"epoch": 2.0, "loss": 0.4},
            {"epoch": 2.0, "eval_loss": 0.5, "eval_accuracy": 0.9, "eval_runtime": 3.0},
        ),
        "reliability": tuple(reliability_bins([0.55 + 0.015 * i for i in range(30)], right)),
        "errors": (
            ErrorExample(
                text="Where is my money?",
                expected="refund",
                predicted="delivery",
                probability=0.97,
                reason="97 % sure and wrong",
                neighbours=(("Where is my parcel?", "delivery", 0.91),),
            ),
        ),
        "thresholds": {
            "min_probability": 0.62,
            "accepted_accuracy_wanted": 0.95,
            "accepted_share": 0.84,
            "accepted_accuracy": 0.962,
            "accepted_accuracy_lower_95": 0.921,
            "label_set_confidence": 0.95,
            "label_set_min_probability": 0.12,
            "min_in_scope": 0.31,
        },
        "data": {
            "sha256": "ab" * 32,
            "rows_per_label": {"refund": 400, "delivery": 300, "other": 200},
            "num_duplicates": 12,
            "duplicates": [{"text": "Hello", "num_rows": 13, "lines": [3, 8]}],
            "leakage": {"num_exact": 1, "exact": ["Good morning"]},
            "errors": [],
            "warnings": ["12 texts occur twice"],
        },
        "versions": {"torch": "2.13.0"},
        "command": "tunechain finetune rows.csv",
    }
    return TrainingReport(**(parts | changes))


def make_tagger_report(**changes):
    """A tagger's report: spans instead of labels of whole texts."""
    expected = [[(0, 3, "PERSON"), (10, 15, "PLACE")], [(2, 6, "PERSON")]]
    predicted = [[(0, 3, "PERSON"), (10, 14, "PLACE")], [(2, 6, "PERSON")]]
    parts = {
        "task": "tagger",
        "metrics": {"micro_f1": 0.67, "macro_f1": 0.5},
        "baselines": {"words seen in training": {"micro_f1": 0.4}},
        "per_class": None,
        "entities": entity_report(expected, predicted),
        "reliability": (),
        "thresholds": {},
    }
    return make_report(**(parts | changes))


def make_multi_label_report(**changes):
    """The report of a classifier that gives a text any number of labels."""
    table = multi_label_report([{"a", "b"}, {"a"}, set()], [{"a"}, {"a"}, {"b"}])
    metrics = {"micro_f1": 0.67, "subset_accuracy": table["subset_accuracy"], "hamming_loss": table["hamming_loss"]}
    return make_report(**({"per_class": table, "metrics": metrics, "baselines": {}} | changes))
