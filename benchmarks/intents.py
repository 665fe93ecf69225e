"""Accuracy of a classifier fine-tuned on Banking77, beside the simple baselines of the same run.

Run: python -m benchmarks.intents [--epochs 6] [--seed 0]
"""

import argparse
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from apps.finetuning import finetune_and_evaluate
from apps.settings import prepare_process
from apps.tasks.classifier import ClassifierTask
from llms.finetuning.classifier import ClassifierOptions
from llms.finetuning.records import read_labelled_texts

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"


def main() -> None:
    prepare_process()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=ClassifierOptions().epochs)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)) / "banking77"  # noqa: TID251  # no workspace here
    train = read_labelled_texts(folder / "train.csv", label_column="category")
    test = read_labelled_texts(folder / "test.csv", label_column="category")
    options = ClassifierOptions(epochs=arguments.epochs, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        report = finetune_and_evaluate(ClassifierTask(), (train, test), Path(temporary) / "intents", options).report
    print(f"command: python -m benchmarks.intents --epochs {options.epochs} --seed {options.seed}")
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"date: {datetime.now(UTC):%Y-%m-%d}, {report.seconds:.0f} s with evaluation, {len(test.rows)} test rows\n")
    print("| Method | accuracy | macro-F1 | ECE (15 bins) |")
    print("|---|---|---|---|")
    for name, figures in {"tunechain": report.metrics, **report.baselines}.items():
        ece = f"{figures['ece']:.4f}" if "ece" in figures else "-"
        print(f"| {name} | {figures['accuracy']:.4f} | {figures['macro_f1']:.4f} | {ece} |")
    metrics = report.metrics
    accuracy = metrics.get("accepted_accuracy", 0.0)
    print(f"\naccepted: {metrics['accepted_share']:.3f} of the rows, {accuracy:.4f} of them right")


if __name__ == "__main__":
    main()
